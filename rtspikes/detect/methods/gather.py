"""What a matched filter is learnt from: quiet stretches, which give the noise's autocovariance, and spikes.

At every multiple of 5 ms begins a window of twice the filter's length; it counts if it is quiet. A spike is an extremum
of the score that stands alone; it counts divided by its score. Neither reaches over a gap, a settling filter or a held
sample. At sample n the position p = n − lag is looked at, of which everything around is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, float64, int64, njit, uint8, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import (
    BLOCK,
    NEVER,
    f2,
    f3,
    hold_off_of,
    i1,
    lane_type,
    passes_above,
    passes_below,
)
from rtspikes.detect.methods.correlate import WIDTH, correlate

BLOCK_S = 0.25
TAPS_MS, BEFORE_MS = 1.4, 0.6
"""Length of a filter, and how much of it lies before the sample that is scored."""

GRID_MS, QUIET = 5.0, np.float32(4.0)
"""Windows begin at multiples of GRID_MS and are quiet when all of the signal is within ± QUIET σ."""

SPIKE, FIRST_SPIKE = 4.7, 5.0
"""Height (σ) of the score from which on a spike counts; the second as long as the channel has no filter."""

ALONE_MS, NEAR_MS = 1.2, 0.8
"""A spike's score is the extremum over ± ALONE_MS, and is below the height beyond ± NEAR_MS."""

d2, d3, d4 = float64[:, ::1], float64[:, :, ::1], float64[:, :, :, ::1]


