"""The filter and the common reference in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtspikes.subscribers.account.english import counted, exact, hertz, listed, number

Facts = Mapping[str, Any]

ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth"}
CAUSALLY = "The signals were filtered causally (forward in time only) by"


def signal(facts: Facts) -> str:
    """Return what became of the signal before the method."""
    steps = [] if facts.get("filter_kind") == "none" else ["filtered"]
    steps += ["referenced"] if "reference_kind" in facts else []
    return f"the {listed(steps) if steps else 'raw'} signal"


def filtering(facts: Facts) -> Iterator[str]:
    """Yield what the filter was: its parts where they are known, else its pass-band."""
    kind = facts.get("filter_kind")
    if kind == "none":
        yield "The signals were not filtered"
    if kind in (None, "none"):
        return
    parts = []
    if "filter_highpass_hz" in facts:
        parts.append(f"{_order(facts, 'highpass')} high-pass at {hertz(facts['filter_highpass_hz'])}")
    if "filter_mains_zero_hz" in facts:
        zero = number(facts["filter_mains_zero_hz"])
        parts.append(f"a second-order section with its zeros at {zero} Hz against mains interference")
    if "filter_lowpass_hz" in facts:
        parts.append(f"{_order(facts, 'lowpass')} low-pass at {hertz(facts['filter_lowpass_hz'])}")
    if kind == "spike":
        down = [f"{-facts[f'filter_at_{hz}_hz_db']:.0f}" for hz in (50, 60)]
        by = down[0] if down[0] == down[1] else " and ".join(down)
        yield f"{CAUSALLY} {', '.join(parts[:-1])}, and {parts[-1]}; together they attenuated 50 and 60 Hz by {by} dB"
    elif parts:
        yield f"{CAUSALLY} {listed(parts)}"
    else:
        yield f"{CAUSALLY} {counted(facts['filter_sections'], 'recursive second-order section')}{_passband(facts)}"


def _order(facts: Facts, side: str) -> str:
    n = facts[f"filter_{side}_order"]
    family = " Butterworth" if facts["filter_kind"] == "butterworth" or side == "lowpass" else ""
    return f"{'an' if n == 8 else 'a'} {ORDINALS[n]}-order{family}"


def _passband(facts: Facts) -> str:
    low, high = facts.get("filter_passband_low_hz"), facts.get("filter_passband_high_hz")
    if low and high:
        return f" that passed {hertz(low)} to {hertz(high)} (−3 dB)"
    edge = low or high
    return f" that passed all {'above' if low else 'below'} {hertz(edge)} (−3 dB)" if edge else ""


def referencing(facts: Facts) -> Iterator[str]:
    """Yield the common reference."""
    kind, groups = facts.get("reference_kind"), facts.get("reference_groups")
    if kind is None:
        return
    before = "" if facts.get("filter_kind") == "none" else "filtered "
    others = "other " if kind == "median" else ""
    if isinstance(groups, list):
        who = f"the {others}electrodes of its group (groups: {', '.join(map(str, groups))})"
    else:
        who = f"the {others}electrodes of its well" if groups == "well" else f"all {others}electrodes"
    text = f"From each {before}signal the {kind} of {who} at the same sample was subtracted (common {kind} reference)"
    if "reference_noisy_medians" in facts:
        most = exact(facts["reference_noisy_medians"])
        text += f"; electrodes without noise, or with a noise level above {most} times the median, did not count for it"
    yield text
