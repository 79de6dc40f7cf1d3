"""The memory that the stages of detection share: a tile of channels is 32 to 256 neighbours, each in a lane.

Everything per channel is (tiles, lanes); the filtered signal's history is (tiles, depth, lanes), sample n in row
n % depth. Stages walk through a tile in blocks of 32 samples, so that the inner loops, over lanes, are vectors and
what they touch stays in the first-level cache. Block borders lie at multiples of 32 of the absolute index or at the
ends of a call; no result depends on them.
"""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import float32, from_dtype, int64, njit, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel

BLOCK = 32
"""Samples per inner block; a history's depth is a multiple of it."""

COLUMNS = 32
"""Lanes that are worked on at a time: two vectors, so that one is computed while the other waits for its results."""

WIDE_TILE = 256
"""Channels per tile at most, for methods whose loops run across lanes; a multiple of COLUMNS.

Those that look closely at single lanes have tiles of one column: 32 samples of it are one page of memory."""

LANE_DTYPE = np.dtype(
    [
        ("dead", "<i8"),  # samples after a crossing without another one
        ("after_bad", "<i8"),  # samples without a crossing behind one that was no voltage
        ("search", "<i8"),  # samples after a crossing in which the peak is searched
        ("quiet_until", "<i8"),  # no crossing before this sample
        ("last_held", "<i8"),  # the last sample that was held; −1: none yet
        ("triggers", "<i8"),  # crossings so far, suppressed ones too
        ("suppressed", "<i8"),  # crossings that a storm suppressed so far
        ("storming", "<i8"),  # 1: crossings are suppressed
    ]
)
"""What the stages know of a lane beside its signal."""

PENDING_DTYPE = np.dtype([("crossing", "<i8"), ("lane", "<i8"), ("threshold", "<f4"), ("polarity", "<i4")])
"""An event between its decision and its end. polarity: −1 trough, 1 peak, 0 whichever is larger."""

FOUND_DTYPE = np.dtype([("crossing", "<i8"), ("channel", "<i8"), ("value", "<f4"), ("threshold", "<f4")])
"""A crossing, as soon as it is decided."""

DONE_DTYPE = np.dtype(
    [
        ("crossing", "<i8"),
        ("sample", "<i8"),
        ("channel", "<i8"),
        ("amplitude", "<f4"),
        ("threshold", "<f4"),
        ("reason", "<i4"),  # RejectReason; 0: none so far
    ]
)
"""An event with its peak."""

HIT_DTYPE = np.dtype([("start", "<i8"), ("end", "<i8"), ("tile", "<i4"), ("lane", "<i4"), ("bits", "<u4")])
"""Where somebody must look closer: in samples [start, end), among the COLUMNS lanes from `lane` on where a bit is."""

OF_THRESHOLD = 2
"""In place of a polarity: that of the threshold which was crossed."""

NEVER = int(np.iinfo(np.int64).max)
"""A sample that does not come."""

HELD_BAD, HELD_BLANK = 1, 2
"""In the history of what was held: a sample that was no voltage; one that was blanked."""

f1, f2, f3, f4 = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :, ::1]
i1 = int64[::1]
lane_type, pending_type = from_dtype(LANE_DTYPE), from_dtype(PENDING_DTYPE)
found_type, done_type, hit = from_dtype(FOUND_DTYPE), from_dtype(DONE_DTYPE), from_dtype(HIT_DTYPE)
"""Types of kernel arguments."""


class Look(NamedTuple):
    """What a method is to look at: the samples [first, stop) of a segment, with no event before `armed`."""

    segment: int
    armed: int
    first: int
    stop: int
    rising: bool  # whether any channel has a threshold above 0
    seen: bool  # whether the lanes' hits say already where the filtered signal passes below its thresholds
    hold_off: int  # samples after a blanking without an event


