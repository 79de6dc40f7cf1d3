/** The electrodes at their places, coloured by what they do. */

import { fitted } from "./canvas.js";
import { createCells } from "./cells.js";
import { FONT, begin, write } from "./draw.js";
import { drawLegend, drawScaleBar, scaleOf } from "./legend.js";
import { elide } from "./text.js";

const MARGIN = { left: 14, right: 14, top: 10, bottom: 50 };
const MOST_VECTORS = 600;
const LARGEST_ZOOM = 60;

export const createMap = (canvas, store, touch) => {
  const plot = fitted(canvas, () => touch("map"));
  const cells = createCells(plot, store);
  const view = { zoom: 1, x: 0, y: 0 };
  let places = null; // {cx, cy, side}: middles of cells on the canvas, CSS pixels

  const fit = () => {
    const { layout } = store;
    const { box, pitch, wells } = layout;
    const names = wells.length ? 1.2 * pitch : 0;
    const [w, h] = [box.x1 - box.x0 + pitch, box.y1 - box.y0 + pitch + names];
    const roomW = Math.max(20, plot.width - MARGIN.left - MARGIN.right);
    const roomH = Math.max(20, plot.height - MARGIN.top - MARGIN.bottom);
    const scale = Math.min(roomW / w, roomH / h) * view.zoom;
    const x0 = MARGIN.left + roomW / 2 + view.x - scale * ((box.x0 + box.x1) / 2);
    const y0 = MARGIN.top + roomH / 2 + view.y - scale * ((box.y0 + box.y1 - names) / 2);
    return { scale, x0, y0 };
  };

  const place = () => {
    const { layout } = store;
    const { scale, x0, y0 } = fit();
    const n = layout.x.length;
    const cx = new Float32Array(n);
    const cy = new Float32Array(n);
    for (let i = 0; i < n; i += 1) {
      cx[i] = x0 + scale * layout.x[i];
      cy[i] = y0 + scale * layout.y[i];
    }
    places = { cx, cy, scale, side: scale * layout.pitch, x0, y0 };
  };

  /** Return how each channel is drawn: an index into the colours 0 … 255, −1 no value. */
  const shade = (scale) => (i) => {
    const value = scale.value(i);
    return value === null ? -1 : Math.max(0, Math.min(255, Math.round(255 * scale.at(value))));
  };

  const ring = (ctx, i, colour, width) => {
    const half = Math.max(3, places.side * 0.5);
    ctx.beginPath();
    ctx.roundRect(places.cx[i] - half, places.cy[i] - half, 2 * half, 2 * half, Math.min(6, half * 0.3));
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
  };

  const drawWells = (ctx) => {
    const { layout, palette } = store;
    const { scale, x0, y0, side } = places;
    for (const { name, box } of layout.wells) {
      const [x, y] = [x0 + scale * box.x0 - side * 0.85, y0 + scale * box.y0 - side * 0.85];
      const [w, h] = [scale * (box.x1 - box.x0) + side * 1.7, scale * (box.y1 - box.y0) + side * 1.7];
      ctx.beginPath();
      ctx.roundRect(x, y, w, h, Math.min(8, side * 0.8));
      ctx.strokeStyle = palette.line;
      ctx.lineWidth = 1;
      ctx.stroke();
      if (w >= 20) write(ctx, elide(ctx, name || "–", w - 4), x + 3, y - 8, palette.dim);
    }
  };

  const draw = () => {
    const ctx = begin(plot);
    const { facts, palette } = store;
    if (!facts) return;
    place();
    const scale = scaleOf(store);
    const shadeOf = shade(scale);
    const vectors = facts.n <= MOST_VECTORS;
    if (!vectors) cells.pixels(ctx, places, shadeOf);
    drawWells(ctx);
    if (vectors) cells.vectors(ctx, places, shadeOf);
    cells.signs(ctx, places);
    for (const i of store.selected) {
      ring(ctx, i, palette.panel, 4);
      ring(ctx, i, palette.focus, 2);
    }
    if (store.hovered >= 0) ring(ctx, store.hovered, palette.ink, 1.5);
    ctx.fillStyle = palette.panel;
    ctx.fillRect(0, plot.height - MARGIN.bottom + 6, plot.width, MARGIN.bottom);
    ctx.font = FONT;
    drawScaleBar(ctx, places.scale, MARGIN.left, plot.height - 16, store);
    drawLegend(ctx, scale, plot.width - MARGIN.right, plot.height, store);
  };

  /** Return the channel at a place of the canvas, −1 where there is none. */
  const at = (px, py) => {
    if (!places || py > plot.height - MARGIN.bottom + 6) return -1;
    const reach = Math.max(places.side / 2, 4);
    let best = -1;
    let near = Infinity;
    for (let i = 0; i < places.cx.length; i += 1) {
      const d = Math.max(Math.abs(places.cx[i] - px), Math.abs(places.cy[i] - py));
      if (d <= reach && d < near) [best, near] = [i, d];
    }
    return best;
  };

  const zoomAt = (factor, px, py) => {
    const before = fit();
    view.zoom = Math.max(1, Math.min(LARGEST_ZOOM, view.zoom * factor));
    if (view.zoom === 1) [view.x, view.y] = [0, 0];
    const after = fit();
    if (view.zoom > 1) {
      view.x += px - (after.x0 + ((px - before.x0) / before.scale) * after.scale);
      view.y += py - (after.y0 + ((py - before.y0) / before.scale) * after.scale);
    }
    touch("map");
  };

  const move = (dx, dy) => {
    if (view.zoom === 1) return;
    view.x += dx;
    view.y += dy;
    touch("map");
  };

  const reset = () => {
    Object.assign(view, { zoom: 1, x: 0, y: 0 });
    touch("map");
  };

  const electrodeAt = (i) => {
    if (!places || !(i < places.cx.length)) return null;
    const box = canvas.getBoundingClientRect();
    return { x: box.left + places.cx[i], y: box.top + places.cy[i] };
  };

  return { plot, draw, at, zoomAt, move, reset, electrodeAt };
};
