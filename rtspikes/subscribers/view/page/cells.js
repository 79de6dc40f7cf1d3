/** Electrodes as cells: drawn one by one with their labels where they are few, as pixels where they are many. */

import { FONT, write } from "./draw.js";
import { inkOn, pixel, rgb } from "./palette.js";
import { elide } from "./text.js";

const LEAST_LABEL_PX = 12;
const MOST_FITTING = 0.9;
const SIGN_PX = 9;

/** `places`: middles (cx, cy) and side of the cells, CSS pixels; `shadeOf` gives a colour 0 … 255, −1 for no value. */
export const createCells = (plot, store) => {
  let image = null;
  const labels = { facts: null, width: 0 };

  const special = (i) => store.facts.kind[i] !== "electrode" || store.facts.enabled[i] === false;
  const visible = (places, i, half) => {
    const [x, y] = [places.cx[i], places.cy[i]];
    return x > -half && y > -half && x < plot.width + half && y < plot.height + half;
  };

  const vectors = (ctx, places, shadeOf) => {
    const { facts, palette } = store;
    const side = places.side * 0.88;
    const half = side / 2;
    const radius = Math.min(5, side * 0.16);
    const labelled = labelsFit(ctx, side - 4);
    if (labelled && labelsFit(ctx, (side - 4) * 0.8)) ctx.font = FONT.replace("12px", "14px");
    for (let i = 0; i < facts.n; i += 1) {
      if (!visible(places, i, half)) continue;
      const [x, y] = [places.cx[i], places.cy[i]];
      const k = special(i) ? -2 : shadeOf(i);
      ctx.beginPath();
      ctx.roundRect(x - half, y - half, side, side, radius);
      if (k === -2) {
        drawSpecial(ctx, x, y, half);
      } else {
        ctx.fillStyle = k < 0 ? palette.none : palette.mapCss[k];
        ctx.fill();
      }
      if (labelled) {
        const ink = k < 0 ? palette.dim : inkOn(palette.map[k]);
        write(ctx, elide(ctx, facts.label[i], side - 4), x, y + 0.5, ink, "center");
      }
    }
    ctx.font = FONT;
  };

  /** Reference, ground, disabled: an outline, crossed where it does not take part. */
  const drawSpecial = (ctx, x, y, half) => {
    ctx.strokeStyle = store.palette.faint;
    ctx.lineWidth = 1.25;
    ctx.setLineDash([3, 2]);
    ctx.stroke();
    ctx.setLineDash([]);
  };

  /** Many cells: their pixels are written at once; a cell's colour is all it shows. */
  const pixels = (ctx, places, shadeOf) => {
    const { facts, palette } = store;
    const { dpr } = plot;
    const { width, height } = plot.canvas;
    if (!image || image.width !== width || image.height !== height) image = ctx.createImageData(width, height);
    const buffer = new Uint32Array(image.data.buffer);
    buffer.fill(0);
    const table = palette.map.map((colour) => pixel(colour));
    const [none, faint] = [pixel(rgb(palette.none)), pixel(rgb(palette.faint))];
    const side = places.side * dpr;
    const between = side >= 9 ? Math.round(side * 0.1) : side >= 4 ? 1 : 0;
    for (let i = 0; i < facts.n; i += 1) {
      const k = special(i) ? -2 : shadeOf(i);
      const colour = k === -2 ? faint : k < 0 ? none : table[k];
      const x0 = Math.max(0, Math.round(places.cx[i] * dpr - side / 2));
      const y0 = Math.max(0, Math.round(places.cy[i] * dpr - side / 2));
      const x1 = Math.min(width, Math.max(x0 + 1, Math.round(places.cx[i] * dpr + side / 2) - between));
      const y1 = Math.min(height, Math.max(y0 + 1, Math.round(places.cy[i] * dpr + side / 2) - between));
      for (let y = y0; y < y1; y += 1) buffer.fill(colour, y * width + x0, y * width + Math.max(x0, x1));
      if (k === -2 && side > 5) {
        for (let y = y0 + 1; y < y1 - 1; y += 1) buffer.fill(0, y * width + x0 + 1, y * width + x1 - 1);
      }
    }
    ctx.putImageData(image, 0, 0);
    if (labelsFit(ctx, places.side - 8)) labelPixels(ctx, places, shadeOf);
  };

  /** Labels are drawn where nearly all of them fit into their cells: many that end in … tell nothing. */
  const labelsFit = (ctx, room) => {
    const { facts } = store;
    if (room < LEAST_LABEL_PX) return false;
    if (labels.facts !== facts) {
      ctx.font = FONT;
      const widths = facts.label.map((label) => ctx.measureText(label).width).sort((a, b) => a - b);
      Object.assign(labels, { facts, width: widths[Math.floor(MOST_FITTING * (widths.length - 1))] });
    }
    return labels.width <= room;
  };

  const labelPixels = (ctx, places, shadeOf) => {
    const { facts, palette } = store;
    for (let i = 0; i < facts.n; i += 1) {
      if (!visible(places, i, 0)) continue;
      const k = special(i) ? -1 : shadeOf(i);
      const ink = k < 0 ? palette.dim : inkOn(palette.map[k]);
      write(ctx, elide(ctx, facts.label[i], places.side - 6), places.cx[i], places.cy[i], ink, "center");
    }
  };

  /** Signs that do not rest on colour: a cross for dead, a stroke for muted, ▲ for storming. */
  const signs = (ctx, places) => {
    const { facts, levels, palette } = store;
    if (!levels || places.side < SIGN_PX) return;
    const half = places.side * 0.44;
    const small = Math.max(3, Math.min(6, half * 0.4));
    for (let i = 0; i < facts.n; i += 1) {
      const bits = levels.flags[i];
      if (!(bits & 7) || !visible(places, i, half)) continue;
      const [x, y] = [places.cx[i] + half - small - 1, places.cy[i] - half + small + 1];
      ctx.beginPath();
      ctx.arc(x, y, small + 1.5, 0, 7);
      ctx.fillStyle = palette.panel;
      ctx.fill();
      ctx.beginPath();
      if (bits & 2) {
        ctx.moveTo(x, y - small);
        ctx.lineTo(x + small, y + small * 0.7);
        ctx.lineTo(x - small, y + small * 0.7);
        ctx.fillStyle = palette.loss;
        ctx.fill();
        continue;
      }
      const d = small * 0.7;
      ctx.moveTo(x - d, y + d);
      ctx.lineTo(x + d, y - d);
      if (bits & 4) {
        ctx.moveTo(x - d, y - d);
        ctx.lineTo(x + d, y + d);
      }
      ctx.strokeStyle = palette.ink;
      ctx.lineWidth = 1.5;
      ctx.stroke();
    }
  };

  return { vectors, pixels, signs };
};
