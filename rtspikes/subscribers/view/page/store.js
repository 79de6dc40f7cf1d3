/** All that the page knows, and how each message changes it. Nothing here draws. */

import { Columns } from "./columns.js";
import { Signals } from "./signal.js";
import { layOut } from "./geometry.js";
import { plain } from "./text.js";

const FLAGS = [
  [1, "muted"],
  [2, "storming"],
  [4, "dead"],
  [8, "noisy"],
  [16, "saturated"],
  [32, "drifting"],
];

const MOST_EVENTS = 5000;

export const createStore = (settings) => ({
  settings,
  link: "connecting",
  wait_s: 0,
  facts: null,
  layout: null,
  rowsOf: null,
  health: null,
  columns: null,
  now: 0,
  began: 0,
  activity: null,
  levels: null,
  marks: [],
  gaps: [],
  notices: [],
  signals: null,
  shapes: new Map(),
  edges: [],
  trends: null,
  overview: null,
  selected: [],
  chosen: false,
  hovered: -1,
  still: null,
  speed: 1,
  playing: false,
  frames: 0,
  spikesSeen: 0,
});

/** Return rows of the raster: which channels each has, in stream order. */
const channelsOfRows = (facts) => {
  const rows = Array.from({ length: facts.rows }, () => []);
  facts.row.forEach((row, channel) => rows[row]?.push(channel));
  return rows;
};

const sameLabels = (a, b) =>
  a && a.label.length === b.label.length && a.label.every((label, i) => label === b.label[i]);

const takeFacts = (store, message) => {
  const facts = {
    ...message,
    label: message.label.map((label) => plain(label, 60)),
    well: message.well?.map((well) => (well === null ? null : plain(well, 40))) ?? null,
  };
  const same = sameLabels(store.facts, facts);
  const selected = same ? store.selected : [];
  Object.assign(store, {
    facts,
    layout: layOut(facts),
    rowsOf: channelsOfRows(facts),
    columns: new Columns(facts.rows, facts.keep_columns),
    signals: new Signals(facts.rate_hz),
    shapes: new Map(),
    marks: [],
    gaps: [],
    notices: [],
    activity: null,
    levels: null,
    trends: null,
    overview: null,
    now: facts.first_sample ?? 0,
    began: 0,
    still: null,
    playing: false,
    hovered: -1,
    selected,
    chosen: same && store.chosen,
  });
  store.signals.keep(selected);
  if (facts.signals?.length && !facts.signals.includes(store.settings.of)) [store.settings.of] = facts.signals;
  return ["facts"];
};

const takeFrame = (store, message) => {
  if (!store.columns) return [];
  const { columns, rate, activity } = message.arrays;
  if (message.fresh) {
    store.columns.clear();
    store.signals.forget();
  }
  store.spikesSeen += store.columns.put(message.column, columns, rate);
  store.now = message.now;
  store.frames += 1;
  if (store.facts.mode === "session" && store.now >= store.facts.to_sample) store.playing = false;
  store.began ||= performance.now();
  const parts = store.facts.mode === "session" ? ["raster", "detail", "controls"] : ["raster", "detail"];
  if (!activity) return parts;
  store.activity = activity;
  return [...parts, "map"];
};

const takeHappened = (store, message) => {
  for (const kind of ["marks", "gaps", "notices"]) {
    const added = message[kind] ?? [];
    const all = message.all ? added : [...store[kind], ...added];
    store[kind] = all.sort((a, b) => a.sample - b.sample).slice(-MOST_EVENTS);
  }
  return ["raster", "slider"];
};

const takeShapes = (store, message) => {
  const { of, waveforms, mean, isi, spikes } = message.arrays;
  const width = store.facts.snippet[0] + store.facts.snippet[1];
  const bins = message.isi_edges_ms.length - 1;
  store.edges = message.isi_edges_ms;
  store.shapes = new Map(
    message.channels.map((channel, c) => [
      channel,
      {
        waves: [],
        mean: mean.subarray(c * width, (c + 1) * width),
        isi: isi.subarray(c * bins, (c + 1) * bins),
        spikes: spikes[c],
      },
    ]),
  );
  for (let w = 0; w < of.length; w += 1) {
    store.shapes.get(of[w])?.waves.push(waveforms.subarray(w * width, (w + 1) * width));
  }
  return ["shapes"];
};

const TAKE = {
  facts: takeFacts,
  frame: takeFrame,
  happened: takeHappened,
  health: (store, message) => ((store.health = message), ["health"]),
  levels: (store, message) => ((store.levels = message.arrays), ["map", "cards"]),
  detail: (store, message) => (store.signals?.take(message, store.facts.snippet[0]), ["detail"]),
  shapes: (store, message) => (store.facts ? takeShapes(store, message) : []),
  trends: (store, message) => ((store.trends = message), ["trends"]),
  overview: (store, message) => ((store.overview = message), ["slider"]),
};

/** Take a message in; return the parts of the page that it changes. */
export const take = (store, message) => TAKE[message.t]?.(store, message) ?? [];

/** The sample at the right edge of the raster. */
export const rasterEnd = (store) => store.still?.now ?? store.now;

/** The activity that is drawn. */
export const shownActivity = (store) => (store.still ? store.still.activity : store.activity);

/** The signals that are drawn. */
export const shownSignals = (store) => store.still?.signals ?? store.signals;

export const flagsOf = (store, channel) => {
  const bits = store.levels?.flags[channel] ?? 0;
  return FLAGS.filter(([bit]) => bits & bit).map(([, word]) => word);
};

export const isElectrode = (facts, channel) => facts.kind[channel] === "electrode" && facts.enabled[channel] !== false;

/** Return all that is known about a channel's level, µV; null where nothing is. */
export const levelOf = (store, channel) => {
  const { levels } = store;
  const value = (list) => (list && Number.isFinite(list[channel]) ? list[channel] : null);
  const sigma = value(levels?.sigma) || null;
  const negative = value(levels?.negative);
  const positive = value(levels?.positive);
  return {
    sigma,
    negative,
    positive,
    rate: value(levels?.rate),
    observed_s: value(levels?.observed_s),
    count: levels ? levels.count[channel] : null,
  };
};

/** Return the most active electrodes: by activity, and by spikes so far where that is equal. */
export const busiest = (store, most) => {
  const { facts, activity, levels } = store;
  const score = (i) => (activity?.[i] ?? 0) + (levels?.count[i] ?? 0) / 1e9;
  return [...Array(facts.n).keys()]
    .filter((i) => isElectrode(facts, i) && facts.row[i] >= 0)
    .sort((a, b) => score(b) - score(a))
    .slice(0, most)
    .sort((a, b) => a - b);
};
