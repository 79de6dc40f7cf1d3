/** Texts and figures for people. Labels come from outside: whatever they hold, they stay one line of plain text. */

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g;

/** Return a text from outside as one line, without controls that turn its direction, of at most so many characters. */
export const plain = (text, most = 80) => {
  const line = String(text ?? "")
    .slice(0, 4 * most)
    .replace(UNSEEN, " ")
    .trim();
  const letters = Array.from(line);
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : line;
};

const elided = new Map();

/** Return what of a text fits into so many pixels of the context's font. */
export const elide = (ctx, text, width) => {
  const key = `${ctx.font}|${Math.floor(width)}|${text}`;
  if (elided.has(key)) return elided.get(key);
  let fits = text;
  for (let n = Math.min(text.length, 200); ctx.measureText(fits).width > width && n > 0; n -= 1) {
    fits = `${text.slice(0, n - 1)}…`;
  }
  if (elided.size > 20000) elided.clear();
  elided.set(key, fits);
  return fits;
};

const THIN = "\u2009";
const MINUS = "−";

export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Return a count with thin spaces between thousands. */
export const count = (value) => {
  if (!known(value)) return "–";
  return Math.round(value)
    .toString()
    .replace("-", MINUS)
    .replace(/\B(?=(\d{3})+$)/g, THIN);
};

/** Return a figure with about three digits that mean something. */
export const figure = (value) => {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return count(value);
  const digits = size >= 100 || value === 0 ? 0 : size >= 10 ? 1 : size >= 0.095 ? 2 : 3;
  return value.toFixed(digits).replace("-", MINUS);
};

/** Return a tick's figure: as short as it can be. */
export const tick = (value) => {
  const text = figure(value);
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
};

export const microvolts = (value, digits = 1) =>
  known(value) ? `${value.toFixed(digits).replace("-", MINUS)} µV` : "–";

/** Return bytes in decimal units, as disks are sold. */
export const bytes = (value) => {
  if (!known(value)) return "–";
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  return `${figure(value / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
};

/** Return a span as 0:42, 3:05:42 or 2 d 3:05. */
export const duration = (seconds) => {
  if (!known(seconds)) return "–";
  const whole = Math.floor(Math.max(0, seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [d, h, m, s] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  if (d) return `${d} d ${h}:${two(m)}`;
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
};

/** Return how long something is in the unit that suits it. */
export const shortTime = (seconds) => {
  if (seconds < 0.9995) return `${tick(seconds * 1000)} ms`;
  return seconds < 60 ? `${tick(seconds)} s` : duration(seconds);
};
