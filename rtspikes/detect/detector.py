"""The detector: leads every block through the stages, and hands out events with their ids, in order.

    raw ─▶ front ─▶ reference ─▶ method ─▶ snippets ─▶ vetoes ─▶ ids
           hold,     common       crossings  extremum,   other
           filter    signal off              waveform    channels

Whatever the cuts between calls, the same samples give the same events: state lives in absolute sample indices, and
whatever changes does so at fixed samples, at which slices end. Ids are given in the order (crossing, channel), which is
also the order in which events end.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.artifacts import Blanking, rails_of
from rtspikes.detect.changes import Change
from rtspikes.detect.events import Ended, Events, Finding, Register, ThresholdUpdate, joined
from rtspikes.detect.filter import design, settling_samples
from rtspikes.detect.front import Front
from rtspikes.detect.health import Health
from rtspikes.detect.lanes import BLOCK, FOUND_DTYPE, NEVER, Lanes, Look
from rtspikes.detect.levels import ThresholdTable
from rtspikes.detect.methods import make_method
from rtspikes.detect.noise import INITIAL_ROW_RATE_HZ, NoiseRows, NoiseTracker, prime_stride
from rtspikes.detect.observed import Observed
from rtspikes.detect.rebound import design_rebound, no_rule
from rtspikes.detect.reference import Reference
from rtspikes.detect.schedule import Schedule
from rtspikes.detect.search import Ending, Search
from rtspikes.detect.settings import ChannelRule, DetectSettings
from rtspikes.detect.storm import StormBreaker
from rtspikes.detect.tables import together
from rtspikes.detect.vetoes import Vetoes
from rtspikes.errors import ConfigError
from rtspikes.protocols import Crew
from rtspikes.types import Samples, StreamInfo

__all__ = ["Detector", "Events", "ThresholdUpdate"]


class SliceSizes(NamedTuple):
    """How many samples all stages see before time moves on. Large enough for its cost in Python to be little."""

    bytes: int  # of the filtered signal, about
    fewest: int  # samples, also where channels are many; a multiple of BLOCK


LONGEST_SLICE = 2048
ALONE = SliceSizes(1 << 22, 128)
SHARED = SliceSizes(1 << 24, 160)
"""With threads, which are woken for every slice."""

REBOUND_METHODS = ("threshold", "hoop", "matched")
"""Those whose threshold is one of the filtered signal."""

Tap = Callable[[Samples, int, int], None]
"""Gets each slice once it is filtered: raw (n, channels), its first sample, and that of its segment."""

WORTH_SHARING = 1 << 19
"""Values (samples × channels) from which on threads share a slice.

