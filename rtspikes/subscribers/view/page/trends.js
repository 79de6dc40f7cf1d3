/** A day at a glance: rate, noise level and losses over the run, on one time axis. */

import { clock, timeTicks } from "./axis.js";
import { fitted } from "./canvas.js";
import { BOLD, FONT, begin, crisp, lines, write } from "./draw.js";
import { count, figure } from "./text.js";

const LEFT = 14;
const GUTTER = 100;
const AXIS = 20;
const TOP = 4;

const hours = (seconds, step) => {
  if (step < 60) return clock(seconds, step, false);
  if (step < 3600) return `${Math.floor(seconds / 3600)}:${String(Math.round(seconds / 60) % 60).padStart(2, "0")}`;
  return `${Math.round(seconds / 360) / 10} h`;
};

const span = (seconds) => {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
};

const extremes = (values) => {
  let [low, high, last] = [Infinity, -Infinity, NaN];
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    last = value;
  }
  return { low, high, last };
};

const ROWS = [
  { key: "rate", name: "spikes/s", colour: "spike", text: figure, zero: true },
  { key: "sigma", name: "σ, µV", colour: "trace", text: (v) => v.toFixed(2), zero: false },
  { key: "lost", name: "lost", colour: "loss", text: count, zero: true, bars: true },
];

const pathOf = (ctx, values, x, y) => {
  let pen = false;
  for (let i = 0; i < values.length; i += 1) {
    if (Number.isNaN(values[i])) {
      pen = false;
      continue;
    }
    if (pen) ctx.lineTo(x(i), y(values[i]));
    else ctx.moveTo(x(i), y(values[i]));
    pen = true;
  }
};

export const createTrends = (canvas, store, touch) => {
  const plot = fitted(canvas, () => touch("trends"));

  const drawRow = (ctx, row, values, x, y0, y1, x1) => {
    const { palette } = store;
    const { low, high, last } = extremes(values);
    lines(ctx, [LEFT, crisp(y1), x1, crisp(y1)], palette.line);
    const bad = row.bars && high > 0;
    ctx.font = BOLD;
    write(ctx, row.name, x1 + 10, y0 + 6, bad ? palette.loss : palette.ink);
    ctx.font = FONT;
    if (high === -Infinity) return;
    const total = row.bars ? values.reduce((sum, v) => sum + (v || 0), 0) : 0;
    const words = row.bars ? [`${bad ? "▲ " : ""}${count(total)} in all`] : [`${row.text(low)} – ${row.text(high)}`];
    write(ctx, words[0], x1 + 10, y0 + 21, bad ? palette.loss : palette.dim);
    const floor = row.zero ? 0 : low - 0.15 * (high - low || 1);
    const ceil = row.zero ? Math.max(high, 1e-9) * 1.05 : high + 0.15 * (high - low || 1);
    const y = (v) => y1 - ((v - floor) / (ceil - floor)) * (y1 - y0);
    if (row.bars) {
      ctx.beginPath();
      values.forEach((v, i) => v > 0 && ctx.rect(x(i) - 1, Math.min(y(v), y1 - 2), 2, y1 - Math.min(y(v), y1 - 2)));
      ctx.fillStyle = palette.loss;
      ctx.fill();
      return;
    }
    ctx.beginPath();
    pathOf(ctx, values, x, y);
    ctx.strokeStyle = palette[row.colour];
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.stroke();
    ctx.beginPath();
    ctx.arc(x(values.length - 1), y(last), 2.5, 0, 7);
    ctx.fillStyle = palette[row.colour];
    ctx.fill();
  };

  const draw = () => {
    const ctx = begin(plot);
    const { trends, palette } = store;
    const points = trends?.arrays.rate.length ?? 0;
    if (points < 2) {
      write(ctx, "The first points are on their way.", LEFT, plot.height / 2, palette.dim);
      return;
    }
    const x1 = plot.width - GUTTER;
    const from = trends.from_s;
    const to = from + (points - 1) * trends.step_s;
    const at = (t) => LEFT + ((t - from) / (to - from)) * (x1 - LEFT);
    const bottom = plot.height - AXIS;
    const { step, list } = timeTicks(from, to, Math.max(2, Math.floor((x1 - LEFT) / 58)));
    lines(
      ctx,
      list.flatMap((t) => [crisp(at(t)), TOP, crisp(at(t)), bottom]),
      palette.grid,
    );
    for (const t of list) {
      const text = hours(t, step);
      const half = ctx.measureText(text).width / 2;
      write(
        ctx,
        text,
        Math.max(LEFT + half - 8, Math.min(x1 - half + 8, at(t))),
        bottom + AXIS / 2 + 1,
        palette.dim,
        "center",
      );
    }
    const each = (bottom - TOP) / ROWS.length;
    ROWS.forEach((row, k) => {
      drawRow(
        ctx,
        row,
        trends.arrays[row.key],
        (i) => at(from + i * trends.step_s),
        TOP + k * each + 4,
        TOP + (k + 1) * each - 1,
        x1,
      );
    });
  };

  const subtitle = () => {
    const points = store.trends?.arrays.rate.length ?? 0;
    return points > 1 ? `last ${span(points * store.trends.step_s)}` : "";
  };

  return { plot, draw, subtitle };
};
