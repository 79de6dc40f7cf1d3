"""The first paragraph: signals, filter, reference, noise level, thresholds, alignment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtspikes.subscribers.account.english import (
    NAMES,
    counted,
    electrodes,
    exact,
    hertz,
    listed,
    number,
    seconds,
    spread,
    were,
)
from rtspikes.subscribers.account.event_text import events
from rtspikes.subscribers.account.filter_text import filtering, referencing
from rtspikes.subscribers.account.method_text import compared, crossings, operator

Facts = Mapping[str, Any]

LIVE = {"lsl": "received from the Lab Streaming Layer stream “{}”"}
PAST = {"file": "the recording “{}” of ", "sim": "a simulation (“sim:{}”) of "}
KINDS = {"aux": "auxiliary"}
RELEASES = ("follow", "recalibrate")
"""Control changes after which σ follows the signal, also where it was frozen."""
SAMPLES = {"int16": "as 16-bit integers", "float32": "as 32-bit floating-point numbers"}


def detection(facts: Facts) -> Iterator[str]:
    """Yield the paragraph's sentences."""
    yield _signals(facts)
    yield from _left_out(facts)
    yield from filtering(facts)
    yield from referencing(facts)
    yield from operator(facts)
    if sigma_counts(facts):
        yield from _noise(facts)
    yield from crossings(facts)
    yield from _in_force(facts)
    yield from events(facts)


def sigma_counts(facts: Facts) -> bool:
    """Tell whether the noise level decided anything."""
    by_control = any(control["change"].get("threshold") is not None for control in facts["control_changes"])
    return bool(facts["thresholds_follow_sigma"] or by_control or facts.get("method") == "matched")


def _signals(facts: Facts) -> str:
    version = facts.get("rtspikes_version")
    libraries = [f"{NAMES.get(name, name)} {text}" for name, text in facts["libraries"].items()]
    software = f"rtspikes{f' {version}' if version else ''}{f' ({listed(libraries)})' if libraries else ''}"
    sampled = f"sampled at {hertz(facts['sampling_rate_hz'])}"
    if (kind := facts.get("sample_type")) == "int16" and "uv_per_unit" in facts:
        sampled += f" in steps of {number(facts['uv_per_unit'])} µV (16-bit integers)"
    elif kind is not None:
        sampled += f" {SAMPLES.get(kind, f'as {kind}')}"
    who = counted(facts["electrodes_enabled"], "electrode")
    if facts.get("wells", 0) > 1:
        who += f" in {facts['wells']} wells"
    scheme, name = facts["source_kind"], facts["source_name"]
    if facts.get("source_live"):
        where = LIVE.get(scheme, f"received from the source “{scheme}:{{}}”").format(name)
        return f"Spikes were detected in real time with {software} in the signals of {who}, {where} and {sampled}"
    where = PAST.get(scheme, f"the signals (“{scheme}:{{}}”) of ").format(name)
    return f"Spikes were detected with {software} in {where}{who}, {sampled}"


def _left_out(facts: Facts) -> Iterator[str]:
    if disabled := facts.get("electrodes_disabled"):
        yield f"Of {counted(facts['electrodes'], 'electrode')}, {electrodes(disabled)} {were(len(disabled))} left out"
    if others := facts.get("other_channels"):
        kinds = [counted(n, f"{KINDS.get(kind, kind)} channel") for kind, n in others.items()]
        yield f"The stream's {listed(kinds)} {were(sum(others.values()))} not searched for spikes"


