"""What was changed while the session ran, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rtspikes.subscribers.account.english import MOST_NAMED, electrodes, exact, listed, number, times, were

Facts = Mapping[str, Any]

MOST_TOLD = 12
"""Changes that are told one by one; of more, how many of each kind."""

KINDS = {
    "levels": "saved thresholds were loaded",
    "freeze": "the noise level was frozen",
    "follow": "the noise level was let follow the signal",
    "recalibrate": "the noise level was learnt anew",
}
"""Changes of all electrodes."""


def changes(facts: Facts) -> Iterator[str]:
    """Yield the control changes, and who was muted."""
    found = facts["control_changes"]
    lost = facts["messages_missed_by_kind"].get("notices", 0)
    if not found:
        known = "are not known to have been" if lost else "were not"
        yield f"The settings of detection {known} changed while the session ran"
        return
    if len(found) <= MOST_TOLD:
        texts = [f"at {number(each['at_s'], 6)} s {_change(each['change'])}" for each in found]
    else:
        kinds = Counter(str(each["change"].get("change")) for each in found)
        texts = [f"{kind} {times(n)}" for kind, n in kinds.items()]
    least = "at least " if lost else ""
    yield (
        f"Detection was changed {least}{times(len(found))} while the session ran: {listed(texts)} (from the first "
        f"sample on; “rtspikes replay --like” repeats the changes at their samples)"
    )
    if muted := facts["electrodes_muted"]:
        yield f"{electrodes(muted)} {were(len(muted))} muted for a part of the session"


def _change(change: Mapping[str, Any]) -> str:
    """Return what a change did, as a clause."""
    kind, who = str(change.get("change")), _who(change.get("select"))
    match kind:
        case "threshold" if change.get("threshold") is not None:
            return f"the threshold of {who} was set to {exact(change['threshold'])} σ"
        case "threshold":
            return f"the threshold of {who} was set to {exact(abs(change['threshold_uv']))} µV"
        case "mute" | "unmute":
            return f"{who} {_verb(change.get('select'))} {kind}d"
        case "blank":
            return f"{who} {_verb(change.get('select'))} blanked for {exact(change['ms'])} ms"
        case _:
            return KINDS.get(kind, f"there was a change “{kind}”")


def _who(select: Any) -> str:
    parts = [str(each) for each in select] if isinstance(select, list) else [str(select)]
    names = listed(["all channels" if part == "*" else part for part in parts])
    return names if len(parts) <= MOST_NAMED else f"the channels of {len(parts)} selectors"


def _verb(select: Any) -> str:
    single = not isinstance(select, list) and not any(sign in str(select) for sign in "*?[-:")
    return "was" if single or (isinstance(select, list) and len(select) == 1) else "were"
