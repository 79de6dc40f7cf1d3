/** The last waveforms of an electrode over each other, and their mean. */

import { niceCeil, ticks } from "./axis.js";
import { begin, crisp, lines, write } from "./draw.js";
import { levelOf } from "./store.js";
import { tick } from "./text.js";

const GUTTER = 38;
const NARROW_PX = 110;
const RIGHT = 6;
const AXIS = 18;
const LABEL_PX = 13;

const path = (ctx, wave, x, y) => {
  let pen = false;
  for (let i = 0; i < wave.length; i += 1) {
    if (Number.isNaN(wave[i])) continue;
    if (pen) ctx.lineTo(x(i), y(wave[i]));
    else ctx.moveTo(x(i), y(wave[i]));
    pen = true;
  }
};

/** Return the values that have room for their figures, 0 first, then the lower ones: there the spikes are. */
const apart = (values, y) => {
  const kept = [];
  for (const v of [...values].sort((a, b) => Math.abs(a) - Math.abs(b) || a - b)) {
    if (kept.every((other) => Math.abs(y(v) - y(other)) >= LABEL_PX)) kept.push(v);
  }
  return kept;
};

const extent = (waves) => {
  let [low, high] = [0, 0];
  for (const wave of waves)
    for (const v of wave) {
      if (v < low) low = v;
      if (v > high) high = v;
    }
  return [low, high];
};

export const drawWaveforms = (plot, store, channel) => {
  const { facts, palette } = store;
  const ctx = begin(plot);
  const shapes = store.shapes.get(channel);
  const narrow = plot.width < NARROW_PX; // figures stand inside, where the waveform is flat
  const [x0, x1, y0, y1] = [narrow ? 4 : GUTTER, plot.width - RIGHT, 4, plot.height - AXIS];
  lines(ctx, [x0, crisp(y1), x1, crisp(y1)], palette.line);
  if (!shapes?.waves.length) {
    write(ctx, x1 - x0 > 84 ? "no spikes yet" : "none yet", (x0 + x1) / 2, (y0 + y1) / 2, palette.dim, "center");
    return;
  }
  const [before, after] = facts.snippet;
  const ms = (i) => ((i - before) / facts.rate_hz) * 1000;
  const [from, to] = [ms(0), ms(before + after - 1)];
  const { negative, positive } = levelOf(store, channel);
  const [low, high] = extent(shapes.waves);
  const step = niceCeil((high - low) / 5);
  const bottom = Math.floor(Math.min(low, negative ?? 0) / step - 0.05) * step;
  const top = Math.ceil(Math.max(high, positive ?? 0) / step + 0.05) * step;
  const x = (i) => x0 + ((ms(i) - from) / (to - from)) * (x1 - x0);
  const y = (uv) => y1 - ((uv - bottom) / (top - bottom)) * (y1 - y0);
  const values = ticks(bottom, top, Math.max(3, Math.floor((y1 - y0) / 20)));
  lines(
    ctx,
    values.flatMap((v) => [x0, crisp(y(v)), x1, crisp(y(v))]),
    palette.grid,
  );
  const figureY = (v) => Math.max(y0 + LABEL_PX / 2 - 1, Math.min(y1 - LABEL_PX / 2 + 1, y(v)));
  for (const v of apart(values, figureY)) {
    if (narrow && v === 0) continue;
    write(ctx, tick(v), narrow ? x1 - 1 : x0 - 5, figureY(v), palette.dim, "right");
  }
  const times = ticks(from, to, Math.max(2, Math.floor((x1 - x0) / 34)));
  for (const t of times) {
    const at = x0 + ((t - from) / (to - from)) * (x1 - x0);
    lines(ctx, [crisp(at), y0, crisp(at), y1], palette.grid);
    const text = tick(t);
    if (at < x1 - 22 && at > x0 + 4) write(ctx, text, at, y1 + AXIS / 2 + 1, palette.dim, "center");
  }
  write(ctx, "ms", x1, y1 + AXIS / 2 + 1, palette.dim, "right");
  if (narrow) write(ctx, "µV", x0 + 1, y0 + 6, palette.dim);
  else write(ctx, "µV", x0 - 5, y1 + AXIS / 2 + 1, palette.dim, "right");
  ctx.beginPath();
  for (const wave of shapes.waves) path(ctx, wave, x, y);
  ctx.globalAlpha = shapes.waves.length > 20 ? 0.28 : 0.45;
  ctx.strokeStyle = palette.spike;
  ctx.lineWidth = 1;
  ctx.stroke();
  ctx.globalAlpha = 1;
  for (const value of [negative, positive]) {
    if (value !== null) lines(ctx, [x0, y(value), x1, y(value)], palette.threshold, 1.25);
  }
  ctx.beginPath();
  path(ctx, shapes.mean, x, y);
  ctx.strokeStyle = palette.panel;
  ctx.lineWidth = 4.5;
  ctx.lineJoin = "round";
  ctx.stroke();
  ctx.strokeStyle = palette.ink;
  ctx.lineWidth = 2.25;
  ctx.stroke();
};
