/** Mouse, touch and keys on the map and the raster: what is under the pointer, choosing it, moving the map. */

import { clock } from "./axis.js";
import { tipRows } from "./tip.js";

const CLICK_PX = 4;
const TWO_CLICKS_MS = 500;
const ZOOM_STEP = 1.0018;

/** A click chooses; the frame of the focus is for who comes by keys. */
const keepFocus = (event) => {
  event.preventDefault();
  document.activeElement?.blur();
};

const placeIn = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

export const watchMap = (map, store, act, tip) => {
  const { canvas } = map.plot;
  let pressed = null;
  let clicked = -Infinity;
  let before = null; // what was selected before the first click of two

  const under = (event) => {
    const channel = store.facts ? map.at(...placeIn(canvas, event)) : -1;
    act.hover(channel);
    if (channel < 0) return tip.hide();
    tip.show(store.facts.label[channel], tipRows(store, channel), event.clientX, event.clientY);
  };

  canvas.addEventListener("mousedown", keepFocus);
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = { x: event.clientX, y: event.clientY, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pressed) return under(event);
    const [dx, dy] = [event.clientX - pressed.x, event.clientY - pressed.y];
    if (!pressed.moved && Math.hypot(dx, dy) < CLICK_PX) return;
    pressed = { x: event.clientX, y: event.clientY, moved: true };
    tip.hide();
    map.move(dx, dy);
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = pressed && !pressed.moved;
    pressed = null;
    if (!click || !store.facts) return;
    const channel = map.at(...placeIn(canvas, event));
    if (channel < 0) return;
    const first = performance.now() - clicked > TWO_CLICKS_MS;
    if (first) before = { selected: [...store.selected], chosen: store.chosen };
    clicked = performance.now();
    act.pick(channel, event.shiftKey || event.ctrlKey || event.metaKey);
  });
  canvas.addEventListener("pointercancel", () => (pressed = null));
  canvas.addEventListener("pointerleave", () => {
    tip.hide();
    act.hover(-1);
  });
  canvas.addEventListener("dblclick", () => {
    map.reset();
    if (before) act.select(before.selected, before.chosen);
    before = null;
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      if (store.facts) map.zoomAt(ZOOM_STEP ** -pixels, ...placeIn(canvas, event));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!store.facts || (!way && event.key !== "Enter")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!way) return act.pick(store.hovered, event.shiftKey);
    const channel = neighbour(store.layout, store.hovered, way);
    const at = map.electrodeAt(channel);
    act.hover(channel);
    tip.show(store.facts.label[channel], tipRows(store, channel), at.x, at.y);
  });
  canvas.addEventListener("blur", () => {
    tip.hide();
    act.hover(-1);
  });
};

/** Return the nearest channel in a direction; the first one where none was hovered. */
const neighbour = (layout, from, [wx, wy]) => {
  if (from < 0) return 0;
  let best = from;
  let near = Infinity;
  for (let i = 0; i < layout.x.length; i += 1) {
    const [dx, dy] = [layout.x[i] - layout.x[from], layout.y[i] - layout.y[from]];
    const along = dx * wx + dy * wy;
    const away = along + 3 * Math.abs(dx * wy + dy * wx);
    if (along > 1e-6 && away < near) [best, near] = [i, away];
  }
  return best;
};

export const watchRaster = (raster, store, act, tip) => {
  const { canvas } = raster.plot;
  const under = (event) => (store.facts ? raster.at(...placeIn(canvas, event)) : null);

  canvas.addEventListener("pointermove", (event) => {
    const found = under(event);
    if (!found?.channels.length) {
      tip.hide();
      return act.hover(-1);
    }
    const { channels, time_s } = found;
    act.hover(channels[0]);
    const { label } = store.facts;
    const name = channels.length > 1 ? `${label[channels[0]]} … ${label[channels.at(-1)]}` : label[channels[0]];
    tip.show(
      name,
      [
        ["time", clock(Math.max(0, time_s), 0.01)],
        ...(channels.length > 1 ? [["row", `${channels.length} channels`]] : tipRows(store, channels[0])),
      ],
      event.clientX,
      event.clientY,
    );
  });
  canvas.addEventListener("pointerleave", () => {
    tip.hide();
    act.hover(-1);
  });
  canvas.addEventListener("click", (event) => {
    const channel = under(event)?.channels.find(act.selectable) ?? -1;
    if (channel >= 0) act.pick(channel, event.shiftKey || event.ctrlKey || event.metaKey);
  });
};
