/** Intervals between the spikes of an electrode, ms on a logarithmic axis. */

import { begin, crisp, lines, write } from "./draw.js";
import { count } from "./text.js";

const LEFT = 8;
const RIGHT = 8;
const AXIS = 18;

const short = (ms) => (ms >= 1000 ? `${ms / 1000} s` : `${ms}`);

export const drawIsi = (plot, store, channel) => {
  const { palette, edges } = store;
  const ctx = begin(plot);
  const shapes = store.shapes.get(channel);
  const [x0, x1, y0, y1] = [LEFT, plot.width - RIGHT, 18, plot.height - AXIS];
  lines(ctx, [x0, crisp(y1), x1, crisp(y1)], palette.line);
  const total = shapes ? shapes.isi.reduce((sum, n) => sum + n, 0) : 0;
  write(ctx, total ? `ISI, n = ${count(total)}` : "ISI", x0, 8, palette.dim);
  if (!total) return;
  const positive = edges.findIndex((edge) => edge > 0);
  const [low, high] = [Math.log10(edges[positive]), Math.log10(edges.at(-1))];
  const x = (ms) => x0 + ((Math.log10(Math.max(ms, edges[positive])) - low) / (high - low)) * (x1 - x0);
  const decades = [];
  for (let k = Math.ceil(low - 1e-9); k <= high + 1e-9; k += 1) decades.push(10 ** k);
  lines(
    ctx,
    decades.flatMap((ms) => [crisp(x(ms)), y0, crisp(x(ms)), y1]),
    palette.grid,
  );
  let last = -Infinity;
  const unit = x1 - 16;
  for (const ms of decades) {
    const text = short(ms);
    const half = ctx.measureText(text).width / 2;
    const at = Math.max(x0 + half, x(ms));
    if (at - half < last + 5 || at + half > unit - 4) continue;
    write(ctx, text, at, y1 + AXIS / 2 + 1, palette.dim, "center");
    last = at + half;
  }
  write(ctx, "ms", x1, y1 + AXIS / 2 + 1, palette.dim, "right");
  const most = Math.max(...shapes.isi);
  ctx.beginPath();
  shapes.isi.forEach((n, b) => {
    if (!n || b < positive - 1) return;
    const [left, right] = [x(edges[b]), x(edges[b + 1])];
    const height = Math.max(1, ((y1 - y0) * n) / most);
    ctx.rect(left + 0.25, y1 - height, Math.max(0.75, right - left - 0.5), height);
  });
  ctx.fillStyle = palette.spike;
  ctx.fill();
};
