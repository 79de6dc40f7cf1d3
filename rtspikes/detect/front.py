"""The first stage: raw samples become µV, what must be held is held, and the band-pass writes the history.

The filter's output goes straight into the history, where all that follows finds it; nothing is copied. On the way the
kernel keeps what else would have to read the signal again: which lanes pass below their threshold in which block, and
the rows for the noise level. There is no fastmath: every sample's arithmetic is the same in a vector, in a tail, and in
any chunk.

A held sample is replaced by the lane's last good value. After a blanking the input goes on from there: what the signal
moved by meanwhile is taken off (a high-pass does not see it, and makes no transient of it).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import boolean, float32, int16, int64, njit, uint8, uint32
from numpy.typing import NDArray

from rtspikes.detect.cascade import cascade, kinds_of
from rtspikes.detect.compiled import Arguments, kernel
from rtspikes.detect.filter import passes_dc
from rtspikes.detect.lanes import BLOCK, COLUMNS, HELD_BAD, HELD_BLANK, Lanes, f2, f3, f4, hit, i1, lane_type
from rtspikes.detect.noise import NoiseRows
from rtspikes.detect.vectors import WIDTH, filled, less, load, magnitude, minimum, prefetch, store
from rtspikes.types import Samples, StreamInfo

PHYSICAL_UV = np.float32(1e9)
"""A float32 sample beyond this is garbage and treated like NaN: squared, it would leave the filter at infinity."""

_UNPHYSICAL_UV = np.nextafter(PHYSICAL_UV, np.float32(np.inf))

AHEAD = 256
"""Bytes that a row is asked for ahead of its use: four columns of int16.

Without it 1.2 Gsamples/s at 1024 channels, with it 2.2; at 26,400 with 64 bytes 0.5, with 256 0.85, with 1024 0.85."""


@njit(nogil=True)
def _all_physical(raw, row, n, column, gain, offset, tile, lane):  # type: ignore[no-untyped-def]
    """Tell whether `n` rows of a column hold voltages only."""
    limit = filled(_UNPHYSICAL_UV)
    good = uint32(0xFFFF)
    for half in range(0, COLUMNS, WIDTH):
        g, o = load(gain, (tile, lane + half)), load(offset, (tile, lane + half))
        for i in range(n):
            good &= less(magnitude(load(raw, (row + i, column + half)) * g + o), limit)
    return good == 0xFFFF


@njit(nogil=True)
def _hold(  # type: ignore[no-untyped-def]
    raw, row, n, first, column, width, tile, lane, gain, offset, x, mask, masked, continuous, last_good, blanked, bad,
    held, state
):  # fmt: skip
    """Put `n` rows of a column, in µV, into `x` (BLOCK, COLUMNS); what is no voltage, or blanked by `mask`, is replaced
    by the lane's last good value, and noted in `held` and `state`.

    blanked: whether the lane's last sample was held because of a blanking.
    """  # noqa: D205
    depth = held.shape[1]
    for c in range(width):
        at = lane + c
        last = last_good[tile, at]
        for i in range(n):
            value = float32(raw[row + i, column + c]) * gain[tile, at] + offset[tile, at]
            good = abs(value) <= PHYSICAL_UV
            blank = masked and mask[row + i, column + c] != 0
            if good and not blank:
                if blanked[tile, at] and continuous:
                    offset[tile, at] += last - value
                    value = float32(raw[row + i, column + c]) * gain[tile, at] + offset[tile, at]
                blanked[tile, at] = 0
                last = value
            else:
                value = last
                if blank:
                    blanked[tile, at] = 1
                else:
                    bad[tile, at] += 1
                held[tile, (first + i) % depth, at] = HELD_BLANK if blank else HELD_BAD
                state[tile, at].last_held = first + i
            x[i, c] = value
    x[:n, width:] = float32(0)


@njit(nogil=True)
def _any(flags, tile, lane):  # type: ignore[no-untyped-def]
    """Tell whether the last sample of one of a column's lanes was blanked: its next one goes on from there."""
    some = False
    for c in range(lane, lane + COLUMNS):
        some |= flags[tile, c] != 0
    return some


