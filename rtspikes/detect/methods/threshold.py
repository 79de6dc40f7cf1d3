"""Crossings of a threshold: by the filtered signal itself, or by a score that another method makes of it."""

from __future__ import annotations

import numpy as np
from numba import int32, int64, njit, uint8, uint32, void

from rtspikes.detect.compiled import Arguments, kernel
from rtspikes.detect.lanes import (
    BLOCK,
    COLUMNS,
    OF_THRESHOLD,
    Lanes,
    Look,
    emit,
    f2,
    f3,
    found_type,
    hit,
    i1,
    lane_type,
    pending_type,
    silence,
)
from rtspikes.detect.methods.signal import SignalMethod
from rtspikes.detect.vectors import WIDTH, less, load, maximum, minimum


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


@kernel(void(f3, lane_type[:, ::1], int64, int64, f2, f2, hit[::1], i1))
def look(score, state, first, stop, below, above, hits, n_hits):  # type: ignore[no-untyped-def]
    """Tell in `hits` where a lane of [first, stop) passes a threshold, or was held."""
    n_tiles, depth, lanes = score.shape
    n_hits[0] = 0
    start = first
    while start < stop:
        end = min(stop, (start // BLOCK + 1) * BLOCK)
        at = start % depth
        for tile in range(n_tiles):
            for lane in range(0, lanes, COLUMNS):
                bits = uint32(0)
                for half in range(0, COLUMNS, WIDTH):
                    low = high = load(score, (tile, at, lane + half))
                    for i in range(at + 1, at + end - start):
                        value = load(score, (tile, i, lane + half))
                        low, high = minimum(value, low), maximum(value, high)
                    passed = less(low, load(below, (tile, lane + half)))
                    passed |= less(load(above, (tile, lane + half)), high)
                    bits |= passed << uint32(half)
                for k in range(COLUMNS):
                    bits |= uint32(state[tile, lane + k].last_held >= start) << uint32(k)
                if bits:
                    found = hits[n_hits[0]]
                    found.start, found.end, found.tile, found.lane, found.bits = start, end, tile, lane, bits
                    n_hits[0] += 1
        start = end


CROSS_ARGUMENTS = (
    f3, f3, uint8[:, :, ::1], lane_type[:, ::1], int64, int64, hit[::1], i1, f2, f2,
    int32[:, ::1], int64, int64, pending_type[:, ::1], i1, found_type[::1], i1,
)  # fmt: skip
"""Types of what `cross` takes."""


@kernel(void(*CROSS_ARGUMENTS))
def cross(  # type: ignore[no-untyped-def]
    score, trace, held, state, segment, armed, hits, n_hits, below, above,
    polarity, delay, hold_off, pending, n_pending, found, n_found,
):  # fmt: skip
    """Make events of the crossings among `hits` of `score` (tiles, depth, lanes), the history of what is compared.

    Row n of `score` says what was known at sample n of sample n − delay, which is the event's crossing.
    A crossing is the first sample strictly beyond the threshold; or the end of a dead time in which a spike began
    that has its peak ahead (only where peaks are searched). None before `armed` or at the segment's first sample.
    below, above: (tiles, lanes) µV. polarity: (tiles, lanes) that of the event, or OF_THRESHOLD. hold_off: samples
    after a blanking without an event.
    """
    _, depth, lanes = score.shape
    awake = max(armed + delay, segment + delay + 1)
    for h in range(n_hits[0]):
        start, end, tile, bits = hits[h].start, hits[h].end, hits[h].tile, hits[h].bits
        rows, lane_states = score[tile], state[tile]
        at = start % depth
        for k in range(COLUMNS):
            if not (bits >> uint32(k)) & uint32(1):
                continue
            lane = hits[h].lane + k
            fall, rise = below[tile, lane], above[tile, lane]
            some_held = lane_states[lane].last_held >= start
            previous = rows[(start - 1) % depth, lane]
            for i in range(end - start):
                m = start + i
                value = rows[at + i, lane]
                if some_held:
                    silence(lane_states, held[tile], lane, m, hold_off)
                beyond = value < fall or value > rise
                if beyond and m >= awake and m >= lane_states[lane].quiet_until:
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


class ThresholdMethod(SignalMethod):
    """What is compared, here the filtered signal as it is, makes an event where it crosses a threshold."""

    crosses_signal = True
    widest_tile = COLUMNS

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        super().bind(lanes)
        self._polarity = np.full(lanes.shape, OF_THRESHOLD, np.int32)

    def scan(self, look_at: Look) -> None:
        """Make events of the crossings in the look's samples."""
        x = self._lanes
        if look_at.rising or not look_at.seen or self.compared is not x.trace:
            look(self.compared, x.state, look_at.first, look_at.stop, x.below, x.above, x.hits, x.n_hits)
        if x.n_hits[0]:
            cross(*self.arguments(look_at))

    def arguments(self, look_at: Look) -> Arguments:
        """Return what `cross` takes for the look's samples."""
        x = self._lanes
        return (
            self.compared, x.trace, x.held, x.state, look_at.segment, look_at.armed, x.hits, x.n_hits, x.below, x.above,
            self._polarity, self.delay, look_at.hold_off, x.pending, x.n_pending, x.found, x.n_found,
        )  # fmt: skip
