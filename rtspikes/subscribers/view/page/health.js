/** The strip on top: is it well, and has anything been lost? */

import { bytes, count, duration, figure, known, microvolts, plain } from "./text.js";

const STATES = {
  connecting: ["◌", "connecting"],
  live: ["●", "live"],
  silent: ["◔", "silent"],
  lost: ["▲", "engine lost"],
  ended: ["■", "ended"],
  session: ["▤", "session"],
  away: ["▲", "no connection"],
};

const LITTLE_DISK_H = 24;
const FULL_RING = 0.75;
const REJECTED = "rejected: ";
const LOST_BY = /^lost by /;

const hoursText = (hours) => (hours >= 48 ? `${count(hours / 24)} d left` : `${figure(hours)} h left`);

const recordingOf = ({ recording, state }) => {
  if (!recording) return { value: "not recorded", quiet: true, hide: state === "session" };
  const hours = recording.hours_left;
  const warn = known(hours) && hours < LITTLE_DISK_H;
  return {
    value: bytes(recording.bytes),
    more: known(hours) ? hoursText(hours) : "",
    warn,
    title: `${plain(recording.path, 300)}\n${bytes(recording.bytes_per_s)}/s, ${bytes(recording.free_bytes)} free`,
  };
};

/** Return the figures of a `health` message: name, words, and whether to warn. */
const FIGURES = {
  elapsed: (h, facts) => ({
    name: h.state === "session" ? "Length" : "Elapsed",
    value: duration(
      h.state === "session" && facts ? (facts.to_sample - (facts.first_sample ?? 0)) / facts.rate_hz : h.elapsed_s,
    ),
    title: known(h.signal_s) ? `${figure(h.signal_s)} s of signal` : "",
  }),
  rate: (h) => ({ name: "Spikes/s", value: figure(h.spikes_per_s), title: "all electrodes, last second" }),
  active: (h) => ({
    name: "Active",
    value: count(h.active),
    more: `of ${count(h.electrodes)}`,
    title: ["dead", "noisy", "saturated", "storming", "muted"].map((k) => `${count(h[k])} ${k}`).join("\n"),
  }),
  sigma: (h) => ({
    name: "Median σ",
    value: microvolts(h.sigma_uv, 2),
    more: h.frozen ? "frozen" : "",
    title: "noise level, median over the electrodes",
  }),
  latency: (h) => ({
    name: "Latency p50 / p99",
    value: h.latency_ms ? `${figure(h.latency_ms.p50)} / ${figure(h.latency_ms.p99)}` : "–",
    more: "ms",
    title: "from a sample's arrival to its spikes' going out",
    hide: h.state === "session",
  }),
  ring: (h) => ({
    name: "Ring",
    value: known(h.ring_fill) ? `${Math.round(100 * h.ring_fill)} %` : "–",
    warn: h.ring_fill > FULL_RING,
    title: "how full the engine's buffer is",
    hide: h.state === "session",
  }),
  recording: (h) => ({ name: "Recording", ...recordingOf(h) }),
  viewers: (h) => ({
    name: "Viewers",
    value: count(h.viewers),
    title: `${count(h.viewers)} pages, ${count(h.subscribers)} subscribers of the engine`,
    hide: h.state === "session",
  }),
};

const cellOf = (key) => {
  const cell = document.createElement("div");
  cell.dataset.testid = `health-${key}`;
  cell.append(document.createElement("dt"), document.createElement("dd"));
  const value = document.createElement("b");
  const more = document.createElement("small");
  cell.lastChild.append(value, " ", more);
  return { cell, name: cell.firstChild, value, more };
};

const setText = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const groupOf = ({ loss, name }) => (loss ? "Lost" : String(name).startsWith(REJECTED) ? "Rejected" : "Noted");

