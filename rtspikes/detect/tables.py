"""The loops that order events and write their tables: by (crossing, channel), of which there is only one each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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


class Found(NamedTuple):
    """Events that have ended, in any order: DONE_DTYPE, waveforms, neighbours' amplitudes."""

    done: NDArray[np.void]
    waveforms: NDArray[np.float32]
    near: NDArray[np.float32]


def merged(kept: Found, parts: Sequence[Found]) -> Found:
    """Return the events of `parts`, in order, behind those that are `kept`, in memory of their own."""
    n, new = len(kept.done), sum(len(part.done) for part in parts)
    every = Found(*(np.empty((n + new, *each.shape[1:]), each.dtype) for each in kept))
    for whole, old in zip(every, kept, strict=True):
        whole[:n] = old
    places = np.empty(new, np.int64)
    places[_order(together([part.done for part in parts]))] = np.arange(n, n + new)
    at = 0
    for part in parts:
        _put(*part, places[at : at + len(part.done)], *every)
        at += len(part.done)
    return every


@kernel(void(done_type[::1], f2, f2, int64[::1], done_type[::1], f2, f2))
def _put(done, waveforms, neighbours, places, events, all_waveforms, all_neighbours):  # type: ignore[no-untyped-def]
    for i in range(len(places)):
        events[places[i]] = done[i]
        all_waveforms[places[i]] = waveforms[i]
        all_neighbours[places[i]] = neighbours[i]


def together(tables: list[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays one after the other. Those of records go as plain bytes: NumPy compares dtypes field by field."""
    if len(tables) == 1:
        return tables[0]
    dtype = tables[0].dtype
    if dtype.fields is None:
        return np.concatenate(tables)
    return np.concatenate([table.view(f"V{dtype.itemsize}") for table in tables]).view(dtype)


@kernel(types.Tuple((int64, int64))(done_type[::1], int64, int64, int64))  # type: ignore[no-untyped-call]
def places(events, n, stop, keep):  # type: ignore[no-untyped-def]
    """Return how many of the first `n` events have a crossing < stop, and how many < keep."""
    before_stop = before_keep = 0
    for i in range(n):
        before_stop += events[i].crossing < stop
        before_keep += events[i].crossing < keep
    return before_stop, before_keep
