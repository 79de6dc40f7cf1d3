/** Dragging a threshold: by pointer or keys; what is being set is shown, and sent when it is let go. */

import { levelOf } from "./store.js";
import { thresholdText } from "./traces.js";

const REACH_PX = 7;
const LEAST_SIGMA = 0.1;
const STEP_SIGMA = 0.1;
const STEP_UV = 1;

/**
 * Make the threshold of a trace movable. `send(channels, {sigma} | {uv})` sends it.
 * Returns {dragged()} → {uv, text} or null.
 */
export const makeMovable = (canvas, trace, store, channel, send, touch) => {
  let dragged = null;

  const set = (uv, inUv) => {
    const sigma = levelOf(store, channel).sigma;
    const least = sigma ? LEAST_SIGMA * sigma : 0.1;
    const size = Math.max(least, Math.sign(dragged.side) * uv);
    const fixed = inUv || !sigma;
    dragged = { side: dragged.side, uv: dragged.side * size, fixed, sigma };
    dragged.text = thresholdText(dragged.uv, sigma, inUv);
    canvas.setAttribute("aria-valuetext", dragged.text);
    touch("detail");
  };

  const stop = () => {
    dragged = null;
    touch("detail");
  };

  const release = () => {
    if (!dragged) return;
    const { uv, sigma, fixed } = dragged;
    const channels = store.settings.all && store.selected.length > 1 ? [...store.selected] : [channel];
    send(
      channels,
      fixed ? { uv: Number(Math.abs(uv).toFixed(2)) } : { sigma: Number(Math.abs(uv / sigma).toFixed(3)) },
    );
    stop();
  };

  const movable = () => store.facts && !store.facts.read_only && store.facts.mode === "live";
  const placeOf = (event) => event.clientY - canvas.getBoundingClientRect().top;

  canvas.addEventListener("pointerdown", (event) => {
    const near = movable() && event.button === 0 ? trace.thresholdNear(placeOf(event), REACH_PX) : null;
    if (near === null) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true, focusVisible: false });
    canvas.setPointerCapture(event.pointerId);
    dragged = { side: Math.sign(near) || -1, from: near };
    set(near, event.shiftKey);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged) set(trace.frame().uv(placeOf(event)), event.shiftKey);
    else canvas.style.cursor = movable() && trace.thresholdNear(placeOf(event), REACH_PX) !== null ? "ns-resize" : "";
  });
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", stop);
  canvas.addEventListener("blur", stop);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && dragged) stop();
    else if (event.key === "Enter" && dragged) release();
    else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && movable()) {
      const { negative, positive, sigma } = levelOf(store, channel);
      const from = dragged?.uv ?? negative ?? positive;
      if (from === null) return;
      dragged ??= { side: Math.sign(from) || -1 };
      const step = sigma ? STEP_SIGMA * sigma : STEP_UV;
      set(from + (event.key === "ArrowUp" ? step : -step), event.shiftKey);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return { dragged: () => dragged };
};
