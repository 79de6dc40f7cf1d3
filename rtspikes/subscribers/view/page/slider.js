/** The whole of a finished session under one finger: rate, gaps, marks, and where the picture stands. */

import { clock, timeTicks } from "./axis.js";
import { fitted } from "./canvas.js";
import { begin, crisp, lines, write } from "./draw.js";
import { duration } from "./text.js";

const LEFT = 10;
const AXIS = 18;
const SENT_EACH_MS = 40;

export const createSlider = (canvas, store, seek, touch) => {
  const plot = fitted(canvas, () => touch("slider"));
  let dragging = false;
  let sent = 0;

  const range = () => {
    const { facts } = store;
    return { from: facts.first_sample ?? 0, to: Math.max(facts.to_sample ?? 0, (facts.first_sample ?? 0) + 1) };
  };
  const right = () => plot.width - LEFT;
  const x = (sample) => {
    const { from, to } = range();
    return LEFT + ((sample - from) / (to - from)) * (right() - LEFT);
  };
  const sampleAt = (px) => {
    const { from, to } = range();
    return Math.round(from + Math.max(0, Math.min(1, (px - LEFT) / (right() - LEFT))) * (to - from));
  };

  const drawRate = (ctx, y0, y1) => {
    const { overview, palette } = store;
    if (!overview) return;
    const { from } = range();
    const { rate } = overview.arrays;
    let most = 1e-9;
    for (const v of rate) if (v > most) most = v;
    ctx.beginPath();
    ctx.moveTo(LEFT, y1);
    rate.forEach((v, i) => ctx.lineTo(x(from + (i + 0.5) * overview.step_samples), y1 - ((v || 0) / most) * (y1 - y0)));
    ctx.lineTo(right(), y1);
    ctx.globalAlpha = 0.45;
    ctx.fillStyle = palette.spike;
    ctx.fill();
    ctx.globalAlpha = 1;
  };

  const draw = () => {
    const ctx = begin(plot);
    const { facts, palette, now, settings } = store;
    if (facts?.mode !== "session") return;
    const rate_hz = facts.rate_hz;
    const [y0, y1] = [3, plot.height - AXIS];
    const { from, to } = range();
    const { list, step } = timeTicks(from / rate_hz, to / rate_hz, Math.floor((right() - LEFT) / 90));
    lines(
      ctx,
      list.flatMap((t) => [crisp(x(t * rate_hz)), y0, crisp(x(t * rate_hz)), y1]),
      palette.grid,
    );
    drawRate(ctx, y0, y1);
    ctx.globalAlpha = 0.8;
    ctx.fillStyle = palette.gap;
    for (const gap of store.gaps)
      ctx.fillRect(x(gap.sample), y0, Math.max(2, x(gap.sample + gap.lost) - x(gap.sample)), y1 - y0);
    ctx.globalAlpha = 1;
    lines(
      ctx,
      store.marks.flatMap((m) => [crisp(x(m.sample)), y0, crisp(x(m.sample)), y1]),
      palette.mark,
      2,
    );
    lines(ctx, [LEFT, crisp(y1), right(), crisp(y1)], palette.line);
    for (const t of list) {
      const text = clock(t, step, to >= 60 * rate_hz);
      const half = ctx.measureText(text).width / 2;
      write(
        ctx,
        text,
        Math.max(LEFT + half - 6, Math.min(right() - half + 6, x(t * rate_hz))),
        y1 + AXIS / 2 + 1,
        palette.dim,
        "center",
      );
    }
    const [w0, w1] = [Math.max(LEFT, x(now - settings.window_s * rate_hz)), x(now)];
    ctx.fillStyle = palette.focus;
    ctx.globalAlpha = 0.14;
    ctx.fillRect(w0, y0, Math.max(2, w1 - w0), y1 - y0);
    ctx.globalAlpha = 1;
    ctx.fillRect(w1 - 1, y0 - 2, 2, y1 - y0 + 4);
    ctx.beginPath();
    ctx.arc(w1, y0 + 3, 5, 0, 7);
    ctx.fill();
    canvas.setAttribute("aria-valuemax", String(Math.round(to / rate_hz)));
    canvas.setAttribute("aria-valuenow", String(Math.round(now / rate_hz)));
    canvas.setAttribute("aria-valuetext", `${duration(now / rate_hz)} of ${duration(to / rate_hz)}`);
  };

  const go = (event, last) => {
    const time = performance.now();
    if (!last && time - sent < SENT_EACH_MS) return;
    sent = time;
    seek(sampleAt(event.clientX - canvas.getBoundingClientRect().left));
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    dragging = true;
    canvas.setPointerCapture(event.pointerId);
    go(event, true);
  });
  canvas.addEventListener("pointermove", (event) => dragging && go(event, false));
  canvas.addEventListener("pointerup", (event) => {
    if (dragging) go(event, true);
    dragging = false;
  });
  canvas.addEventListener("pointercancel", () => (dragging = false));

  return { plot, draw };
};
