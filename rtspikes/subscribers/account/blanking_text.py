"""What was blanked, and why, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtspikes.subscribers.account.english import counted, electrodes, exact, listed, seconds, times, were

Facts = Mapping[str, Any]


def blanking(facts: Facts) -> Iterator[str]:
    """Yield the rules, and what they cost."""
    texts = list(_rules(facts))
    by_hand = any(change["change"].get("change") == "blank" for change in facts["control_changes"])
    if (texts or by_hand) and "hold_off_ms" in facts:
        hold_off = exact(facts["hold_off_ms"])
        texts.append(
            f"While an electrode was blanked its filter was held, and no event counted until {hold_off} ms later"
        )
    yield from texts
    if n := facts["blankings_by_announced_marks"]:
        yield f"Marks from outside the signal blanked {times(n)}"
    yield from _cost(facts, bool(texts))
    if n := facts["marks_too_late_to_blank"]:
        yield f"{counted(n, 'mark')} came too late to blank anything"


def _rules(facts: Facts) -> Iterator[str]:
    if causes := list(_causes(facts)):
        yield f"An electrode was blanked {listed(causes, 'or')}"
        if "blank_well_fraction" in facts:
            share = exact(100 * facts["blank_well_fraction"])
            group = "a well" if facts.get("wells", 0) > 1 else "the array"
            yield f"Where this held for at least {share} % of the electrodes of {group} at once, all were blanked"
    for rule in facts["blank_at_marks"]:
        yield f"{_selected(rule.get('select'))} blanked for {exact(rule['ms'])} ms from each mark{_marks(rule)} on"


def _causes(facts: Facts) -> Iterator[str]:
    if "blank_at_rails" in facts:
        rails = facts.get("rails_uv")
        where = f"{exact(rails[0])} or {exact(rails[1])} µV" if rails else "a rail of its converter"
        yield f"while it was at {'or beyond ' if rails else ''}{where}"
    if "blank_slew_uv_per_sample" in facts:
        yield f"where its raw signal moved by {exact(facts['blank_slew_uv_per_sample'])} µV or more in one sample"


def _cost(facts: Facts, asked: bool) -> Iterator[str]:
    blanked = facts["unobserved"].get("blanked")
    if blanked is None:
        if asked and facts["unobserved_is_logged"]:
            yield "Nothing was blanked in the session"
        return
    lost = f"{seconds(blanked['electrode_s'])} (summed over electrodes) on {electrodes(blanked['labels'])}"
    n = facts["rejected"].get("blanked", 0)
    cut = f"; {counted(n, 'event')} that blanking cut short {were(n)} rejected" if n else ""
    if asked:
        yield f"Blanking took {lost}{cut}"
    else:
        yield f"Samples without a valid value were held, which took {lost}{cut}"


def _marks(rule: Mapping[str, Any]) -> str:
    parts = []
    if "line" in rule:
        lines = rule["line"] if isinstance(rule["line"], list) else [rule["line"]]
        parts.append(f" of line {listed(map(str, lines), 'or')}")
    if "value" in rule:
        parts.append(f" with the value {rule['value']}")
    if "text" in rule:
        parts.append(f" with the text “{rule['text']}”")
    return "".join(parts)


def _selected(select: Any) -> str:
    if select in (None, "kind:electrode"):
        return "All electrodes were"
    names = ", ".join(map(str, select)) if isinstance(select, list) else str(select)
    return f"The selected channels ({names}) were"
