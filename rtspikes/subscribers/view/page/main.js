/** The page: messages change the store, the store's parts are drawn, once per frame of the screen at most. */

import { createActions } from "./actions.js";
import { createControls } from "./controls.js";
import { expose } from "./debug.js";
import { createDetail } from "./detail.js";
import { createHealth } from "./health.js";
import { connect } from "./link.js";
import { createMap } from "./map.js";
import { watchMap, watchRaster } from "./pointer.js";
import { createRaster } from "./raster.js";
import { loadSettings } from "./settings.js";
import { createSlider } from "./slider.js";
import { saveSnapshot } from "./snapshot.js";
import { createStore, take } from "./store.js";
import { plain } from "./text.js";
import { createTheme } from "./theme.js";
import { createTip } from "./tip.js";
import { createToasts } from "./toast.js";
import { createTrends } from "./trends.js";

const BUSIEST_AFTER_MS = 2000;
const ALL = ["controls", "health", "cards", "map", "raster", "detail", "shapes", "trends", "slider"];
const WITH = {
  facts: [...ALL, "selection"],
  selection: ["controls", "cards", "map", "raster", "detail", "shapes"],
  health: ["controls"],
};

const find = (id) => document.getElementById(id);
const store = createStore(loadSettings());
const meter = { drawn: 0, fps: 0, cost: {}, times: [] };
const touched = new Set();
let scheduled = false;

const touch = (...parts) => {
  for (const part of parts) {
    touched.add(part);
    for (const other of WITH[part] ?? []) touched.add(other);
  }
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame((time) => paint(time));
};

const toast = createToasts(find("toasts"));
const tip = createTip(find("tip"));

/** What the page is: the connection's state where there is none, else the engine's. */
const stateOf = () => {
  if (["away", "token", "version"].includes(store.link)) return "away";
  if (!store.facts) return "connecting";
  return store.health?.state ?? (store.facts.mode === "session" ? "session" : "live");
};

const VEILS = {
  token: "This page needs a token.",
  version: "This page and its server are of different versions: load it again.",
};
const BANNERS = {
  away: () => `The view's server does not answer. Trying again each ${store.wait_s} s; the picture is the last one.`,
  lost: () =>
    `The engine is lost: ${plain(store.health?.text || "no message from it", 200)} The picture is the last one.`,
  silent: () => plain(store.health?.text || "The engine is there, but no samples arrive.", 200),
  ended: () => plain(store.health?.text || "The run has ended.", 200),
};

const drawState = () => {
  const state = stateOf();
  store.shownState = store.link === "token" ? "token" : state;
  document.body.dataset.state = state;
  const veil = store.link === "token" || store.link === "version" || !store.facts;
  find("veil").hidden = !veil;
  if (find("token-form").hidden && store.link === "token") {
    find("token-form").hidden = false;
    find("token-input").focus();
  }
  if (store.link !== "token") find("token-form").hidden = true;
  const away = store.link === "away" ? `The view's server does not answer. Trying again each ${store.wait_s} s.` : null;
  find("veil-text").textContent = VEILS[store.link] ?? away ?? plain(store.health?.text || "connecting …", 300);
  const banner = veil ? null : BANNERS[state]?.();
  find("banner").hidden = !banner;
  find("banner").textContent = banner ? `${state === "ended" ? "■" : "▲"} ${banner}` : "";
};

const link = connect({
  message: (message) => {
    if (message.t === "answer") toast(plain(message.text, 300), message.ok);
    if (message.t === "happened" && !message.all)
      for (const notice of message.notices ?? []) toast(plain(notice.text, 300));
    const parts = take(store, message);
    if (message.t === "facts") act.sendSelection();
    touch(...parts);
  },
  state: (state, wait_s = 0) => {
    Object.assign(store, { link: state, wait_s });
    touch("health");
  },
});

const act = createActions(store, link, touch, toast);
const map = createMap(find("map"), store, touch);
const raster = createRaster(find("raster"), store, touch);
const trends = createTrends(find("trends"), store, touch);
const slider = createSlider(find("slider"), store, act.seek, touch);
const detail = createDetail(find("cards"), store, { ...act, touch });
const health = createHealth(document, store);
const theme = createTheme(store, () => touch(...ALL));
const snapshot = () => saveSnapshot(store, (name) => toast(`Saved ${name}`));
const controls = createControls(store, act, { theme, snapshot, setToken: link.setToken });

const subtitles = () => {
  const { facts, selected, chosen, still } = store;
  if (!facts) return;
  const wells = store.layout.wells.length;
  find("map-sub").textContent = `${facts.n} channels${wells > 1 ? `, ${wells} wells` : ""}`;
  find("raster-sub").textContent = `${raster.subtitle()}${still ? " · paused" : ""}`;
  const note = facts.mode === "session" ? " · a log holds snippets, not the signal" : "";
  const many = selected.length === 1 ? "1 selected" : `${selected.length} selected`;
  find("detail-sub").textContent =
    `${!selected.length ? "none selected: click the map" : chosen ? many : `busiest ${selected.length}`}${note}`;
  find("cards").dataset.hint = "Click electrodes on the map to see their signals; Shift adds more.";
};

const PARTS = {
  health: () => {
    drawState();
    health.draw(stateOf());
  },
  controls: () => {
    controls.draw();
    subtitles();
  },
  selection: detail.rebuild,
  cards: detail.describe,
  hover: detail.mark,
  map: map.draw,
  raster: raster.draw,
  detail: detail.drawTraces,
  shapes: detail.drawShapes,
  trends: () => {
    trends.draw();
    find("trends-sub").textContent = trends.subtitle();
  },
  slider: slider.draw,
};

const measure = (time) => {
  meter.drawn += 1;
  meter.times.push(time);
  while (meter.times[0] < time - 2000) meter.times.shift();
  const span = time - meter.times[0];
  meter.fps = span > 0 ? ((meter.times.length - 1) * 1000) / span : 0;
};

const chooseBusiest = () => {
  if (store.chosen || store.selected.length || !store.began || performance.now() - store.began < BUSIEST_AFTER_MS)
    return;
  if (!store.activity?.some((code) => code > 0) && store.facts.mode === "live") return;
  act.busiest();
};

const paint = (time) => {
  scheduled = false;
  const parts = Object.keys(PARTS).filter((part) => touched.has(part));
  const framed = touched.has("raster");
  touched.clear();
  if (framed && store.facts?.mode === "session") parts.push("slider");
  for (const part of parts) {
    const before = performance.now();
    PARTS[part]();
    meter.cost[part] = 0.95 * (meter.cost[part] ?? 0) + 0.05 * (performance.now() - before);
  }
  if (framed && store.frames) {
    measure(time);
    document.documentElement.dataset.ready = "1";
    chooseBusiest();
  }
};

watchMap(map, store, act, tip);
watchRaster(raster, store, act, tip);
expose(store, meter, { map, raster, detail });
theme.apply();
touch(...ALL);
link.open();
