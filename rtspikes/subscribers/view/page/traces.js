/** The signal of one electrode: grey envelope, spikes in blue over it, the threshold as an orange line. */

import { clock, fineCeil, ticksAbout, timeTicks } from "./axis.js";
import { begin, crisp, lines, write, BOLD, FONT } from "./draw.js";
import { Envelope } from "./envelope.js";
import { pixel, rgb } from "./palette.js";
import { levelOf, rasterEnd, shownSignals } from "./store.js";
import { drawGaps } from "./timeline.js";
import { microvolts, tick } from "./text.js";

const GUTTER = 44;
const RIGHT = 8;
const AXIS = 18;
const DRAWN_AS_LINES_PX = 14;
const PLAIN_TRACE_UV = 20;
const SPIKE_PX = 2;

const scratch = { grey: new Envelope(), blue: new Envelope() };

/** Return whether a threshold is a line in the signal that is shown. */
export const thresholdShown = (facts, of) =>
  !facts.signals?.length || of === "compared" || (facts.compares_signal && of === "filtered");

/** The sample at the right edge of all traces. */
const tracesEnd = (store) => {
  const signals = shownSignals(store);
  return store.facts?.mode === "session" || !signals?.end ? rasterEnd(store) : signals.end;
};

/** Return the areas of a trace: places of time and µV. */
const traceFrame = (plot, store, ceiling) => {
  const { facts, settings } = store;
  const width = Math.max(20, Math.floor(plot.width - GUTTER - RIGHT));
  const [y0, y1] = [3, plot.height - AXIS];
  const spp = (settings.span_s * facts.rate_hz) / width;
  const end = Math.floor(tracesEnd(store) / spp) * spp;
  const middle = (y0 + y1) / 2;
  const perUv = (y1 - y0) / 2 / ceiling;
  return {
    x0: GUTTER,
    x1: GUTTER + width,
    width,
    y0,
    y1,
    spp,
    end,
    middle,
    perUv,
    ceiling,
    rate_hz: facts.rate_hz,
    x: (t_s) => GUTTER + width - (end - t_s * facts.rate_hz) / spp,
    y: (uv) => middle - uv * perUv,
    uv: (y) => (middle - y) / perUv,
  };
};

/** Return how far a trace reaches, µV: what is set, or a round value that its signal and threshold fit into. */
const ceilingOf = (store, channel, most, before) => {
  if (store.settings.scale_uv) return store.settings.scale_uv;
  const { negative, positive } = levelOf(store, channel);
  const wanted = fineCeil(Math.max(PLAIN_TRACE_UV, most * 1.08, Math.abs(negative ?? 0) * 1.4, (positive ?? 0) * 1.4));
  return !before || wanted > before || most < before * 0.35 ? wanted : before;
};

const fill = (frame, list, dpr) => {
  const { grey, blue } = scratch;
  const columns = Math.round(frame.width * dpr);
  grey.reset(columns);
  blue.reset(columns);
  const start = frame.end - frame.width * frame.spp;
  const per = frame.spp / dpr; // samples in a column of device pixels
  for (const run of list.runs) {
    if (run.sample > frame.end || run.sample + run.n * run.bin < start) continue;
    grey.addLine((run.sample + run.bin / 2 - start) / per, run.bin / per, run.low, run.high, run.n);
  }
  let most = grey.most();
  const seen = [];
  for (const spike of list.spikes) {
    if (spike.from > frame.end || spike.from + spike.wave.length < start) continue;
    seen.push(spike);
    most = Math.max(most, Math.abs(spike.amplitude));
  }
  return { seen, most, start };
};

/** Return a picture of that size, the former one if it fits: anew for each frame they would be megabytes a second. */
const imageOf = (ctx, former, width, height) => {
  if (former?.width !== width || former.height !== height) return ctx.createImageData(width, height);
  former.data.fill(0);
  return former;
};

const paintPixels = (ctx, frame, dpr, palette, seen, start, former) => {
  const { grey, blue } = scratch;
  const lineLike = seen.length && seen[0].wave.length / frame.spp >= DRAWN_AS_LINES_PX;
  if (!lineLike) {
    const per = frame.spp / dpr;
    for (const { from, wave } of seen) {
      for (let shift = 0; shift < SPIKE_PX * dpr; shift += 1)
        blue.addLine((from - start) / per + shift, 1 / per, wave, wave, wave.length);
    }
  }
  const height = Math.max(1, Math.round((frame.y1 - frame.y0) * dpr));
  const image = imageOf(ctx, former, grey.low.length, height);
  const pixels = new Uint32Array(image.data.buffer);
  const zero = (frame.middle - frame.y0) * dpr;
  grey.write(pixels, height, zero, frame.perUv * dpr, pixel(rgb(palette.trace)), dpr);
  blue.write(pixels, height, zero, frame.perUv * dpr, pixel(rgb(palette.spike)), 1.5 * dpr);
  return { image, lineLike };
};

const strokeSpikes = (ctx, frame, seen, palette) => {
  ctx.save();
  ctx.beginPath();
  ctx.rect(frame.x0, frame.y0, frame.width, frame.y1 - frame.y0);
  ctx.clip();
  ctx.beginPath();
  for (const { from, wave } of seen) {
    let pen = false;
    for (let i = 0; i < wave.length; i += 1) {
      if (Number.isNaN(wave[i])) continue;
      const x = frame.x((from + i) / frame.rate_hz);
      if (pen) ctx.lineTo(x, frame.y(wave[i]));
      else ctx.moveTo(x, frame.y(wave[i]));
      pen = true;
    }
  }
  ctx.strokeStyle = palette.spike;
  ctx.lineWidth = 1.6;
  ctx.lineJoin = "round";
  ctx.stroke();
  ctx.restore();
};

