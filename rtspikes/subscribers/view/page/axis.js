/** Ticks at round places, and what stands beside them. */

const LABEL_PX = 13;
const STEPS = [1, 2, 5];
const FINE_STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
const TIME_STEPS_S = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200,
  14400, 21600, 43200, 86400,
];

/** Return the smallest of 1, 2, 5 × 10^k that is not below the value. */
export const niceCeil = (value) => {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [...STEPS, 10].find((s) => s * power >= value * (1 - 1e-9));
  return step * power;
};

/** Return the smallest of more steps, for a scale that is to be filled well. */
export const fineCeil = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return FINE_STEPS.find((s) => s * power >= value * (1 - 1e-9)) * power;
};

/** Return round values between two bounds, at most so many. */
export const ticks = (low, high, most) => {
  const step = niceCeil((high - low) / Math.max(1, most));
  const list = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) list.push(k * step);
  return list;
};

/** Return −s, 0, s for a scale of ± ceiling with little room (pixels), more ticks where there is more. */
export const ticksAbout = (ceiling, room) => {
  if (room >= 110) return ticks(-ceiling * 0.95, ceiling * 0.95, Math.floor(room / 26));
  const least = Math.max(0.35, (2 * LABEL_PX) / room) * ceiling;
  const step = [niceCeil(least), fineCeil(least)].find((s) => s < 0.98 * ceiling);
  return step ? [-step, 0, step] : [0];
};

/** Return {step, list} of round times (s) between two bounds, at most so many. */
export const timeTicks = (low, high, most) => {
  const wanted = (high - low) / Math.max(1, most);
  const step = TIME_STEPS_S.find((s) => s >= wanted) ?? 86400 * Math.ceil(wanted / 86400);
  const list = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k += 1) list.push(k * step);
  return { step, list };
};

/** Return a time of the session: 12.5 s, or m:ss where the axis goes beyond a minute, as precise as the step. */
export const clock = (seconds, step = 1, long = Math.abs(seconds) >= 60) => {
  const digits = Math.max(0, Math.min(3, -Math.floor(Math.log10(step) + 1e-9)));
  const sign = seconds < 0 ? "−" : "";
  const size = Math.abs(seconds);
  if (!long) return `${sign}${size.toFixed(digits)} s`;
  const unit = 10 ** digits;
  const rounded = Math.round(size * unit) / unit;
  const [h, m, s] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60, rounded % 60];
  const tail = s.toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return h ? `${sign}${h}:${String(m).padStart(2, "0")}:${tail}` : `${sign}${m}:${tail}`;
};
