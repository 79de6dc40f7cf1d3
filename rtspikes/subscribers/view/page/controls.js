/** Buttons, the mark's input, the help, the token: what is pressed, and how it looks then. */

import { createSegments } from "./segments.js";
import { SCALES_UV, SPANS_S, SPEEDS, WINDOWS_S } from "./settings.js";
import { watchKeys } from "./keys.js";

const COLOUR_CHOICES = [
  ["activity", "activity", "spikes/s over the last second"],
  ["rate", "rate", "spikes/s over all the time that was observed"],
  ["sigma", "σ", "noise level, µV"],
];
const MS_BELOW_S = 1;

const find = (id) => document.getElementById(id);

export const createControls = (store, act, { theme, snapshot, setToken }) => {
  const shown = {
    colour: createSegments(find("colour"), COLOUR_CHOICES, act.colour),
    window_s: createSegments(
      find("window"),
      WINDOWS_S.map((s, k) => [s, k === WINDOWS_S.length - 1 ? `${s} s` : `${s}`, `${s} s (+ −)`]),
      act.setWindow,
    ),
    span_s: createSegments(
      find("span"),
      SPANS_S.map((s) => [s, s < MS_BELOW_S ? `${s * 1000} ms` : `${s} s`, "time window of the traces"]),
      act.setSpan,
    ),
    speed: createSegments(
      find("speed"),
      SPEEDS.map((s) => [s, `${s}×`, `${s} × real speed`]),
      (speed) => act.play(store.playing, speed),
    ),
  };
  const scale = createSegments(
    find("scale"),
    [
      ["-", "−", "smaller scale, larger traces (↑)"],
      ["auto", "auto", "scale by itself (0)"],
      ["+", "+", "larger scale, smaller traces (↓)"],
    ],
    (what) => (what === "auto" ? act.autoScale() : act.scale(what === "+" ? 1 : -1)),
  );
  let signals = null;

  const help = {
    open: () => {
      find("help").hidden = false;
      find("help").focus();
    },
    close: () => {
      find("help").hidden = true;
    },
    toggle: () => (find("help").hidden ? help.open() : help.close()),
  };

  const mark = {
    open: () => {
      if (!act.controls()) return;
      find("mark-form").hidden = false;
      find("mark-input").focus();
    },
    close: () => {
      find("mark-form").hidden = true;
      find("mark-input").value = "";
    },
  };

  const click = (id, action) => find(id).addEventListener("click", action);
  click("do-pause", act.pause);
  click("do-play", act.pause);
  click("do-mark", mark.open);
  click("do-freeze", act.freeze);
  click("do-mute", act.mute);
  click("do-clear", act.clear);
  click("do-snapshot", snapshot);
  click("do-theme", theme.toggle);
  click("do-help", help.toggle);
  click("help-close", help.close);
  find("help").addEventListener("click", (event) => event.target === find("help") && help.close());
  find("apply-all").addEventListener("change", (event) => act.set({ all: event.target.checked }));
  find("mark-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = find("mark-input").value.trim();
    if (text) act.mark(text);
    mark.close();
  });
  find("mark-form").addEventListener("keydown", (event) => event.key === "Escape" && mark.close());
  find("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(find("token-input").value.trim());
    find("token-input").value = "";
  });

  watchKeys(
    {
      " ": act.pause,
      "+": () => act.window(1),
      "=": () => act.window(1),
      "-": () => act.window(-1),
      ArrowUp: () => act.scale(-1),
      ArrowDown: () => act.scale(1),
      0: act.autoScale,
      ArrowLeft: () => act.step(-1),
      ArrowRight: () => act.step(1),
      m: mark.open,
      f: act.freeze,
      x: act.mute,
      c: act.clear,
      t: theme.toggle,
      p: snapshot,
      "?": help.toggle,
      Escape: help.close,
    },
    () => !find("help").hidden,
  );

  const showIcon = (id, name) => find(id).querySelector("use").setAttribute("href", `#i-${name}`);

  const draw = () => {
    const { facts, settings, still, health, playing } = store;
    const session = facts?.mode === "session";
    document.body.dataset.mode = session ? "session" : "live";
    document.body.dataset.controls = act.controls() ? "1" : "";
    shown.colour(settings.colour);
    shown.window_s(settings.window_s);
    shown.span_s(settings.span_s);
    shown.speed(store.speed);
    scale(settings.scale_uv ? "" : "auto");
    find("apply-all").checked = settings.all;
    find("scale").querySelector("[data-value=auto]").textContent = settings.scale_uv
      ? `±${settings.scale_uv} µV`
      : "auto";
    find("scale").querySelector("[data-value='-']").disabled = settings.scale_uv === SCALES_UV[0];
    find("do-pause").hidden = session;
    find("do-pause").setAttribute("aria-pressed", String(Boolean(still)));
    find("do-pause").lastElementChild.textContent = still ? "Paused" : "Pause";
    showIcon("do-pause", still ? "play" : "pause");
    showIcon("do-play", playing ? "pause" : "play");
    find("do-play").setAttribute("aria-label", playing ? "Stay" : "Play");
    find("do-freeze").setAttribute("aria-pressed", String(Boolean(health?.frozen)));
    find("session-bar").hidden = !session;
    drawSignals(facts);
  };

  const drawSignals = (facts) => {
    const list = facts?.signals ?? [];
    find("signal").hidden = list.length < 2;
    if (signals?.facts !== facts)
      signals = {
        facts,
        show: createSegments(
          find("signal"),
          list.map((name) => [name, name, "signal that is shown"]),
          act.setSignal,
        ),
      };
    signals.show(store.settings.of);
  };

  return { draw };
};
