"""The loops that order events and write their tables: by (crossing, channel), of which there is only one each."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, int64, types, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import done_type, f2, found_type
from rtspikes.types import CROSSING_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE

_crossing, _spike, _rejected = (from_dtype(dtype) for dtype in (CROSSING_DTYPE, SPIKE_DTYPE, REJECTED_DTYPE))


def _order(events: NDArray[np.void]) -> NDArray[np.intp]:
    """Return the events' order. Crossings of one call lie within 2³¹ samples of each other."""
    crossing = events["crossing"]
    return np.argsort(((crossing - crossing[0]) << 32) + events["channel"])


def crossings_table(found: NDArray[np.void], next_id: int) -> NDArray[np.void]:
    """Return crossings (FOUND_DTYPE, in any order) as CROSSING_DTYPE, in order, with ids from `next_id` on."""
    table = np.zeros(len(found), CROSSING_DTYPE)
    _write_crossings(found, _order(found), next_id, table)
    return table


@kernel(void(found_type[::1], int64[::1], int64, _crossing[::1]))
def _write_crossings(found, order, next_id, table):  # type: ignore[no-untyped-def]
    for i in range(len(order)):
        event, row = found[order[i]], table[i]
        row.id, row.crossing, row.channel = next_id + i, event.crossing, event.channel
        row.value_uv, row.threshold_uv = event.value, event.threshold


@kernel(void(done_type[::1], int64, _spike[::1], _rejected[::1]))
def write_ended(done, next_id, spikes, rejected):  # type: ignore[no-untyped-def]
    """Write ended events, which are in order, into the table that is theirs, with ids from `next_id` on."""
    n_spikes = n_rejected = 0
    for i in range(len(done)):
        event = done[i]
        if event.reason:
            row = rejected[n_rejected]
            row.id, row.reason, row.crossing, row.channel = next_id + i, event.reason, event.crossing, event.channel
            row.threshold_uv = event.threshold
            n_rejected += 1
        else:
            spike = spikes[n_spikes]
            spike.id, spike.unit, spike.sample, spike.crossing = next_id + i, -1, event.sample, event.crossing
            spike.channel, spike.amplitude_uv, spike.threshold_uv = event.channel, event.amplitude, event.threshold
            n_spikes += 1


def append(
    done: NDArray[np.void],
    waveforms: NDArray[np.float32],
    neighbours: NDArray[np.float32],
    n: int,
    events: NDArray[np.void],
    kept_waveforms: NDArray[np.float32],
    kept_neighbours: NDArray[np.float32],
) -> None:
    """Write ended events (DONE_DTYPE, in any order) and what belongs to them, in order, behind the `n` kept ones."""
    _append(done, waveforms, neighbours, _order(done), n, events, kept_waveforms, kept_neighbours)


@kernel(void(done_type[::1], f2, f2, int64[::1], int64, done_type[::1], f2, f2))
def _append(done, waveforms, neighbours, order, n, events, kept_waveforms, kept_neighbours):  # type: ignore[no-untyped-def]
    for i in range(len(order)):
        events[n + i] = done[order[i]]
        kept_waveforms[n + i] = waveforms[order[i]]
        kept_neighbours[n + i] = neighbours[order[i]]


@kernel(types.Tuple((int64, int64))(done_type[::1], int64, int64, int64))  # type: ignore[no-untyped-call]
def places(events, n, stop, keep):  # type: ignore[no-untyped-def]
    """Return how many of the first `n` events have a crossing < stop, and how many < keep."""
    before_stop = before_keep = 0
    for i in range(n):
        before_stop += events[i].crossing < stop
        before_keep += events[i].crossing < keep
    return before_stop, before_keep
