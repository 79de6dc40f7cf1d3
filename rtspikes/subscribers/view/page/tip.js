/** What an electrode is and does, beside the pointer. */

import { flagsOf, levelOf } from "./store.js";
import { count, duration, figure, known, microvolts } from "./text.js";

const AWAY_PX = 14;

/** Return the rows of an electrode's tooltip: [name, value]. */
export const tipRows = (store, channel) => {
  const { facts } = store;
  const { sigma, negative, positive, rate, observed_s, count: n } = levelOf(store, channel);
  const times = (uv) => (sigma ? ` (${Math.abs(uv / sigma).toFixed(2)} σ)` : "");
  const rows = [];
  if (facts.kind[channel] !== "electrode") rows.push(["kind", facts.kind[channel]]);
  if (facts.enabled[channel] === false) rows.push(["", "disabled"]);
  if (facts.well?.[channel]) rows.push(["well", facts.well[channel]]);
  if (known(facts.x_um?.[channel]))
    rows.push(["place", `${figure(facts.x_um[channel])}, ${figure(facts.y_um[channel])} µm`]);
  if (rate !== null) rows.push(["rate", `${figure(rate)} spikes/s over ${duration(observed_s)} observed`]);
  if (n !== null) rows.push(["spikes", count(n)]);
  rows.push(["σ", sigma ? microvolts(sigma, 2) : "unknown"]);
  for (const value of [negative, positive])
    if (value !== null) rows.push(["threshold", `${microvolts(value)}${times(value)}`]);
  const flags = flagsOf(store, channel);
  if (flags.length) rows.push(["▲", flags.join(", ")]);
  return rows;
};

export const createTip = (box) => {
  const hide = () => (box.hidden = true);

  const show = (title, rows, clientX, clientY) => {
    const head = document.createElement("strong");
    head.textContent = title;
    const list = document.createElement("dl");
    for (const [name, value] of rows) {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = name;
      dd.textContent = value;
      list.append(dt, dd);
    }
    box.replaceChildren(head, list);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = clientX + AWAY_PX + width > innerWidth ? clientX - AWAY_PX - width : clientX + AWAY_PX;
    const top = Math.min(clientY + AWAY_PX, innerHeight - height - 6);
    box.style.left = `${Math.max(4, left)}px`;
    box.style.top = `${Math.max(4, top)}px`;
  };

  return { show, hide };
};
