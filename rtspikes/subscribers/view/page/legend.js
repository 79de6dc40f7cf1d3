/** What the map's colours mean, and how large the array is. */

import { niceCeil } from "./axis.js";
import { crisp, lines, write } from "./draw.js";
import { levelOf, shownActivity } from "./store.js";
import { tick } from "./text.js";

const LOWEST_HZ = 0.1;
const HIGHEST_HZ = 100;
const BAR_PX = 150;
const HIGH_PX = 9;

const log = (low, high) => (value) => Math.log(value / low) / Math.log(high / low);
const decades = (low, high) => {
  const list = [];
  for (let v = 10 ** Math.ceil(Math.log10(low) - 1e-9); v <= high * 1.001; v *= 10) list.push(v);
  return list;
};

/** The activity's code is logarithmic already: 0 nothing, else 0.1 · 2^((v − 1) / 16) spikes/s. */
const activity = (store) => ({
  text: "activity, spikes/s",
  low: LOWEST_HZ,
  high: HIGHEST_HZ,
  ticks: decades(LOWEST_HZ, HIGHEST_HZ),
  value: (i) => {
    const code = shownActivity(store)?.[i];
    return code ? LOWEST_HZ * 2 ** ((code - 1) / 16) : null;
  },
  at: log(LOWEST_HZ, HIGHEST_HZ),
});

const rate = (store) => ({
  text: "rate since start, spikes/s",
  low: LOWEST_HZ / 10,
  high: HIGHEST_HZ,
  ticks: decades(LOWEST_HZ / 10, HIGHEST_HZ),
  value: (i) => {
    const hz = store.levels?.rate[i];
    return hz > 0 ? Math.max(hz, LOWEST_HZ / 10) : null;
  },
  at: log(LOWEST_HZ / 10, HIGHEST_HZ),
});

/** σ: from 0 to a round value above what 98 of 100 electrodes have, so that one broken channel darkens nothing. */
const sigma = (store) => {
  const all = Array.from(store.levels?.sigma ?? [])
    .filter((v) => v > 0)
    .sort((a, b) => a - b);
  const high = niceCeil(1.1 * (all[Math.floor(0.98 * (all.length - 1))] ?? 10));
  return {
    text: "noise σ, µV",
    low: 0,
    high,
    ticks: [0, high / 2, high],
    value: (i) => levelOf(store, i).sigma,
    at: (value) => value / high,
  };
};

const SCALES = { activity, rate, sigma };

export const scaleOf = (store) => SCALES[store.settings.colour](store);

/** Draw the colours with their figures, right-aligned at x, above the bottom. */
export const drawLegend = (ctx, scale, x, bottom, store) => {
  const { palette } = store;
  const left = x - BAR_PX - 4;
  const top = bottom - 26;
  const gradient = ctx.createLinearGradient(left, 0, left + BAR_PX, 0);
  for (let k = 0; k <= 8; k += 1) gradient.addColorStop(k / 8, palette.mapCss[Math.round((k / 8) * 255)]);
  ctx.fillStyle = gradient;
  ctx.fillRect(left, top, BAR_PX, HIGH_PX);
  write(ctx, scale.text, left + BAR_PX, top - 8, palette.dim, "right");
  ctx.fillStyle = palette.none;
  ctx.fillRect(left - HIGH_PX - 5, top, HIGH_PX, HIGH_PX);
  ctx.strokeStyle = palette.faint;
  ctx.lineWidth = 1;
  ctx.strokeRect(left - HIGH_PX - 4.5, top + 0.5, HIGH_PX - 1, HIGH_PX - 1);
  write(ctx, "none", left - HIGH_PX - 9, top + HIGH_PX / 2, palette.dim, "right");
  for (const value of scale.ticks) {
    const at = left + BAR_PX * scale.at(value);
    lines(ctx, [crisp(at), top + HIGH_PX, crisp(at), top + HIGH_PX + 3], palette.dim);
    const align = at > left + BAR_PX - 8 ? "right" : at < left + 8 ? "left" : "center";
    write(ctx, tick(value), at, top + HIGH_PX + 9, palette.dim, align);
  }
};

/** Draw a bar of a round length; an array without coordinates has none, and says so. */
export const drawScaleBar = (ctx, pxPerUnit, x, y, store) => {
  const { layout, palette } = store;
  if (!layout.um) {
    write(ctx, "no coordinates", x, y - 8, palette.dim);
    return;
  }
  const most = 90 / pxPerUnit;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].find((s) => s * power <= most) * power;
  const px = length * pxPerUnit;
  lines(
    ctx,
    [x, crisp(y), x + px, crisp(y), crisp(x), y - 4, crisp(x), y + 4, crisp(x + px), y - 4, crisp(x + px), y + 4],
    palette.ink,
    1.5,
  );
  write(ctx, length >= 1000 ? `${length / 1000} mm` : `${length} µm`, x, y - 12, palette.ink);
};
