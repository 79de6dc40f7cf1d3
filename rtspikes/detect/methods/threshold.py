"""Crossings of a threshold: by the filtered signal itself, or by a score that another method makes of it."""

from __future__ import annotations

import numpy as np
from numba import boolean, int32, int64, njit, uint8, void

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import (
    BLOCK,
    OF_THRESHOLD,
    Lanes,
    Look,
    emit,
    f2,
    f3,
    found_type,
    i1,
    lane_type,
    passes_above,
    passes_below,
    pending_type,
    silence,
)
from rtspikes.detect.methods.signal import SignalMethod


@njit(nogil=True)
def resumes(score, lane, n, segment, below, above, reach):  # type: ignore[no-untyped-def]
    """Tell whether at `n`, where a dead time ends, a spike that began within it is still on its way to its peak.

    That is: the signal is beyond the threshold, farther than one sample before, and was not beyond it at some sample
    of the last `reach` in its segment.
    """
    depth = len(score)
    value = score[n % depth, lane]
    before = score[(n - 1) % depth, lane]
    falls = value < below and value < before
    if not falls and not (value > above and value > before):
        return False
    for k in range(n - 1, max(n - 1 - reach, segment - 1), -1):
        if not (score[k % depth, lane] < below if falls else score[k % depth, lane] > above):
            return True
    return False


@kernel(
    void(
        f3, f3, uint8[:, :, ::1], lane_type[:, ::1], int64, int64, int64, int64, f2, f2, boolean, boolean,
        int32[:, ::1], int64, int64, pending_type[:, ::1], i1, found_type[::1], i1,
    )
)  # fmt: skip
def cross(  # type: ignore[no-untyped-def]
    score, trace, held, state, segment, armed, first, stop, below, above, falling, rising,
    polarity, delay, hold_off, pending, n_pending, found, n_found,
):  # fmt: skip
    """Make events of the crossings in [first, stop) of `score` (tiles, depth, lanes), the history of what is compared.

    Row n of `score` says what was known at sample n of sample n − delay, which is the event's crossing.
    A crossing is the first sample strictly beyond the threshold; or the end of a dead time in which a spike began
    that has its peak ahead (only where peaks are searched). None before `armed` or at the segment's first sample.
    below, above: (tiles, lanes) µV, looked at if `falling`, `rising`. polarity: (tiles, lanes) that of the event, or
    OF_THRESHOLD. hold_off: samples after a blanking without an event.
    """
    n_tiles, depth, lanes = score.shape
    low = np.full(lanes, np.inf, np.float32)
    high = np.full(lanes, -np.inf, np.float32)
    for tile in range(n_tiles):
        rows, lane_states = score[tile], state[tile]
        newest = int64(-1)
        for lane in range(lanes):
            newest = max(newest, lane_states[lane].last_held)
        start = first
        while start < stop:
            end = min(stop, (start // BLOCK + 1) * BLOCK)
            n = end - start
            awake = max(start, armed + delay, segment + delay + 1)
            holds = newest >= start
            hit = holds
            x = rows[start % depth : start % depth + n]
            if awake < end and falling:
                hit |= passes_below(x, n, below[tile], low)
            if awake < end and rising:
                hit |= passes_above(x, n, above[tile], high)
            if hit:
                for lane in range(lanes):
                    fall, rise = below[tile, lane], above[tile, lane]
                    some_held = holds and lane_states[lane].last_held >= start
                    if not (low[lane] < fall or high[lane] > rise or some_held):
                        continue
                    previous = rows[(start - 1) % depth, lane]
                    for m in range(start, end):
                        value = rows[m % depth, lane]
                        if some_held:
                            silence(lane_states, held[tile], lane, m, hold_off)
                        beyond = value < fall or value > rise
                        if m >= awake and beyond and m >= lane_states[lane].quiet_until:
                            before = previous < fall if value < fall else previous > rise
                            if not before or (
                                m == lane_states[lane].quiet_until
                                and resumes(rows, lane, m, segment, fall, rise, lane_states[lane].search)
                            ):
                                side = -1 if value < fall else 1
                                emit(
                                    lane, tile * lanes, m, m - delay, trace[tile, (m - delay) % depth, lane],
                                    fall if value < fall else rise,
                                    side if polarity[tile, lane] == OF_THRESHOLD else polarity[tile, lane],
                                    lane_states, pending[tile], n_pending, tile, found, n_found,
                                )  # fmt: skip
                        previous = value
            start = end


class ThresholdMethod(SignalMethod):
    """What is compared, here the filtered signal as it is, makes an event where it crosses a threshold."""

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        super().bind(lanes)
        self._polarity = np.full(lanes.shape, OF_THRESHOLD, np.int32)

    def scan(self, look: Look) -> None:
        """Make events of the crossings in the look's samples."""
        x = self._lanes
        cross(
            self.compared, x.trace, x.held, x.state, look.segment, look.armed, look.first, look.stop, x.below, x.above,
            look.falling, look.rising, self._polarity, self.delay, look.hold_off, x.pending, x.n_pending, x.found,
            x.n_found,
        )  # fmt: skip