/** A heading, and each cause with its amount: also where it is nothing. */
const lossGroup = (title) => {
  const box = document.createElement("section");
  const heading = document.createElement("h2");
  const list = document.createElement("ul");
  heading.textContent = title;
  box.append(heading, list);

  const draw = (losses) => {
    box.hidden = !losses.length;
    while (list.children.length > losses.length) list.lastChild.remove();
    losses.forEach((loss, k) => {
      const item = list.children[k] ?? list.appendChild(document.createElement("li"));
      if (!item.children.length) item.append(document.createElement("span"), document.createElement("b"));
      const bad = Boolean(loss.loss && loss.amount);
      item.dataset.loss = plain(loss.name, 40);
      item.dataset.amount = loss.amount ?? "";
      item.classList.toggle("bad", bad);
      item.title = `${count(loss.amount)} ${plain(loss.unit ?? "", 40)} ${plain(loss.text ?? "", 300)}`.trim();
      setText(item.firstChild, plain(String(loss.name).replace(REJECTED, "").replace(LOST_BY, ""), 28));
      setText(
        item.lastChild,
        `${bad ? "▲ " : ""}${count(loss.amount)}${bad && loss.unit ? ` ${plain(loss.unit, 12)}` : ""}`,
      );
    });
  };
  return { box, draw };
};

/** What the log of this run is called; "" where it has none. */
const logName = (health) =>
  String(health?.recording?.path ?? "")
    .split(/[\\/]/)
    .at(-1)
    .replace(/\.rtspikes$/, "");

export const createHealth = (root, store) => {
  const find = (id) => root.querySelector(id);
  const cells = Object.fromEntries(Object.keys(FIGURES).map((key) => [key, cellOf(key)]));
  find("#figures").append(...Object.values(cells).map(({ cell }) => cell));
  const groups = Object.fromEntries(["Lost", "Rejected", "Noted"].map((title) => [title, lossGroup(title)]));
  find("#losses").append(...Object.values(groups).map(({ box }) => box));

  const drawFigures = (health) => {
    for (const [key, of] of Object.entries(FIGURES)) {
      const { name, value, more = "", warn = false, quiet = false, title = "", hide = false } = of(health, store.facts);
      const { cell, ...parts } = cells[key];
      setText(parts.name, name);
      setText(parts.value, `${warn ? "▲ " : ""}${value}`);
      setText(parts.more, more);
      cell.classList.toggle("warn", warn);
      cell.classList.toggle("quiet", quiet);
      cell.hidden = hide;
      cell.title = title;
    }
  };

  const drawLosses = (losses) => {
    for (const [title, group] of Object.entries(groups)) group.draw(losses.filter((loss) => groupOf(loss) === title));
  };

  const drawIdentity = (state) => {
    const { facts } = store;
    const [sign, word] = STATES[state] ?? ["?", plain(state, 20)];
    const pill = find("#state");
    pill.dataset.state = state;
    setText(pill.querySelector(".sign"), sign);
    setText(pill.querySelector(".word"), word);
    pill.title = plain(store.health?.text ?? "", 300);
    if (!facts) return;
    const keys = Object.entries(facts.keys ?? {});
    const name = facts.name || logName(store.health) || facts.keys?.culture || facts.stream;
    setText(find("#name bdi"), plain(name, 120));
    find("#name").title = [plain(name, 300), ...keys.map(([key, value]) => `${plain(key)}: ${plain(value, 200)}`)].join(
      "\n",
    );
    const told = keys
      .slice(0, 3)
      .filter(([, value]) => value !== name)
      .map(([key, value]) => `${plain(key, 16)} ${plain(value, 30)}`);
    const about = [...told, plain(facts.source, 80), `${facts.n} ch × ${figure(facts.rate_hz / 1000)} kHz`];
    setText(find("#about bdi"), about.filter(Boolean).join("  ·  "));
    find("#about").title = [
      `source ${plain(facts.source, 300)}`,
      `stream ${plain(facts.stream)}`,
      `session ${plain(facts.session)}`,
      `method ${plain(facts.method)}`,
      plain(facts.software),
    ].join("\n");
    document.title = `${plain(name, 60)} – rtspikes`;
  };

  const draw = (state) => {
    drawIdentity(state);
    drawFigures(store.health ?? { state });
    drawLosses(store.health?.losses ?? []);
  };

  return { draw };
};
