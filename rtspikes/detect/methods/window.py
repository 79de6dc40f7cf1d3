"""Window range: a window of the signal holds a spike when an extremum is far enough from the window's mean.

Windows begin at multiples of `hop` from absolute sample 0. The event is the extremum; of events of one channel that are
less than its dead time apart, as those of a spike that a border splits, the one farthest from its mean stands
(the earlier one of equals). (The method of the "[WSC17] Finding spikes in electrophysiological data" project.)
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, from_dtype, int64, njit, uint8, void

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import (
    Lanes,
    Look,
    emit,
    f2,
    f3,
    found_type,
    i1,
    lane_type,
    pending_type,
    silence,
)
from rtspikes.detect.methods.signal import SignalMethod
from rtspikes.detect.settings import WindowSettings
from rtspikes.errors import ConfigError

CANDIDATE_DTYPE = np.dtype([("sample", "<i8"), ("far", "<f4"), ("threshold", "<f4")])
"""An extremum, how far from its window's mean, and the signed threshold it passed."""

_candidate = from_dtype(CANDIDATE_DTYPE)


@njit(nogil=True)
def _look(rows, lane, begin, end, fall, rise):  # type: ignore[no-untyped-def]
    """Return the window's extremum farthest from its mean beyond a threshold (−1: none), how far, and the threshold."""
    depth = len(rows)
    total = 0.0
    low = high = begin
    for n in range(begin, end):
        value = rows[n % depth, lane]
        total += float64(value)
        if value < rows[low % depth, lane]:
            low = n
        if value > rows[high % depth, lane]:
            high = n
    mean = float32(total / (end - begin))
    down, up = mean - rows[low % depth, lane], rows[high % depth, lane] - mean
    falls, rises = down > -fall, up > rise
    if falls and (not rises or down > up or (down == up and low < high)):
        return low, down, fall
    if rises:
        return high, up, rise
    return int64(-1), float32(0), float32(0)


@kernel(
    void(
        f3, uint8[:, :, ::1], lane_type[:, ::1], int64, int64, int64, int64, f2, f2, int64, int64, int64, int64,
        _candidate[:, :, ::1], int64[:, ::1], pending_type[:, ::1], i1, found_type[::1], i1,
    )
)  # fmt: skip
def _scan(  # type: ignore[no-untyped-def]
    trace, held, state, segment, armed, first, stop, below, above, length, hop, delay, hold_off,
    candidates, at, pending, n_pending, found, n_found,
):  # fmt: skip
    """Look at the windows that end in [first, stop), and decide the extrema of [first − delay, stop − delay).

    candidates: (tiles, lanes, K), a ring, filled up to at (tiles, lanes).
    """
    n_tiles, depth, lanes = trace.shape
    most = candidates.shape[2]
    for tile in range(n_tiles):
        for lane in range(lanes):
            fall, rise = below[tile, lane], above[tile, lane]
            info = state[tile, lane]
            ring = candidates[tile, lane]
            begin = max(0, -(-(first + 1 - length) // hop)) * hop
            walked = first
            while begin + length <= stop:
                if info.last_held >= walked:
                    for n in range(walked, begin + length):
                        silence(state[tile], held[tile], lane, n, hold_off)
                walked = begin + length
                if begin >= max(segment, armed) and begin >= state[tile, lane].quiet_until:
                    sample, far, threshold = _look(trace[tile], lane, begin, begin + length, fall, rise)
                    if sample >= 0:
                        slot = ring[at[tile, lane] % most]
                        slot.sample, slot.far, slot.threshold = sample, far, threshold
                        at[tile, lane] += 1
                begin += hop
            if info.last_held >= walked:
                for n in range(walked, stop):
                    silence(state[tile], held[tile], lane, n, hold_off)
            for i in range(max(0, at[tile, lane] - most), at[tile, lane]):
                mine = ring[i % most]
                if not first <= mine.sample + delay < stop or mine.sample < segment:
                    continue
                stands = True
                for j in range(max(0, at[tile, lane] - most), at[tile, lane]):
                    other = ring[j % most]
                    if j == i or other.sample < segment or abs(other.sample - mine.sample) >= info.dead:
                        continue
                    if other.sample == mine.sample:
                        stands &= other.far < mine.far or (other.far == mine.far and j > i)
                    else:
                        stands &= other.far < mine.far or (other.far == mine.far and other.sample > mine.sample)
                if stands:
                    quiet_until = state[tile, lane].quiet_until
                    emit(
                        lane, tile * lanes, mine.sample, mine.sample, trace[tile, mine.sample % depth, lane],
                        mine.threshold, -1 if mine.threshold < 0 else 1, state[tile], pending[tile], n_pending, tile,
                        found, n_found,
                    )  # fmt: skip
                    state[tile, lane].quiet_until = quiet_until


class WindowMethod(SignalMethod):
    """Looks at whole windows."""

    finds_extremum = True

    def __init__(self, settings: WindowSettings, longest_dead: int) -> None:
        """longest_dead: the longest dead time (samples) of a channel."""
        self._length = settings.length
        self._hop = settings.hop or settings.length
        if self._hop > self._length:
            raise ConfigError(f"detect.window.hop must be ≤ length ({self._length}), got {self._hop}")
        self.delay = self._length + longest_dead
        self.kept = self.delay + self._length

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        super().bind(lanes)
        most = lanes.trace.shape[1] // self._hop + 4  # all windows of a slice, and those before it that are compared
        self._candidates = np.zeros((*lanes.shape, most), CANDIDATE_DTYPE)
        self._at = np.zeros(lanes.shape, np.int64)

    def scan(self, look: Look) -> None:
        """Look at the windows that are complete."""
        x = self._lanes
        _scan(
            x.trace, x.held, x.state, look.segment, look.armed, look.first, look.stop, x.below, x.above, self._length,
            self._hop, self.delay, look.hold_off, self._candidates, self._at, x.pending, x.n_pending, x.found,
            x.n_found,
        )  # fmt: skip
