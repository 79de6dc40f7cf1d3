"""The detector once more, slow and plain: one sample after the other, one channel after the other, whole recording.

Written from the rules in DESIGN and the docstrings, not from the kernels; float32 arithmetic in the same order, so that
results can be compared byte for byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rtspikes.detect.settings import DetectSettings
from rtspikes.types import SPIKE_DTYPE

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
    high = f.order if f.highpass_order is None else f.highpass_order
    low = f.order if f.lowpass_order is None else f.lowpass_order
    z, p, k = [], [], 1.0
    for n, corner, kind in ((high, f.band_hz[0], "highpass"), (low, f.band_hz[1], "lowpass")):
        if n:
            zz, pp, kk = signal.butter(n, corner, kind, fs=rate, output="zpk")
            z, p, k = [*z, *zz], [*p, *pp], k * kk
    return np.ascontiguousarray(signal.zpk2sos(z, p, k)[:, [0, 1, 2, 4, 5]], F)


def band_passed(uv: NDArray[np.float32], sections: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter (time, channels) float32 from the steady state of its first row."""
    out = uv.copy()
    for b0, b1, b2, a1, a2 in sections:
        first = out[0]
        gain = (b0 + b1 + b2) / (1 + a1 + a2)
        s1 = gain * first - b0 * first
        s2 = b2 * first - a2 * (gain * first)
        for i in range(len(out)):
            v = out[i] + F(1e-12)
            y = b0 * v + s1
            s1 = (b1 * v + s2) - a1 * y
            s2 = b2 * v - a2 * y
            out[i] = y
    return out


def lower_median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(values, axis=0)[(len(values) - 1) // 2]


def mad(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return lower_median(np.abs(values - lower_median(values))) * F(1 / 0.67448975)


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
        self, segments: Segments, gain_uv: float, rate: float, settings: DetectSettings, lsb_uv: float
    ) -> None:
        self.settings, self.rate, self.segments = settings, rate, segments
        self.sections = sections_of(settings, rate)
        self.settling = settling_of(self.sections, rate)
        self.filtered = [
            (first, band_passed(raw.astype(F) * F(gain_uv) + F(0), self.sections)) for first, raw in segments
        ]
        self.floor = F(0.1 * lsb_uv)
        self.sigmas = self._sigmas()

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

    def _sigmas(self) -> list[tuple[int, NDArray[np.float32]]]:
        """Return (sample from which it is in force, σ per channel), ascending."""
        noise, rate, begin = self.settings.noise, self.rate, self.filtered[0][0]
        initial = round(noise.initial_s * rate)
        first = mad(self._rows(begin, begin + initial, largest_prime(rate / 4000)))
        stride = largest_prime(rate / 1000)
        per_block = round(noise.block_s * rate / stride)
        block, keep = stride * per_block, round(noise.window_s * rate / (stride * per_block))
        values, found = [first], [(begin, first)]
        end = self.filtered[-1][0] + len(self.filtered[-1][1])
        frozen = begin + round(noise.freeze_after_s * rate) if noise.mode == "freeze" else None
        for k in range(begin // block, end // block + 1):
            boundary = (k + 2) * block
            rows = self._rows(k * block, (k + 1) * block, stride)
            if boundary > end or (frozen is not None and boundary >= frozen):
                break
            if 2 * len(rows) < per_block:
                continue
            values = [*values, mad(rows)][-keep:]
            ordered = np.sort(np.array(values), axis=0)
            at = 0.4 * (len(values) - 1)
            low, high = ordered[int(at)], ordered[min(int(at) + 1, len(values) - 1)]
            found.append((boundary, low + F(at - int(at)) * (high - low)))
        return found

    def _level(self, n: int, channel: int) -> np.float32:
        sigma = next(s for at, s in reversed(self.sigmas) if at <= n)[channel]
        assert sigma >= self.floor, "dead channels have tests of their own"
        own = self.settings.threshold * float(sigma)
        return F(own if self.settings.threshold_uv is None else abs(self.settings.threshold_uv))

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
                    events.append((n, channel, first + at, y[at], F(sign) * self._level(n, channel), cut, snippet))
        events.sort(key=lambda e: e[:2])
        kept = [(i, e) for i, e in enumerate(events) if not e[5]]
        spikes = np.array([(i, e[2], e[0], 0.0, e[1], -1, e[3], e[4]) for i, e in kept], SPIKE_DTYPE)
        waveforms = np.array([e[6] for _, e in kept], F).reshape(len(kept), pre + post)
        return spikes, waveforms, [e[:2] for e in events if e[5]]

    def _trigger(self, y: NDArray[np.float32], i: int, n: int, channel: int, quiet_until: int, search: int) -> int:
        """Return +1 or −1 when sample n (y[i]) is a trigger, else 0."""
        if n < quiet_until:
            return 0
        level = self._level(n, channel)
        for sign, wanted in ((-1, ("neg", "both")), (1, ("pos", "both"))):
            if self.settings.sign not in wanted or not sign * y[i] > level:
                continue
            if not sign * y[i - 1] > level:
                return sign
            recent = [sign * y[j] > level for j in range(max(i - search, 0), i)]
            if n == quiet_until and sign * y[i] > sign * y[i - 1] and not all(recent):
                return sign
        return 0
