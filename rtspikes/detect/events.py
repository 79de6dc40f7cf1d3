"""What detection brings: events with their ids, in the order (trigger, channel), and the thresholds in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
        if not len(found) and not len(ended.done):
            crossings, spikes, rejected = self._no_tables
            return Events(
                crossings, spikes, ended.waveforms, ended.flags, ended.neighbours, rejected, crossings_to, spikes_to
            )
        crossings = np.zeros(len(found), CROSSING_DTYPE)
        if len(found):
            found = found[np.lexsort((found["channel"], found["crossing"]))]
            crossings["id"] = np.arange(self._next_id, self._next_id + len(found))
            crossings["crossing"], crossings["channel"] = found["crossing"], found["channel"]
            crossings["value_uv"], crossings["threshold_uv"] = found["value"], found["threshold"]
            self._next_id += len(found)
        done = ended.done
        whole = done["reason"] == 0
        ids = np.arange(self._next_end, self._next_end + len(done), dtype=np.uint64)
        self._next_end += len(done)
        good, bad = done[whole], done[~whole]
        spikes = np.zeros(len(good), SPIKE_DTYPE)
        spikes["id"], spikes["unit"] = ids[whole], -1
        for name in ("sample", "crossing", "channel"):
            spikes[name] = good[name]
        spikes["amplitude_uv"], spikes["threshold_uv"] = good["amplitude"], good["threshold"]
        rejected = np.zeros(len(bad), REJECTED_DTYPE)
        rejected["id"], rejected["reason"] = ids[~whole], bad["reason"]
        rejected["crossing"], rejected["channel"] = bad["crossing"], bad["channel"]
        rejected["threshold_uv"] = bad["threshold"]
        return Events(
            crossings, spikes, ended.waveforms[whole], ended.flags[whole], ended.neighbours[whole], rejected,
            crossings_to, spikes_to,
        )  # fmt: skip


def joined(events: list[Events]) -> Events:
    """Return the events of several steps as one."""
    if len(events) == 1:
        return events[0]
    some = [e for e in events if len(e.crossings) or len(e.spikes) or len(e.rejected)] or events[:1]
    unobserved = [e.unobserved for e in events if len(e.unobserved)]
    return Events(
        np.concatenate([e.crossings for e in some]),
        np.concatenate([e.spikes for e in some]),
        np.concatenate([e.waveforms for e in some]),
        np.concatenate([e.flags for e in some]),
        np.concatenate([e.neighbours for e in some]),
        np.concatenate([e.rejected for e in some]),
        max(e.crossings_to for e in events),
        max(e.spikes_to for e in events),
        [t for e in events for t in e.thresholds],
        np.concatenate(unobserved) if unobserved else NOTHING_UNOBSERVED,
        [f for e in events for f in e.findings],
    )
