/** Plain figures about the page, for tests and the curious: `rtspikes` in the console. Nothing can be changed here. */

import { levelOf } from "./store.js";

export const expose = (store, meter, { map, raster, detail }) => {
  const spikesIn = (channel, seconds) => {
    const from = store.now - seconds * (store.facts?.rate_hz ?? 0);
    return store.signals?.of(channel).spikes.filter((spike) => spike.sample >= from).length ?? 0;
  };
  const traceSpan = (channel) => {
    const runs = store.signals?.of(channel).runs ?? [];
    return runs.length ? { from: runs[0].sample, to: runs.at(-1).sample + runs.at(-1).n * runs.at(-1).bin } : null;
  };
  const columnAt = (sample) => {
    const { columns, facts } = store;
    const index = Math.floor(sample / facts.column_samples);
    if (index < columns.first || index >= columns.end) return null;
    const at = (index % columns.keep) * columns.rows;
    return {
      index,
      rate: columns.rates[index % columns.keep],
      rows: Array.from(columns.counts.subarray(at, at + columns.rows)),
      x: raster.columnAt(sample),
    };
  };
  const plain = {
    frames: () => store.frames,
    drawn: () => meter.drawn,
    fps: () => meter.fps,
    cost_ms: () => ({ ...meter.cost }),
    state: () => store.shownState,
    session: () => store.facts?.session ?? null,
    selected: () => [...store.selected],
    chosen: () => store.chosen,
    paused: () => store.still !== null,
    now: () => store.now,
    spikesSeen: () => store.spikesSeen,
    gaps: () => store.gaps.length,
    marks: () => store.marks.length,
  };
  const debug = {
    columnAt,
    traceSpan,
    spikesIn,
    electrodeAt: map.electrodeAt,
    thresholdAt: detail.thresholdAt,
    levelOf: (channel) => levelOf(store, channel),
  };
  for (const [name, get] of Object.entries(plain)) Object.defineProperty(debug, name, { get, enumerable: true });
  window.rtspikes = Object.freeze(debug);
};
