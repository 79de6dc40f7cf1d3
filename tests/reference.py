"""The detector once more, slow and plain: one sample after the other, one channel after the other, whole recording.

Written from the rules in DESIGN and the docstrings, not from the kernels; float32 arithmetic in the same order, so that
results can be compared byte for byte. Changes are not followed along the way: what is in force at a sample is worked
out from the whole list, for that sample alone.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rtspikes.detect.changes import Change, Follow, Freeze, Levels, Mute, Recalibrate, Threshold, Unmute
from rtspikes.detect.settings import DetectSettings
from rtspikes.selectors import select
from rtspikes.types import SPIKE_DTYPE, ChannelInfo

F = np.float32
Segments = list[tuple[int, NDArray[Any]]]


def largest_prime(limit: float) -> int:
    for n in range(int(limit), 1, -1):
        if not any(n % d == 0 for d in range(2, n)):
            return n
    return 1


def sections_of(settings: DetectSettings, rate: float) -> NDArray[np.float32]:
    f = settings.filter
    if f.kind == "none":
        return np.zeros((0, 5), F)
    if not f.has_band:
        warped = [2 * rate * math.tan(math.pi * hz / rate) for hz in (350, 54.72, 40.56)]
        analog = (
            ([0], [-warped[0]]),
            ([1j * warped[1], -1j * warped[1]], np.roots([1, warped[2] / 1.03, warped[2] ** 2])),
        )
        sections = [signal.zpk2sos(*signal.bilinear_zpk(z, p, 1.0, rate))[0] for z, p in analog]
        sections.append(signal.butter(2, min(6000, 0.42 * rate), fs=rate, output="sos")[0])
        return np.ascontiguousarray(np.array(sections)[:, [0, 1, 2, 4, 5]], F)
    order = f.order or 1
    high = order if f.highpass_order is None else f.highpass_order
    low = order if f.lowpass_order is None else f.lowpass_order
    z, p, k = [], [], 1.0
    for n, corner, kind in zip((high, low), f.band_hz or (300.0, 3000.0), ("highpass", "lowpass"), strict=True):
        if n:
            zz, pp, kk = signal.butter(n, corner, kind, fs=rate, output="zpk")
            z, p, k = [*z, *zz], [*p, *pp], k * kk
    return np.ascontiguousarray(signal.zpk2sos(z, p, k)[:, [0, 1, 2, 4, 5]], F)


def band_passed(uv: NDArray[np.float32], sections: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter (time, channels) float32 from the steady state of its first row."""
    out = uv.copy()
    first = uv[0]
    for b0, b1, b2, a1, a2 in sections:
        gain = (b0 + b1 + b2) / (1 + a1 + a2)
        s1 = gain * first - b0 * first
        s2 = b2 * first - a2 * (gain * first)
        for i in range(len(out)):
            v = out[i] + F(1e-12)
            y = b0 * v + s1
            s1 = (b1 * v + s2) - a1 * y
            s2 = b2 * v - a2 * y
            out[i] = y
        first = gain * first
    return out


