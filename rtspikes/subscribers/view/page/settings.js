/** What a viewer has chosen, kept between visits. */

const KEY = "rtspikes-view";

export const WINDOWS_S = [2, 5, 10, 30, 60, 120];
export const SPANS_S = [0.2, 0.5, 1, 2, 5];
export const SCALES_UV = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
export const SPEEDS = [0.5, 1, 2, 5, 10, 50];
const COLOURS = ["activity", "rate", "sigma"];

const DEFAULTS = { theme: null, window_s: 10, span_s: 1, scale_uv: 0, colour: "activity", of: "filtered", all: false };

/** Return the settings; what a browser refuses to keep, or what makes no sense, is as at first. */
export const loadSettings = () => {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    kept = {};
  }
  const settings = { ...DEFAULTS, ...kept };
  if (!WINDOWS_S.includes(settings.window_s)) settings.window_s = DEFAULTS.window_s;
  if (!SPANS_S.includes(settings.span_s)) settings.span_s = DEFAULTS.span_s;
  if (![0, ...SCALES_UV].includes(settings.scale_uv)) settings.scale_uv = 0;
  if (!COLOURS.includes(settings.colour)) settings.colour = DEFAULTS.colour;
  return settings;
};

export const saveSettings = (settings) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // A browser that keeps nothing shows the page all the same.
  }
};