class Spans(NamedTuple):
    """Lengths in samples."""

    block: int
    taps: int  # of a filter: a multiple of 4
    delay: int  # from the sample scored to the last one that the score needs
    grid: int
    alone: int
    near: int
    lag: int  # from the position that is learnt from to the newest sample

    @classmethod
    def at(cls, rate_hz: float) -> Spans:
        """Return them for a sampling rate."""

        def samples(ms: float) -> int:
            return max(1, round(ms * 1e-3 * rate_hz))

        taps = -(-samples(TAPS_MS) // 4) * 4
        delay = taps - 1 - min(samples(BEFORE_MS), taps - 1)
        alone = samples(ALONE_MS)
        behind = max(2 * taps - delay, alone + 1)
        return cls(
            block=samples(1e3 * BLOCK_S), taps=taps, delay=delay, grid=samples(GRID_MS), alone=alone,
            near=samples(NEAR_MS), lag=delay + -(-behind // BLOCK) * BLOCK,
        )  # fmt: skip

    @property
    def before(self) -> int:
        """Samples of a filter before the one that is scored."""
        return self.taps - 1 - self.delay

    @property
    def kept(self) -> int:
        """Samples before the newest that are looked at."""
        return self.lag + self.alone + self.before + 1


class Statistics(NamedTuple):
    """What filters are learnt from; all per channel."""

    noise: NDArray[np.float64]  # (tiles, taps, lanes): autocovariance of quiet windows, summed up, σ²
    n_noise: NDArray[np.float64]  # (tiles, lanes): quiet samples
    spikes: NDArray[np.float64]  # (sides, tiles, taps, lanes): spikes, each divided by its score, summed up
    n_spikes: NDArray[np.float64]  # (sides, tiles, lanes)
    heights: NDArray[np.float64]  # (sides, tiles, lanes): scores, σ, summed up

    @classmethod
    def none(cls, n_sides: int, taps: int, tiles: int, lanes: int) -> Statistics:
        """Return statistics of nothing."""
        return cls(
            np.zeros((tiles, taps, lanes)), np.zeros((tiles, lanes)), np.zeros((n_sides, tiles, taps, lanes)),
            np.zeros((n_sides, tiles, lanes)), np.zeros((n_sides, tiles, lanes)),
        )  # fmt: skip


@njit(nogil=True)
def _stands_alone(score, lane, m, side, height, spans_alone, near, delay):  # type: ignore[no-untyped-def]
    """Tell whether the score at `m` is the extremum of its surroundings, and no other spike is in them."""
    depth = len(score)
    value = side * score[(m + delay) % depth, lane]
    for q in range(m - spans_alone, m + spans_alone + 1):
        other = side * score[(q + delay) % depth, lane]
        if q < m and other >= value:
            return False
        if other > value or (abs(q - m) > near and other > height):
            return False
    return True


@njit(nogil=True)
def _quiet(trace, g, n, sigma, clear, limit, scaled, sums, noise, n_noise):  # type: ignore[no-untyped-def]
    """Add the window that begins at `g` to `noise` (taps, lanes), where it is quiet. n: the newest sample's index."""
    taps, lanes = noise.shape
    depth = len(trace)
    gain = np.empty(WIDTH, np.float32)
    for column in range(0, lanes, WIDTH):
        width = min(WIDTH, lanes - column)
        gain[:] = float32(0)
        for i in range(2 * taps):
            row = trace[(g + i) % depth, column : column + width]
            for c in range(width):
                gain[c] = max(gain[c], abs(row[c]))
        some = False
        for c in range(width):
            lane = column + c
            good = gain[c] < QUIET * sigma[lane] and g >= clear[lane] and n < limit[lane]
            gain[c] = float32(1) / sigma[lane] if good else float32(0)
            n_noise[lane] += taps if good else 0
            some |= good
        if not some:
            continue
        for i in range(2 * taps):
            row, out = trace[(g + i) % depth, column : column + width], scaled[i * WIDTH : (i + 1) * WIDTH]
            for c in range(width):
                out[c] = row[c] * gain[c]
        correlate(sums, scaled, scaled, taps, taps, width)
        for j in range(taps):
            total, more = noise[j, column : column + width], sums[j * WIDTH : (j + 1) * WIDTH]
            for c in range(width):
                total[c] += more[c]


@kernel(
    void(
        f3, f3, uint8[:, :, ::1], lane_type[:, ::1], int64, int64, int64, f2, f2, f2, int64[:, ::1], i1, i1,
        int64, d3, d2, d4, d3, d3,
    )
)  # fmt: skip
def collect(  # type: ignore[no-untyped-def]
    trace, score, held, state, begin, first, stop, sigma, fall, rise, clear, spans, sides,
    hold_off, noise, n_noise, spikes, n_spikes, heights,
):  # fmt: skip
    """Add what is seen at the positions [first − lag, stop − lag) to the statistics.

    begin: the first sample that counts. sigma: (tiles, lanes) µV, 0: takes no part; fall, rise: heights from which on
    there is a spike. clear: (tiles, lanes) the sample from which on nothing was held or about to settle. spans: those
    of `Spans`. noise, n_noise, spikes, n_spikes, heights: `Statistics`.
    """
    n_tiles, depth, lanes = trace.shape
    taps, delay, grid, alone, near, lag = spans[1], spans[2], spans[3], spans[4], spans[5], spans[6]
    before = taps - 1 - delay
    low = np.full(lanes, np.inf, np.float32)
    high = np.full(lanes, -np.inf, np.float32)
    scaled, sums = np.zeros(2 * taps * WIDTH, np.float32), np.zeros(taps * WIDTH, np.float32)
    limit = np.full(lanes, NEVER, np.int64)
    for tile in range(n_tiles):
        newest = int64(-1)
        for lane in range(lanes):
            newest = max(newest, state[tile, lane].last_held)
        start = first
        while start < stop:
            end = min(stop, (start // BLOCK + 1) * BLOCK)
            holds = newest >= start
            if holds:  # a sample that is held now, lies behind every window that ends now
                for lane in range(lanes):
                    limit[lane] = NEVER
                    if state[tile, lane].last_held >= start:
                        for n in range(end - 1, start - 1, -1):
                            if held[tile, n % depth, lane]:
                                limit[lane] = n
            g = -(-max(start - lag, begin) // grid) * grid
            while g < end - lag:
                _quiet(
                    trace[tile], g, g + lag, sigma[tile], clear[tile], limit, scaled, sums, noise[tile],
                    n_noise[tile],
                )  # fmt: skip
                g += grid
            from_ = max(start, begin + alone + before + lag)
            if from_ < end:
                at = (start - lag + delay) % depth
                rows = score[tile, at : at + end - start]
                hit = passes_below(rows, end - start, fall[tile], low)
                hit |= passes_above(rows, end - start, rise[tile], high)
                if hit:
                    for lane in range(lanes):
                        if not (low[lane] < fall[tile, lane] or high[lane] > rise[tile, lane]):
                            continue
                        for n in range(from_, min(end, limit[lane])):
                            m = n - lag
                            value = score[tile, (m + delay) % depth, lane]
                            side = -1 if value < fall[tile, lane] else 1 if value > rise[tile, lane] else 0
                            if not side or m - alone - before < clear[tile, lane]:
                                continue
                            height = rise[tile, lane] if side > 0 else -fall[tile, lane]
                            if not _stands_alone(score[tile], lane, m, side, height, alone, near, delay):
                                continue
                            pool = 0 if sides[0] == side else 1
                            for j in range(taps):
                                y = trace[tile, (m - before + j) % depth, lane]
                                spikes[pool, tile, j, lane] += float64(y) / float64(value)
                            n_spikes[pool, tile, lane] += 1
                            heights[pool, tile, lane] += float64(abs(value)) / float64(sigma[tile, lane])
            if holds:
                for lane in range(lanes):
                    if limit[lane] == NEVER:
                        continue
                    for n in range(start, end):
                        kind = held[tile, n % depth, lane]
                        if kind:
                            until = n + 1 + hold_off_of(state[tile, lane], kind, hold_off)
                            clear[tile, lane] = max(clear[tile, lane], until)
                    limit[lane] = NEVER
            start = end