Of 4096 channels two threads made 80,000 values 0.6 times as fast as one, 400,000 as fast, 1,600,000 1.6 times and
8,000,000 1.8 times: waking a thread takes as long as 100,000."""


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
        crew: Crew | None = None,
    ) -> None:
        """crew: threads to share the work with; they change nothing but the speed."""
        self.info = info
        self.settings = settings
        rate = info.rate_hz
        self.table = ThresholdTable(info, settings, rules)
        self.sections = design(settings.filter, rate)
        self.settling = settling_samples(self.sections)
        self.pre, self.post = (round(ms * 1e-3 * rate) for ms in settings.snippet_ms)
        if not (0 <= self.pre and 1 <= self.post and self.pre + self.post <= rate / 4):
            raise ConfigError(
                f"detect.snippet_ms must be [≥ 0, ≥ one sample], 250 ms together at most, "
                f"got {list(settings.snippet_ms)}"
            )
        search = max(1, round(settings.peak_ms * 1e-3 * rate)) if settings.align == "peak" else 0
        snippet = self.pre + self.post
        self.method = make_method(settings, rate, self.table, search)
        if self.method.finds_extremum:
            search = 0
        self._vetoes = Vetoes(info, settings.artifacts, settings.neighbours, snippet, search + self.method.back)
        rebound = settings.rebound.reject and settings.method in REBOUND_METHODS
        self._rebound = design_rebound(self.sections, rate) if rebound else no_rule()
        own = self.method.shadow.look_ahead
        self._complete = max(self.method.delay + 1, own, search + max(self.post, self._rebound.look_ahead))
        self.latency = self._complete + self._vetoes.hold
        """Samples from a crossing to its event's end."""
        self.initial_samples = 0 if sigma_uv is not None else max(1, round(settings.noise.initial_s * rate))

        size = ALONE if crew is None or crew.size == 1 else SHARED
        rows = size.bytes // (4 * info.n_channels) // BLOCK * BLOCK
        self._slice = min(LONGEST_SLICE, max(size.fewest, rows))
        before = max(self.method.back + max(self.pre, self._rebound.history), self.method.shadow.history)
        back = max(self.method.kept, before)
        spacing = int(self.table.dead_samples.min())
        widest = self.method.widest_tile
        self._lanes = Lanes(info.n_channels, self._slice, back, self._complete, spacing, widest)
        lanes = self._lanes
        lanes.state["dead"] = lanes.tiled(self.table.dead_samples, 1)
        lanes.state["after_bad"] = lanes.state["dead"] + self.method.history
        lanes.state["search"] = np.minimum(search, lanes.state["dead"] - 1)
        self._crew = crew
        parts = lanes.parts(1 if crew is None else crew.size)
        ending = Ending(self._complete, self.pre, snippet, self._rebound, self._vetoes.nearest)
        self._searches = [Search(lanes, lanes, self.method, ending)]
        if self.method.lanes_are_apart and len(parts) > 1:
            methods = (make_method(settings, rate, self.table, search) for _ in parts)
            self._searches = [Search(part, lanes, method, ending) for part, method in zip(parts, methods, strict=True)]
            self.method = self._searches[0].method
        self._floor_uv = self.table.floor_uv.astype(np.float32)
        floor = lanes.tiled(self._floor_uv, np.inf)
        tiles = [part.shape[0] for part in parts]
        self.noise = NoiseTracker(settings.noise, rate, floor, first_sample, tiles)
        self._own_level = self.noise
        """σ of each channel's own signal, before any reference: by it a channel is dead or noisy."""
        if settings.reference.kind != "none" or self.method.own_level:
            following = msgspec.structs.replace(settings.noise, mode="running")
            self._own_level = NoiseTracker(following, rate, floor, first_sample, tiles)
        self._levels_followed = [self.noise] if self._own_level is self.noise else [self.noise, self._own_level]
        self.health = Health(info, self.noise.block, self.noise.stride)
        self._start_findings: list[Finding] = []
        rails = rails_of(info, settings.artifacts)
        self._fronts = [Front(info, part, self.sections, rails, self.noise.stride) for part in parts]
        self._held = [False] * len(parts)
        self._blanking = Blanking(info, settings.artifacts, lanes, self._slice, self.method.history, rails)
        self._reference = None if settings.reference.kind == "none" else Reference(info, settings.reference, lanes)
        self._storm = StormBreaker(settings.storm.cap_per_s, rate, lanes, info.labels, first_sample)
        self._observed = Observed(info.n_channels)
        self.tap: Tap | None = None
        """Looks on at what `trace` and `scores` hold; belongs to the thread that calls `process`."""
        self.nearest = self._vetoes.nearest
        """(channels, K): the electrodes near by whose signal is carried with each spike; −1: fewer."""
        self._front_sees = self._reference is None and len(self._searches) == len(parts)
        """Whether the fronts' hits are those of what the method compares, if that is the signal."""
        self._apart = self._front_sees and not settings.neighbours.amplitudes
        """Whether a part needs nothing of the others from raw samples to ended events."""
        self._walks = self._apart and len(parts) > 1 and self.method.crosses_signal
        if self._walks:
            from rtspikes.detect.walk import walk_of

            walk_of(*self._fronts[0].kind)

        self._first = self.next_sample = self._segment = self._armed = first_sample
        self._fresh = True
        self._spikes_to = self._crossings_to = first_sample
        self.settling_total = 0
        self.counts = np.zeros(info.n_channels, np.int64)
        """Spikes of each channel so far."""
        self._register = Register()
        self._none_found = np.zeros(0, FOUND_DTYPE)
        self._schedule = Schedule(info, self.table, self.noise, self._blanking)
        self._start_update: ThresholdUpdate | None = None
        if sigma_uv is not None:
            self.noise.learn(lanes.tiled(sigma_uv.astype(np.float32), 0))
        self._apply(self._levels_at(first_sample))
        if sigma_uv is not None:
            self._start_update = self._levels

    # what is known

    @property
    def bad_samples(self) -> NDArray[np.int64]:
        """Samples per channel (channels,) that were NaN, infinite or beyond ±1e9 µV, and were held."""
        return self._lanes.channels(np.concatenate([front.bad for front in self._fronts]))

    @property
    def muted(self) -> NDArray[np.bool_]:
        """Which channels (channels,) a change has muted; those that the settings disable are not among them."""
        return self.table.muted

    @property
    def storming(self) -> NDArray[np.bool_]:
        """Which channels (channels,) have too many triggers, which are suppressed."""
        return self._storm.storming

    @property
    def suppressed(self) -> NDArray[np.int64]:
        """Triggers per channel (channels,) that a storm suppressed so far."""
        return self._lanes.channels(self._lanes.state["suppressed"])

    @property
    def observed(self) -> NDArray[np.int64]:
        """Samples per channel (channels,), up to the next one, in which a spike could have been reported."""
        return self._observed.samples

    @property
    def since_freeze(self) -> NDArray[np.float32]:
        """σ as it is now in parts of the σ that is kept, per channel (channels,); NaN where it is not frozen."""
        return self._lanes.channels(self.noise.since_freeze)

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

    def filtered(self, channels: Sequence[int], first: int, stop: int) -> NDArray[np.float32]:
        """Return the filtered, referenced signal (µV) of channels in [first, stop), (samples, channels).

        Only of the last block given to `process`, and of `longest_look` samples at most.
        """
        return self._looked_up(self._lanes.trace, channels, first, stop)

    def compared(self, channels: Sequence[int], first: int, stop: int) -> NDArray[np.float32]:
        """Return what the method compares with thresholds, as `filtered`; row n is of sample n − `method.delay`."""
        return self._looked_up(np.concatenate(self.scores), channels, first, stop)

    @property
    def trace(self) -> NDArray[np.float32]:
        """The history of the filtered signal (tiles, depth, lanes), µV: sample n is in row n % depth.

        Channel c is in lane c % lanes of tile c // lanes.
        """
        return self._lanes.trace

    @property
    def scores(self) -> list[NDArray[np.float32]]:
        """The histories of what the method compares, tiles after tiles; as `trace`, but for the samples: `compared`."""
        return [search.method.compared for search in self._searches]

    @property
    def compares_signal(self) -> bool:
        """Whether the method compares the filtered signal itself."""
        return self._searches[0].compares_signal

    @property
    def longest_look(self) -> int:
        """Samples of which `filtered` and `compared` tell at most."""
        return self._slice

    def _looked_up(
        self, history: NDArray[np.float32], channels: Sequence[int], first: int, stop: int
    ) -> NDArray[np.float32]:
        tiles, lanes = np.divmod(np.asarray(channels, np.int64), self._lanes.shape[1])
        rows = np.arange(first, stop) % history.shape[1]
        found: NDArray[np.float32] = history[tiles[None], rows[:, None], lanes[None]]
        return found

    # what comes

    def schedule(self, change: Change, sample: int) -> None:
        """Let `change` be in force for triggers at or after `sample`; belongs to the thread that calls `process`.

        Raises ConfigError for what does not fit the stream, TooLate when `sample` was already looked at.
        """
        self._schedule.add(change, sample, self.next_sample)

    def learn(self, blocks: Iterable[tuple[Samples, int]], restarts: Container[int] = ()) -> int:
        """Learn the first σ from the stream's first blocks (samples, first index); return the rows it rests on.

        Samples are filtered as they will be later, anew after a hole and at the indices `restarts`; those that settle
        do not count.
        """
        blocks = list(blocks)
        rows, sigma = self._first_sigma(blocks, restarts, referenced=False)
        self._start_findings = self._look_after(self._first, sigma)
        if self._own_level is not self.noise:
            self._own_level.learn(sigma)
            rows, sigma = self._first_sigma(blocks, restarts, referenced=True)
        self.noise.learn(sigma)
        self._apply(self._levels_at(self._first))
        self._start_update = self._levels
        return int(rows.valid.sum())

    def _first_sigma(
        self, blocks: list[tuple[Samples, int]], restarts: Container[int], referenced: bool
    ) -> tuple[NoiseRows, NDArray[np.float32]]:
        """Return the rows of the first blocks, and their σ (tiles, lanes); leave everything as before them."""
        stride = prime_stride(self.info.rate_hz, INITIAL_ROW_RATE_HZ)
        base = blocks[0][1] // stride
        last = blocks[-1][1] + len(blocks[-1][0])
        tiles, lanes = self._lanes.shape
        rows = NoiseRows(tiles, (last - 1) // stride + 1 - base, lanes, stride)
        rows.begin(base)
        for samples, first in blocks:
            if first != self.next_sample or self._fresh or first in restarts:
                self._restart(samples[0], first)
            for at in range(0, len(samples), self._slice):
                self._filter(samples[at : at + self._slice], first + at, rows, referenced)
            rows.mark(max(first, self._armed), first + len(samples))
            self.next_sample = first + len(samples)
        sigma = np.zeros(self._lanes.shape, np.float32)
        for tile in range(tiles):
            rows.sigma(tile, sigma[tile])
        self.next_sample, self._fresh = self._first, True
        for front in self._fronts:
            front.forget()
        self._blanking.forget()
        return rows, sigma

    def process(self, samples: Samples, first: int, restart: bool = False) -> Events:
        """Take in a block, raw (n, channels), whose first row has the absolute index `first`; return what it brought.

        A `first` beyond the last block's end, or `restart`, is a gap: pending events are cut, the filter settles anew.
        """
        events: list[Events] = []
        if restart or first != self.next_sample:
            events.append(self._cut())
        if self._start_update is not None:
            events.append(self._told(self._start_update))
            events.append(self._told_of(self._start_findings))
            self._start_update, self._start_findings = None, []
        if self._due <= first:
            self._cross(first, events)
        if self._fresh or restart or first != self.next_sample:
            self._restart(samples[0], first)
        stop = first + len(samples)
        at = first
        while at < stop:
            due = self._due
            end = min(stop, (at + self._slice) // BLOCK * BLOCK, due)
            events.append(self._step(samples[at - first : end - first], at))
            at = end
            if due <= at:
                self._cross(at, events)
        return joined(events)

    def finish(self) -> Events:
        """End the stream: cut what is pending."""
        events: list[Events] = []
        self._cross(self.next_sample, events)
        events.append(self._cut())
        for intervals in (self._blanking.cut(self.next_sample), self._storm.cut(self.next_sample)):
            events.append(self._told_of(intervals=intervals))
        return joined(events)

    # a slice

    def _step(self, samples: Samples, first: int) -> Events:
        """Lead one slice that crosses no boundary through all stages."""
        end = first + len(samples)
        for level in self._levels_followed:
            level.rows.mark(max(first, self._armed), end)
        hold_off = self._blanking.hold_off
        look = Look(self._segment, self._armed, first, end, self._rising, self._front_sees, hold_off)
        n_intervals = self._filter(samples, first, self.noise.rows, look=look)
        if self.tap is not None:
            self.tap(samples, first, self._segment)
        self.settling_total += max(0, min(end, self._armed) - first)
        self.next_sample = end
        self._observed.add(max(0, end - max(first, self._armed)), self._blanking.hidden)
        self._crossings_to = max(self._crossings_to, end - self.method.delay)
        self._spikes_to = max(self._spikes_to, end - self.latency + 1)
        events = self._ended(end - self.latency + 1)
        if n_intervals:
            events.unobserved = self._blanking.take(n_intervals)
        return events

    def _filter(
        self, samples: Samples, first: int, rows: NoiseRows, referenced: bool = True, look: Look | None = None
    ) -> int:
        """Lead samples through the stages, as far as the method's `look`; return how many blanked intervals have ended.

        referenced: whether to take the common reference off.
        """
        stop = first + len(samples)
        shared = samples.size >= WORTH_SHARING
        mask = self._blanking.find(samples, first)
        own = self._own_level.rows if rows is self.noise.rows else rows
        levelled = rows if referenced and self._own_level is not self.noise else None

        def before(part: int) -> None:
            self._held[part] = self._fronts[part].run(samples, first, mask, own)
            if look is not None:
                for level in self._levels_followed:
                    level.work(stop, part)

        def behind(part: int) -> None:
            search = self._searches[part]
            search.prepare(self._segment, first, stop, levelled)
            if look is not None:
                search.look(look)

        def through(part: int) -> None:
            if self._walks and shared and look is not None and not look.rising:
                front, levels = self._fronts[part], self.noise.task(stop, part)
                taken = front.arguments(samples, first, mask, own)
                self._held[part] = self._searches[part].walk(front, taken, levels, look)
            else:
                before(part)
                behind(part)

        if self._apart:
            self._share(through, len(self._fronts), shared)
        else:
            self._share(before, len(self._fronts), shared)
            if referenced and self._reference is not None:
                self._reference.run(first, stop)
            self._share(behind, len(self._searches), shared)
        n_intervals = self._blanking.follow(first, stop, self._armed, any(self._held), rows)
        if own is not rows and self._blanking.hidden is not None:
            some = slice(-(-first // rows.stride) - rows.base, -(-stop // rows.stride) - rows.base)
            own.rows[:, some][np.isnan(rows.rows[:, some])] = np.nan
        return n_intervals

    def _share(self, job: Callable[[int], None], n: int, worth_it: bool) -> None:
        """Do `n` parts of a job, each in a thread of its own where there are any and that is worth it."""
        if self._crew is None or n == 1 or not worth_it:
            for part in range(n):
                job(part)
        else:
            self._crew.run(job, n)

    def _ended(self, stop: int) -> Events:
        """Return what has been found, and what has ended, judged as far as `stop`."""
        parts = [found for search in self._searches for found in search.take()]
        if not parts and self._vetoes.idle:
            return self._events(self._vetoes.nothing)
        return self._events(self._vetoes.judge(parts, stop))

    def _events(self, ended: Ended) -> Events:
        parts = [found for search in self._searches if len(found := search.take_found())]
        found = together(parts) if parts else self._none_found
        events = self._register.enter(found, ended, self._crossings_to, self._spikes_to)
        if len(events.spikes):
            self.counts += np.bincount(events.spikes["channel"], minlength=len(self.counts))
        return events

    def _cut(self) -> Events:
        """End all pending events at the current segment's end."""
        self._spikes_to = self._crossings_to = self.next_sample
        for search in self._searches:
            search.end(self._segment, self.next_sample, drain=True)
        return self._ended(NEVER)

    def _restart(self, row: NDArray[np.generic], first: int) -> None:
        """Begin a segment: the filter is settled to the first sample's height."""
        self._segment = first
        self._armed = first if first == self._first else first + self.settling
        for front in self._fronts:
            front.restart(row)
        self._blanking.restart()
        self._fresh = False

    # boundaries

    @property
    def _due(self) -> int:
        """The next sample at which something changes."""
        return min(
            self._schedule.next_sample, self.noise.boundary, self._own_level.boundary, self._storm.boundary,
            self.method.boundary,
        )  # fmt: skip

    def _cross(self, sample: int, events: list[Events]) -> None:
        """Pass all boundaries up to `sample`, in order; at one sample noise level, storm and method come first."""
        while (at := self._schedule.next_sample) <= sample:
            self._cross_own(at, events)
            self._schedule.apply_next()
            levels = self._levels_at(at)
            if not _same_thresholds(levels, self._levels):
                self._apply(levels)
                events.append(self._told(levels))
        self._cross_own(sample, events)

    def _cross_own(self, sample: int, events: list[Events]) -> None:
        """Pass the boundaries of the noise level and of the storm breaker up to `sample`."""
        if self.noise.boundary <= sample:
            events.append(self._told_of(intervals=self._blanking.cut(min(self.noise.boundary, self.next_sample))))
        if (changed := self.noise.cross(sample)) is not None:
            self._apply(self._levels_at(changed))
            events.append(self._told(self._levels))
        own = self._own_level
        if own is not self.noise:
            own.cross(sample)
        if own.measured is not None and own.measured != self.health.sample:
            events.append(self._told_of(self._look_after(own.measured, own.now)))
        while self.method.boundary <= sample:
            frozen = self.noise.following and self.noise.frozen(self.method.boundary)
            for search in self._searches:
                search.cross(sample, self.noise.sigma, frozen)
        if self._storm.boundary <= sample:
            events.append(self._told_of(*self._storm.pass_to(sample)))
            self._observed.let(self._live())

    def _look_after(self, sample: int, sigma: NDArray[np.float32]) -> list[Finding]:
        """Judge the channels' health by what was measured at `sample`; return what is new."""
        per_channel = self._lanes.channels
        clipped = np.concatenate([front.clipped for front in self._fronts])
        findings = self.health.look(
            sample, per_channel(sigma), self._floor_uv, per_channel(clipped), per_channel(self.noise.since_freeze)
        )
        if self._reference is not None:
            self._reference.use(self.health.usable, self.health.silent)
        return findings

    def _levels_at(self, sample: int) -> ThresholdUpdate:
        """Return the thresholds that settings, changes and σ give."""
        sigma = self._lanes.channels(self.noise.sigma).copy()
        below, above = self.table.levels(sigma)
        return ThresholdUpdate(sample, sigma, below, above)

    def _apply(self, levels: ThresholdUpdate) -> None:
        """Put thresholds in force."""
        self._levels = levels
        self._lanes.below[:] = self._lanes.tiled(levels.below_uv, -np.inf)
        self._lanes.above[:] = self._lanes.tiled(levels.above_uv, np.inf)
        self._rising = bool(np.isfinite(levels.above_uv).any())
        self._observed.let(self._live())

    def _live(self) -> NDArray[np.bool_]:
        """Return which channels (channels,) report spikes."""
        return self.table.enabled & ~self.table.muted & ~self._storm.storming

    def _told(self, update: ThresholdUpdate) -> Events:
        """Return an update as what a step brought."""
        events = self._told_of()
        events.thresholds.append(update)
        return events

    def _told_of(self, findings: Iterable[Finding] = (), intervals: NDArray[np.void] | None = None) -> Events:
        """Return findings and intervals as what a step brought."""
        events = self._events(self._vetoes.nothing)
        events.findings.extend(findings)
        if intervals is not None:
            events.unobserved = intervals
        return events


def _same_thresholds(a: ThresholdUpdate, b: ThresholdUpdate) -> bool:
    return np.array_equal(a.below_uv, b.below_uv) and np.array_equal(a.above_uv, b.above_uv)
