"""The first stage: raw samples become µV, what must be held is held, and the band-pass writes the history.

The filter's output goes straight into the history, where all that follows finds it; nothing is copied. There is no
fastmath: every sample's arithmetic is the same in a vector, in a tail, and in any chunk.

A held sample is replaced by the lane's last good value. After a blanking the input goes on from there: what the signal
moved by meanwhile is taken off (a high-pass does not see it, and makes no transient of it).
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int16, int64, njit, uint8
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.filter import passes_dc
from rtspikes.detect.lanes import BLOCK, HELD_BAD, HELD_BLANK, Lanes, f2, f3, f4, i1, lane_type
from rtspikes.types import Samples, StreamInfo

TINY = np.float32(1e-12)
"""Added to every section's input: keeps a channel at exact zero out of subnormal numbers, which are 15–50 × slower."""

PHYSICAL_UV = np.float32(1e9)
"""A float32 sample beyond this is garbage and treated like NaN: squared, it would leave the filter at infinity."""


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
def _any(flags):  # type: ignore[no-untyped-def]
    """Tell whether a lane's last sample was blanked: its next one goes on from there."""
    some = False
    for c in range(len(flags)):
        some |= flags[c] != 0
    return some


@njit(nogil=True)
def _hold(  # type: ignore[no-untyped-def]
    raw, row, n, first, column, width, gain, offset, x, mask, masked, continuous, last_good, blanked, bad, held, state
):  # fmt: skip
    """Replace what is no voltage, or blanked by `mask`, by the lane's last good value; note it in `held` and `state`.

    `blanked` (lanes,): whether the lane's last sample was held because of a blanking.
    """
    depth = len(held)
    for c in range(width):
        last = last_good[c]
        for i in range(n):
            value = float32(raw[row + i, column + c]) * gain[c] + offset[c]
            good = abs(value) <= PHYSICAL_UV
            blank = masked and mask[row + i, column + c] != 0
            if good and not blank:
                if blanked[c] and continuous:
                    offset[c] += last - value
                    value = float32(raw[row + i, column + c]) * gain[c] + offset[c]
                blanked[c] = 0
                last = value
            else:
                value = last
                if blank:
                    blanked[c] = 1
                else:
                    bad[c] += 1
                held[(first + i) % depth, c] = HELD_BLANK if blank else HELD_BAD
                state[c].last_held = first + i
            x[i, c] = value


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


_SIGNATURES = [
    boolean(
        samples, int64, f2, f2, f2, f4, f3, uint8[:, :, ::1], lane_type[:, ::1],
        uint8[:, ::1], boolean, boolean, f2, uint8[:, ::1], int64[:, ::1], i1,
        int64, f2, int64[:, ::1],
    )
    for samples in (int16[:, ::1], float32[:, ::1])
]  # fmt: skip


@kernel(_SIGNATURES)
def _filter(  # type: ignore[no-untyped-def]
    raw, first, gain, offset, sections, states, trace, held, state,
    mask, masked, continuous, last_good, blanked, bad, dirty_until,
    stride, rails, clipped,
):  # fmt: skip
    """Run samples [first, first + len(raw)) through all tiles.

    raw: (time, channels). gain, offset, last_good: (tiles, lanes) µV. sections: (sections, 5); states: (tiles,
    sections, 2, lanes). mask: (≥ len(raw), channels), looked at if `masked`. held: history of what was held, of which
    rows before dirty_until (tiles,) may still say what is long past. clipped (tiles, lanes) counts samples at or beyond
    rails (2, channels), in raw units, of those n with n % stride == 0. Return whether a sample was held.
    """
    some_held = False
    stop = first + len(raw)
    n_tiles, depth, lanes = trace.shape
    for tile in range(n_tiles):
        column = tile * lanes
        width = min(lanes, raw.shape[1] - column)
        start = first
        while start < stop:
            end = min(stop, (start // BLOCK + 1) * BLOCK)
            n = end - start
            at = start % depth
            x = trace[tile, at : at + n]
            row = start - first
            _load(raw, row, n, column, width, gain[tile], offset[tile], x)
            if start < dirty_until[tile]:
                held[tile, at : at + n] = 0
            if masked or _any(blanked[tile]) or (raw.itemsize == 4 and not _all_physical(x, n)):
                _hold(
                    raw, row, n, start, column, width, gain[tile], offset[tile], x, mask, masked, continuous,
                    last_good[tile], blanked[tile], bad[tile], held[tile], state[tile],
                )  # fmt: skip
                dirty_until[tile] = end + depth
                some_held = True
            last_good[tile, :] = x[n - 1]
            clock = -(-start // stride) * stride
            while clock < end:
                source = raw[row + clock - start]
                for c in range(width):
                    value = float32(source[column + c])
                    clipped[tile, c] += value <= rails[0, column + c] or value >= rails[1, column + c]
                clock += stride
            for s in range(len(sections)):
                _section(
                    x, n, sections[s, 0], sections[s, 1], sections[s, 2], sections[s, 3], sections[s, 4],
                    states[tile, s, 0], states[tile, s, 1],
                )  # fmt: skip
            start = end
    return some_held


class Front:
    """Scale, hold and filter; the state that goes on from call to call."""

    def __init__(
        self, info: StreamInfo, lanes: Lanes, sections: NDArray[np.float32], rails: NDArray[np.float32], stride: int
    ) -> None:
        """rails: (2, channels), raw units; how often a channel is there is counted on every `stride`-th sample."""
        self._lanes = lanes
        self._sections = sections
        self._rails = rails
        self._stride = stride
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

    def run(self, samples: Samples, first: int, mask: NDArray[np.uint8] | None) -> bool:
        """Filter `samples` (n, channels) into the history; tell whether one was held.

        mask: (≥ n, channels) what is blanked.
        """
        lanes = self._lanes
        held = _filter(
            samples, first, self._gain, self._offset, self._sections, self._states, lanes.trace, lanes.held,
            lanes.state, self._no_mask if mask is None else mask, mask is not None, self._continuous,
            self._last_good, self._blanked, self.bad, self._dirty_until, self._stride, self._rails, self.clipped,
        )  # fmt: skip
        return bool(held)

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
