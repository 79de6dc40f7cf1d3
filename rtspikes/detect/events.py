"""What detection brings: events with their ids, in the order (trigger, channel), and the thresholds in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.tables import crossings_table, together, write_ended
from rtspikes.types import CROSSING_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, UNOBSERVED_DTYPE


@dataclass(frozen=True, slots=True)
class ThresholdUpdate:
    """σ and thresholds in force from `sample` on, all (channels,) float32 in signed µV; ∓inf: no such crossing."""

    sample: int
    sigma_uv: NDArray[np.float32]
    below_uv: NDArray[np.float32]
    above_uv: NDArray[np.float32]


class Finding(NamedTuple):
    """Something about the signal that a person should know, from `sample` on: becomes a notice.

    `amount` is the notice's `count`, `facts` are further entries of it: numbers, texts, lists of labels.
    """

    sample: int
    cause: str
    text: str
    amount: int = 1
    facts: Mapping[str, Any] = {}


NOTHING_UNOBSERVED = np.zeros(0, UNOBSERVED_DTYPE)


@dataclass(slots=True)
class Events:
    """What a call found; `time` columns are 0 until the engine's clock fills them.

    Every event with a crossing before `crossings_to` is in `crossings` (of this or an earlier call); before
    `spikes_to`, in `spikes` or `rejected`. waveforms: (spikes, snippet samples) float32 µV; flags: (spikes,) uint8
    SpikeFlag; neighbours: (spikes, K) float32 µV, the filtered signal at `sample` on K electrodes near by (NaN: fewer).
    unobserved: UNOBSERVED_DTYPE.
    """

    crossings: NDArray[np.void]
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]
    flags: NDArray[np.uint8]
    neighbours: NDArray[np.float32]
    rejected: NDArray[np.void]
    crossings_to: int
    spikes_to: int
    thresholds: list[ThresholdUpdate] = field(default_factory=list)
    unobserved: NDArray[np.void] = field(default_factory=lambda: NOTHING_UNOBSERVED)
    findings: list[Finding] = field(default_factory=list)


class Ended(NamedTuple):
    """Events that have ended, by (crossing, channel): DONE_DTYPE, waveforms, flags, neighbours' amplitudes."""

    done: NDArray[np.void]
    waveforms: NDArray[np.float32]
    flags: NDArray[np.uint8]
    neighbours: NDArray[np.float32]


class Register:
    """Gives events their ids, and forms the tables."""

    def __init__(self) -> None:
        self._next_id = self._next_end = 0
        self._no_tables = tuple(np.zeros(0, dtype) for dtype in (CROSSING_DTYPE, SPIKE_DTYPE, REJECTED_DTYPE))

    def enter(self, found: NDArray[np.void], ended: Ended, crossings_to: int, spikes_to: int) -> Events:
        """Return crossings (FOUND_DTYPE, of later samples than those before, in any order) and what ended as events."""
        crossings, spikes, rejected = self._no_tables
        waveforms, flags, neighbours = ended.waveforms, ended.flags, ended.neighbours
        if len(found):
            crossings = crossings_table(found, self._next_id)
            self._next_id += len(found)
        if n := len(ended.done):
            whole = ended.done["reason"] == 0
            n_whole = int(np.count_nonzero(whole))
            spikes, rejected = np.zeros(n_whole, SPIKE_DTYPE), np.zeros(n - n_whole, REJECTED_DTYPE)
            write_ended(ended.done, self._next_end, spikes, rejected)
            self._next_end += n
            if n_whole < n:
                waveforms, flags, neighbours = waveforms[whole], flags[whole], neighbours[whole]
        return Events(crossings, spikes, waveforms, flags, neighbours, rejected, crossings_to, spikes_to)


def joined(events: list[Events]) -> Events:
    """Return the events of several steps as one."""
    if len(events) == 1:
        return events[0]
    some = [e for e in events if len(e.crossings) or len(e.spikes) or len(e.rejected)] or events[:1]
    unobserved = [e.unobserved for e in events if len(e.unobserved)]
    return Events(
        together([e.crossings for e in some]),
        together([e.spikes for e in some]),
        together([e.waveforms for e in some]),
        together([e.flags for e in some]),
        together([e.neighbours for e in some]),
        together([e.rejected for e in some]),
        max(e.crossings_to for e in events),
        max(e.spikes_to for e in events),
        [t for e in events for t in e.thresholds],
        together(unobserved) if unobserved else NOTHING_UNOBSERVED,
        [f for e in events for f in e.findings],
    )
