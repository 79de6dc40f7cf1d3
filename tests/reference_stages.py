"""The stages of detection once more, slow and plain: what is blanked, the common reference, methods, vetoes, storms.

Written from the rules in DESIGN, the docstrings and the descriptions of settings, not from the kernels. One sample
after the other, one channel after the other, the whole recording at once; float32 arithmetic in the documented order,
so that results can be compared byte for byte. σ is given (the noise level has its own reference, `tests.reference`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.changes import Blank, Change, Mute, Threshold, Unmute
from rtspikes.detect.rebound import LARGER, LEAST, SLOPED, Rebound, design_rebound
from rtspikes.detect.settings import DetectSettings
from rtspikes.selectors import select
from rtspikes.types import CROSSING_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, RejectReason, SpikeFlag, StreamInfo
from tests.reference import Segments, sections_of, settling_of

F = np.float32
BAD, BLANKED = 1, 2
"""Why a sample is held: it is no voltage, or it is blanked."""


@dataclass
class Trigger:
    decided: int
    crossing: int
    channel: int
    value: np.float32
    threshold: np.float32
    polarity: int  # −1 trough, 1 peak, 0 whichever is larger
    segment: int
    peak: int = 0
    amplitude: np.float32 = F(0)
    reason: int = 0
    coincident: bool = False
    waveform: list[np.float32] = field(default_factory=list)
    near: list[np.float32] = field(default_factory=list)


@dataclass
class Found:
    crossings: NDArray[np.void]
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]
    flags: NDArray[np.uint8]
    neighbours: NDArray[np.float32]
    rejected: NDArray[np.void]
    counts: NDArray[np.int64]
    observed: NDArray[np.int64]
    hidden: NDArray[np.bool_]  # (from the first sample to the last, channels): within a blanking or its hold-off
    stormy: NDArray[np.bool_]  # the same for storms
    storms: list[tuple[int, str, int, list[int]]]  # sample, cause, amount, channels


class Stages:
    """Detects over segments [(first absolute index, raw samples (n, channels))] with the σ of `sigma_uv` throughout."""

    def __init__(
        self,
        segments: Segments,
        info: StreamInfo,
        settings: DetectSettings,
        sigma_uv: NDArray[np.float32],
        changes: Sequence[tuple[int, Change]] = (),
    ) -> None:
        self.segments, self.info, self.settings, self.sigma = segments, info, settings, sigma_uv
        self.changes = sorted(changes, key=lambda change: change[0])
        self.rate = info.rate_hz
        self.n_channels = info.n_channels
        self.places = np.array([[math.nan if v is None else v for v in (c.x_um, c.y_um)] for c in info.channels])
        self.electrodes = [c.position for c in info.channels if c.kind == "electrode"]
        self.sections = sections_of(settings, self.rate)
        self.settling = settling_of(self.sections, self.rate)
        self.dead = max(2, self.samples(settings.dead_time_ms))
        search = max(1, self.samples(settings.peak_ms)) if settings.align == "peak" else 0
        self.search = min(search, self.dead - 1)
        self.delay, self.back, self.history = self._of_method(search)
        self.hold_off = self.samples(settings.artifacts.hold_off_ms) + self.history
        self.begin = segments[0][0]
        self.end = segments[-1][0] + len(segments[-1][1])
        self.kinds: list[NDArray[np.int8]] = []
        self.signal: list[NDArray[np.float32]] = []
        self._last_good = np.zeros(self.n_channels, F)
        for first, raw in segments:
            blanked = self._blanked(first, raw)
            uv, kinds = self._held(raw, blanked)
            self.kinds.append(kinds)
            self.signal.append(self._referenced(self._filtered(uv)))
        self._cuts = sorted({at for at, _ in self.changes})
        self._levels: dict[tuple[int, int], tuple[np.float32, np.float32, bool]] = {}

    def samples(self, ms: float) -> int:
        return round(ms * 1e-3 * self.rate)

    def armed(self, i: int) -> int:
        first = self.segments[i][0]
        return first if i == 0 else first + self.settling

    def _of_method(self, search: int) -> tuple[int, int, int]:
        """Return (samples from a crossing to its decision, samples before it where the peak may be, history)."""
        s = self.settings
        if s.method == "energy":
            self.k = s.energy.k or max(1, self.samples(0.15))
            return 3 * self.k, 2 * self.k, 6 * self.k + 1
        if s.method == "hoop":
            ends = [self.samples(hoop.ms[1]) for hoop in s.hoop.hoops]
            delay = max([*ends, 0 if s.hoop.largest_uv is None else search])
            return delay, 0, delay + 1
        if s.method == "window":
            self.search = 0
            return s.window.length + self.dead, 0, 0
        return 0, 0, 0

    # what is held, filter, reference

    def _blanked(self, first: int, raw: NDArray[Any]) -> NDArray[np.bool_]:
        a = self.settings.artifacts
        out = np.zeros(raw.shape, bool)
        for c in self.info.channels:
            x = raw[:, c.position].astype(F)
            hit = np.zeros(len(x), bool)
            if a.saturation and c.kind == "electrode":
                if a.rails_uv is not None:
                    low, high = sorted((uv - c.offset_uv) / c.gain_uv for uv in a.rails_uv)
                else:
                    low, high = (-32768, 32767) if self.info.dtype == "int16" else (-math.inf, math.inf)
                hit |= (x <= F(low)) | (x >= F(high))
            if a.slew_uv is not None and c.kind == "electrode":
                with np.errstate(invalid="ignore"):
                    hit[1:] |= np.abs(x[1:] - x[:-1]) >= F(a.slew_uv / abs(c.gain_uv))
            out[:, c.position] = hit
        for well in {c.well for c in self.info.channels}:
            members = [c.position for c in self.info.channels if c.well == well and c.kind == "electrode"]
            if members:
                many = out[:, members].sum(axis=1) >= max(2, math.ceil(a.fraction * len(members)))
                out[np.ix_(many, members)] = True
        for at, change in self.changes:
            if isinstance(change, Blank):
                until = at + max(1, self.samples(change.ms))
                for c in select(change.select, self.info.channels):
                    out[max(0, at - first) : max(0, until - first), c] = True
        return out

    def _held(self, raw: NDArray[Any], blanked: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Return µV, and for each sample why it was held (0: it was not)."""
        high_pass = any(abs(b0 + b1 + b2) < 1e-5 for b0, b1, b2, _, _ in self.sections)
        uv, kinds = np.zeros(raw.shape, F), np.zeros(raw.shape, np.int8)
        for c in self.info.channels:
            gain, offset = F(c.gain_uv), F(c.offset_uv)
            p = c.position
            last, moved = self._last_good[p], False
            for i, value in enumerate(raw[:, p].astype(F)):
                with np.errstate(all="ignore"):
                    x = value * gain + offset
                physical = bool(abs(x) <= 1e9)
                if i == 0 and physical:
                    last = x
                if blanked[i, p]:
                    kinds[i, p], moved = BLANKED, True
                elif not physical:
                    kinds[i, p] = BAD
                else:
                    if moved and high_pass:
                        offset = offset + (last - x)
                        x = value * gain + offset
                    last, moved = x, False
                uv[i, p] = last
            self._last_good[p] = last
        return uv, kinds

    def _filtered(self, uv: NDArray[np.float32]) -> NDArray[np.float32]:
        out, steady = uv.copy(), uv[0]
        for b0, b1, b2, a1, a2 in self.sections:
            answer = (b0 + b1 + b2) / (1 + a1 + a2) * steady
            s1, s2 = answer - b0 * steady, b2 * steady - a2 * answer
            for i in range(len(out)):
                v = out[i] + F(1e-12)
                y = b0 * v + s1
                s1 = (b1 * v + s2) - a1 * y
                s2 = b2 * v - a2 * y
                out[i] = y
            steady = answer
        return out

    def _referenced(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        r = self.settings.reference
        if r.kind == "none":
            return y
        if r.groups == "all":
            groups = [self.electrodes]
        elif r.groups == "well":
            wells = {self.info.channels[p].well for p in self.electrodes}
            groups = [[p for p in self.electrodes if self.info.channels[p].well == well] for well in wells]
        else:
            groups = [[p for p in select(s, self.info.channels) if p in self.electrodes] for s in r.groups]
        out = y.copy()
        for group in groups:
            if len(group) < 2:
                continue
            total = np.zeros(len(y))
            for p in group:
                total += y[:, p].astype(float)
            for p in group:
                if r.kind == "average":
                    common = (total / len(group)).astype(F)
                else:
                    others = np.sort(y[:, [q for q in group if q != p]], axis=1)
                    n = others.shape[1]
                    common = others[:, n // 2] if n % 2 else F(0.5) * (others[:, n // 2 - 1] + others[:, n // 2])
                out[:, p] = y[:, p] - common
        return out

    # thresholds

    def levels(self, n: int, channel: int) -> tuple[np.float32, np.float32, bool]:
        """Return the (falling, rising) thresholds in force at `n`, signed, and whether the channel is live."""
        key = bisect.bisect_right(self._cuts, n), channel
        if key not in self._levels:
            self._levels[key] = self._work_out_levels(n, channel)
        return self._levels[key]

    def _work_out_levels(self, n: int, channel: int) -> tuple[np.float32, np.float32, bool]:
        s, sigma = self.settings, float(self.sigma[channel])
        height = (s.threshold or math.nan) * sigma
        if s.method == "window" and s.window.cutoff_units is not None:
            height = s.window.cutoff_units * abs(self.info.channels[channel].gain_uv)
        if s.threshold_uv is not None:
            height = abs(s.threshold_uv)
        live = channel in self.electrodes
        for at, change in self.changes:
            if at > n or not isinstance(change, Threshold | Mute | Unmute):
                continue
            if channel not in select(change.select, self.info.channels):
                continue
            if isinstance(change, Threshold):
                height = abs(change.threshold_uv or 0) or (change.threshold or 0) * sigma
            else:
                live = isinstance(change, Unmute) and channel in self.electrodes
        if not live:
            return F(-math.inf), F(math.inf), False
        if s.method == "energy":
            return F(-math.inf), F(height), True
        return (
            F(-height if s.sign in ("neg", "both") else -math.inf),
            F(height if s.sign in ("pos", "both") else math.inf),
            True,
        )

    # methods

    def triggers(self) -> list[Trigger]:
        """Return all triggers of all channels, suppressed ones too, by channel."""
        method = {"window": self._windows, "hoop": self._hoops}.get(self.settings.method, self._crossings)
        found = []
        for channel in self.electrodes:
            quiet = 0
            for i in range(len(self.segments)):
                quiet, some = method(i, channel, quiet)
                found += some
        return found

    def _quiet(self, i: int, channel: int, n: int, quiet: int) -> int:
        """Return until when the channel is quiet, sample `n` considered."""
        kind = self.kinds[i][n - self.segments[i][0], channel]
        if not kind:
            return quiet
        return max(quiet, n + 1 + (self.dead + self.history if kind == BAD else self.hold_off))

    def _compared(self, i: int, channel: int) -> NDArray[np.float32]:
        """Return what is compared with the threshold, at the samples where it is known."""
        x = self.signal[i][:, channel]
        if self.settings.method != "energy":
            return x
        k = self.k
        psi = np.zeros(len(x), F)  # of the sample k before
        for n in range(2 * k, len(x)):
            psi[n] = x[n - k] * x[n - k] - x[n] * x[n - 2 * k]
        window = np.hamming(4 * k + 1)
        window = (window / window.sum()).astype(F)
        smooth = np.zeros(len(x), F)  # of the sample 3k before
        for n in range(2 * k, len(x)):
            for j in range(min(len(window), n + 1)):
                smooth[n] += window[j] * psi[n - j]
        return np.sqrt(np.maximum(smooth, F(0)))

    def _crossings(self, i: int, channel: int, quiet: int) -> tuple[int, list[Trigger]]:
        first = self.segments[i][0]
        x, score = self.signal[i][:, channel], self._compared(i, channel)
        found = []
        for n in range(first, first + len(x)):
            quiet = self._quiet(i, channel, n, quiet)
            fall, rise, _ = self.levels(n, channel)
            m = n - self.delay
            if n < quiet or m < self.armed(i) or m <= first:
                continue
            now, before = score[n - first], score[n - first - 1]
            for side, level in ((-1, fall), (1, rise)):
                if not side * now > side * level:
                    continue
                begun = not side * before > side * level
                recent = score[max(0, n - first - self.search) : n - first]
                ahead = n == quiet and side * now > side * before and not (side * recent > side * level).all()
                if begun or ahead:
                    polarity = side
                    if self.settings.method == "energy":
                        polarity = {"neg": -1, "pos": 1, "both": 0}[self.settings.sign]
                    found.append(Trigger(n, m, channel, x[m - first], level, polarity, i))
                    quiet = n + self.dead
                    break
        return quiet, found

    def _hoops(self, i: int, channel: int, quiet: int) -> tuple[int, list[Trigger]]:
        first = self.segments[i][0]
        x = self.signal[i][:, channel]
        s = self.settings.hoop
        found = []
        for n in range(first, first + len(x)):
            quiet = self._quiet(i, channel, n, quiet)
            fall, rise, _ = self.levels(n, channel)
            m = n - self.delay
            if n < quiet or m < self.armed(i) or m <= first:
                continue
            at = m - first
            falls, rises = x[at] < fall and not x[at - 1] < fall, x[at] > rise and not x[at - 1] > rise
            if not (falls or rises):
                continue
            quiet = n + self.dead
            reach = x[at : at + min(self.search, self.delay) + 1]
            if s.largest_uv is not None and (np.abs(reach) > F(s.largest_uv)).any():
                continue
            parts = [x[at + self.samples(h.ms[0]) : at + self.samples(h.ms[1]) + 1] for h in s.hoops]
            if all(((F(h.uv[0]) <= p) & (p <= F(h.uv[1]))).any() for p, h in zip(parts, s.hoops, strict=True)):
                found.append(Trigger(n, m, channel, x[at], fall if falls else rise, -1 if falls else 1, i))
        return quiet, found

    def _windows(self, i: int, channel: int, quiet: int) -> tuple[int, list[Trigger]]:
        first = self.segments[i][0]
        x = self.signal[i][:, channel]
        length = self.settings.window.length
        hop = self.settings.window.hop or length
        candidates: list[tuple[int, np.float32, np.float32]] = []
        for n in range(first, first + len(x)):
            quiet = self._quiet(i, channel, n, quiet)
            begin = n + 1 - length
            if begin < 0 or begin % hop or begin < self.armed(i) or begin < quiet:
                continue
            fall, rise, _ = self.levels(n, channel)
            part = x[begin - first : begin - first + length]
            total = 0.0
            for value in part:
                total += float(value)
            mean = F(total / length)
            low, high = int(part.argmin()), int(part.argmax())
            down, up = mean - part[low], part[high] - mean
            sides = [
                (far, -at, at, level) for far, at, level in ((down, low, fall), (up, high, rise)) if far > abs(level)
            ]
            if sides:
                far, _, at, level = max(sides, key=lambda side: side[:2])
                candidates.append((begin + at, far, level))
        found = []
        for j, (sample, far, level) in enumerate(candidates):
            rivals = [(b, -a, -o) for o, (a, b, _) in enumerate(candidates) if abs(a - sample) < self.dead]
            if (far, -sample, -j) == max(rivals) and sample + self.delay < first + len(x):
                polarity = -1 if level < 0 else 1
                found.append(Trigger(sample + self.delay, sample, channel, x[sample - first], level, polarity, i))
        return quiet, found

    # events

    def detect(self) -> Found:
        triggers = self.triggers()
        storms, stormy, kept = self._storms(triggers)
        kept.sort(key=lambda t: (t.crossing, t.channel))
        for t in kept:
            self._finish(t)
        self._veto(kept)
        spikes = [(i, t) for i, t in enumerate(kept) if not t.reason]
        k, hidden = self.settings.neighbours.amplitudes, self._hidden()
        pre, post = map(self.samples, self.settings.snippet_ms)
        return Found(
            np.array(
                [(i, t.crossing, 0.0, t.channel, t.value, t.threshold) for i, t in enumerate(kept)], CROSSING_DTYPE
            ),
            np.array(
                [(i, t.peak, t.crossing, 0.0, t.channel, -1, t.amplitude, t.threshold) for i, t in spikes], SPIKE_DTYPE
            ),
            np.array([t.waveform for _, t in spikes], F).reshape(len(spikes), pre + post),
            np.array([SpikeFlag.COINCIDENT if t.coincident else 0 for _, t in spikes], np.uint8),
            np.array([t.near for _, t in spikes], F).reshape(len(spikes), k),
            np.array(
                [(i, t.crossing, 0.0, t.channel, t.reason, t.threshold) for i, t in enumerate(kept) if t.reason],
                REJECTED_DTYPE,
            ),
            np.bincount([t.channel for _, t in spikes], minlength=self.n_channels),
            self._observed(hidden, stormy),
            hidden,
            stormy,
            storms,
        )

    def _finish(self, t: Trigger) -> None:
        first = self.segments[t.segment][0]
        x = self.signal[t.segment]
        y = x[:, t.channel]
        c = t.crossing - first
        window = range(max(0, c - self.back), min(len(y), c + self.search + 1))
        side = t.polarity or None
        t.peak = first + max(window, key=lambda n: (abs(y[n]) if side is None else side * y[n], -n))
        p = t.peak - first
        t.amplitude = y[p]
        pre, post = map(self.samples, self.settings.snippet_ms)
        t.waveform = [y[n] if 0 <= n < len(y) else F(np.nan) for n in range(p - pre, p + post)]
        t.near = [F(np.nan) if q is None else x[p, q] for q in self.nearest(t.channel)]
        reach = c + max(self.search, self.delay)
        if reach >= len(y):
            t.reason = RejectReason.CUT
        elif (self.kinds[t.segment][c : reach + 1, t.channel] == BLANKED).any():
            t.reason = RejectReason.BLANKED
        elif self._after_swing(y, p, -1 if t.amplitude < 0 else 1, abs(t.threshold)):
            t.reason = RejectReason.REBOUND

    def _after_swing(self, y: NDArray[np.float32], p: int, side: int, threshold: np.float32) -> bool:
        if not self.settings.rebound.reject or self.settings.method not in ("threshold", "hoop", "matched"):
            return False
        rule = self.rebound
        if not len(rule.weights):
            return False
        larger_from, larger_to, early_from, early_to, late_from, late_to = (int(n) for n in rule.spans)
        height = side * float(y[p])

        def part(a: int, b: int) -> list[float]:
            return [float(y[n]) for n in range(max(0, a), min(len(y), b))]

        suspect = any(side * v >= float(F(LARGER)) * height for v in part(p - larger_from, p - larger_to))
        for a, b in ((p - early_from, p - early_to), (p + late_from, p + late_to)):
            suspect |= side * math.fsum(part(a, b)) / (b - a) >= float(F(SLOPED)) * height
        if not suspect:
            return False
        spike = F(0)
        for i, weight in enumerate(rule.weights):
            n = p - rule.before + i
            if 0 <= n < len(y):
                spike += weight * y[n]
        return bool(F(-side) * spike < F(LEAST) * threshold)

    @cached_property
    def rebound(self) -> Rebound:
        return design_rebound(self.sections, self.rate)

    # other channels

    def nearest(self, channel: int) -> Iterator[int | None]:
        """Yield the nearest electrodes of the channel's well within the radius, as many as asked for."""
        s, here = self.settings.neighbours, self.info.channels[channel]
        found = []
        for p in self.electrodes:
            c = self.info.channels[p]
            if p != channel and c.well == here.well and self._distance(channel, p) <= s.radius_um:
                found.append((self._distance(channel, p), p))
        places: list[int | None] = [p for _, p in sorted(found)]
        yield from (places + [None] * s.amplitudes)[: s.amplitudes]

    def _distance(self, a: int, b: int) -> float:
        return float(np.hypot(*(self.places[a] - self.places[b])))

    def _veto(self, events: list[Trigger]) -> None:
        a, s = self.settings.artifacts, self.settings.neighbours
        within = max(1, self.samples(a.coincidence_ms))
        wells = [c.well for c in self.info.channels]
        sizes = {well: sum(wells[p] == well for p in self.electrodes) for well in wells}
        for t in events if a.coincidence != "off" else []:
            well = wells[t.channel]
            near = [e for e in events if e.segment == t.segment and abs(e.crossing - t.crossing) <= within]
            electrodes = {e.channel for e in near if wells[e.channel] == well}
            needed = max(a.coincidence_electrodes, math.ceil(a.coincidence_fraction * sizes[well]))
            t.coincident = sizes[well] >= 16 and len(electrodes) >= needed
        if a.coincidence == "reject":
            for t in events:
                t.reason = t.reason or (RejectReason.COINCIDENCE if t.coincident else 0)
        if not s.exclusive:
            return
        apart = max(1, self.samples(s.window_ms))

        def rank(t: Trigger) -> tuple[float, int, int]:
            return abs(float(t.amplitude)) / abs(float(t.threshold)), -t.peak, -t.channel

        good = [t for t in events if not t.reason]
        beaten = [
            t
            for t in good
            if any(
                e.channel != t.channel
                and e.segment == t.segment
                and abs(e.peak - t.peak) <= apart
                and wells[e.channel] == wells[t.channel]
                and self._distance(e.channel, t.channel) <= s.radius_um
                and rank(e) > rank(t)
                for e in good
            )
        ]
        for t in beaten:
            t.reason = RejectReason.NEIGHBOUR

    # storms and observed time

    def _storms(
        self, triggers: list[Trigger]
    ) -> tuple[list[tuple[int, str, int, list[int]]], NDArray[np.bool_], list[Trigger]]:
        """Return (what is told, when each channel stormed, the triggers that were not suppressed)."""
        stormy = np.zeros((self.end - self.begin, self.n_channels), bool)
        cap = self.settings.storm.cap_per_s
        if not cap:
            return [], stormy, triggers
        step = round(0.1 * self.rate)
        told = []
        storming: dict[int, int] = {}
        for at in range((self.begin // step + 1) * step, self.end + 1, step):
            recent = {
                c: sum(at - 10 * step <= t.decided < at for t in triggers if t.channel == c) for c in self.electrodes
            }
            now = [c for c in self.electrodes if recent[c] > cap * 10 * step / self.rate]
            begun, over = [c for c in now if c not in storming], [c for c in storming if c not in now]
            if begun:
                told.append((at, "storm", sum(recent[c] for c in begun), begun))
                storming |= dict.fromkeys(begun, at)
            if over:
                count = sum(storming[t.channel] <= t.decided < at for t in triggers if t.channel in over)
                told.append((at, "storm_over", count, sorted(over)))
                for c in over:
                    stormy[storming.pop(c) - self.begin : at - self.begin, c] = True
        for c, at in storming.items():
            stormy[at - self.begin :, c] = True
        return told, stormy, [t for t in triggers if not stormy[t.decided - self.begin, t.channel]]

    def _hidden(self) -> NDArray[np.bool_]:
        hidden = np.zeros((self.end - self.begin, self.n_channels), bool)
        for (first, _), kinds in zip(self.segments, self.kinds, strict=True):
            for n, channel in zip(*np.nonzero(kinds), strict=True):
                at = first + n - self.begin
                after = self.dead + self.history if kinds[n, channel] == BAD else self.hold_off
                hidden[at : at + 1 + after, channel] = True
        return hidden

    def _observed(self, hidden: NDArray[np.bool_], stormy: NDArray[np.bool_]) -> NDArray[np.int64]:
        count = np.zeros(self.n_channels, np.int64)
        for i, (first, raw) in enumerate(self.segments):
            for n in range(max(first, self.armed(i)), first + len(raw)):
                live = np.array([self.levels(n, c)[2] for c in range(self.n_channels)])
                count += live & ~hidden[n - self.begin] & ~stormy[n - self.begin]
        return count
