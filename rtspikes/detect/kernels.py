"""The hot loops: raw samples in, crossings and spikes out, for one tile of channels after the other.

A tile is up to 256 neighbouring channels with its own state (filter, history, pending events). For each tile the
kernel walks through time in blocks of 32 samples, stage by stage, so that the block, the filter state and the
thresholds stay in the first-level cache while the inner loops, over channels, are vectors. The filter's output is
written straight into the tile's history, where peak search and snippets find it; nothing is copied. Most blocks
cross nothing: each is reduced to its extremes first and looked at closer only where those pass a threshold.

Measured (order 1, one core with AVX-512, 1024 channels): tiles of 256 channels ran at 1.5 Gsamples/s, of 64 at 0.45
(narrow strided reads of the raw array), of 16 at 0.8; blocks of 16, 32 and 64 samples made no difference.

Block borders lie at multiples of 32 of the absolute index or at the ends of a call; no result depends on them. There is
no fastmath: every sample's arithmetic is the same in a vector, in a tail, and in any chunk.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int16, int64, njit
from numba import from_dtype as record

BLOCK = 32
"""Samples per inner block; a history's depth is a multiple of it."""

MAX_LANES = 256
"""Channels per tile at most."""

PENDING_DTYPE = np.dtype([("crossing", "<i8"), ("lane", "<i8"), ("threshold", "<f4")])
"""An event between its trigger and its end; `lane` is the channel within the tile."""

FOUND_DTYPE = np.dtype([("crossing", "<i8"), ("channel", "<i8"), ("value", "<f4"), ("threshold", "<f4")])
"""A crossing, as soon as it is seen."""

DONE_DTYPE = np.dtype(
    [("crossing", "<i8"), ("sample", "<i8"), ("channel", "<i8"), ("amplitude", "<f4"), ("threshold", "<f4")]
)
"""An event with its peak."""

TINY = np.float32(1e-12)
"""Added to every section's input: keeps a channel at exact zero out of subnormal numbers, which are 15–50 × slower."""

PHYSICAL_UV = np.float32(1e9)
"""A float32 sample beyond this is garbage and treated like NaN: squared, it would leave the filter at infinity."""

_f1, _f2, _f3, _f4 = float32[::1], float32[:, ::1], float32[:, :, ::1], float32[:, :, :, ::1]
_i1, _i2 = int64[::1], int64[:, ::1]
_pending, _found, _done = record(PENDING_DTYPE), record(FOUND_DTYPE), record(DONE_DTYPE)


@njit(nogil=True)
def _load(raw, row, n, column, width, gain, offset, x):  # type: ignore[no-untyped-def]
    """Scale `n` rows of a tile's columns to µV; lanes beyond `width` become 0."""
    for i in range(n):
        source = raw[row + i]
        out = x[i]
        for c in range(width):
            out[c] = float32(source[column + c]) * gain[c] + offset[c]
        for c in range(width, len(out)):
            out[c] = float32(0)


@njit(nogil=True)
def _all_physical(x, n):  # type: ignore[no-untyped-def]
    """Tell whether every value of the first `n` rows is a voltage."""
    good = True
    for i in range(n):
        row = x[i]
        for c in range(len(row)):
            good &= abs(row[c]) <= PHYSICAL_UV
    return good


@njit(nogil=True)
def _hold(x, n, held, bad, marks):  # type: ignore[no-untyped-def]
    """Replace what is no voltage by the lane's last good value, count it, and mark it in `marks` (BLOCK, lanes)."""
    for c in range(len(held)):
        last = held[c]
        for i in range(n):
            marks[i, c] = not abs(x[i, c]) <= PHYSICAL_UV
            if marks[i, c]:
                x[i, c] = last
                bad[c] += 1
            else:
                last = x[i, c]


@njit(nogil=True)
def _any_marked(marks, n, lane):  # type: ignore[no-untyped-def]
    """Tell whether one of the lane's first `n` samples was held."""
    found = False
    for i in range(n):
        found |= marks[i, lane]
    return found


@njit(nogil=True)
def _section(x, n, b0, b1, b2, a1, a2, s1, s2):  # type: ignore[no-untyped-def]
    """Run one second-order section (transposed direct form II) over `n` rows in place."""
    for i in range(n):
        row = x[i]
        for c in range(len(row)):
            v = row[c] + TINY
            y = b0 * v + s1[c]
            s1[c] = (b1 * v + s2[c]) - a1 * y
            s2[c] = b2 * v - a2 * y
            row[c] = y


@njit(nogil=True)
def _passes_below(x, n, threshold, low):  # type: ignore[no-untyped-def]
    """Put every lane's minimum over `n` rows into `low`; tell whether one lies below its threshold."""
    low[:] = x[0]
    for i in range(1, n):
        row = x[i]
        for c in range(len(low)):
            low[c] = min(low[c], row[c])
    hit = False
    for c in range(len(low)):
        hit |= low[c] < threshold[c]
    return hit


