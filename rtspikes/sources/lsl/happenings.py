"""What happens while samples go to an outlet, for those who tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Began:
    """A fault has begun at `sample`."""

    fault: str
    sample: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault is over: `lost` samples from `sample` on were not sent; `time_s` is the stamp that `sample` would have.

    fault: "drop", "pause", "disconnect", "stall", "clock-step", or "source": the source itself had lost them.
    """

    fault: str
    sample: int
    lost: int
    time_s: float | None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Late:
    """So many pushes came late since this was told last; the worst of them by so much (s)."""

    pushes: int
    worst_s: float


@dataclass(frozen=True, slots=True)
class Consumers:
    """Somebody is there, or nobody any more."""

    there: bool


@dataclass(frozen=True, slots=True)
class Said:
    """The source says something."""

    text: str


Event = Began | Fault | Late | Consumers | Said
