"""What is blanked: samples at a rail, leaps of the raw signal, and stretches that marks ask for.

Where a considerable part of a well's electrodes is at a rail or leaps at the same sample, all of it is blanked.
A blanked channel reports nothing until a hold-off has passed; these intervals are told, and its noise level does not
see them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import boolean, float32, from_dtype, int16, int32, int64, njit, uint8
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import HELD_BAD, Lanes, f2, f3, hold_off_of, lane_type
from rtspikes.detect.noise import NoiseRows
from rtspikes.detect.settings import ArtifactSettings
from rtspikes.errors import ConfigError
from rtspikes.selectors import electrodes_by_well
from rtspikes.types import UNOBSERVED_DTYPE, Samples, StreamInfo, UnobservedReason

_interval = from_dtype(UNOBSERVED_DTYPE)
_BLANKED = int(UnobservedReason.BLANKED)


@kernel(
    [
        boolean(
            samples, int64, float32[::1], boolean, f2, float32[::1], int64[::1], int32[::1], int64[::1], boolean,
            uint8[:, ::1],
        )
        for samples in (int16[:, ::1], float32[:, ::1])
    ]
)  # fmt: skip
def _mark(raw, first, before, follows, rails, slew, blank_until, group, enough, judged, mask):  # type: ignore[no-untyped-def]
    """Set `mask` (≥ len(raw), channels) where a sample is blanked; tell whether one is.

    before: (channels,) the raw row before the first, if it `follows` one. rails: (2, channels) raw; slew: (channels,)
    raw units a sample. blank_until: (channels,) absolute samples. group: (channels,) −1 where nothing is judged;
    enough: (groups,) electrodes that blank the whole group. Rails and slews are looked at if `judged`.
    """
    n_channels = raw.shape[1]
    any_blank = False
    counts = np.zeros(len(enough), np.int64)
    for i in range(len(raw)):
        row = raw[i]
        flags = mask[i]
        some = False
        for c in range(n_channels):
            flags[c] = first + i < blank_until[c]
            some |= flags[c] != 0
        if judged:
            for c in range(n_channels):
                value = float32(row[c])
                at_rail = value <= rails[0, c] or value >= rails[1, c]
                leaps = False
                if i > 0 or follows:
                    last = float32(raw[i - 1, c]) if i > 0 else before[c]
                    leaps = abs(value - last) >= slew[c] and slew[c] < np.inf  # a sample may be infinite
                if (at_rail or leaps) and group[c] >= 0:
                    flags[c] |= 2
                    counts[group[c]] += 1
                    some = True
            for g in range(len(enough)):
                if counts[g] >= enough[g]:
                    for c in range(n_channels):
                        if group[c] == g:
                            flags[c] |= 2
                counts[g] = 0
        any_blank |= some
    return any_blank


@njit(nogil=True)
def _close(intervals, n, opened, stop, tile, lane, lanes):  # type: ignore[no-untyped-def]
    """Write the lane's open interval down, up to `stop`; return how many there are now."""
    row = intervals[n]
    row.sample, row.stop, row.channel, row.reason = opened[tile, lane], stop, tile * lanes + lane, _BLANKED
    opened[tile, lane] = -1
    return n + 1


