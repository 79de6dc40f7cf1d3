"""The engine: the one file that knows every stage.

    source ─▶ ring ─▶ detector ─▶ publisher ─▶ subscribers
    └ acquiring ┘ └─ processing thread ────┘
                      ▲ commands     │ history (shared memory)
                      └── reply process ◀──▶ requests

Threads, and what each owns:

- acquiring: the source from `start` on, and the ring's writing end.
- processing: the ring's leased reader, the detector, the announcer, the publisher's socket and the history's writing
  end; it carries out control requests between blocks.
- guarding (wire/publish.py): the gate of the publisher's socket.
- attending, telling (wire/reply.py): the pipes to the reply process, and its life.
- the caller's: opens and closes everything, waits, and hands Ctrl-C on by `stop` or `abort`.

They share the ring (see there), `SampleClock` and `status` (replaced, never changed) and one condition, `_moved`, that
acquiring and processing notify when they have moved the ring; and the two bounded queues of wire/reply.py. Every wait
has a timeout; the first exception of any thread ends the run and is raised by `wait`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from rtspikes.clock import Clock, LslClock, SampleClock
from rtspikes.commands import Commands
from rtspikes.config import Config, noise_from_file
from rtspikes.detect.changes import Change
from rtspikes.detect.detector import Detector
from rtspikes.errors import ConfigError, RtspikesError, SourceError
from rtspikes.protocols import Pull, Source
from rtspikes.ring import Block, LeasedReader, Ring, Segment
from rtspikes.sources import open_source
from rtspikes.types import GapCause
from rtspikes.wire.announce import Announcer
from rtspikes.wire.keys import ClientKey, Right, ServerKeys
from rtspikes.wire.messages import session_facts
from rtspikes.wire.publish import Aborted, Publisher
from rtspikes.wire.reply import ReplyService

LARGEST_BLOCK = 4096
"""Samples that are detected and published at a time: bounds latency while a backlog is caught up."""

WAIT_S = 0.05
"""How long a paced source waits for room before it looks again."""

FEW_ROWS = 100
"""A first noise level that rests on fewer values (± 12 %) is told to be weak."""


class Engine:
    """Runs one stream from its source to the publisher.

    Use as a context manager: entering opens the source, compiles or loads the kernels and binds the endpoint; then
    `start`, and `wait` until it ends. `source` stands in for the one that the configuration names. `changes` of
    detection, by absolute sample, are made as if they had been asked for in time.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: Source | None = None,
        clock: Clock | None = None,
        changes: Sequence[tuple[int, Change]] = (),
    ) -> None:
        self._config = config
        self._changes = changes
        self._clock = clock or LslClock()
        self._source = source or open_source(config.source, self._clock)
        self._stop, self._abort, self._acquired = threading.Event(), threading.Event(), threading.Event()
        self._done = threading.Event()
        self._moved = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self._stamps: deque[tuple[int, float]] = deque(maxlen=4096)

    def __enter__(self) -> Self:
        """Open the source, prepare detection, and bind."""
        self._source.__enter__()
        try:
            self._prepare()
        except BaseException:
            self._source.__exit__(None, None, None)
            raise
        return self

    def _prepare(self) -> None:
        config, info = self._config, self._source.info
        if info.n_channels < 1:
            raise ConfigError(f"source: a stream must have channels, got 0 from {info.uri}")
        self.info = info
        self._first = self._source.first_sample
        sigma = noise_from_file(config, info)
        self._detector = Detector(info, config.detect, config.channels, self._first, sigma)
        self._ring = Ring(info.n_channels, info.dtype, self._ring_samples(), self._first)
        self._reader = LeasedReader(self._ring)
        self._sample_clock = SampleClock(info.rate_hz)
        keys, own = self._load_keys()
        self._publisher = Publisher(config.publish, not info.live, self._abort.is_set, keys, own, self._fail_beside)
        try:
            self._reply = ReplyService(
                config.publish, config.history, config.reply,
                self._publisher.session, self._publisher.history_topics, own, self._fail_beside,
            )  # fmt: skip
        except BaseException:
            self._publisher.close(at_once=True)
            raise
        self._publisher.history = self._reply.history
        try:
            self.endpoint = self._publisher.bind()
            self._reply.start(self.endpoint)
            self._reply.wait_bound()
        except BaseException:
            self._close(at_once=True)
            raise
        self._restarts_told = 0
        self._tell_info()
        self._announcer = Announcer(
            self._publisher,
            info,
            self._sample_clock,
            self._clock,
            self._first,
            self._detector.pre + self._detector.post,
            config.publish.tick_ms * 1e-3,
        )
        self._commands = Commands(
            self._reply, self._detector, self._announcer, info, self._sample_clock, self._clock,
            lambda: max(self._first, self._ring.next_sample - 1), self.stop,
        )  # fmt: skip
        self._learn_until = self._first + self._detector.initial_samples

    def _load_keys(self) -> tuple[ServerKeys | None, dict[bytes, tuple[str, Right]]]:
        """Return the keys of the configuration's folder, and the public one of this engine's own children."""
        self.child_key: ClientKey | None = None
        if self._config.publish.keys is None:
            return None, {}
        keys = ServerKeys.load(self._config.publish.keys)
        self.child_key = ClientKey.new(keys.public)
        return keys, {self.child_key.public: ("the engine's own", Right.READ)}

    def _tell_info(self) -> None:
        """Let subscribers, and who asks, have what `info` says now."""
        self._reply_told = self._reply.endpoint
        self._publisher.set_info(self._info_fields())
        self._reply.set_info(self._publisher.encoded_info())

    def _ring_samples(self) -> int:
        """Return the ring's capacity; raise ConfigError when the held start does not fit."""
        settings, info = self._config.ring, self.info
        frame = np.dtype(info.dtype).itemsize * info.n_channels
        capacity = min(round(settings.seconds * info.rate_hz), int(settings.max_mib * 2**20 / frame))
        need = self._detector.initial_samples + LARGEST_BLOCK
        if capacity < need:
            raise ConfigError(
                f"the ring must hold {need} samples (detect.noise.initial_s and one block), "
                f"but ring.seconds = {settings.seconds:g} and ring.max_mib = {settings.max_mib:g} allow {capacity}; "
                f"raise them, or lower detect.noise.initial_s"
            )
        return capacity

    def _info_fields(self) -> dict[str, Any]:
        now = self._clock.now()
        return {
            **session_facts(self.info, self._detector, self._config.channels),
            "stream": self._config.publish.stream,
            "endpoint": self.endpoint,
            "reply": {"endpoint": self._reply_told},
            "security": self._publisher.security,
            "history": msgspec.to_builtins(self._config.history),
            "first_sample": self._first,
            "clock": {"lsl_s": now, "utc": datetime.now(UTC).isoformat()},
            "session_keys": msgspec.to_builtins(self._config.session),
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End both threads and close everything; when the run was cut short, without waiting for subscribers."""
        if kind is not None and not self._done.is_set():
            self.abort()
        self.stop()
        for thread in self._threads:
            thread.join()
        self._close(at_once=self._abort.is_set())
        self._source.__exit__(kind, error, trace)

    def _close(self, at_once: bool) -> None:
        """Close both sockets, once subscribers have what they still need unless `at_once`."""
        deadline_s = time.monotonic() + (0.0 if at_once else self._config.publish.linger_s)
        self._publisher.close(at_once)
        self._reply.close(deadline_s - time.monotonic())

    def start(self) -> None:
        """Begin to serve subscribers; samples come once `release` lets them."""
        self._thread("processing", self._process)

    @property
    def status(self) -> dict[str, Any]:
        """The last `status` message; empty before the first."""
        return self._announcer.status

    @property
    def subscribers(self) -> int:
        """Subscribers that are there and know the session."""
        return self._publisher.informed

    @property
    def waiting_s(self) -> float:
        """How long (s) the run has been waiting for a subscriber that does not keep up; 0 when it does not."""
        since_s = self._publisher.waiting_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def release(self) -> None:
        """Let the samples come."""
        self._announcer.begin()
        self._thread("acquiring", self._acquire)

    def stop(self) -> None:
        """End the source; what was received is still detected and published."""
        self._stop.set()
        self._source.cancel()
        if len(self._threads) < 2:
            self._acquired.set()

    def abort(self) -> None:
        """End at once, even while a subscriber is waited for."""
        self._abort.set()
        self.stop()

    def wait(self, timeout_s: float) -> bool:
        """Return True when the run has ended within `timeout_s`; raise what ended it if that was an error."""
        ended = self._done.wait(timeout_s)
        if ended and self._error is not None:
            raise self._error
        return ended

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        def run() -> None:
            try:
                target()
            except Aborted:
                self.stop()
            except BaseException as error:
                self._fail(name, error)
            finally:
                if name == "processing":
                    self._reply.end_commands()
                    self._done.set()

        thread = threading.Thread(target=run, name=f"rtspikes-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fail(self, name: str, error: BaseException) -> None:
        """Keep the first error. A source's failure still lets what was received be published."""
        if name == "acquiring":
            if not isinstance(error, RtspikesError):
                cause = error
                error = SourceError(f"the source {self.info.uri} failed: {type(cause).__name__}: {cause}")
                error.__cause__ = cause
            self._error = self._error or error
            self.stop()
        else:
            self._error = self._error or error
            self.abort()

    def _fail_beside(self, error: BaseException) -> None:
        """Take the error of a thread that serves subscribers: it ends the run."""
        self._error = self._error or error
        self.abort()

    # acquiring thread

    def _acquire(self) -> None:
        try:
            self._source.start()
            most = max(LARGEST_BLOCK, self._ring.capacity // 8)  # what is reserved is lost to readers without a lease
            discard = np.empty((LARGEST_BLOCK, self.info.n_channels), self.info.dtype)
            while not self._stop.is_set():
                room = self._ring.reserve(most)
                if len(room):
                    pull = self._source.pull(room)
                    self._enter(pull, self._ring.commit)
                    self._stamps.append((self._ring.next_sample, self._clock.now()))
                elif self.info.live:
                    pull = self._source.pull(discard)
                    self._enter(pull, self._discard)
                else:
                    with self._moved:
                        self._moved.wait(WAIT_S)
                    continue
                with self._moved:
                    self._moved.notify_all()
                if pull.ended:
                    break
        finally:
            self._acquired.set()

    def _enter(self, pull: Pull, take: Callable[[int], None]) -> None:
        """Enter a pull into the ring hole by hole; `take(n)` says what becomes of its next n rows."""
        at = 0
        for offset in sorted({*(h.offset for h in pull.holes), *(a.offset for a in pull.anchors)}):
            take(offset - at)
            at = offset
            for hole in pull.holes:
                if hole.offset == offset:
                    self._ring.skip(hole.lost, hole.cause)
            for anchor in pull.anchors:
                if anchor.offset == offset:
                    self._sample_clock.anchor(self._ring.next_sample, anchor.time_s, anchor.rate_hz)
        take(pull.n - at)

    def _discard(self, n: int) -> None:
        """Tell the ring of samples that found no room."""
        if n:
            self._ring.skip(n, GapCause.OVERRUN)

    # processing thread

    def _process(self) -> None:
        learned = self._detector.initial_samples == 0
        while not self._abort.is_set():
            if self._publisher.poll() and learned and self._detector.frozen:
                self._announcer.thresholds(self._detector.levels())  # no update will tell who has just joined
            self._commands.handle()
            ended = self._acquired.is_set()  # read before the ring: what is in it then is all there will be
            seen = self._ring.written
            learned = learned or self._learn(ended)
            block = self._reader.next(LARGEST_BLOCK) if learned else None
            if block is not None:
                self._commands.schedule(self._changes, "the session that is repeated")  # now that all hear of it
                self._changes = ()
                self._detect(block)
                self._reader.release()
                with self._moved:
                    self._moved.notify_all()
            elif ended:
                break
            else:
                self._idle(seen)
            self._announcer.tick(self._state)
            self._tell_of_reply()
        if not self._abort.is_set():
            self._finish()

    def _tell_of_reply(self) -> None:
        """Tell subscribers of a reply process that died, and of its address when it has another."""
        if (restarts := self._reply.restarts) != self._restarts_told:
            new, self._restarts_told = restarts - self._restarts_told, restarts
            self._announcer.notice("reply_process", f"the reply process is started again: {self._reply.trouble}", new)
        if self._reply.endpoint != self._reply_told:
            self._tell_info()

    def _idle(self, seen: int) -> None:
        """Wait until the source has brought something, at most until the next tick."""
        left_s = self._announcer.due_s - self._clock.now()
        with self._moved:
            if self._ring.written == seen and not self._acquired.is_set():
                self._moved.wait(max(left_s, 1e-4))

    def _learn(self, ended: bool) -> bool:
        """Learn the first noise level from the held start, or from all there is; tell whether it is known."""
        if self._ring.next_sample < self._learn_until and not ended:
            return False
        blocks, restarts = [], []
        while (block := self._reader.next(LARGEST_BLOCK)) is not None and block.first < self._learn_until:
            blocks.append((block.samples[: self._learn_until - block.first], block.first))
            if block.gaps:
                restarts.append(block.first)
        self._reader.rewind()
        if blocks:
            rows = self._detector.learn(blocks, restarts)
            if rows < FEW_ROWS:
                n = sum(len(samples) for samples, _ in blocks)
                text = f"the noise level was learnt from {n} samples only"
                self._announcer.notice("short_start", text, n)
            return True
        if block is not None:  # a gap swallowed the start: learn from what follows it
            self._learn_until = block.first + self._detector.initial_samples
            return self._learn(ended)
        return False

    def _detect(self, block: Block) -> None:
        self._tell_gaps(block.gaps)
        acquired_s = self._acquired_at(block.first + len(block.samples))
        events = self._detector.process(block.samples, block.first, restart=bool(block.gaps))
        self._announcer.events(events, acquired_s, self._clock.now())

    def _tell_gaps(self, gaps: tuple[Segment, ...]) -> None:
        for gap in gaps:
            self._announcer.gap(gap.sample - gap.lost, gap.lost, gap.cause or GapCause.SOURCE)

    def _acquired_at(self, sample: int) -> float:
        """Return when the sample before `sample` came in."""
        while self._stamps:
            end, stamp = self._stamps[0]
            if end >= sample:
                return stamp
            self._stamps.popleft()
        return self._clock.now()

    def _state(self) -> dict[str, Any]:
        """Return the engine's part of `status`."""
        return {
            "bad_samples": self._announcer.bad_samples(self._detector.bad_samples),
            "settling_samples": self._detector.settling_total,
            "ring_fill": round(self._ring.fill, 4),
            "source": self._source.status(),
            "security": self._publisher.security,
            "connections": self._publisher.connections,
            "missed_by_subscribers": self._reply.missed_by_subscribers,
            "reply": self._reply.status(),
            "commands": {"done": self._commands.done, "refused": self._commands.refused},
            "frozen": self._detector.frozen,
            "muted": int(self._detector.muted.sum()),
        }

    def _finish(self) -> None:
        """Tell the last gap, end the pending events, and say `end`."""
        self._publisher.poll()  # who has joined meanwhile must have `info` before `end`
        self._tell_gaps(self._ring.gaps_at(self._ring.written))
        now = self._clock.now()
        self._announcer.events(self._detector.finish(), now, now)
        reason = "stopped" if self._stop.is_set() else "end of source"
        if self._error is not None:
            reason = f"source failed: {self._error}"
        self._announcer.end(reason, self._ring.next_sample, self._state())
