"""How a session goes: one map of figures for the page's strip, for `top`, and for whoever else shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rtspikes.errors import WireError
from rtspikes.subscribers.electrodes import electrodes

Fields = Mapping[str, Any]

SILENT_S = 2.0
"""An engine that sends nothing for so long is held up, or waits for a slow subscriber."""

NOT_UNDERSTOOD = (WireError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What comes of the messages of an engine of another make or version."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What whoever looks knows itself, and the engine does not."""

    state: str
    """connecting, live, silent, lost, ended, or session: one that is over."""
    text: str = ""
    """The same in one line, for people."""
    missed: int = 0
    """Messages that did not come here."""
    sigma_uv: float = math.nan
    """Median noise level (µV)."""
    viewers: int = 0
    """Pages that look at it."""


COUNTED = (
    (("counts", "lost_source"), "lost by source", "samples", "never reached this computer"),
    (("counts", "lost_overrun"), "lost by overrun", "samples", "came faster than they could be taken in or detected"),
    (("bad_samples",), "bad samples", "samples", "were NaN, infinite or no voltage, and were held"),
    (("suppressed",), "storm triggers", "triggers", "were too many on one channel, and were suppressed"),
    (("missed_by_subscribers",), "missed by subscribers", "messages", "did not reach a subscriber, as it reported"),
    (("remarks_dropped",), "notices dropped", "notices", "of the source found no room"),
    (("marks_dropped",), "marks dropped", "marks", "inside the signal found no room"),
    (("markers", "dropped"), "markers dropped", "markers", "of marker streams found no room"),
)
"""What `status` counts as lost: where, its name, its unit, what became of it."""

OF_HEALTH = ("dead", "noisy", "saturated")
OF_RECORDING = ("bytes", "bytes_per_s", "free_bytes", "hours_left")


def health(info: Fields, status: Fields, seen: Seen) -> dict[str, Any]:
    """Return the `health` message.

    info, status: the fields of these messages, empty where none has come. None stands for what is not known.
    """
    latency = _map(_map(status, "latency_ms"), "total")
    return {
        "t": "health",
        "state": seen.state,
        "text": seen.text,
        **{name: _number(status, name) for name in ("elapsed_s", "signal_s", "spikes_per_s")},
        "active": _number(status, "active_electrodes"),
        "electrodes": int(electrodes(info).sum()) if info else None,
        "sigma_uv": round(seen.sigma_uv, 3) if math.isfinite(seen.sigma_uv) else None,
        "losses": list(losses(status, seen)),
        "latency_ms": {name: _number(latency, name) for name in ("p50", "p99")} if latency else None,
        "ring_fill": _number(status, "ring_fill"),
        "recording": _recording(_map(status, "recording")),
        "subscribers": _number(status, "subscribers"),
        "viewers": seen.viewers,
        "frozen": bool(status["frozen"]) if "frozen" in status else None,
        **{name: _number(status, name) for name in ("muted", "storming")},
        **{name: _number(_map(status, "health"), name) for name in OF_HEALTH},
    }


def _recording(told: Fields) -> dict[str, Any] | None:
    if not told:
        return None
    return {"path": str(told.get("path", "")), **{name: _number(told, name) for name in OF_RECORDING}}


def losses(status: Fields, seen: Seen) -> Iterator[dict[str, Any]]:
    """Yield what is missing, by cause, also where it is 0; then what was left out or marked on purpose."""
    for path, name, unit, text in COUNTED:
        at = status
        for key in path[:-1]:
            at = _map(at, key)
        if (amount := _number(at, path[-1])) is not None:
            yield _loss(name, amount, unit, text, True)
    yield _loss("missed here", seen.missed, "messages", "did not reach this viewer", True)
    rejected = _map(status, "rejected")
    for reason in rejected:
        if (amount := _number(rejected, reason)) is not None:
            yield _loss(f"rejected: {reason}", amount, "events", "are no spikes", False)
    if (amount := _number(_map(status, "counts"), "flagged")) is not None:
        yield _loss("flagged", amount, "spikes", "are to be looked at with care", False)


def _loss(name: str, amount: float, unit: str, text: str, loss: bool) -> dict[str, Any]:
    return {"name": name, "amount": amount, "unit": unit, "text": text, "loss": loss}


def _map(fields: Fields, name: str) -> Fields:
    """Return a map of a message; empty where it is none."""
    found = fields.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(fields: Fields, name: str) -> Any:
    """Return a number of a message; None where it is none."""
    found = fields.get(name)
    return found if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found) else None
