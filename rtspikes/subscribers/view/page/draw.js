/** Strokes and words that all plots share. */

export const FONT = '12px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
export const BOLD = `600 ${FONT}`;

/** Clear a plot and prepare its context for CSS pixels and left-to-right text. */
export const begin = (plot) => {
  const { ctx, dpr } = plot;
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.clearRect(0, 0, plot.width, plot.height);
  ctx.font = FONT;
  ctx.direction = "ltr";
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.lineWidth = 1;
  return ctx;
};

/** Draw text with its alignment and colour. */
export const write = (ctx, text, x, y, colour, align = "left") => {
  ctx.textAlign = align;
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
};

/** Draw many straight lines of one colour at once: [x0, y0, x1, y1, …]. */
export const lines = (ctx, ends, colour, width = 1) => {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.beginPath();
  for (let i = 0; i < ends.length; i += 4) {
    ctx.moveTo(ends[i], ends[i + 1]);
    ctx.lineTo(ends[i + 2], ends[i + 3]);
  }
  ctx.stroke();
};

/** Return the middle of the pixel at x, where a line of one pixel is sharp. */
export const crisp = (x) => Math.floor(x) + 0.5;

const hatches = new Map();

/** Return a hatched pattern of one colour, for what is missing. */
export const hatch = (ctx, colour) => {
  if (!hatches.has(colour)) hatches.set(colour, hatched(ctx, colour));
  return hatches.get(colour);
};

const hatched = (ctx, colour) => {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const t = tile.getContext("2d");
  t.strokeStyle = colour;
  t.lineWidth = 1.5;
  t.beginPath();
  for (const shift of [-8, 0, 8]) {
    t.moveTo(shift, 8);
    t.lineTo(shift + 8, 0);
  }
  t.stroke();
  return ctx.createPattern(tile, "repeat");
};
