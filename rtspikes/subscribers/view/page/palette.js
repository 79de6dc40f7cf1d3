/** Colours, read from the style sheet (one place), and sequential colour tables for the map. */

const NAMES = [
  "panel",
  "ink",
  "dim",
  "faint",
  "line",
  "grid",
  "spike",
  "trace",
  "threshold",
  "loss",
  "mark",
  "gap",
  "none",
  "focus",
];

/** Viridis' path at six points for dark, and a path from pale to deep blue for light: quiet is close to the ground. */
const PATHS = {
  dark: ["#1d2a3d", "#31446e", "#2c7a8c", "#2fa981", "#9bd344", "#fde725"],
  light: ["#e3eaf0", "#b5d8d6", "#5cb8c4", "#2f83b7", "#2b4b9b", "#1c1f5e"],
};

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const table = (path) => {
  const colours = [];
  for (let i = 0; i < 256; i += 1) {
    const at = (i / 255) * (path.length - 1);
    const low = Math.min(Math.floor(at), path.length - 2);
    const [a, b] = [channels(path[low]), channels(path[low + 1])];
    colours.push(a.map((value, k) => Math.round(value + (b[k] - value) * (at - low))));
  }
  return colours;
};

/** Return a colour as a pixel of ImageData (little-endian, as all machines with browsers are). */
export const pixel = ([r, g, b], alpha = 255) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;

export const rgb = (hex) => channels(hex);

/** Return the colours in force: names → "#rrggbb", `map` as 256 × [r, g, b]. */
export const readPalette = () => {
  const style = getComputedStyle(document.documentElement);
  const palette = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  const theme = document.documentElement.dataset.theme;
  palette.map = table(PATHS[theme] ?? PATHS.dark);
  palette.mapCss = palette.map.map(([r, g, b]) => `rgb(${r},${g},${b})`);
  return palette;
};

/** Return ink that can be read on a colour. */
export const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10151c" : "#f2f5f9");