@kernel(
    int64(
        uint8[:, :, ::1], lane_type[:, ::1], int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1],
        f3, int64, int64, int64, int64[::1], _interval[::1],
    )
)  # fmt: skip
def _follow(  # type: ignore[no-untyped-def]
    held, state, first, stop, hold_off, n_channels, opened, closes, blank_end, rows, stride,
    base, armed, hidden, intervals,
):  # fmt: skip
    """Follow what was held in [first, stop): set noise rows to NaN, and close intervals in which nothing was seen.

    opened, closes: (tiles, lanes) the interval that is open, opened −1: none. blank_end: (tiles, lanes) end of the
    hold-off after the last blanked sample. rows: (tiles, n, lanes) of samples at multiples of `stride` from
    base · stride on. hidden: (channels,) takes how many samples from `armed` on lie in intervals.
    Return how many `intervals` there are.
    """
    n = 0
    n_tiles, depth, lanes = held.shape
    for tile in range(n_tiles):
        for lane in range(min(lanes, n_channels - tile * lanes)):
            info = state[tile, lane]
            if info.last_held < first and opened[tile, lane] < 0 and blank_end[tile, lane] <= first:
                continue
            for m in range(first, stop):
                kind = held[tile, m % depth, lane] if info.last_held >= m else uint8(0)
                if kind:
                    until = m + 1 + hold_off_of(info, kind, hold_off)
                    if opened[tile, lane] >= 0 and m >= closes[tile, lane]:
                        n = _close(intervals, n, opened, closes[tile, lane], tile, lane, lanes)
                    if opened[tile, lane] < 0:
                        opened[tile, lane] = m
                        closes[tile, lane] = m
                    closes[tile, lane] = max(closes[tile, lane], until)
                    if kind != HELD_BAD:
                        blank_end[tile, lane] = until
                if opened[tile, lane] >= 0 and armed <= m < closes[tile, lane]:
                    hidden[tile * lanes + lane] += 1
                if m % stride == 0 and (kind or m < blank_end[tile, lane]):
                    rows[tile, m // stride - base, lane] = np.nan
            if opened[tile, lane] >= 0 and closes[tile, lane] <= stop:
                n = _close(intervals, n, opened, closes[tile, lane], tile, lane, lanes)
    return n


def _no_rails(n_channels: int) -> NDArray[np.float32]:
    return np.repeat(np.array([[-np.inf], [np.inf]], np.float32), n_channels, axis=1)


def rails_of(info: StreamInfo, settings: ArtifactSettings) -> NDArray[np.float32]:
    """Return (2, channels): at or beyond which raw values a channel is at a rail of its converter; ∓inf: unknown."""
    rails = _no_rails(info.n_channels)
    if settings.rails_uv is not None:
        low, high = settings.rails_uv
        if not low < high:
            raise ConfigError(f"detect.artifacts.rails_uv must rise, got [{low:g}, {high:g}]")
        for c in info.channels:
            ends = sorted((uv - c.offset_uv) / c.gain_uv for uv in (low, high))
            rails[:, c.position] = ends
    elif "rails" in info.facts:
        rails[:] = np.array(info.facts["rails"], np.float32)[:, None]
    elif info.dtype == "int16":
        rails[:] = np.array([[-32768], [32767]], np.float32)
    return rails


class Blanking:
    """Finds what is blanked, before the filter, and keeps account of it, behind it."""

    def __init__(
        self,
        info: StreamInfo,
        settings: ArtifactSettings,
        lanes: Lanes,
        slice_samples: int,
        history: int,
        rails: NDArray[np.float32],
    ) -> None:
        """rails: (2, channels), raw. history: samples behind a blanked one that a decision may rest on it."""
        self._lanes = lanes
        n = info.n_channels
        self.hold_off = round(settings.hold_off_ms * 1e-3 * info.rate_hz) + history
        self._rails = rails if settings.saturation else _no_rails(n)
        self._slew = np.full(n, np.inf, np.float32)
        if settings.slew_uv is not None:
            self._slew[:] = settings.slew_uv / np.abs([c.gain_uv for c in info.channels])
        self._judged = settings.saturation or settings.slew_uv is not None
        wells = electrodes_by_well(info.channels)
        self._group = np.full(n, -1, np.int32)
        self._enough = np.zeros(len(wells), np.int64)
        for g, members in enumerate(wells.values()):
            self._group[members] = g
            self._enough[g] = max(2, int(np.ceil(settings.fraction * len(members))))
        self._blank_until = np.full(n, -1, np.int64)
        self._latest = -1
        self._before = np.zeros(n, np.float32)
        self._follows = False
        self._mask = np.zeros((slice_samples, n), np.uint8)
        self._opened = np.full(lanes.shape, -1, np.int64)
        self._closes = np.zeros(lanes.shape, np.int64)
        self._blank_end = np.zeros(lanes.shape, np.int64)
        most = n * (
            slice_samples + 2
        )  # without a hold-off each sample may be an interval; pages that are not used cost nothing
        self._intervals = np.zeros(most, UNOBSERVED_DTYPE)
        self._hidden = np.zeros(n, np.int64)
        self.hidden: NDArray[np.int64] | None = None
        """Samples (channels,) of the last stretch that lay in intervals; None: none."""
        self._open_until = -1

    def blank(self, channels: Sequence[int], until: int) -> None:
        """Blank channels before the sample `until`."""
        self._blank_until[channels] = np.maximum(self._blank_until[channels], until)
        self._latest = max(self._latest, until)

    def restart(self) -> None:
        """Begin a segment: nothing comes before the next row."""
        self._follows = False

    def forget(self) -> None:
        """Go back to the state before the first sample, but for what marks asked for."""
        self._follows = False
        self._opened[:] = -1
        self._closes[:] = self._blank_end[:] = 0
        self._open_until = -1
        self._lanes.held[:] = 0
        self._lanes.state["last_held"] = -1
        self._lanes.state["quiet_until"] = 0

    def find(self, samples: Samples, first: int) -> NDArray[np.uint8] | None:
        """Return what of `samples` (n, channels) is blanked, (≥ n, channels); None: nothing."""
        if not self._judged and first >= self._latest:
            return None
        some = _mark(
            samples, first, self._before, self._follows, self._rails, self._slew, self._blank_until, self._group,
            self._enough, self._judged, self._mask,
        )  # fmt: skip
        if self._judged:
            self._before[:] = samples[-1]
            self._follows = True
        return self._mask if some else None

    def follow(self, first: int, stop: int, armed: int, held: bool, rows: NoiseRows) -> int:
        """Keep account of the samples [first, stop), of which some were `held`; return how many intervals ended.

        armed: the first sample that could bring an event. rows: noise rows in which what was blanked is no value.
        """
        if not held and first >= self._open_until:
            self.hidden = None
            return 0
        self.hidden = self._hidden
        self._hidden[:] = 0
        n = _follow(
            self._lanes.held, self._lanes.state, first, stop, self.hold_off, self._lanes.n_channels, self._opened,
            self._closes, self._blank_end, rows.rows, rows.stride, rows.base, armed, self._hidden, self._intervals,
        )  # fmt: skip
        self._open_until = int(max(self._closes.max(), self._blank_end.max()))
        return int(n)

    def take(self, n: int) -> NDArray[np.void]:
        """Return the first `n` intervals, by (stop, channel): the order in which they end, however the input is cut."""
        found = self._intervals[:n]
        return found[np.lexsort((found["channel"], found["stop"]))]

    def cut(self, stop: int) -> NDArray[np.void]:
        """Close all open intervals at `stop`: they go on from there, or the segment ends."""
        tiles, lanes = np.nonzero(self._opened >= 0)
        out = np.zeros(len(tiles), UNOBSERVED_DTYPE)
        out["sample"] = self._opened[tiles, lanes]
        out["stop"] = np.minimum(self._closes[tiles, lanes], stop)
        out["channel"] = tiles * self._lanes.shape[1] + lanes
        out["reason"] = _BLANKED
        self._opened[tiles, lanes] = np.where(self._closes[tiles, lanes] > stop, stop, -1)
        return out[out["stop"] > out["sample"]]
