"""The detector: keeps every channel's state, feeds the kernels, and hands out events with their ids, in order.

Whatever the cuts between calls, the same samples give the same events: state lives in absolute sample indices, σ
changes at fixed samples, and ids are given in the order (trigger, channel), which is also the order in which events
end.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect import kernels
from rtspikes.detect.filter import design, settling_samples
from rtspikes.detect.noise import INITIAL_ROW_RATE_HZ, NoiseRows, NoiseTracker, prime_stride
from rtspikes.detect.settings import ChannelRule, DetectSettings
from rtspikes.detect.threshold import ThresholdTable
from rtspikes.errors import ConfigError
from rtspikes.types import CROSSING_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, RejectReason, Samples, StreamInfo

SLICE = 2048
"""Samples that all tiles see before time moves on, at most; bounds the results that one kernel call can have."""

LARGEST_RESULTS = 64 * 1024 * 1024
"""Bytes of waveforms that the result buffer may take (with long snippets, slices get shorter instead)."""

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ThresholdUpdate:
    """σ and thresholds in force from `sample` on, all (channels,) float32 in signed µV; ∓inf: no such crossing."""

    sample: int
    sigma_uv: NDArray[np.float32]
    below_uv: NDArray[np.float32]
    above_uv: NDArray[np.float32]


@dataclass(slots=True)
class Events:
    """What a call found; `time` columns are 0 until the engine's clock fills them.

    Every event with a trigger before `crossings_to` is in `crossings` (of this or an earlier call); before `spikes_to`,
    in `spikes` or `rejected`. waveforms: (spikes, snippet samples) float32 µV.
    """

    crossings: NDArray[np.void]
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]
    rejected: NDArray[np.void]
    crossings_to: int
    spikes_to: int
    thresholds: list[ThresholdUpdate] = field(default_factory=list)


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
        self._falling, self._rising = bool(self.table.falling.any()), bool(self.table.rising.any())
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
        self._next_id = self._next_end = 0
        self._spikes_to = first_sample
        self.settling_total = 0
        self._start_update: ThresholdUpdate | None = None
        if sigma_uv is not None:
            self.noise.learn(self._tiled(sigma_uv.astype(np.float32), 0))
            self._start_update = self._apply_sigma(first_sample)

    def _most_per_lane(self, spacing: int) -> int:
        """Return how many results of a kind a lane can have in one slice, with triggers `spacing` samples apart."""
        return (max(self._slice, self.latency) - 1) // spacing + 2

    @property
    def bad_samples(self) -> NDArray[np.int64]:
        """Samples per channel (channels,) that were NaN, infinite or beyond ±1e9 µV, and were held."""
        return self._bad.reshape(-1)[: self.info.n_channels]

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
        self._start_update = self._apply_sigma(self._first)
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
            events.append(self._told([self._start_update]))
            self._start_update = None
        self._cross(first, events)
        if self._fresh or restart or first != self.next_sample:
            self._restart(samples[0], first)
        stop = first + len(samples)
        at = first
        while at < stop:
            end = min(stop, at + self._slice)
            if self.noise.following:
                end = min(end, self.noise.boundary)
            events.append(self._step(samples[at - first : end - first], at))
            at = end
            self._cross(at, events)
        return _joined(events)

    def finish(self) -> Events:
        """End the stream: cut what is pending."""
        return self._cut()

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
        """Pass the noise level's boundaries up to `sample`; a new σ sets new thresholds."""
        if (changed := self.noise.cross(sample)) is not None:
            events.append(self._told([self._apply_sigma(changed)]))

    def _apply_sigma(self, sample: int) -> ThresholdUpdate:
        sigma = self.noise.sigma.reshape(-1)[: self.info.n_channels].copy()
        below, above = self.table.levels(sigma)
        self._below[:] = self._tiled(below, -np.inf)
        self._above[:] = self._tiled(above, np.inf)
        return ThresholdUpdate(sample, sigma, below, above)

    def _told(self, thresholds: list[ThresholdUpdate]) -> Events:
        """Return `thresholds` as what a step brought."""
        events = self._events([])
        events.thresholds = thresholds
        return events

    def _events(self, parts: list[Parts]) -> Events:
        """Order the kernel's results by (trigger, channel) and give ids."""
        parts = [p for p in parts if len(p[0]) or len(p[1])]
        found = self._found[:0]
        if parts:
            found = np.concatenate([p[0] for p in parts])
            found = found[_order(found)]
        crossings = np.zeros(len(found), CROSSING_DTYPE)
        if len(found):
            crossings["id"] = np.arange(self._next_id, self._next_id + len(found))
            crossings["crossing"], crossings["channel"] = found["crossing"], found["channel"]
            crossings["value_uv"], crossings["threshold_uv"] = found["value"], found["threshold"]
            self._next_id += len(found)

        if not any(len(p[1]) for p in parts):
            return Events(
                crossings, np.zeros(0, SPIKE_DTYPE), self._waveforms[:0], np.zeros(0, REJECTED_DTYPE),
                self.next_sample, self._spikes_to,
            )  # fmt: skip
        done = np.concatenate([p[1] for p in parts])
        order = _order(done)
        done = done[order]
        ids = np.arange(self._next_end, self._next_end + len(done), dtype=np.uint64)
        self._next_end += len(done)
        whole = done["sample"] >= 0
        good, cut = done[whole], done[~whole]
        spikes = np.zeros(len(good), SPIKE_DTYPE)
        spikes["id"], spikes["unit"] = ids[whole], -1
        for name in ("sample", "crossing", "channel"):
            spikes[name] = good[name]
        spikes["amplitude_uv"], spikes["threshold_uv"] = good["amplitude"], good["threshold"]
        rejected = np.zeros(len(cut), REJECTED_DTYPE)
        rejected["id"], rejected["reason"] = ids[~whole], RejectReason.CUT
        rejected["crossing"], rejected["channel"] = cut["crossing"], cut["channel"]
        rejected["threshold_uv"] = cut["threshold"]
        waveforms = np.concatenate([p[2] for p in parts])[order[whole]]
        return Events(crossings, spikes, waveforms, rejected, self.next_sample, self._spikes_to)


Parts = tuple[NDArray[np.void], NDArray[np.void], NDArray[np.float32]]
"""Results of one kernel call: FOUND_DTYPE, DONE_DTYPE, waveforms."""


def _order(rows: NDArray[np.void]) -> NDArray[np.intp]:
    """Return the order by (trigger, channel)."""
    return np.lexsort((rows["channel"], rows["crossing"]))


def _joined(events: list[Events]) -> Events:
    """Return the events of several steps as one."""
    if len(events) == 1:
        return events[0]
    return Events(
        np.concatenate([e.crossings for e in events]),
        np.concatenate([e.spikes for e in events]),
        np.concatenate([e.waveforms for e in events]),
        np.concatenate([e.rejected for e in events]),
        max(e.crossings_to for e in events),
        max(e.spikes_to for e in events),
        [t for e in events for t in e.thresholds],
    )
