/** Spikes per second of all electrodes, below the raster and on its time axis. */

import { fineCeil, ticks } from "./axis.js";
import { crisp, lines, write } from "./draw.js";
import { shortTime, tick } from "./text.js";

const BINS = 200;

/** Return what draws the rate; its scale grows at once, and shrinks only when half of it would do. */
export const createRate = (store) => {
  let ceiling = 1;

  return (ctx, axis, areas) => {
    const { facts, columns, palette, settings } = store;
    const [y0, y1] = areas.rate;
    const column_s = facts.column_samples / facts.rate_hz;
    const per = Math.max(1, Math.round(settings.window_s / BINS / column_s));
    const first = Math.floor((axis.from_s * facts.rate_hz) / facts.column_samples / per);
    const last = Math.min(Math.floor(axis.end / facts.column_samples / per), Math.ceil(columns.end / per));
    const points = [];
    let most = 0;
    for (let b = Math.max(first, Math.floor(columns.first / per)); b < last; b += 1) {
      const rate = columns.sum(b * per, (b + 1) * per) / (per * column_s);
      most = Math.max(most, rate);
      points.push([b * per * column_s, rate]);
    }
    const wanted = fineCeil(Math.max(1, most * 1.05));
    ceiling = wanted > ceiling || most < ceiling * 0.5 ? wanted : ceiling;
    const y = (rate) => y1 - (rate / ceiling) * (y1 - y0);
    const marks = ticks(0, ceiling, y1 - y0 > 76 ? 4 : 3);
    lines(
      ctx,
      marks.flatMap((v) => [areas.x0, crisp(y(v)), areas.x1, crisp(y(v))]),
      palette.grid,
    );
    for (const v of marks) if (v) write(ctx, tick(v), areas.x0 - 9, Math.max(y(v), y0 + 5), palette.dim, "right");
    write(ctx, "0", areas.x0 - 9, y1 - 3, palette.dim, "right");
    if (!points.length) return;
    const width = per * column_s;
    ctx.save();
    ctx.beginPath();
    ctx.rect(areas.x0, y0 - 2, areas.x1 - areas.x0, y1 - y0 + 3);
    ctx.clip();
    ctx.beginPath();
    for (const [t, rate] of points) {
      ctx.lineTo(axis.x(t), y(rate));
      ctx.lineTo(axis.x(t + width), y(rate));
    }
    ctx.strokeStyle = palette.spike;
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.stroke();
    ctx.lineTo(axis.x(points.at(-1)[0] + width), y1);
    ctx.lineTo(axis.x(points[0][0]), y1);
    ctx.globalAlpha = 0.18;
    ctx.fillStyle = palette.spike;
    ctx.fill();
    ctx.restore();
    write(ctx, `spikes/s of all electrodes, bins of ${shortTime(width)}`, areas.x0, y0 - 9, palette.dim);
  };
};
