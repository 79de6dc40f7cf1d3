/** What a viewer can do. Each changes the store or asks the server; what must be drawn anew is touched. */

import { SCALES_UV, SPANS_S, WINDOWS_S, saveSettings } from "./settings.js";
import { busiest, isElectrode } from "./store.js";

const FIRST_CHOICE = 3;

const stepIn = (list, value, by) => list[Math.max(0, Math.min(list.length - 1, list.indexOf(value) + by))];

export const createActions = (store, link, touch, toast) => {
  const controls = () => store.facts && !store.facts.read_only && store.facts.mode === "live";

  const ask = (message) => {
    if (!link.send(message)) toast("Not connected: nothing was sent.", false);
  };

  const sendSelection = () => link.send({ do: "select", channels: store.selected, of: store.settings.of });

  const select = (channels, chosen) => {
    store.selected = channels.slice(0, store.facts.most_selected ?? 16);
    store.chosen = chosen;
    store.signals.keep(store.selected);
    store.still?.signals.keep(store.selected);
    for (const channel of store.shapes.keys()) if (!store.selected.includes(channel)) store.shapes.delete(channel);
    sendSelection();
    touch("selection");
  };

  /** Click: this one alone, and again: none. With `add`: in or out. */
  const pick = (channel, add) => {
    if (!store.facts || channel < 0) return;
    const has = store.selected.includes(channel);
    if (!add) return select(has && store.selected.length === 1 ? [] : [channel], true);
    const next = has ? store.selected.filter((c) => c !== channel) : [...store.selected, channel];
    if (next.length > (store.facts.most_selected ?? 16))
      return toast(`At most ${store.facts.most_selected} electrodes at a time.`, false);
    select(next, true);
  };

  const set = (changes, ...parts) => {
    Object.assign(store.settings, changes);
    saveSettings(store.settings);
    touch("controls", ...parts);
  };

  const seek = (sample) => {
    const { facts, settings } = store;
    const to = Math.max(facts.first_sample ?? 0, Math.min(facts.to_sample, Math.round(sample)));
    link.send({ do: "seek", sample: to, window_s: Math.max(settings.window_s, settings.span_s) });
  };

  const setWindow = (window_s) => {
    set({ window_s }, "raster", "slider");
    if (store.facts?.mode === "session") seek(store.now);
  };

  const setSignal = (of) => {
    set({ of }, "detail");
    store.signals?.forget();
    sendSelection();
  };

  const atEnd = () => store.facts.mode === "session" && store.now >= store.facts.to_sample;

  const play = (playing, speed = store.speed) => {
    if (playing && !store.playing && atEnd()) seek(store.facts.first_sample ?? 0);
    Object.assign(store, { playing, speed });
    link.send({ do: "play", speed: playing ? speed : 0 });
    touch("controls");
  };

  /** Pause: in a live view the picture stands, and everything goes on being collected. */
  const pause = () => {
    if (!store.facts) return;
    if (store.facts.mode === "session") return play(!store.playing);
    store.still = store.still ? null : { now: store.now, activity: store.activity, signals: store.signals.still() };
    touch("controls", "raster", "detail");
  };

  return {
    controls,
    pick,
    select,
    setWindow,
    setSignal,
    seek,
    play,
    pause,
    sendSelection,
    set,
    toggle: (channel) => pick(channel, true),
    clear: () => select([], true),
    busiest: () => select(busiest(store, FIRST_CHOICE), false),
    window: (by) => setWindow(stepIn(WINDOWS_S, store.settings.window_s, by)),
    setSpan: (span_s) => set({ span_s }, "detail"),
    span: (by) => set({ span_s: stepIn(SPANS_S, store.settings.span_s, by) }, "detail"),
    scale: (by) => set({ scale_uv: stepIn(SCALES_UV, store.settings.scale_uv || 100, by) }, "detail"),
    autoScale: () => set({ scale_uv: 0 }, "detail"),
    colour: (colour) => set({ colour }, "map"),
    threshold: (channels, height) => ask({ do: "threshold", channels, ...height }),
    mark: (text) => ask({ do: "mark", text: text.slice(0, 1000) }),
    freeze: () => controls() && ask({ do: "freeze", on: !store.health?.frozen }),
    mute: () => {
      if (!controls() || !store.selected.length) return;
      const on = !store.selected.every((channel) => (store.levels?.flags[channel] ?? 0) & 1);
      ask({ do: "mute", channels: store.selected, on });
    },
    step: (direction) => {
      if (store.facts?.mode !== "session") return;
      seek(store.now + (direction * store.settings.window_s * store.facts.rate_hz) / 2);
    },
    hover: (channel) => {
      if (store.hovered === channel) return;
      store.hovered = channel;
      touch("map", "raster", "hover");
    },
    selectable: (channel) => channel >= 0 && isElectrode(store.facts, channel),
  };
};