def lower_median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(values, axis=0)[(len(values) - 1) // 2]


def mad(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return lower_median(np.abs(values - lower_median(values))) * F(1 / 0.67448975)


def piece_mads(grid: NDArray[np.float32], pieces: int) -> NDArray[np.float32]:
    """Return the MAD of each of the equal pieces of (rows, channels), around one median; 0 for one half empty."""
    found = np.zeros((pieces, grid.shape[1]), F)
    some = grid[:: pieces + 1 - pieces % 2]
    for channel in range(grid.shape[1]):
        known = some[~np.isnan(some[:, channel]), channel]
        centre = lower_median(known) if len(known) else F(0)
        for p, piece in enumerate(grid[:, channel].reshape(pieces, -1)):
            known = piece[~np.isnan(piece)]
            if 2 * len(known) >= len(piece):
                found[p, channel] = coarse(lower_median(np.abs(known - centre))) * F(1 / 0.67448975)
    return found


def coarse(value: NDArray[np.float32]) -> np.float32:
    """Return the middle of what shares the value's first 8 bits of mantissa."""
    bits = F(value).view(np.uint32) >> np.uint32(15)
    return ((bits << np.uint32(15)) | np.uint32(1 << 14)).view(F) if bits else F(0)


def quiet_level(values: Sequence[np.float32], floor: np.float32, scatter: float) -> np.float32:
    """Return where the quiet ones of some values have their centre; 0 where most are below the floor."""
    given, values = len(values), [v for v in values if v >= floor]
    if not values or 4 * len(values) < given:
        return F(0)
    ordered, m = sorted(values), len(values)
    rank = int(0.2 * (m - 1) + 0.5)
    place = (rank + 0.625) / (m + 0.25)
    low = float(ordered[rank])
    level = F(low / (1 + scatter * normal_quantile(min(0.5, place))))
    for _ in range(2):
        quiet = min(1.0, max(2 * sum(v < level for v in values) / m, 2 * place))
        level = F(low / (1 + scatter * normal_quantile(min(0.5, place / quiet))))
    return level


def normal_quantile(p: float) -> float:
    u = p - 0.5
    square = 2 * math.pi * u * u
    series = 1 + square * (1 / 6 + square * (7 / 120 + square * (127 / 5040 + square * (4369 / 362880))))
    return math.sqrt(2 * math.pi) * u * series


def settling_of(sections: NDArray[np.float32], rate: float) -> int:
    if not len(sections):
        return 0
    sos = np.insert(sections.astype(float), 3, 1.0, axis=1)
    step = signal.sosfilt(sos, np.ones(round(rate)))
    away = np.flatnonzero(np.abs(step - step[-1]) > 1e-3)
    return int(away[-1]) + 1 if len(away) else 0


class Reference:
    """Detects over segments [(first absolute index, raw samples (n, channels))] of one stream."""

    def __init__(
        self,
        segments: Segments,
        gain_uv: float,
        rate: float,
        settings: DetectSettings,
        lsb_uv: float,
        channels: Sequence[ChannelInfo] = (),
        changes: Sequence[tuple[int, Change]] = (),
    ) -> None:
        self.channels = channels
        self.changes = sorted(changes, key=lambda change: change[0])
        self.settings, self.rate, self.segments = settings, rate, segments
        self.sections = sections_of(settings, rate)
        self.settling = settling_of(self.sections, rate)
        self.filtered = [
            (first, band_passed(raw.astype(F) * F(gain_uv) + F(0), self.sections)) for first, raw in segments
        ]
        self.floor = F(0.1 * lsb_uv)
        self.sigmas = self._sigmas()
        self.cuts = sorted({at for at, _ in [*self.sigmas, *self.changes]})
        self._known: dict[tuple[int, int], tuple[np.float32, np.float32]] = {}

    def _valid_from(self, i: int) -> int:
        first = self.filtered[i][0]
        return first if i == 0 else first + self.settling

    def _rows(self, start: int, stop: int, stride: int) -> NDArray[np.float32]:
        """Return the filtered samples at multiples of `stride` in [start, stop) that are received and settled."""
        rows = [
            x[n - first]
            for i, (first, x) in enumerate(self.filtered)
            for n in range(max(start, self._valid_from(i)), min(stop, first + len(x)))
            if n % stride == 0
        ]
        return np.array(rows, F).reshape(len(rows), self.filtered[0][1].shape[1])

    def _grid(self, start: int, stop: int, stride: int) -> NDArray[np.float32]:
        """Return the filtered samples at multiples of `stride` in [start, stop); NaN: not received or settled."""
        grid = np.full((-(-stop // stride) - -(-start // stride), self.filtered[0][1].shape[1]), np.nan, F)
        for i, (first, x) in enumerate(self.filtered):
            for n in range(max(start, self._valid_from(i)), min(stop, first + len(x))):
                if n % stride == 0:
                    grid[n // stride - -(-start // stride)] = x[n - first]
        return grid

    def _sigmas(self) -> list[tuple[int, NDArray[np.float32]]]:
        """Return (sample from which it is in force, σ per channel), ascending."""
        noise, rate, begin = self.settings.noise, self.rate, self.filtered[0][0]
        initial = round(noise.initial_s * rate)
        first = mad(self._rows(begin, begin + initial, largest_prime(rate / 4000)))
        stride = largest_prime(rate / 2000)
        rows = max(1, round(noise.block_s * rate / stride))
        pieces = max(1, min(round(noise.block_s / 0.0625), rows // 16))
        per_piece = rows // pieces
        block = stride * pieces * per_piece
        keep = max(1, round(noise.window_s * rate / block))
        scatter = min(0.3, 1.2 / per_piece**0.5)
        as_many = min(keep, max(1, round(noise.initial_s * rate / block)))
        n = as_many * pieces
        places = [statistics.NormalDist().inv_cdf((i + 0.625) / (n + 0.25)) for i in range(n)]
        seeds = np.array([first * F(1 + scatter * z) for z in places])
        values = [(-1, part) for part in seeds.reshape(as_many, pieces, -1)]
        found = [(begin, first)]
        end = self.filtered[-1][0] + len(self.filtered[-1][1])
        for k in range(begin // block, end // block + 1):
            boundary = (k + 2) * block
            grid = self._grid(k * block, (k + 1) * block, stride)
            if boundary > end:
                break
            if 2 * (~np.isnan(grid[:, 0])).sum() < len(grid):
                continue
            values.append((k * block, piece_mads(grid, pieces)))
            forgotten = [at for at, c in self.changes if isinstance(c, Recalibrate) and at < boundary]
            counted = [value for at, value in values if at >= max(forgotten, default=-1)][-keep:]
            if self._frozen(boundary, block) or k * block < max(forgotten, default=-1):
                continue
            columns = np.concatenate(counted).T
            level = [quiet_level(column, self.floor, scatter) for column in columns]
            found.append((boundary, np.where(np.array(level) > 0, np.array(level, F), found[-1][1])))
        return found

    def _frozen(self, boundary: int, block: int) -> bool:
        """Tell whether σ stays as it was at a boundary; a change at the boundary itself comes after it."""
        noise = self.settings.noise
        since = math.inf
        if noise.mode == "freeze":
            since = self.filtered[0][0] + round(noise.freeze_after_s * self.rate)
        for at, change in self.changes:
            if at < boundary and isinstance(change, Freeze):
                since = at
            elif at < boundary and isinstance(change, Follow):
                since = math.inf
            elif at < boundary and isinstance(change, Recalibrate):
                first_in_force = (math.ceil(at / block) + 2) * block
                since = max(since, at + round(noise.window_s * self.rate), first_in_force + 1)
        return boundary >= since

    def levels(self, n: int, channel: int) -> tuple[np.float32, np.float32]:
        """Return how far down and how far up a trigger at sample `n` must be, both > 0; inf: no such trigger."""
        key = bisect.bisect_right(self.cuts, n), channel
        if key not in self._known:
            self._known[key] = self._work_out_levels(n, channel)
        return self._known[key]

    def _work_out_levels(self, n: int, channel: int) -> tuple[np.float32, np.float32]:
        sigma = next(s for at, s in reversed(self.sigmas) if at <= n)[channel]
        assert sigma >= self.floor, "dead channels have tests of their own"
        down, up = ({"neg": (1, math.inf), "pos": (math.inf, 1), "both": (1, 1)})[self.settings.sign]
        height = (self.settings.threshold or 4.65) * float(sigma)
        if self.settings.threshold_uv is not None:
            height = abs(self.settings.threshold_uv)
        found = down * height, up * height
        muted = False
        for at, change in self.changes:
            if at > n:
                break
            if isinstance(change, Levels):
                row = change.labels.index(self.channels[channel].label)
                negative, positive = change.negative_uv[row], change.positive_uv[row]
                found = math.inf if negative is None else -negative, math.inf if positive is None else positive
            elif isinstance(change, Threshold | Mute | Unmute) and channel in select(change.select, self.channels):
                if isinstance(change, Threshold):
                    height = abs(change.threshold_uv or 0) or (change.threshold or 0) * float(sigma)
                    found = down * height, up * height
                else:
                    muted = isinstance(change, Mute)
        return (F(math.inf), F(math.inf)) if muted else (F(found[0]), F(found[1]))

    def detect(self) -> tuple[NDArray[np.void], NDArray[np.float32], list[tuple[int, int]]]:
        """Return (spikes with time 0, waveforms, rejected (crossing, channel))."""
        s = self.settings
        dead = max(2, round(s.dead_time_ms * 1e-3 * self.rate))
        search = min(max(1, round(s.peak_ms * 1e-3 * self.rate)), dead - 1) if s.align == "peak" else 0
        pre, post = (round(ms * 1e-3 * self.rate) for ms in s.snippet_ms)
        events = []
        for channel in range(self.filtered[0][1].shape[1]):
            quiet_until = -1
            for i, (first, x) in enumerate(self.filtered):
                y = x[:, channel]
                for n in range(max(first + 1, self._valid_from(i)), first + len(y)):
                    sign = self._trigger(y, n - first, n, channel, quiet_until, search)
                    if not sign:
                        continue
                    quiet_until = n + dead
                    window = sign * y[n - first : n - first + search + 1]
                    peak = int(window.argmax())
                    cut = n + search >= first + len(y)
                    at = n - first + peak
                    snippet = np.array([y[j] if 0 <= j < len(y) else F(np.nan) for j in range(at - pre, at + post)], F)
                    events.append(
                        (n, channel, first + at, y[at], F(sign) * self.levels(n, channel)[sign > 0], cut, snippet)
                    )
        events.sort(key=lambda e: e[:2])
        kept = [(i, e) for i, e in enumerate(events) if not e[5]]
        spikes = np.array([(i, e[2], e[0], 0.0, e[1], -1, e[3], e[4]) for i, e in kept], SPIKE_DTYPE)
        waveforms = np.array([e[6] for _, e in kept], F).reshape(len(kept), pre + post)
        return spikes, waveforms, [e[:2] for e in events if e[5]]

    def _trigger(self, y: NDArray[np.float32], i: int, n: int, channel: int, quiet_until: int, search: int) -> int:
        """Return +1 or −1 when sample n (y[i]) is a trigger, else 0."""
        if n < quiet_until:
            return 0
        for sign, level in zip((-1, 1), self.levels(n, channel), strict=True):
            if not sign * y[i] > level:
                continue
            if not sign * y[i - 1] > level:
                return sign
            recent = [sign * y[j] > level for j in range(max(i - search, 0), i)]
            if n == quiet_until and sign * y[i] > sign * y[i - 1] and not all(recent):
                return sign
        return 0
