"""The detector: keeps every channel's state, feeds the kernels, and hands out events with their ids, in order.

Whatever the cuts between calls, the same samples give the same events: state lives in absolute sample indices, σ
and scheduled changes take effect at fixed samples, and ids are given in the order (trigger, channel), which is also
the order in which events end.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect import kernels
from rtspikes.detect.changes import Change
from rtspikes.detect.events import Events, Parts, Register, ThresholdUpdate, joined
from rtspikes.detect.filter import design, settling_samples
from rtspikes.detect.noise import INITIAL_ROW_RATE_HZ, NoiseRows, NoiseTracker, prime_stride
from rtspikes.detect.schedule import NEVER, Schedule
from rtspikes.detect.settings import ChannelRule, DetectSettings
from rtspikes.detect.threshold import ThresholdTable
from rtspikes.errors import ConfigError
from rtspikes.types import Samples, StreamInfo

__all__ = ["Detector", "Events", "ThresholdUpdate"]

SLICE = 2048
"""Samples that all tiles see before time moves on, at most; bounds the results that one kernel call can have."""

LARGEST_RESULTS = 64 * 1024 * 1024
"""Bytes of waveforms that the result buffer may take (with long snippets, slices get shorter instead)."""


class Detector:
    """Finds spikes on every electrode of one stream.

    Call `learn` once with the stream's first `initial_samples`, then `process` with every block from the first on, then
    `finish`. Raises ConfigError for settings that do not fit the stream.
    """

    def __init__(
        self,
        info: StreamInfo,
        settings: DetectSettings,
        rules: Sequence[ChannelRule] = (),
        first_sample: int = 0,
        sigma_uv: NDArray[np.float32] | None = None,
    ) -> None:
        self.info = info
        self.settings = settings
        self.table = ThresholdTable(info, settings, rules)
        rate = info.rate_hz
        self.sections = design(settings.filter, rate)
        self.settling = settling_samples(self.sections)
        self.pre, self.post = (round(ms * 1e-3 * rate) for ms in settings.snippet_ms)
        if not (0 <= self.pre and 1 <= self.post and self.pre + self.post <= rate / 4):
            raise ConfigError(
                f"detect.snippet_ms must be [≥ 0, ≥ one sample], 250 ms together at most, "
                f"got {list(settings.snippet_ms)}"
            )
        search = max(1, round(settings.peak_ms * 1e-3 * rate)) if settings.align == "peak" else 0
        self.latency = search + self.post
        self.initial_samples = 0 if sigma_uv is not None else max(1, round(settings.noise.initial_s * rate))

        tiles = -(-info.n_channels // kernels.MAX_LANES)
        lanes = -(-info.n_channels // (tiles * 16)) * 16
        self._shape = (tiles, lanes)
        self._gain = self._tiled(np.array([c.gain_uv for c in info.channels], np.float32), 0)
        self._offset = self._tiled(np.array([c.offset_uv for c in info.channels], np.float32), 0)
        self._dead = self._tiled(self.table.dead_samples, 1)
        self._window = np.minimum(search, self._dead - 1)
        self._below = np.full(self._shape, -np.inf, np.float32)
        self._above = np.full(self._shape, np.inf, np.float32)
        self._quiet_until = np.zeros(self._shape, np.int64)
        self._held = np.zeros(self._shape, np.float32)
        self._bad = np.zeros(self._shape, np.int64)
        self._state = np.zeros((tiles, len(self.sections), 2, lanes), np.float32)
        depth = -(-(self.pre + self.latency) // kernels.BLOCK) + 2
        self._trace = np.zeros((tiles, depth * kernels.BLOCK, lanes), np.float32)

        spacing = int(self.table.dead_samples.min())
        self._pending = np.zeros(
            (tiles, lanes * ((self.latency + kernels.BLOCK) // spacing + 3)), kernels.PENDING_DTYPE
        )
        self._n_pending = np.zeros(tiles, np.int64)
        snippet = self.pre + self.post
        self._slice = SLICE
        while self._slice > kernels.BLOCK and 8 * lanes * self._most_per_lane(spacing) * snippet > LARGEST_RESULTS:
            self._slice //= 2
        self._per_lane = self._most_per_lane(spacing)
        room = 2 * lanes * self._per_lane  # so that a tile may be begun while the buffers are half full
        self._found = np.empty(room, kernels.FOUND_DTYPE)
        self._done = np.empty(room, kernels.DONE_DTYPE)
        self._waveforms = np.empty((room, snippet), np.float32)
        self._counts = np.zeros(2, np.int64)

        floor = self._tiled(self.table.floor_uv.astype(np.float32), np.inf)
        self.noise = NoiseTracker(settings.noise, rate, floor, first_sample)
        self._first = self.next_sample = self._segment = self._armed = first_sample
        self._fresh = True
        self._spikes_to = first_sample
        self.settling_total = 0
        self._register = Register(snippet)
        self._schedule = Schedule(info, self.table, self.noise)
        self._start_update: ThresholdUpdate | None = None
        if sigma_uv is not None:
            self.noise.learn(self._tiled(sigma_uv.astype(np.float32), 0))
        self._apply(self._levels_at(first_sample))
        if sigma_uv is not None:
            self._start_update = self._levels

    def _most_per_lane(self, spacing: int) -> int:
        """Return how many results of a kind a lane can have in one slice, with triggers `spacing` samples apart."""
        return (max(self._slice, self.latency) - 1) // spacing + 2

    @property
    def bad_samples(self) -> NDArray[np.int64]:
        """Samples per channel (channels,) that were NaN, infinite or beyond ±1e9 µV, and were held."""
        return self._bad.reshape(-1)[: self.info.n_channels]

    @property
    def muted(self) -> NDArray[np.bool_]:
        """Which channels (channels,) a change has muted; those that the settings disable are not among them."""
        return self.table.muted

    @property
    def frozen(self) -> bool:
        """Whether σ stays as it is at the next sample."""
        return self.noise.frozen(self.next_sample)

    def levels(self, unmuted: bool = False) -> ThresholdUpdate:
        """Return σ and thresholds in force, and since which sample; σ is 0 before it was learnt.

        unmuted: with the thresholds that muted channels will have again.
        """
        if not unmuted:
            return self._levels
        levels = self._levels
        return ThresholdUpdate(levels.sample, levels.sigma_uv, *self.table.levels(levels.sigma_uv, unmuted))

    def schedule(self, change: Change, sample: int) -> None:
        """Let `change` be in force for triggers at or after `sample`; belongs to the thread that calls `process`.

        Raises ConfigError for what does not fit the stream, TooLate when `sample` was already looked at.
        """
        self._schedule.add(change, sample, self.next_sample)

    def _tiled(self, values: NDArray[Any], fill: float) -> NDArray[Any]:
        """Return per-channel values (channels,) as (tiles, lanes)."""
        out = np.full(self._shape, fill, values.dtype)
        out.reshape(-1)[: self.info.n_channels] = values
        return out

    def learn(self, blocks: Iterable[tuple[Samples, int]], restarts: Container[int] = ()) -> int:
        """Learn the first σ from the stream's first blocks (samples, first index); return the rows it rests on.

        Samples are filtered as they will be later, anew after a hole and at the indices `restarts`; those that settle
        do not count.
        """
        blocks = list(blocks)
        stride = prime_stride(self.info.rate_hz, INITIAL_ROW_RATE_HZ)
        base = blocks[0][1] // stride
        last = blocks[-1][1] + len(blocks[-1][0])
        rows = NoiseRows(self._shape[0], (last - 1) // stride + 1 - base, self._shape[1], stride)
        rows.begin(base)
        for samples, first in blocks:
            if first != self.next_sample or self._fresh or first in restarts:
                self._restart(samples[0], first)
            self._run(samples, first, NEVER, rows)
            rows.mark(max(first, self._armed), first + len(samples))
            self.next_sample = first + len(samples)
        sigma = np.zeros(self._shape, np.float32)
        for tile in range(self._shape[0]):
            rows.sigma(tile, sigma[tile])
        self.noise.learn(sigma)
        self._apply(self._levels_at(self._first))
        self._start_update = self._levels
        self.next_sample, self._fresh = self._first, True
        self._held[:] = 0
        self._bad[:] = 0
        self._quiet_until[:] = 0
        return int(rows.valid.sum())

    def process(self, samples: Samples, first: int, restart: bool = False) -> Events:
        """Take in a block, raw (n, channels), whose first row has the absolute index `first`; return what it brought.

        A `first` beyond the last block's end, or `restart`, is a gap: pending events are cut, the filter settles anew.
        """
        events: list[Events] = []
        if restart or first != self.next_sample:
            events.append(self._cut())
        if self._start_update is not None:
            events.append(self._told(self._start_update))
            self._start_update = None
        self._cross(first, events)
        if self._fresh or restart or first != self.next_sample:
            self._restart(samples[0], first)
        stop = first + len(samples)
        at = first
        while at < stop:
            end = min(stop, at + self._slice, self._schedule.next_sample)
            if self.noise.following:
                end = min(end, self.noise.boundary)
            events.append(self._step(samples[at - first : end - first], at))
            at = end
            self._cross(at, events)
        return joined(events)

    def finish(self) -> Events:
        """End the stream: cut what is pending."""
        events: list[Events] = []
        self._cross(self.next_sample, events)
        return joined([*events, self._cut()])

    def _step(self, samples: Samples, first: int) -> Events:
        """Run one slice that crosses no boundary through the kernel."""
        rows = self.noise.rows if self.noise.following else None
        parts = self._run(samples, first, self._armed, rows)
        end = first + len(samples)
        if rows is not None:
            rows.mark(max(first, self._armed), end)
            self.noise.work(end)
        self.settling_total += max(0, min(end, self._armed) - first)
        self.next_sample = end
        self._spikes_to = max(self._spikes_to, end - self.latency + 1)
        return self._events(parts)

    def _run(self, samples: Samples, first: int, armed: int, rows: NoiseRows | None) -> list[Parts]:
        """Call the kernel until every tile has seen `samples`; return its results piece by piece."""
        parts = []
        tile = 0
        target = rows or self.noise.rows
        while True:
            tile = kernels.scan(
                samples, first, self._segment, armed, tile,
                self._gain, self._offset, self.sections, self._state, self._trace,
                self._below, self._above, self._falling, self._rising,
                self._dead, self._window, self._quiet_until, self._held, self._bad,
                self._pending, self._n_pending, self.pre, self.latency, self._per_lane,
                target.rows, rows.stride if rows else 0, target.base,
                self._found, self._done, self._waveforms, self._counts,
            )  # fmt: skip
            parts.append(self._take())
            if tile == self._shape[0]:
                return parts

    def _take(self) -> Parts:
        """Copy the kernel's results out and empty its buffers."""
        n_found, n_done = self._counts
        self._counts[:] = 0
        return self._found[:n_found].copy(), self._done[:n_done].copy(), self._waveforms[:n_done].copy()

    def _cut(self) -> Events:
        """End all pending events at the current segment's end."""
        parts = []
        tile = 0
        while tile < self._shape[0]:
            tile = kernels.drain(
                self._segment, self.next_sample, tile, self._trace, self._window, self._pending, self._n_pending,
                self.pre, self._per_lane, self._done, self._waveforms, self._counts,
            )  # fmt: skip
            parts.append(self._take())
        self._spikes_to = self.next_sample
        return self._events(parts)

    def _restart(self, row: NDArray[np.generic], first: int) -> None:
        """Begin a segment: set the filter to what a constant signal at the first sample's height would leave."""
        self._segment = first
        self._armed = first if first == self._first else first + self.settling
        with np.errstate(over="ignore", invalid="ignore"):
            value = self._tiled(row.astype(np.float32), 0) * self._gain + self._offset
        value = np.where(np.abs(value) <= kernels.PHYSICAL_UV, value, self._held)
        for s, (b0, b1, b2, a1, a2) in enumerate(self.sections):
            out = (b0 + b1 + b2) / (1 + a1 + a2) * value
            self._state[:, s, 0] = out - b0 * value
            self._state[:, s, 1] = b2 * value - a2 * out
            value = out
        self._fresh = False

    def _cross(self, sample: int, events: list[Events]) -> None:
        """Pass the noise level's boundaries and the scheduled changes up to `sample`, in order, the boundary first."""
        while (at := self._schedule.next_sample) <= sample:
            self._cross_boundaries(at, events)
            self._schedule.apply_next()
            levels = self._levels_at(at)
            if not _same_thresholds(levels, self._levels):
                self._apply(levels)
                events.append(self._told(levels))
        self._cross_boundaries(sample, events)

    def _cross_boundaries(self, sample: int, events: list[Events]) -> None:
        """Pass the noise level's boundaries up to `sample`; a new σ sets new thresholds."""
        if (changed := self.noise.cross(sample)) is not None:
            self._apply(self._levels_at(changed))
            events.append(self._told(self._levels))

    def _levels_at(self, sample: int) -> ThresholdUpdate:
        """Return the thresholds that settings, changes and σ give."""
        sigma = self.noise.sigma.reshape(-1)[: self.info.n_channels].copy()
        below, above = self.table.levels(sigma)
        return ThresholdUpdate(sample, sigma, below, above)

    def _apply(self, levels: ThresholdUpdate) -> None:
        """Put thresholds in force."""
        self._levels = levels
        self._below[:] = self._tiled(levels.below_uv, -np.inf)
        self._above[:] = self._tiled(levels.above_uv, np.inf)
        self._falling = bool(np.isfinite(levels.below_uv).any())
        self._rising = bool(np.isfinite(levels.above_uv).any())

    def _told(self, update: ThresholdUpdate) -> Events:
        """Return an update as what a step brought."""
        events = self._events([])
        events.thresholds.append(update)
        return events

    def _events(self, parts: list[Parts]) -> Events:
        return self._register.enter(parts, self.next_sample, self._spikes_to)


def _same_thresholds(a: ThresholdUpdate, b: ThresholdUpdate) -> bool:
    return np.array_equal(a.below_uv, b.below_uv) and np.array_equal(a.above_uv, b.above_uv)
