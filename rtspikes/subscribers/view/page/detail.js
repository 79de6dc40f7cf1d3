/** The selected electrodes: one card each, with trace, waveforms and intervals. */

import { fitted } from "./canvas.js";
import { drawIsi } from "./isi.js";
import { flagsOf, levelOf } from "./store.js";
import { count, figure, microvolts } from "./text.js";
import { makeMovable } from "./threshold.js";
import { createTrace, thresholdShown } from "./traces.js";
import { drawWaveforms } from "./waveforms.js";

const LEAST_PX = 74;
const BETWEEN_PX = 6;
const BELOW_PX = 6;

/** Return how many columns so many cards stand in: few cards are wide, many are seen at once. */
const columnsFor = (n, width) => {
  if (n <= 4 || width < 700) return 1;
  if (width < 1200 || n <= 8) return 2;
  return n <= 12 ? 3 : 4;
};

const element = (tag, className, text = "") => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
};

const plotOf = (className, label, resized) => {
  const box = element("div", `plot ${className}`);
  const canvas = element("canvas");
  canvas.setAttribute("aria-label", label);
  box.append(canvas);
  return { box, canvas, fit: () => fitted(canvas, resized) };
};

const createCard = (store, channel, act) => {
  const { facts } = store;
  const label = facts.label[channel];
  const card = element("article", "card");
  card.dataset.channel = channel;
  const title = element("strong", "", label);
  title.title = label;
  title.dir = "auto";
  const told = Object.fromEntries(
    ["rate", "sigma", "threshold", "count", "well"].map((name) => [name, element("span", name)]),
  );
  const words = element("span", "facts");
  words.append(...Object.values(told));
  const flags = element("span", "flags");
  const close = element("button", "close", "×");
  close.type = "button";
  close.setAttribute("aria-label", `Take ${label} out of the selection`);
  close.addEventListener("click", () => act.toggle(channel));
  const header = element("header");
  header.append(title, words, flags, close);
  const body = element("div", "plots");
  const trace = plotOf("trace", `Signal of ${label}`, () => act.touch("detail"));
  const waves = plotOf("waves", `Waveforms of ${label}`, () => act.touch("shapes"));
  const isi = plotOf("isi", `Intervals between spikes of ${label}`, () => act.touch("shapes"));
  body.append(trace.box, waves.box, isi.box);
  card.append(header, body);
  card.addEventListener("pointerenter", () => act.hover(channel));
  card.addEventListener("pointerleave", () => act.hover(-1));

  const attach = () => {
    const plots = { trace: trace.fit(), waves: waves.fit(), isi: isi.fit() };
    const drawn = createTrace(plots.trace, store, channel);
    trace.canvas.tabIndex = 0;
    trace.canvas.setAttribute("role", "slider");
    trace.canvas.setAttribute("aria-valuenow", "0");
    const movable = makeMovable(trace.canvas, drawn, store, channel, act.threshold, act.touch);
    return { plots, drawn, movable };
  };

  const describe = (small) => {
    const { sigma, negative, positive, rate, count: n } = levelOf(store, channel);
    const line = negative ?? positive;
    const times = sigma && line !== null ? ` (${Math.abs(line / sigma).toFixed(2)} σ)` : "";
    const both = negative !== null && positive !== null ? "±" : "";
    told.rate.textContent = rate === null ? "" : `${figure(rate)}${small ? "/s" : " spikes/s"}`;
    told.sigma.textContent = `σ ${sigma ? microvolts(sigma, 2) : "unknown"}`;
    told.threshold.textContent =
      line === null ? "" : `${small ? "" : "threshold "}${both}${microvolts(both ? Math.abs(line) : line)}${times}`;
    told.count.textContent = n === null ? "" : `${count(n)} spikes`;
    told.well.textContent = facts.well?.[channel] ? `well ${facts.well[channel]}` : "";
    const flagged = flagsOf(store, channel);
    flags.textContent = flagged.length ? `▲ ${flagged.join(", ")}` : "";
    trace.canvas.setAttribute("aria-valuetext", line === null ? "no threshold" : `${microvolts(line)}${times}`);
  };

  return { card, attach, describe, channel };
};

export const createDetail = (box, store, act) => {
  let cards = new Map();
  let session = null;

  const layout = () => {
    const n = store.selected.length;
    const columns = columnsFor(n, box.clientWidth);
    box.style.setProperty("--columns", columns);
    const rows = Math.ceil(n / columns);
    const height = box.clientHeight - BELOW_PX + BETWEEN_PX;
    const inSight = Math.max(1, Math.min(rows, Math.floor(height / (LEAST_PX + BETWEEN_PX))));
    box.style.setProperty("--card", `${Math.floor(height / inSight) - BETWEEN_PX}px`);
    box.dataset.size = columns > 1 ? "small" : n <= 2 ? "large" : "middle";
  };

  /** Make cards for what is selected, and let go of the others. */
  const rebuild = () => {
    if (session !== store.facts) {
      for (const card of cards.values()) drop(card);
      cards = new Map();
      session = store.facts;
    }
    for (const [channel, card] of cards) {
      if (store.selected.includes(channel)) continue;
      drop(card);
      cards.delete(channel);
    }
    for (const channel of store.selected) {
      if (!cards.has(channel)) cards.set(channel, createCard(store, channel, act));
    }
    layout();
    const ordered = store.selected.map((channel) => cards.get(channel));
    ordered.forEach((card, k) => {
      if (box.children[k] !== card.card) box.insertBefore(card.card, box.children[k] ?? null);
    });
    for (const card of ordered) {
      card.parts ??= card.attach();
    }
    describe();
    box.dataset.empty = ordered.length ? "" : "1";
  };

  const drop = (card) => {
    for (const plot of Object.values(card.parts?.plots ?? {})) plot.stop();
    card.card.remove();
  };

  const inView = (card) => {
    const top = card.card.offsetTop - box.scrollTop;
    return top < box.clientHeight && top + card.card.offsetHeight > 0;
  };

  const drawTraces = () => {
    for (const card of cards.values()) if (inView(card)) card.parts.drawn.draw(card.parts.movable.dragged());
  };

  const drawShapes = () => {
    for (const card of cards.values()) {
      if (!inView(card)) continue;
      drawWaveforms(card.parts.plots.waves, store, card.channel);
      drawIsi(card.parts.plots.isi, store, card.channel);
    }
  };

  const describe = () => {
    for (const card of cards.values()) card.describe(box.dataset.size === "small");
  };

  const mark = () => {
    for (const card of cards.values()) card.card.classList.toggle("hovered", store.hovered === card.channel);
  };

  const thresholdAt = (channel) => {
    const card = cards.get(channel);
    const { negative, positive } = levelOf(store, channel);
    const value = negative ?? positive;
    const frame = card?.parts.drawn.frame();
    if (!frame || value === null || !thresholdShown(store.facts, store.settings.of)) return null;
    const at = card.parts.plots.trace.canvas.getBoundingClientRect();
    return { x: at.left + (frame.x0 + frame.x1) / 2, y: at.top + card.parts.drawn.y(value) };
  };

  new ResizeObserver(() => {
    layout();
    describe();
  }).observe(box);
  box.addEventListener("scroll", () => act.touch("detail", "shapes"), { passive: true });
  return { rebuild, drawTraces, drawShapes, describe, mark, thresholdAt };
};
