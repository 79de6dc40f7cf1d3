/** Time axis, marks and gaps: what runs through raster and rate at the same places. */

import { clock, timeTicks } from "./axis.js";
import { BOLD, FONT, crisp, hatch, lines, write } from "./draw.js";
import { elide, plain, shortTime } from "./text.js";

const LEAST_GAP_PX = 3;
const LABEL_MOST_PX = 240;

/** Draw vertical grid lines in the given bands [y0, y1] and the labels of the axis below them. */
export const drawTime = (ctx, axis, bands, labelY, palette) => {
  const { from_s, to_s, x0, x1, x } = axis;
  const { step, list } = timeTicks(from_s, to_s, Math.max(2, Math.floor((x1 - x0) / 84)));
  const at = list.filter((t) => t >= 0);
  lines(
    ctx,
    at.flatMap((t) => bands.flatMap(([y0, y1]) => [crisp(x(t)), y0, crisp(x(t)), y1])),
    palette.grid,
  );
  for (const t of at) {
    const text = clock(t, step, to_s >= 60);
    const half = ctx.measureText(text).width / 2;
    if (x(t) - half >= x0 - 8 && x(t) + half <= x1 + 8) write(ctx, text, x(t), labelY, palette.dim, "center");
  }
};

/** Draw gaps as hatched bands. */
export const drawGaps = (ctx, axis, gaps, bands, palette) => {
  const shown = [];
  for (const gap of gaps) {
    const [a, b] = [axis.x(gap.sample / axis.rate_hz), axis.x((gap.sample + gap.lost) / axis.rate_hz)];
    if (b < axis.x0 || a > axis.x1) continue;
    const left = Math.max(axis.x0, Math.min(a, (a + b - LEAST_GAP_PX) / 2));
    const right = Math.min(axis.x1, Math.max(b, left + LEAST_GAP_PX));
    shown.push({ left, right, gap });
  }
  if (!shown.length) return shown;
  const pattern = hatch(ctx, palette.gap);
  for (const { left, right } of shown) {
    for (const [y0, y1] of bands) {
      ctx.globalAlpha = 0.22;
      ctx.fillStyle = palette.gap;
      ctx.fillRect(left, y0, right - left, y1 - y0);
      ctx.globalAlpha = 1;
      ctx.fillStyle = pattern;
      ctx.fillRect(left, y0, right - left, y1 - y0);
    }
  }
  return shown;
};

/** What of a gap is no fault of the signal's: its words as they are. */
const OF_THE_VIEWER = new Set(["missed here", "before this viewer came"]);

const gapText = (gap, rate_hz) => {
  if (OF_THE_VIEWER.has(gap.cause)) return plain(gap.cause, 40);
  const length = gap.lost ? shortTime(gap.lost / rate_hz) : "seam";
  return `gap ${length}${gap.uncertain ? ` ± ${shortTime(gap.uncertain / rate_hz)}` : ""}`;
};

/** Return where words of a width stand beside x: right of it, else left; null where both are taken. */
const placeWords = (x, width, axis, taken) => {
  const free = (from) =>
    from >= axis.x0 && from + width <= axis.x1 && taken.every(([a, b]) => from > b + 6 || from + width < a - 6);
  return [x + 4, x - 4 - width].find(free) ?? null;
};

/** Draw marks through the bands, and the words of marks and gaps in the lane above; marks have the first choice. */
export const drawEvents = (ctx, axis, marks, gapsShown, bands, laneY, palette) => {
  const words = [];
  const ends = [];
  for (const mark of marks) {
    const x = axis.x(mark.sample / axis.rate_hz);
    if (x < axis.x0 || x > axis.x1) continue;
    for (const [y0, y1] of bands) ends.push(crisp(x), y0, crisp(x), y1);
    words.unshift({ x, text: plain(mark.text || `line ${mark.line}`), colour: palette.mark, font: BOLD });
  }
  lines(ctx, ends, palette.mark, 2);
  for (const { right, gap } of gapsShown) {
    words.push({ x: Math.min(right, axis.x1), text: gapText(gap, axis.rate_hz), colour: palette.dim, font: FONT });
  }
  const taken = [];
  for (const { x, text, colour, font } of words) {
    ctx.font = font;
    const fits = elide(ctx, text, LABEL_MOST_PX);
    const width = ctx.measureText(fits).width;
    const from = placeWords(x, width, axis, taken);
    if (from === null) continue;
    taken.push([from, from + width]);
    write(ctx, fits, from, laneY, colour);
  }
  ctx.font = FONT;
};