@njit(nogil=True)
def _passes_above(x, n, threshold, high):  # type: ignore[no-untyped-def]
    """Put every lane's maximum over `n` rows into `high`; tell whether one lies above its threshold."""
    high[:] = x[0]
    for i in range(1, n):
        row = x[i]
        for c in range(len(high)):
            high[c] = max(high[c], row[c])
    hit = False
    for c in range(len(high)):
        hit |= high[c] > threshold[c]
    return hit


@njit(nogil=True)
def _resumes(trace, lane, n, segment, below, above, reach):  # type: ignore[no-untyped-def]
    """Tell whether at `n`, where a dead time ends, a spike that began within it is still on its way to its peak.

    That is: the signal is beyond the threshold, farther than one sample before, and was not beyond it at some sample
    of the last `reach` in its segment.
    """
    depth = len(trace)
    value = trace[n % depth, lane]
    before = trace[(n - 1) % depth, lane]
    falls = value < below and value < before
    if not falls and not (value > above and value > before):
        return False
    for k in range(n - 1, max(n - 1 - reach, segment - 1), -1):
        if not (trace[k % depth, lane] < below if falls else trace[k % depth, lane] > above):
            return True
    return False


@njit(nogil=True)
def _trigger(  # type: ignore[no-untyped-def]
    trace, lane, start, awake, end, segment, below, above, dead, reach, quiet_until, marks, pending, n_pending
):  # fmt: skip
    """Add the lane's events with a trigger in [awake, end) to `pending`; return the new fill.

    A trigger is a crossing, the first sample strictly beyond the threshold; or the end of a dead time in which a
    spike began that has its peak ahead (only where peaks are searched: `reach` > 0). A sample of [start, end) that was
    held (`marks`; no rows: none was) silences the lane for a dead time from there on. awake > segment.
    """
    depth = len(trace)
    previous = trace[(start - 1) % depth, lane]
    for n in range(start, end):
        value = trace[n % depth, lane]
        if len(marks) and marks[n - start, lane]:
            quiet_until[lane] = max(quiet_until[lane], n + 1 + dead)
        if n >= awake and n >= quiet_until[lane] and (value < below or value > above):
            beyond_before = previous < below if value < below else previous > above
            if not beyond_before or (n == quiet_until[lane] and _resumes(trace, lane, n, segment, below, above, reach)):
                pending[n_pending].crossing = n
                pending[n_pending].lane = lane
                pending[n_pending].threshold = below if value < below else above
                n_pending += 1
                quiet_until[lane] = n + dead
        previous = value
    return n_pending


@njit(nogil=True)
def _finish(trace, event, column, segment, end, window, pre, done, waveform):  # type: ignore[no-untyped-def]
    """Find the event's extremum, the earliest of equals, and copy its snippet; outside [segment, end) it is NaN."""
    depth = len(trace)
    lane = event.lane
    peak = event.crossing
    value = trace[peak % depth, lane]
    for n in range(event.crossing + 1, min(event.crossing + window + 1, end)):
        v = trace[n % depth, lane]
        if (event.threshold < 0 and v < value) or (event.threshold > 0 and v > value):
            value = v
            peak = n
    done.crossing = event.crossing
    done.sample = peak
    done.channel = column + lane
    done.amplitude = value
    done.threshold = event.threshold
    for k in range(len(waveform)):
        n = peak - pre + k
        waveform[k] = trace[n % depth, lane] if segment <= n < end else float32(np.nan)


_SCAN = [
    int64(
        samples, int64, int64, int64, int64,
        _f2, _f2, _f2, _f4, _f3,
        _f2, _f2, boolean, boolean, _i2, _i2, _i2, _f2, _i2,
        _pending[:, ::1], _i1, int64, int64, int64,
        _f3, int64, int64,
        _found[::1], _done[::1], _f2, _i1,
    )
    for samples in (int16[:, ::1], float32[:, ::1])
]  # fmt: skip


