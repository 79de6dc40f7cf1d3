/** The raster, the population rate below it, and one time axis for both. */

import { Bitmap } from "./bitmap.js";
import { fitted } from "./canvas.js";
import { BOLD, FONT, begin, crisp, lines, write } from "./draw.js";
import { createRate } from "./rate.js";
import { rasterEnd } from "./store.js";
import { elide, plain } from "./text.js";
import { drawEvents, drawGaps, drawTime } from "./timeline.js";

const GUTTER = 62;
const RIGHT = 12;
const LANE = 20;
const AXIS = 22;
const BETWEEN = 20;
const ROW_LABEL_PX = 15;

/** Return the areas of the plot, CSS pixels. */
const areasOf = (plot) => {
  const rate = Math.round(Math.max(54, Math.min(120, plot.height * 0.22)));
  const bottom = plot.height - AXIS;
  return {
    x0: GUTTER,
    x1: plot.width - RIGHT,
    raster: [LANE, bottom - rate - BETWEEN],
    rate: [bottom - rate, bottom],
    axisY: bottom + AXIS / 2 + 1,
  };
};

export const createRaster = (canvas, store, touch) => {
  const bitmap = new Bitmap();
  const plot = fitted(canvas, () => touch("raster"));
  let axis = null;
  let areas = areasOf(plot);
  const drawRate = createRate(store);

  const frame = () => {
    const { facts, settings } = store;
    const { dpr } = plot;
    areas = areasOf(plot);
    const left = Math.round(areas.x0 * dpr);
    const width = Math.max(1, Math.round(areas.x1 * dpr) - left);
    const top = Math.round(areas.raster[0] * dpr);
    const height = Math.max(1, Math.round(areas.raster[1] * dpr) - top);
    const spp = (settings.window_s * facts.rate_hz) / width;
    bitmap.shape(width, height, spp, facts, store.palette.spike, dpr);
    const end = Math.floor(rasterEnd(store) / spp) * spp;
    const rate_hz = facts.rate_hz;
    const x = (t_s) => (left + width - (end - t_s * rate_hz) / spp) / dpr;
    axis = {
      left,
      top,
      spp,
      end,
      rate_hz,
      x0: left / dpr,
      x1: (left + width) / dpr,
      x,
      from_s: end / rate_hz - settings.window_s,
      to_s: end / rate_hz,
    };
  };

  const rowY = (row) => {
    const [y0, y1] = areas.raster;
    return y0 + ((row + 0.5) * (y1 - y0)) / store.facts.rows;
  };

  /** Name rows as far as there is room: every k-th electrode, or each well at the middle of its rows. */
  const labels = (ctx) => {
    const { facts, rowsOf, palette } = store;
    const [y0, y1] = areas.raster;
    const groups = wellGroups();
    const chosen = new Set(store.selected.map((channel) => facts.row[channel]));
    const taken = [...chosen].filter((row) => row >= 0).map(rowY);
    const free = (y) => taken.every((other) => Math.abs(other - y) >= ROW_LABEL_PX - 2);
    if (groups.length > 1) {
      lines(
        ctx,
        groups.slice(1).flatMap((g) => {
          const y = crisp(y0 + (g.from * (y1 - y0)) / facts.rows);
          return [areas.x0, y, areas.x1, y];
        }),
        palette.grid,
      );
    }
    const each = (y1 - y0) / facts.rows;
    const named =
      groups.length > 1
        ? groups.map((g) => ({ y: y0 + ((g.from + g.to) / 2) * each, text: g.name }))
        : thinned(facts.rows, each).map((row) => ({ y: rowY(row), text: facts.label[rowsOf[row]?.[0]] ?? "" }));
    let last = -Infinity;
    for (const { y, text } of named) {
      if (y - last < ROW_LABEL_PX - 1 || !free(y)) continue;
      write(ctx, elide(ctx, text, areas.x0 - 14), areas.x0 - 9, y, palette.dim, "right");
      last = y;
    }
    drawSelected(ctx, chosen);
  };

  const thinned = (rows, each) => {
    const wanted = Math.ceil(ROW_LABEL_PX / each);
    const step = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 256].find((s) => s >= wanted) ?? wanted;
    return Array.from({ length: Math.ceil(rows / step) }, (_, k) => k * step);
  };

  const wellGroups = () => {
    const { facts, rowsOf } = store;
    if (!store.layout.wells.length) return [];
    const groups = [];
    rowsOf.forEach((channels, row) => {
      const name = facts.well?.[channels[0]] ?? "";
      if (groups.at(-1)?.name === name) groups.at(-1).to = row + 1;
      else groups.push({ name, from: row, to: row + 1 });
    });
    return groups;
  };

  /** Selected rows: a faint band, and the label with a pointer, moved apart where they are dense. */
  const drawSelected = (ctx, rows) => {
    const { facts, palette, selected } = store;
    const [y0, y1] = areas.raster;
    const each = (y1 - y0) / facts.rows;
    ctx.fillStyle = palette.focus;
    ctx.globalAlpha = 0.08;
    for (const row of rows)
      if (row >= 0) ctx.fillRect(areas.x0, y0 + row * each, areas.x1 - areas.x0, Math.max(1.5, each));
    ctx.globalAlpha = 1;
    const list = selected.filter((c) => facts.row[c] >= 0).map((c) => ({ c, y: rowY(facts.row[c]) }));
    list.sort((a, b) => a.y - b.y);
    let last = -Infinity;
    ctx.font = BOLD;
    for (const { c, y } of list) {
      ctx.fillStyle = palette.focus;
      ctx.beginPath();
      ctx.moveTo(areas.x0 - 1, y);
      ctx.lineTo(areas.x0 - 6, y - 3.5);
      ctx.lineTo(areas.x0 - 6, y + 3.5);
      ctx.fill();
      if (y - last < ROW_LABEL_PX - 2) continue;
      write(ctx, elide(ctx, facts.label[c], areas.x0 - 14), areas.x0 - 9, y, palette.ink, "right");
      last = y;
    }
    ctx.font = FONT;
  };

  const draw = () => {
    const { facts, columns, palette } = store;
    const ctx = begin(plot);
    if (!facts || !columns) return;
    frame();
    const bands = [areas.raster, areas.rate];
    drawTime(ctx, axis, bands, areas.axisY, palette);
    labels(ctx);
    bitmap.paint(columns, axis.end + axis.spp / 2);
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    bitmap.blit(ctx, axis.left, axis.top);
    ctx.setTransform(plot.dpr, 0, 0, plot.dpr, 0, 0);
    drawRate(ctx, axis, areas);
    const gaps = drawGaps(ctx, axis, store.gaps, bands, palette);
    drawEvents(
      ctx,
      axis,
      store.marks,
      gaps,
      [[areas.raster[0] - 4, areas.raster[1]], areas.rate],
      LANE / 2 - 1,
      palette,
    );
    lines(
      ctx,
      bands.flatMap(([, y1]) => [areas.x0, crisp(y1), areas.x1, crisp(y1)]),
      palette.line,
    );
    hoverRow(ctx);
  };

  const hoverRow = (ctx) => {
    const row = store.hovered >= 0 ? store.facts.row[store.hovered] : -1;
    if (row < 0) return;
    const y = rowY(row);
    lines(ctx, [areas.x0, y, areas.x1, y], store.palette.focus);
  };

  /** Return what is at a place of the canvas (CSS pixels): {channel, time_s} or null. */
  const at = (px, py) => {
    const { facts, rowsOf } = store;
    const [y0, y1] = areas.raster;
    if (!axis || px < areas.x0 - 40 || px > areas.x1 || py < y0 || py >= y1) return null;
    const row = Math.floor(((py - y0) / (y1 - y0)) * facts.rows);
    const time_s = (axis.end - (axis.x1 - px) * plot.dpr * axis.spp) / facts.rate_hz;
    return { row, channels: rowsOf[row] ?? [], time_s };
  };

  const columnAt = (sample) => {
    const box = canvas.getBoundingClientRect();
    return axis ? box.left + axis.x(sample / axis.rate_hz) : null;
  };

  return { plot, draw, at, columnAt, subtitle: () => subtitle(store) };
};

const subtitle = ({ facts }) => {
  const per = facts.n / Math.max(1, facts.rows);
  const what = per > 1.5 ? `${facts.n} channels in ${facts.rows} rows` : `${facts.rows} channels`;
  return plain(what);
};