class Lanes:
    """The shared arrays of one detector, or some tiles of them."""

    def __init__(
        self, n_channels: int, slice_samples: int, back: int, latency: int, spacing: int, widest: int = WIDE_TILE
    ) -> None:
        """back: samples of history before a crossing that any stage looks at. spacing: the shortest dead time.

        widest: lanes of a tile, at most; a multiple of COLUMNS.
        """
        tiles = -(-n_channels // widest)
        lanes = -(-n_channels // (tiles * COLUMNS)) * COLUMNS
        self.first_channel = 0
        self.n_channels = n_channels
        self.shape = tiles, lanes
        self.tiles = slice(0, tiles)
        self._all_shape, self._all_channels = self.shape, n_channels
        depth = (-(-(slice_samples + back + latency) // BLOCK) + 2) * BLOCK
        self.trace = np.zeros((tiles, depth, lanes), np.float32)
        self.held = np.zeros((tiles, depth, lanes), np.uint8)
        self.state = np.zeros(self.shape, LANE_DTYPE)
        self.state["last_held"] = -1
        self.below = np.full(self.shape, -np.inf, np.float32)
        self.above = np.full(self.shape, np.inf, np.float32)
        room = lanes * ((latency + slice_samples) // spacing + 3)
        self.pending = np.zeros((tiles, room), PENDING_DTYPE)
        self.n_pending = np.zeros(tiles, np.int64)
        self.found = np.empty(tiles * lanes * (slice_samples // spacing + 2), FOUND_DTYPE)
        self.n_found = np.zeros(1, np.int64)
        self.hits = np.zeros(tiles * (lanes // COLUMNS) * (slice_samples // BLOCK + 2), HIT_DTYPE)
        self.n_hits = np.zeros(1, np.int64)

    def parts(self, most: int) -> list[Lanes]:
        """Return all lanes cut into at most so many parts of whole tiles, in the order of their channels.

        A part has the same memory, but lists of its own of what was found.
        """
        tiles, _ = self.shape
        if min(most, tiles) == 1:
            return [self]
        borders = [tiles * i // min(most, tiles) for i in range(min(most, tiles) + 1)]
        return [self._part(a, b) for a, b in pairwise(borders)]

    def _part(self, first: int, stop: int) -> Lanes:
        tiles, lanes = self.shape
        part = copy(self)
        part.tiles = slice(first, stop)
        part.shape = stop - first, lanes
        part.first_channel = first * lanes
        part.n_channels = min(stop * lanes, self.n_channels) - part.first_channel
        for name in ("trace", "held", "state", "below", "above", "pending", "n_pending"):
            setattr(part, name, getattr(self, name)[part.tiles])
        for name in ("found", "hits"):
            whole = getattr(self, name)
            setattr(part, name, whole[len(whole) // tiles * first : len(whole) // tiles * stop])
        part.n_found, part.n_hits = np.zeros(1, np.int64), np.zeros(1, np.int64)
        return part

    def of(self, whole: NDArray[Any]) -> NDArray[Any]:
        """Return what belongs to these lanes of an array whose first axis is all tiles, in the same memory."""
        return whole[self.tiles]

    def tiled(self, values: NDArray[Any], fill: float) -> NDArray[Any]:
        """Return values of all channels (channels,) as (tiles, lanes) of these lanes."""
        out = np.full(self._all_shape, fill, values.dtype)
        out.reshape(-1)[: self._all_channels] = values
        return self.of(out)

    def channels(self, tiled: NDArray[Any]) -> NDArray[Any]:
        """Return values (tiles, lanes) as (channels,), in the same memory where that is possible."""
        return tiled.reshape(-1)[: self.n_channels]

    def take_found(self) -> NDArray[np.void]:
        """Return the crossings found since this was last called; good until more are found."""
        n = int(self.n_found[0])
        found = self.found[:n]
        if n:
            self.n_found[0] = 0
            if self.first_channel:
                found["channel"] += self.first_channel
        return found


@njit(nogil=True)
def passes_below(rows, n, threshold, low):  # type: ignore[no-untyped-def]
    """Put every lane's minimum over `n` rows into `low`; tell whether one lies below its threshold."""
    low[:] = rows[0]
    for i in range(1, n):
        row = rows[i]
        for c in range(len(low)):
            low[c] = min(low[c], row[c])
    hit = False
    for c in range(len(low)):
        hit |= low[c] < threshold[c]
    return hit


@njit(nogil=True)
def passes_above(rows, n, threshold, high):  # type: ignore[no-untyped-def]
    """Put every lane's maximum over `n` rows into `high`; tell whether one lies above its threshold."""
    high[:] = rows[0]
    for i in range(1, n):
        row = rows[i]
        for c in range(len(high)):
            high[c] = max(high[c], row[c])
    hit = False
    for c in range(len(high)):
        hit |= high[c] > threshold[c]
    return hit


@kernel(void(f3, f3, int64, int64, int64, int64))
def take_rows(history, rows, first, stop, stride, base):  # type: ignore[no-untyped-def]
    """Copy the samples of [first, stop) at multiples of `stride` into rows (tiles, n, lanes), from base · stride on."""
    depth = history.shape[1]
    for tile in range(len(history)):
        at = -(-first // stride) * stride
        while at < stop:
            rows[tile, at // stride - base, :] = history[tile, at % depth]
            at += stride


@njit(nogil=True)
def emit(  # type: ignore[no-untyped-def]
    lane, column, decided, n, value, threshold, polarity, state, pending, n_pending, tile, found, n_found
):  # fmt: skip
    """Take in the lane's crossing at `n`: count it, begin its dead time, and unless it storms make it an event.

    decided: the sample at which the crossing is decided; dead times are counted there.
    """
    state[lane].triggers += 1
    state[lane].quiet_until = decided + state[lane].dead
    if state[lane].storming:
        state[lane].suppressed += 1
        return
    event = pending[n_pending[tile]]
    event.crossing, event.lane, event.threshold, event.polarity = n, lane, threshold, polarity
    n_pending[tile] += 1
    report = found[n_found[0]]
    report.crossing, report.channel, report.value, report.threshold = n, column + lane, value, threshold
    n_found[0] += 1


@njit(nogil=True)
def hold_off_of(state, kind, hold_off):  # type: ignore[no-untyped-def]
    """Return for how long a lane is quiet behind a held sample of a kind; hold_off: behind one that was blanked."""
    return state.after_bad if kind == HELD_BAD else hold_off


@njit(nogil=True)
def silence(state, held, lane, n, hold_off):  # type: ignore[no-untyped-def]
    """Let the lane be quiet after a sample `n` that was held.

    For a dead time and what a decision rests on, or for `hold_off` after a blanking.
    """
    kind = held[n % len(held), lane]
    if kind:
        until = n + 1 + hold_off_of(state[lane], kind, hold_off)
        state[lane].quiet_until = max(state[lane].quiet_until, until)