@njit(_SCAN, nogil=True, cache=True)
def scan(  # type: ignore[no-untyped-def]
    raw, first, segment, armed, tile,
    gain, offset, sections, state, trace,
    below, above, falling, rising, dead, window, quiet_until, held, bad,
    pending, n_pending, pre, latency, per_lane,
    noise_rows, noise_stride, noise_base,
    found, done, waveforms, counts,
):  # fmt: skip
    """Run samples [first, first + len(raw)) of one segment through the tiles from `tile` on.

    raw: (time, channels) int16 or float32. segment: the segment's first absolute index; armed: no trigger before it.
    gain, offset, below, above, held: (tiles, lanes) µV. dead, window, quiet_until, bad: (tiles, lanes) samples; window
    is the peak search. sections: (sections, 5). state: (tiles, sections, 2, lanes). trace: the filtered signal's
    history (tiles, depth, lanes) µV, sample n in row n % depth; depth ≥ pre + latency + 2 · BLOCK, a multiple of BLOCK.
    pending: (tiles, n), filled up to n_pending (tiles,). latency: samples from trigger to end.
    noise_rows: (tiles, rows, lanes); takes the filtered sample (NaN: held) of each n with n % noise_stride == 0 in
    row n // noise_stride − noise_base; stride 0: none.
    found, done, waveforms (n, snippet): the results, appended from counts[0] and counts[1] on.

    Return the tile to go on with once the results were taken away (a tile is begun only when `per_lane` results of
    each kind fit for every lane), or the number of tiles when all is done.
    """
    stop = first + len(raw)
    n_tiles, depth, lanes = trace.shape
    low = np.full(lanes, np.inf, np.float32)
    high = np.full(lanes, -np.inf, np.float32)
    marked = np.zeros((BLOCK, lanes), np.bool_)
    while tile < n_tiles:
        if len(found) - counts[0] < lanes * per_lane or len(done) - counts[1] < lanes * per_lane:
            return tile
        column = tile * lanes
        width = min(lanes, raw.shape[1] - column)
        queue = pending[tile]
        start = first
        while start < stop:
            end = min(stop, (start // BLOCK + 1) * BLOCK)
            n = end - start
            x = trace[tile, start % depth : start % depth + n]
            _load(raw, start - first, n, column, width, gain[tile], offset[tile], x)
            marks = marked[:0]
            if raw.itemsize == 4:
                if not _all_physical(x, n):
                    marks = marked
                    _hold(x, n, held[tile], bad[tile], marks)
                held[tile, :] = x[n - 1]
            for s in range(len(sections)):
                _section(
                    x, n, sections[s, 0], sections[s, 1], sections[s, 2], sections[s, 3], sections[s, 4],
                    state[tile, s, 0], state[tile, s, 1],
                )  # fmt: skip
            if noise_stride:
                at = -(-start // noise_stride) * noise_stride
                while at < end:
                    row = noise_rows[tile, at // noise_stride - noise_base]
                    row[:] = x[at - start]
                    for lane in range(width if len(marks) else 0):
                        if marks[at - start, lane]:
                            row[lane] = np.nan
                    at += noise_stride
            awake = max(start, armed, segment + 1)
            hit = len(marks) > 0
            if awake < end and falling:
                hit |= _passes_below(x, n, below[tile], low)
            if awake < end and rising:
                hit |= _passes_above(x, n, above[tile], high)
            if hit:
                for lane in range(width):
                    if not (
                        low[lane] < below[tile, lane]
                        or high[lane] > above[tile, lane]
                        or (len(marks) and _any_marked(marks, n, lane))
                    ):
                        continue
                    before = n_pending[tile]
                    n_pending[tile] = _trigger(
                        trace[tile], lane, start, awake, end, segment, below[tile, lane], above[tile, lane],
                        dead[tile, lane], window[tile, lane], quiet_until[tile], marks, queue, before,
                    )  # fmt: skip
                    for p in range(before, n_pending[tile]):
                        report = found[counts[0]]
                        report.crossing = queue[p].crossing
                        report.channel = column + lane
                        report.value = trace[tile, queue[p].crossing % depth, lane]
                        report.threshold = queue[p].threshold
                        counts[0] += 1
            kept = 0
            for p in range(n_pending[tile]):
                if queue[p].crossing + latency <= end:
                    j = counts[1]
                    reach = window[tile, queue[p].lane]
                    _finish(trace[tile], queue[p], column, segment, end, reach, pre, done[j], waveforms[j])
                    counts[1] = j + 1
                else:
                    queue[kept] = queue[p]
                    kept += 1
            n_pending[tile] = kept
            start = end
        tile += 1
    return tile


@njit(
    int64(
        int64, int64, int64, _f3, _i2, _pending[:, ::1], _i1, int64, int64, _done[::1], _f2, _i1,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def drain(segment, end, tile, trace, window, pending, n_pending, pre, per_lane, done, waveforms, counts):  # type: ignore[no-untyped-def]
    """End every pending event at the segment's end `end`: cut (`sample` −1) when its peak search was not complete.

    Arguments and the returned tile as in `scan`.
    """
    n_tiles, _, lanes = trace.shape
    while tile < n_tiles:
        if len(done) - counts[1] < lanes * per_lane:
            return tile
        for p in range(n_pending[tile]):
            j = counts[1]
            reach = window[tile, pending[tile, p].lane]
            _finish(trace[tile], pending[tile, p], tile * lanes, segment, end, reach, pre, done[j], waveforms[j])
            if pending[tile, p].crossing + reach >= end:
                done[j].sample = -1
            counts[1] = j + 1
        n_pending[tile] = 0
        tile += 1
    return tile
