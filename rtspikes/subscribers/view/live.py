"""A running engine as something to look at.

Three threads meet here, under one lock that each holds for a short time:

    feed      owns the subscriber; takes in what the engine says         (feed.py)
    traces    owns the subscriptions to traces; takes in envelopes       (trace_feed.py)
    server    calls `messages` of the viewers                            (viewer.py)
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rtspikes.subscribers.view.course import Course
from rtspikes.subscribers.view.facts import Info, check, facts
from rtspikes.subscribers.view.health import Seen, health
from rtspikes.subscribers.view.pack import text
from rtspikes.subscribers.view.trace_store import Key, TraceStore
from rtspikes.subscribers.view.trends import Trends
from rtspikes.subscribers.view.viewer import LiveViewer
from rtspikes.wire.batch import Batch
from rtspikes.wire.traces import Trace

NO_ENGINE = "waiting for an engine"


class LiveScene:
    """What the newest session of an engine looks like, to any number of pages."""

    def __init__(self, endpoint: str, read_only: bool = False) -> None:
        self.endpoint, self.read_only = endpoint, read_only
        self.lock = threading.RLock()
        self.course: Course | None = None
        self.traces = TraceStore(1.0)
        self.trends = Trends()
        self.facts = ""
        """The `facts` message."""
        self.stream = ""
        """The stream's name; "" before the first session."""
        self.version = 0
        """Counts the sessions."""
        self.health_version = 0
        self._labels: list[str] = []
        self._state, self._text = "connecting", f"{NO_ENGINE} at {endpoint}"
        self._malformed = 0
        self._wanted: Counter[Key] = Counter()
        self._viewers = 0
        self._begun_s = time.monotonic()
        self._error: BaseException | None = None
        self.wanted_changed = threading.Event()
        """Set when other traces are wanted."""

    # the feeds

    def begin(self, info: Info) -> None:
        """Forget the session before; another one has begun."""
        with self.lock:
            check(info)
            course, told = Course(info), text(facts(info, "live", self.read_only))
            self.stream = str(info["stream"])
            self.course, self.facts = course, told
            self.traces = TraceStore(course.rate_hz)
            self.traces.want(self._wanted)
            self.version += 1
            if (labels := list(info["channels"]["label"])) != self._labels:
                self._labels, self.trends = labels, Trends()
            self.tell("live", "")

    def add(self, batches: Iterable[Batch], malformed: int) -> None:
        """Take in what came, of the current session."""
        with self.lock:
            if self.course is None:
                return
            statuses = self.course.status_count
            for batch in batches:
                self.course.add(batch)
            self.course.settle()
            self._malformed = malformed
            if self.course.status_count != statuses:
                self._follow(self.course)
                self.tell("live", "")
                self.health()  # what cannot be understood shows here, and not in each page

    def _follow(self, course: Course) -> None:
        signal_s = (course.now - course.first_sample) / course.rate_hz
        spikes = float(course.shapes.counts.sum())
        run_s = time.monotonic() - self._begun_s
        self.trends.add(run_s, signal_s, spikes, course.sigma_uv, course.lost + course.missed)

    def add_trace(self, trace: Trace) -> None:
        """Take in an envelope."""
        with self.lock:
            if self.course is not None and trace.session == self.course.info["session"]:
                self.traces.add(trace)

    def give_up(self, why: str) -> None:
        """Show nothing of the current session any more."""
        with self.lock:
            self.course = None
            self.stream = ""
            self.tell("lost", why[:500])

    def tell(self, state: str, why: str) -> None:
        """Say how it is with the engine: one of the states of a `health` message, and a line for people."""
        with self.lock:
            self._state, self._text = state, why
            self.health_version += 1

    def fail(self, error: BaseException) -> None:
        """Keep the error that has ended a thread."""
        with self.lock:
            self._error = self._error or error

    # the server

    def viewer(self) -> LiveViewer:
        """Return what a new page looks at."""
        with self.lock:
            self._viewers += 1
            self.health_version += 1
            return LiveViewer(self)

    def leave(self, keys: Iterable[Key]) -> None:
        """Let a page go that wanted `keys`."""
        with self.lock:
            self._viewers -= 1
            self.health_version += 1
            self.want((), keys)

    def want(self, keys: Iterable[Key], instead_of: Iterable[Key]) -> None:
        """Let the traces of some channels come, and those of others no more, unless another page wants them."""
        with self.lock:
            self._wanted.update(keys)
            self._wanted.subtract(instead_of)
            self._wanted = +self._wanted
            self.traces.want(self._wanted)
            self.wanted_changed.set()

    @property
    def wanted(self) -> set[Key]:
        """The traces that pages look at."""
        with self.lock:
            return set(self._wanted)

    @property
    def over(self) -> bool:
        """Whether the run that was looked at has ended, and no other has begun."""
        return self._state in ("ended", "lost")

    def check(self) -> None:
        """Raise what has ended one of the feeds."""
        if self._error is not None:
            raise self._error

    def health(self) -> str:
        """Return the `health` message."""
        course = self.course
        sigma_uv = float("nan") if course is None else course.sigma_uv
        missed = (0 if course is None else course.missed) + self._malformed
        seen = Seen(state=self._state, text=self._text, missed=missed, sigma_uv=sigma_uv, viewers=self._viewers)
        info: dict[str, Any] = {} if course is None else dict(course.info)
        return text(health(info, {} if course is None else course.status, seen))