export const createTrace = (plot, store, channel) => {
  let ceiling = 0;
  let frame = null;
  let image = null;

  const drawGrid = (ctx, palette) => {
    const at = ticksAbout(frame.ceiling, frame.y1 - frame.y0);
    lines(
      ctx,
      at.flatMap((v) => [frame.x0, crisp(frame.y(v)), frame.x1, crisp(frame.y(v))]),
      palette.grid,
    );
    const { list, step } = timeTicks(
      frame.end / frame.rate_hz - store.settings.span_s,
      frame.end / frame.rate_hz,
      Math.max(2, Math.floor(frame.width / 90)),
    );
    lines(
      ctx,
      list.flatMap((t) => [crisp(frame.x(t)), frame.y0, crisp(frame.x(t)), frame.y1]),
      palette.grid,
    );
    for (const t of list) {
      if (frame.x(t) > frame.x0 + 20 && frame.x(t) < frame.x1 - 14)
        write(
          ctx,
          clock(t, step, frame.end >= 60 * frame.rate_hz),
          frame.x(t),
          frame.y1 + AXIS / 2 + 1,
          palette.dim,
          "center",
        );
    }
    for (const v of at) write(ctx, tick(v), frame.x0 - 6, frame.y(v), palette.dim, "right");
    write(ctx, "µV", frame.x0 - 6, frame.y1 + AXIS / 2 + 1, palette.dim, "right");
  };

  const drawThreshold = (ctx, palette, dragged) => {
    const { negative, positive } = levelOf(store, channel);
    for (const value of [negative, positive]) {
      if (value === null || (dragged && Math.sign(dragged.uv) === Math.sign(value))) continue;
      const y = clampY(value);
      lines(ctx, [frame.x0, y, frame.x1, y], palette.threshold, dragged ? 1 : 1.75);
    }
    if (!dragged) return;
    const y = clampY(dragged.uv);
    ctx.setLineDash([6, 3]);
    lines(ctx, [frame.x0, y, frame.x1, y], palette.threshold, 2);
    ctx.setLineDash([]);
    drawLabel(ctx, dragged.text, y, palette);
  };

  const clampY = (uv) => Math.max(frame.y0 + 1, Math.min(frame.y1 - 1, frame.y(uv)));

  const drawLabel = (ctx, text, y, palette) => {
    ctx.font = BOLD;
    const width = ctx.measureText(text).width + 14;
    const top = y + 26 < frame.y1 ? y + 5 : y - 25;
    ctx.beginPath();
    ctx.roundRect(frame.x0 + 10, top, width, 20, 4);
    ctx.fillStyle = palette.panel;
    ctx.fill();
    ctx.strokeStyle = palette.threshold;
    ctx.lineWidth = 1;
    ctx.stroke();
    write(ctx, text, frame.x0 + 17, top + 10.5, palette.ink);
    ctx.font = FONT;
  };

  const draw = (dragged) => {
    const { palette, facts } = store;
    const ctx = begin(plot);
    const list = shownSignals(store).of(channel);
    frame = traceFrame(plot, store, ceiling || PLAIN_TRACE_UV);
    const { seen, most, start } = fill(frame, list, plot.dpr);
    const wanted = ceilingOf(store, channel, most, ceiling);
    if (wanted !== frame.ceiling) frame = traceFrame(plot, store, wanted);
    ceiling = wanted;
    const painted = paintPixels(ctx, frame, plot.dpr, palette, seen, start, image);
    image = painted.image;
    ctx.putImageData(image, Math.round(frame.x0 * plot.dpr), Math.round(frame.y0 * plot.dpr));
    ctx.globalCompositeOperation = "destination-over"; // pixels replace what is there: the grid comes after
    drawGrid(ctx, palette);
    ctx.globalCompositeOperation = "source-over";
    if (painted.lineLike) strokeSpikes(ctx, frame, seen, palette);
    drawGaps(ctx, frame, store.gaps, [[frame.y0, frame.y1]], palette);
    const marks = store.marks
      .map((mark) => frame.x(mark.sample / frame.rate_hz))
      .filter((x) => x > frame.x0 && x < frame.x1);
    lines(
      ctx,
      marks.flatMap((x) => [crisp(x), frame.y0, crisp(x), frame.y1]),
      palette.mark,
      1.5,
    );
    lines(ctx, [frame.x0, crisp(frame.y1), frame.x1, crisp(frame.y1)], palette.line);
    if (thresholdShown(facts, store.settings.of)) drawThreshold(ctx, palette, dragged);
    else write(ctx, "the threshold applies to another signal", frame.x1 - 4, frame.y0 + 9, palette.dim, "right");
  };

  /** Return the threshold (µV) whose line is near a place, or null. */
  const thresholdNear = (py, reach) => {
    if (!frame || !thresholdShown(store.facts, store.settings.of)) return null;
    const { negative, positive } = levelOf(store, channel);
    const near = [negative, positive].filter((v) => v !== null && Math.abs(clampY(v) - py) <= reach);
    return near.length ? near.sort((a, b) => Math.abs(clampY(a) - py) - Math.abs(clampY(b) - py))[0] : null;
  };

  return { draw, thresholdNear, frame: () => frame, y: (uv) => clampY(uv) };
};

/** Return what a threshold is called: "4.20 σ = −38.1 µV", or µV alone where σ is not known. */
export const thresholdText = (uv, sigma, inUv) => {
  if (!sigma) return microvolts(uv);
  const multiple = `${Math.abs(uv / sigma).toFixed(2)} σ`;
  return inUv ? `${microvolts(uv)} fixed (${multiple})` : `${multiple} = ${microvolts(uv)}`;
};