@njit(nogil=True)
def _count_clipped(raw, row, n, column, width, phase, stride, rails, tile, lane, clipped):  # type: ignore[no-untyped-def]
    """Count the samples at or beyond a rail among the rows phase, phase + stride … of `n`."""
    inside = uint32(0xFFFF)
    for half in range(0, COLUMNS, WIDTH):
        low, high = load(rails, (0, tile, lane + half)), load(rails, (1, tile, lane + half))
        for i in range(phase, n, stride):
            value = load(raw, (row + i, column + half))
            inside &= less(low, value) & less(value, high)
    if inside != 0xFFFF:
        for c in range(width):
            for i in range(phase, n, stride):
                value = float32(raw[row + i, column + c])
                clipped[tile, lane + c] += value <= rails[0, tile, lane + c] or value >= rails[1, tile, lane + c]


through: Any = None
"""In a kernel made of `_run`: the function that leads a column through this filter."""


def _run(  # type: ignore[no-untyped-def]
    raw, first_channel, n_channels, first, gain, offset, sections, states, trace, held, state,
    mask, masked, continuous, last_good, blanked, bad, dirty_until,
    stride, rails, clipped, rows, base, rows_stride, below, hits, n_hits, padded, in_uv, ones, zeros,
):  # fmt: skip
    """Run samples [first, first + len(raw)) of channels [first_channel, first_channel + n_channels) through.

    raw: (time, all channels). gain, offset, last_good, below: (tiles, lanes) µV. sections: (sections, 5); states:
    (tiles, sections, 2, lanes). mask: (≥ len(raw), all channels), looked at if `masked`. held: history of what was
    held, of which rows before dirty_until (tiles,) may still say what is long past. `clipped` (tiles, lanes) counts
    samples at or beyond rails (2, tiles, lanes), in raw units, of those n with n % stride == 0. rows (tiles, …,
    lanes) keeps what comes out of every rows_stride-th sample, from base · rows_stride on. hits, n_hits: where a
    lane is below its threshold or held. padded, in_uv: (BLOCK, COLUMNS) scratch; ones, zeros: (tiles, lanes).
    Return whether a sample was held.
    """
    some_held = False
    stop = first + len(raw)
    n_tiles, depth, lanes = trace.shape
    start = first
    while start < stop:
        end = min(stop, (start // BLOCK + 1) * BLOCK)
        n, at, row = end - start, start % depth, start - first
        phase, rows_phase = -start % stride, -start % rows_stride
        for tile in range(n_tiles):
            if start < dirty_until[tile]:
                held[tile, at : at + n] = 0
            for lane in range(0, lanes, COLUMNS):
                column = first_channel + tile * lanes + lane
                width = min(COLUMNS, n_channels - tile * lanes - lane)
                source, line, place = raw, row, column
                if width <= 0:
                    break
                if width < COLUMNS:
                    padded[:n, :width] = raw[row : row + n, column : column + width]
                    source, line, place = padded, 0, 0
                holds = masked or _any(blanked, tile, lane)
                if raw.itemsize == 4:
                    holds |= not _all_physical(source, line, n, place, gain, offset, tile, lane)
                for i in range(rows_phase, n, rows_stride):
                    kept_row = (start + i) // rows_stride - base
                    prefetch(rows, (tile, kept_row, lane), 0, 1)
                    prefetch(rows, (tile, kept_row, lane + WIDTH), 0, 1)
                if holds:
                    _hold(
                        raw, row, n, start, column, width, tile, lane, gain, offset, in_uv, mask, masked,
                        continuous, last_good, blanked, bad, held, state,
                    )  # fmt: skip
                    dirty_until[tile] = end + depth
                    some_held = True
                    through(in_uv, 0, n, 0, ones, zeros, sections, states, trace, tile, at, lane, below)
                    bits = uint32(0xFFFFFFFF)
                    last_good[tile, lane : lane + COLUMNS] = in_uv[n - 1]
                else:
                    bits = through(source, line, n, place, gain, offset, sections, states, trace, tile, at, lane, below)
                    for half in (lane, lane + WIDTH):
                        last = load(source, (line + n - 1, place + half - lane))
                        store(last_good, (tile, half), last * load(gain, (tile, half)) + load(offset, (tile, half)))
                if phase < n:
                    _count_clipped(source, line, n, place, width, phase, stride, rails, tile, lane, clipped)
                if bits:
                    report = hits[n_hits[0]]
                    report.start, report.end, report.tile, report.lane, report.bits = start, end, tile, lane, bits
                    n_hits[0] += 1
                for i in range(rows_phase, n, rows_stride):
                    kept_row = (start + i) // rows_stride - base
                    for half in (lane, lane + WIDTH):
                        store(rows, (tile, kept_row, half), load(trace, (tile, at + i, half)))
        start = end
    return some_held


def filter_arguments(dtype: str) -> tuple[Any, ...]:
    """Return the types of what the kernel takes, for samples of a type."""
    samples = int16[:, ::1] if dtype == "int16" else float32[:, ::1]
    return (
        samples, int64, int64, int64, f2, f2, f2, f4, f3, uint8[:, :, ::1], lane_type[:, ::1],
        uint8[:, ::1], boolean, boolean, f2, uint8[:, ::1], int64[:, ::1], i1,
        int64, f3, int64[:, ::1], f3, int64, int64, f2, hit[::1], i1, samples, f2, f2, f2,
    )  # fmt: skip


@cache
def filter_of(kinds: tuple[str, ...], dtype: str) -> Callable[..., Any]:
    """Return the kernel for a filter whose sections are of these kinds, and for samples of this type; compile it."""
    coefficients, restored, kept, step = cascade(kinds)

    @njit(nogil=True)
    def through(raw, row, n, column, gain, offset, sections, states, trace, tile, at, lane, below):  # type: ignore[no-untyped-def]
        """Run `n` rows of a column through the filter into the history; return which lanes passed below."""
        other = lane + WIDTH
        filters = coefficients(sections)
        gain_a, gain_b = load(gain, (tile, lane)), load(gain, (tile, other))
        offset_a, offset_b = load(offset, (tile, lane)), load(offset, (tile, other))
        state_a, state_b = restored(states, tile, lane), restored(states, tile, other)
        low_a = low_b = filled(float32(np.inf))
        for i in range(n):
            prefetch(raw, (row + i, column), AHEAD, 0)
            a, state_a = step(load(raw, (row + i, column)) * gain_a + offset_a, state_a, filters)
            b, state_b = step(load(raw, (row + i, column + WIDTH)) * gain_b + offset_b, state_b, filters)
            store(trace, (tile, at + i, lane), a)
            store(trace, (tile, at + i, other), b)
            low_a, low_b = minimum(a, low_a), minimum(b, low_b)
        kept(states, tile, lane, state_a)
        kept(states, tile, other, state_b)
        passed = less(low_b, load(below, (tile, other))) << uint32(WIDTH)
        return less(low_a, load(below, (tile, lane))) | passed

    compiled: Callable[..., Any] = kernel(
        boolean(*filter_arguments(dtype)), using={"through": through}, key=(kinds, dtype)
    )(_run)
    return compiled


class Front:
    """Scale, hold and filter; the state that goes on from call to call."""

    def __init__(
        self, info: StreamInfo, lanes: Lanes, sections: NDArray[np.float32], rails: NDArray[np.float32], stride: int
    ) -> None:
        """rails: (2, channels), raw units; how often a channel is there is counted on every `stride`-th sample."""
        self._lanes = lanes
        self._sections = sections
        self._rails = np.stack([lanes.tiled(rails[0], -np.inf), lanes.tiled(rails[1], np.inf)])
        self._stride = stride
        self.kind = kinds_of(sections), info.dtype
        """What `filter_of` makes its kernel for."""
        self._filter = filter_of(*self.kind)
        self._padded = np.zeros((BLOCK, COLUMNS), info.dtype)
        self._in_uv = np.zeros((BLOCK, COLUMNS), np.float32)
        self._ones, self._zeros = np.ones(lanes.shape, np.float32), np.zeros(lanes.shape, np.float32)
        self._gain = lanes.tiled(np.array([c.gain_uv for c in info.channels], np.float32), 0)
        self._own_offset = lanes.tiled(np.array([c.offset_uv for c in info.channels], np.float32), 0)
        self._offset = self._own_offset.copy()
        self._states = np.zeros((lanes.shape[0], len(sections), 2, lanes.shape[1]), np.float32)
        self._continuous = bool(len(sections)) and not passes_dc(sections)
        self._last_good = np.zeros(lanes.shape, np.float32)
        self._blanked = np.zeros(lanes.shape, np.uint8)
        self._dirty_until = np.zeros(lanes.shape[0], np.int64)
        self._no_mask = np.zeros((1, info.n_channels), np.uint8)
        self.bad = np.zeros(lanes.shape, np.int64)
        """Samples that were no voltage."""
        self.clipped = np.zeros(lanes.shape, np.int64)
        """Samples at a rail, of every `stride`-th one."""

    def run(self, samples: Samples, first: int, mask: NDArray[np.uint8] | None, rows: NoiseRows) -> bool:
        """Filter `samples` (n, channels) into the history; tell whether one was held.

        mask: (≥ n, channels) what is blanked. rows: takes the filtered rows for a noise level.
        """
        return bool(self._filter(*self.arguments(samples, first, mask, rows)))

    def arguments(self, samples: Samples, first: int, mask: NDArray[np.uint8] | None, rows: NoiseRows) -> Arguments:
        """Return what the kernel takes; see `run`."""
        lanes = self._lanes
        lanes.n_hits[0] = 0
        return (
            samples, lanes.first_channel, lanes.n_channels, first, self._gain, self._offset, self._sections,
            self._states, lanes.trace, lanes.held, lanes.state, self._no_mask if mask is None else mask,
            mask is not None, self._continuous, self._last_good, self._blanked, self.bad, self._dirty_until,
            self._stride, self._rails, self.clipped, lanes.of(rows.rows), rows.base, rows.stride, lanes.below,
            lanes.hits, lanes.n_hits, self._padded, self._in_uv, self._ones, self._zeros,
        )  # fmt: skip

    def restart(self, row: NDArray[np.generic]) -> None:
        """Begin a segment: set the filter to what a constant signal at the first sample's height would leave."""
        self._offset[:] = self._own_offset
        with np.errstate(over="ignore", invalid="ignore"):
            value = self._lanes.tiled(row.astype(np.float32), 0) * self._gain + self._offset
        value = np.where(np.abs(value) <= PHYSICAL_UV, value, self._last_good)
        self._last_good[:] = value
        self._blanked[:] = 0
        self._lanes.held[:] = 0  # its rows of before a gap are not those that come round next
        self._dirty_until[:] = 0
        for s, (b0, b1, b2, a1, a2) in enumerate(self._sections):
            out = (b0 + b1 + b2) / (1 + a1 + a2) * value
            self._states[:, s, 0] = out - b0 * value
            self._states[:, s, 1] = b2 * value - a2 * out
            value = out

    def forget(self) -> None:
        """Go back to the state before the first sample."""
        self._last_good[:] = 0
        self._blanked[:] = 0
        self._dirty_until[:] = 0
        self.bad[:] = 0
        self.clipped[:] = 0
