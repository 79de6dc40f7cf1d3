"""What detection brings: events with their ids, in the order (trigger, channel), and the thresholds in force."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import CROSSING_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, RejectReason

Parts = tuple[NDArray[np.void], NDArray[np.void], NDArray[np.float32]]
"""Results of one kernel call: FOUND_DTYPE, DONE_DTYPE, waveforms."""


@dataclass(frozen=True, slots=True)
class ThresholdUpdate:
    """σ and thresholds in force from `sample` on, all (channels,) float32 in signed µV; ∓inf: no such crossing."""

    sample: int
    sigma_uv: NDArray[np.float32]
    below_uv: NDArray[np.float32]
    above_uv: NDArray[np.float32]


@dataclass(slots=True)
class Events:
    """What a call found; `time` columns are 0 until the engine's clock fills them.

    Every event with a trigger before `crossings_to` is in `crossings` (of this or an earlier call); before `spikes_to`,
    in `spikes` or `rejected`. waveforms: (spikes, snippet samples) float32 µV.
    """

    crossings: NDArray[np.void]
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]
    rejected: NDArray[np.void]
    crossings_to: int
    spikes_to: int
    thresholds: list[ThresholdUpdate] = field(default_factory=list)


class Register:
    """Orders the kernel's results and gives them their ids."""

    def __init__(self, snippet: int) -> None:
        self._nothing = (
            np.zeros(0, CROSSING_DTYPE),
            np.zeros(0, SPIKE_DTYPE),
            np.zeros((0, snippet), np.float32),
            np.zeros(0, REJECTED_DTYPE),
        )
        self._next_id = self._next_end = 0

    def enter(self, parts: list[Parts], crossings_to: int, spikes_to: int) -> Events:
        """Return the results of one or several kernel calls as events."""
        parts = [p for p in parts if len(p[0]) or len(p[1])]
        crossings = self._nothing[0]
        if any(len(p[0]) for p in parts):
            found = np.concatenate([p[0] for p in parts])
            found = found[_order(found)]
            crossings = np.zeros(len(found), CROSSING_DTYPE)
            crossings["id"] = np.arange(self._next_id, self._next_id + len(found))
            crossings["crossing"], crossings["channel"] = found["crossing"], found["channel"]
            crossings["value_uv"], crossings["threshold_uv"] = found["value"], found["threshold"]
            self._next_id += len(found)

        if not any(len(p[1]) for p in parts):
            return Events(crossings, *self._nothing[1:], crossings_to, spikes_to)
        done = np.concatenate([p[1] for p in parts])
        order = _order(done)
        done = done[order]
        ids = np.arange(self._next_end, self._next_end + len(done), dtype=np.uint64)
        self._next_end += len(done)
        whole = done["sample"] >= 0
        good, cut = done[whole], done[~whole]
        spikes = np.zeros(len(good), SPIKE_DTYPE)
        spikes["id"], spikes["unit"] = ids[whole], -1
        for name in ("sample", "crossing", "channel"):
            spikes[name] = good[name]
        spikes["amplitude_uv"], spikes["threshold_uv"] = good["amplitude"], good["threshold"]
        rejected = np.zeros(len(cut), REJECTED_DTYPE)
        rejected["id"], rejected["reason"] = ids[~whole], RejectReason.CUT
        rejected["crossing"], rejected["channel"] = cut["crossing"], cut["channel"]
        rejected["threshold_uv"] = cut["threshold"]
        waveforms = np.concatenate([p[2] for p in parts])[order[whole]]
        return Events(crossings, spikes, waveforms, rejected, crossings_to, spikes_to)


def joined(events: list[Events]) -> Events:
    """Return the events of several steps as one."""
    if len(events) == 1:
        return events[0]
    return Events(
        np.concatenate([e.crossings for e in events]),
        np.concatenate([e.spikes for e in events]),
        np.concatenate([e.waveforms for e in events]),
        np.concatenate([e.rejected for e in events]),
        max(e.crossings_to for e in events),
        max(e.spikes_to for e in events),
        [t for e in events for t in e.thresholds],
    )


def _order(rows: NDArray[np.void]) -> NDArray[np.intp]:
    """Return the order by (trigger, channel)."""
    return np.lexsort((rows["channel"], rows["crossing"]))
