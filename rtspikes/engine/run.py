"""A run: its threads and their lives, and the sessions that follow each other."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from rtspikes.clock import Clock, LslClock
from rtspikes.config import Config
from rtspikes.detect.changes import Change
from rtspikes.engine.marking import Markers, Marking, Says
from rtspikes.engine.service import Service
from rtspikes.engine.session import Session
from rtspikes.engine.totals import Totals
from rtspikes.errors import RtspikesError, SourceError
from rtspikes.lines import stream_lines
from rtspikes.priority import SENDING, prefer
from rtspikes.protocols import Source
from rtspikes.sources import open_source
from rtspikes.types import StreamInfo
from rtspikes.wire.keys import Right
from rtspikes.wire.publish import Aborted, new_session

WAIT_S = 0.05
"""How long one thread waits for another before it looks again."""

LOOK_S = 5e-3
"""How often it is looked whether subscribers have come or gone: asking after each block is a tenth of its cost."""


class Engine:
    """Runs one stream from its source to the publisher.

    Use as a context manager: entering opens the source, compiles or loads the kernels and binds the endpoint; then
    `start`, and `wait` until it ends. `source` and `markers` stand in for those that the configuration names. `changes`
    of detection, by absolute sample, are made in the first session as if they had been asked for in time.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: Source | None = None,
        markers: Markers | None = None,
        clock: Clock | None = None,
        changes: Sequence[tuple[int, Change]] = (),
    ) -> None:
        self._config = config
        self._changes = changes
        self._clock = clock or LslClock()
        self._source = source or open_source(config.source, self._clock)
        self._markers = markers or self._marker_streams()
        self._marking = None if self._markers is None else Marking(self._markers)
        self._stop, self._abort, self._done = threading.Event(), threading.Event(), threading.Event()
        self._moved = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self._past = Totals()
        self._refused: deque[str] = deque()
        """What the system would not give the threads; told once samples come."""
        self._refused_told: set[str] = set()
        self._told: dict[str, Any] = {}

    def _marker_streams(self) -> Markers | None:
        if not self._config.markers:
            return None
        from rtspikes.sources.lsl.markers import MarkerStreams

        return MarkerStreams(self._config.markers, self._clock, self._fail_beside)

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
        info = self._source.info
        self._service = Service(self._config, not info.live, self._abort.is_set, self._fail_beside)
        try:
            self._run = self._service.publisher.session
            self._session = self._make_session(self._run, 1, self._changes)
            self._service.tell_info(self._facts(self._session))
            if self._markers is not None:
                self._markers.__enter__()
        except BaseException:
            self._service.close(at_once=True)
            raise

    def _make_session(self, name: str, part: int, changes: Sequence[tuple[int, Change]] = ()) -> Session:
        """Return a session for what the source is now; raise ConfigError when the settings do not fit it."""
        return Session(
            name, part, self._config, self._source, self._clock, self._service, self._moved, self.stop, changes
        )

    def _facts(self, session: Session) -> dict[str, Any]:
        """Return what `info` says in a session, but for the sockets."""
        return {
            **session.facts,
            "run": self._run,
            "stream": self._config.publish.stream,
            "history": msgspec.to_builtins(self._config.history),
            "marker_lines": [*([] if self._markers is None else self._markers.lines()), *stream_lines(session.info)],
            "blank": msgspec.to_builtins(self._config.blank),
            "clock": {"lsl_s": self._clock.now(), "utc": datetime.now(UTC).isoformat()},
            "session_keys": msgspec.to_builtins(self._config.session),
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End all threads and close everything; when the run was cut short, without waiting for subscribers."""
        if kind is not None and not self._done.is_set():
            self.abort()
        self.stop()
        for thread in self._threads:
            thread.join()
        if self._markers is not None:
            self._markers.__exit__(kind, error, trace)
        self._service.close(at_once=self._abort.is_set())
        self._source.__exit__(kind, error, trace)

    def start(self) -> None:
        """Begin to serve subscribers; samples come once `release` lets them."""
        self._thread("processing", self._process)

    @property
    def info(self) -> StreamInfo:
        """The layout of the current session."""
        return self._session.info

    @property
    def part(self) -> int:
        """How many sessions there were, the current one included."""
        return self._session.part

    @property
    def endpoint(self) -> str:
        """Where subscribers connect to."""
        return self._service.endpoint

    def child_key(self, right: Right) -> str | None:
        """Return, as text, the key of this engine's own children with a right; None where none is asked for."""
        key = self._service.child_keys.get(right)
        return None if key is None else key.to_text()

    @property
    def status(self) -> dict[str, Any]:
        """The last `status` message of the current session; empty before the first."""
        return self._session.announcer.status

    @property
    def totals(self) -> dict[str, Any]:
        """Figures of `status` over all sessions: `counts`, `signal_s`, `bad_samples`, `commands_done`."""
        return self._past.with_current(self.status)

    def take_news(self) -> list[str]:
        """Return what the source said since this was last asked, at most the newest 64 texts."""
        news = self._service.news
        return [news.popleft() for _ in range(len(news))]

    @property
    def subscribers(self) -> int:
        """Subscribers that are there and know the session."""
        return self._service.publisher.informed

    @property
    def waiting_s(self) -> float:
        """How long (s) the run has been waiting for a subscriber that does not keep up; 0 when it does not."""
        since_s = self._service.publisher.waiting_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def release(self) -> None:
        """Let the samples come."""
        self._session.announcer.begin()
        self._thread("acquiring", self._acquire)

    def tell(self, name: str, figures: dict[str, Any] | None) -> None:
        """Let `status` say these figures from its next message on, as `name`; None: no longer."""
        self._told = {key: told for key, told in {**self._told, name: figures}.items() if told is not None}

    def stop(self) -> None:
        """End the source; what was received is still detected and published."""
        self._stop.set()
        self._source.cancel()
        if len(self._threads) < 2:
            self._session.acquired.set()

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
                self._fail_beside(error)
            finally:
                if name == "processing":
                    self._service.reply.end_commands()
                    self._done.set()

        thread = threading.Thread(target=run, name=f"rtspikes-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fail_source(self, error: BaseException) -> None:
        """Keep the error of the source, and let what was received be published."""
        if not isinstance(error, RtspikesError):
            cause = error
            error = SourceError(f"the source {self.info.uri} failed: {type(cause).__name__}: {cause}")
            error.__cause__ = cause
        self._error = self._error or error
        self.stop()

    def _fail_beside(self, error: BaseException) -> None:
        """Take the error of any other thread: it ends the run at once."""
        self._error = self._error or error
        self.abort()

    # acquiring thread

    def _acquire(self) -> None:
        self._prefer()
        session: Session | None = self._session
        while session is not None:
            try:
                self._fill(session)
            except BaseException as error:
                self._fail_source(error)
            session.acquired.set()
            session = self._await_successor(session) if session.another else None

    def _fill(self, session: Session) -> None:
        """Pull until the session ends."""
        if not self._stop.is_set():
            self._source.start()
        while not self._stop.is_set():
            pull = session.intake.pull(self._source)
            with self._moved:
                if pull is None:
                    self._moved.wait(WAIT_S)
                    continue
                self._moved.notify_all()
            if pull.ended:
                session.another = pull.another
                return

    def _await_successor(self, session: Session) -> Session | None:
        """Return the session that follows once processing has made it; None when it makes none."""
        with self._moved:
            while self._session is session and not self._done.is_set():
                self._moved.wait(WAIT_S)
        return None if self._session is session else self._session

    # processing thread

    def _process(self) -> None:
        session: Session | None = self._session
        while session is not None:
            with session.crew:
                session.crew.run(self._prefer, session.crew.size)
                session = self._lead_through(session)

    def _prefer(self, part: int = 0) -> None:
        """Give the calling thread, and those that send, what the settings say of the processor."""
        self._refused += prefer(self._config.cpu, others=SENDING)

    def _lead_through(self, session: Session) -> Session | None:
        """Detect and publish all samples of a session; return the one that follows it, if there is one."""
        looked_s = -math.inf
        while not self._abort.is_set():
            if (now_s := time.monotonic()) - looked_s >= LOOK_S:
                looked_s = now_s
                if self._service.publisher.poll():
                    session.greet()
            session.traces.step()
            session.commands.handle()
            self._mark(session, session.commands)
            if not session.step():
                return self._succeed(session)
            session.announcer.tick(lambda: self._state(self._session))
            self._service.look(session.announcer)
            if self._refused and len(self._threads) > 1:
                self._tell_refused(session)
        return None

    def _tell_refused(self, session: Session) -> None:
        """Tell, once each, what the system would not give the threads."""
        texts = dict.fromkeys(self._refused)
        self._refused.clear()
        for text in texts.keys() - self._refused_told:
            self._refused_told.add(text)
            self._service.news.append(text)
            session.announcer.notice("cpu", text, 1)

    def _mark(self, session: Session, out: Says) -> None:
        """Say what came of the marker streams."""
        if self._markers is not None and self._marking is not None:
            for remark in self._markers.remarks():
                session.remark(remark)
            self._marking.handle(session.sample_clock, out)

    def _state(self, session: Session) -> dict[str, Any]:
        """Return the engine's part of `status`."""
        state = {**session.state(), **self._service.state(), **self._told}
        if self._markers is not None and self._marking is not None:
            state["markers"] = {**self._markers.status(), "dropped": self._marking.dropped}
        return state

    def _succeed(self, session: Session) -> Session | None:
        """End a session whose samples are all detected; begin the next one if there is one."""
        successor, reason = None, "stopped" if self._stop.is_set() else "end of source"
        if session.another and not self._stop.is_set():
            try:
                successor = self._make_session(new_session(), session.part + 1)
                reason = "another layout"
            except RtspikesError as error:
                self._error = self._error or error
                reason = f"source failed: its new layout cannot be taken: {error}"
        elif self._error is not None:
            reason = f"source failed: {self._error}"
        self._finish(session, reason, successor)
        if successor is not None:
            self._past.add(session.announcer.status)
            self._service.begin_session(successor.name, self._facts(successor))
            with self._moved:
                self._session = successor
                self._moved.notify_all()
        return successor

    def _finish(self, session: Session, reason: str, successor: Session | None) -> None:
        """Say all that is left of a session, and `end`."""
        self._service.publisher.poll()  # who has joined meanwhile must have `info` before `end`
        self._mark(session, session.announcer)  # what comes now blanks nothing
        if self._marking is not None and successor is None:
            self._marking.finish(session.sample_clock, session.announcer, session.next_sample)
        session.finish()
        name = None if successor is None else successor.name
        session.announcer.end(reason, session.next_sample, self._state(session), name)