def _noise(facts: Facts) -> Iterator[str]:
    mode = facts.get("noise_mode")
    if mode == "file":
        file = f" (“{facts['noise_file']}”)" if facts.get("noise_file") else ""
        yield f"The noise level σ of each electrode was read from a file{file} and kept"
        return
    if facts["noise_is_mad"]:
        pieces = " of pieces of about 60 ms" if facts["noise_is_of_quiet_pieces"] else ""
        yield (
            f"The noise level σ of each electrode was estimated from {compared(facts)} as "
            f"median(|x − median(x)|)/0.67448975{pieces} (after Quiroga et al. 2004)"
        )
    elif "noise_estimator" in facts:
        yield f"The noise level σ of each electrode was estimated as the {facts['noise_estimator']}"
    else:
        return
    if facts.get("electrodes_ever_with_sigma") == 0:
        yield "No electrode had measurable noise, and so none ever had a noise level"
        return
    text = f"It was learnt from the first {seconds(learnt)}" if (learnt := _learnt_s(facts)) else ""
    after = facts.get("noise_freeze_after_s", 0.0)
    released = any(control["change"].get("change") in RELEASES for control in facts["control_changes"])
    followed = mode == "running" or after or released
    if text and followed and not facts.get("sigma_updates"):
        text += "; the log tells of no renewal"
    elif text and followed and facts["noise_is_of_quiet_pieces"]:
        text += (
            f"; from then on it was the level of the quiet pieces among those of the last "
            f"{exact(facts['noise_window_s'])} s, renewed every {exact(facts['noise_block_s'])} s, so that bursts of "
            f"spikes hardly raised it"
        )
    elif text and mode == "running":
        text += ", and followed the signal from then on"
    if text:
        yield text
    if mode == "freeze" and after >= facts["logged_to_s"] > 0:
        yield f"From {exact(after)} s after the start on it would have been kept as it was; the log ends before"
    elif mode == "freeze":
        since = f"From {exact(after)} s after the start on" if after else "From then on"
        yield f"{since} it was kept as it was"


def _learnt_s(facts: Facts) -> float:
    """Return from how much of the start σ was learnt: all there was, where the signal ended before; 0: not told.

    A log that ends before its session does not shorten it: nothing is logged until σ was learnt.
    """
    initial = float(facts.get("noise_initial_s", 0.0))
    if "engine_to_s" in facts:
        return min(initial, float(facts["engine_to_s"]))
    return min(initial, float(facts["logged_to_s"])) if facts["ended"] == "end" else initial


def _in_force(facts: Facts) -> Iterator[str]:
    """Say σ and thresholds at the start and at the end, as the log has them."""
    start, end = _levels(facts, "start"), _levels(facts, "end")
    if start or end:
        yield _over_time(facts, start, end)
    muted = set(facts["electrodes_muted"])
    never = [label for label in facts.get("electrodes_never_with_threshold", ()) if label not in muted]
    dead = [label for label in facts.get("electrodes_without_threshold_end", ()) if label not in {*muted, *never}]
    why = "for lack of measurable noise"
    if never and not facts["electrodes_ever_with_threshold"]:
        yield f"No electrode had a threshold at any time, {why}: no spike could be found"
    elif never:
        yield f"{electrodes(never)} never had a threshold, {why}"
    if dead:
        yield f"At the end {electrodes(dead)} had no threshold, {why}"


def _over_time(facts: Facts, start: str, end: str) -> str:
    if (n := facts["threshold_updates"]) and start != end:
        text = f"At the start {start or 'there was no threshold'}; at the end, after {counted(n, 'update')}, "
        text += end or "there was no threshold"
    else:
        text = f"Throughout, {start or end}"
    return text + (" (medians and ranges over electrodes)" if "(" in text else "")


def _levels(facts: Facts, when: str) -> str:
    """Return σ and thresholds with their units, as a clause; "" where there were none."""
    found = []
    if sigma_counts(facts) and f"sigma_{when}_uv" in facts:
        found.append(f"σ was {spread(facts[f'sigma_{when}_uv'], 'µV')}")
    sides = ("falling", "rising")
    heights = [spread(facts[name], "µV") for side in sides if (name := f"threshold_{side}_{when}_uv") in facts]
    if heights:
        subject, verb = ("threshold", "was") if len(heights) == 1 else ("thresholds", "were")
        found.append(f"the {subject} {verb} {listed(heights)}")
    return listed(found) if found else ""
