"""Dead time, alignment and waveform in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtspikes.subscribers.account.english import counted, electrodes, exact, listed, number
from rtspikes.subscribers.account.filter_text import signal

Facts = Mapping[str, Any]

EXTREMA = {"neg": "minimum", "pos": "maximum", "both": "extremum"}


def extremum(signs: set[str | None]) -> str:
    """Return what the spikes of some signs have."""
    return EXTREMA.get(next(iter(signs)) or "both", "extremum") if len(signs) == 1 else "extremum"


def events(facts: Facts) -> Iterator[str]:
    """Yield what a crossing was followed by, where a spike is, and what of it was kept."""
    yield from _dead_time(facts)
    before, after = (exact(round(facts[f"waveform_{side}_ms"], 3)) for side in ("before", "after"))
    waveform = f"from {before} ms before to {after} ms after it ({counted(facts['waveform_samples'], 'sample')})"
    what = extremum({group["sign"] for group in facts["thresholds"]})
    where = {
        "peak": f"the {what} of {signal(facts)} {_searched(facts)}",
        "crossing": "the crossing",
        "window": f"this {what}",
    }.get(facts.get("alignment", ""))
    if where:
        yield f"A spike was placed at {where}, and its waveform was taken {waveform}"
    else:
        yield f"Waveforms were taken {waveform.replace(' it ', ' the spike ')}"
    if not facts["spikes_sorted"]:
        yield "Spikes were not sorted: a spike here is an event of an electrode, not of a unit"


def _dead_time(facts: Facts) -> Iterator[str]:
    groups = [group for group in facts["dead_times"] if group["ms"] is not None]
    if not groups:
        return
    first, *rest = groups
    others = [f"{_lasted(group)} on {electrodes(group['labels'])}" for group in rest]
    lasted = listed([_lasted(first), *others])
    if facts.get("method") == "window":
        yield f"Of spikes of one electrode less than {lasted} apart, the one farthest from its window's mean was kept"
    else:
        yield f"Each crossing began a dead time of {lasted}, in which the electrode had no other"


def _lasted(group: Mapping[str, Any]) -> str:
    samples = group.get("samples")
    return f"{exact(group['ms'])} ms" + ("" if samples is None else f" ({counted(samples, 'sample')})")


def _searched(facts: Facts) -> str:
    """Return the stretch in which the extremum was searched."""
    if "peak_search_ms" not in facts:
        return ""
    search = f"{exact(facts['peak_search_ms'])} ms"
    shortest = min((g["ms"] for g in facts["dead_times"] if g["ms"] is not None), default=None)
    ends = shortest is not None and shortest <= facts["peak_search_ms"]
    limit = " (at most to the end of the dead time)" if ends else ""
    method = facts.get("method")
    if (back := facts.get("peak_search_back_ms")) is not None:
        return f"from {number(back, 3)} ms before to {search} after the crossing{limit}"
    return f"within {search} {'of' if method in ('energy', 'matched') else 'after'} the crossing{limit}"
