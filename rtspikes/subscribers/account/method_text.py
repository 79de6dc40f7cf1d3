"""What was compared with which threshold, in the words of each method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rtspikes.subscribers.account.english import counted, electrodes, exact, listed, number
from rtspikes.subscribers.account.event_text import extremum
from rtspikes.subscribers.account.filter_text import signal

Facts = Mapping[str, Any]

PASSES = {"neg": "fell below", "pos": "rose above", "both": "went beyond"}
UNITS = {"sigma": "σ", "uv": "µV", "units": "units of the stream"}


def compared(facts: Facts) -> str:
    """Return the signal x that σ is the noise level of."""
    if facts.get("method") == "energy":
        return "this root x"
    return f"{signal(facts)} x"


def operator(facts: Facts) -> Iterator[str]:
    """Yield how the energy operator was computed, which comes before its noise level."""
    if facts.get("method") != "energy":
        return
    k = facts.get("energy_k_samples")
    lag = "" if k is None else f", with k = {counted(k, 'sample')} ({number(facts['energy_k_ms'], 3)} ms)"
    yield (
        f"What was compared with the threshold was the square root of the nonlinear energy operator "
        f"ψ[n] = y[n]² − y[n−k]·y[n+k] of {signal(facts)} y (Mukhopadhyay and Ray 1998){lag}, which was "
        f"smoothed by a Hamming window of 4k + 1 samples (Choi et al. 2006) before the root was taken"
    )


def crossings(facts: Facts) -> Iterator[str]:
    """Yield what made an event, with the thresholds, and on which electrodes they were others."""
    groups = [group for group in facts["thresholds"] if group["height"] is not None]
    method = facts.get("method") or "threshold"
    if groups:
        yield _crossing(facts, method, groups)
    if method == "hoop":
        yield from _hoop(facts)
    if method == "matched":
        yield from _matched(facts)


def _crossing(facts: Facts, method: str, groups: Sequence[Mapping[str, Any]]) -> str:
    first, *rest = groups
    what = extremum({group["sign"] for group in groups})
    never = facts.get("electrodes_ever_with_threshold") == 0
    was, held = ("would have been", "would have held") if never else ("was", "held")
    if method == "energy":
        return (
            f"A spike {was} detected where the root rose above {_height(first, unsigned=True)}"
            f"{_others(rest, unsigned=True)}"
        )
    if method == "window":
        hop, length = facts["window_hop_samples"], facts["window_length_samples"]
        cut = signal(facts).capitalize()
        windows = f"windows of {counted(length, 'sample')}, one every {counted(hop, 'sample')} from sample 0 on"
        return (
            f"{cut} was cut into {windows}; a window {held} a spike where its {what} was farther than "
            f"{_height(first, unsigned=True)} from its mean{_others(rest, unsigned=True)}"
        )
    if method == "matched":
        score = f"the output of a whitened matched filter, scaled to the noise level of {signal(facts)},"
        return f"A spike {was} detected where {score} {_passed(first)}{_others(rest)}"
    noun = "crossing" if method == "hoop" else "spike"
    return f"A {noun} {was} detected where {signal(facts)} {_passed(first)}{_others(rest)}"


def _passed(group: Mapping[str, Any]) -> str:
    return f"{PASSES[group['sign'] or 'both']} {_height(group)}"


def _height(group: Mapping[str, Any], unsigned: bool = False) -> str:
    sign = "" if unsigned else {"neg": "−", "pos": "", "both": "±"}[group["sign"] or "both"]
    return f"{sign}{exact(group['height'])} {UNITS[group['unit']]}"


def _others(groups: Sequence[Mapping[str, Any]], unsigned: bool = False) -> str:
    """Return the thresholds of electrodes that rules give another one."""
    if not groups:
        return ""
    texts = []
    for group in groups:
        side = f" ({extremum({group['sign']})})" if unsigned else ""
        texts.append(f"{_height(group, unsigned)}{side} on {electrodes(group['labels'])}")
    return f"; the threshold was {listed(texts)}"


def _hoop(facts: Facts) -> Iterator[str]:
    parts = []
    if hoops := facts["hoops"]:
        texts = []
        for hoop in hoops:
            (low, high), (begin, end) = map(exact, hoop["uv"]), map(exact, hoop["ms"])
            texts.append(f"{low} to {high} µV at {begin}–{end} ms")
        which = "a time–amplitude window" if len(hoops) == 1 else f"each of {len(hoops)} time–amplitude windows"
        parts.append(f"passed {which} after the crossing ({'; '.join(texts)})")
    if "hoop_largest_uv" in facts:
        parts.append(f"stayed within ±{exact(facts['hoop_largest_uv'])} µV")
    yield f"A crossing counted as a spike if the signal {listed(parts)}"


def _matched(facts: Facts) -> Iterator[str]:
    shared = facts.get("matched_scope") == "shared"
    whose = (
        "One filter for all electrodes was learnt from their"
        if shared
        else "Each electrode's filter was learnt from its"
    )
    if "matched_length_ms" in facts:
        length, before = exact(facts["matched_length_ms"]), exact(facts["matched_before_ms"])
        yield (
            f"{whose} own spikes of {exact(facts['matched_spike_sigma'])} σ and more "
            f"({exact(facts['matched_first_spike_sigma'])} σ before there was a filter) and from stretches within "
            f"±{exact(facts['matched_quiet_sigma'])} σ while the session ran, was {length} ms long ({before} ms of it "
            f"before the sample that it scored), and was renewed every {exact(facts['matched_update_s'])} s"
        )
    else:
        yield f"{whose} own large spikes and quiet stretches while the session ran"
    if not shared:
        yield "While an electrode had few spikes, those of all electrodes counted too"
    yield f"Until there was a matched filter, {signal(facts)} itself was compared with the threshold"
