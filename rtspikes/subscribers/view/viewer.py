"""What one page looks at of a running engine, and how far it has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rtspikes.subscribers.view.course import Course
from rtspikes.subscribers.view.details import detail, shapes
from rtspikes.subscribers.view.due import Due
from rtspikes.subscribers.view.pack import pack
from rtspikes.subscribers.view.scene import MOST_SELECTED, SIGNALS, Message
from rtspikes.subscribers.view.trace_store import Key

if TYPE_CHECKING:
    from rtspikes.subscribers.view.live import LiveScene

ACTIVITY_S, SHAPES_S, LEVELS_S, HEALTH_S = 0.1, 0.5, 0.5, 1.0
"""How often, at most, a page is sent each of them."""

MOST_NEW_SPIKES, MOST_OLD_SPIKES = 400, 4000
"""Spikes of the selected channels in one message: the newest, of a page that lags; of what was before a selection."""


class LiveViewer:
    """Gives a page what is new since it was last asked: a slow page is asked seldom, and skips what is over."""

    def __init__(self, scene: LiveScene) -> None:
        self._scene = scene
        self.sent = 0
        self._selected: tuple[int, ...] = ()
        self._had: set[Key] = set()
        """Those of the selected channels of which the page has what is kept."""
        self._of = SIGNALS[0]
        self._version = -1
        self.session = ""
        self._health = Due(0.0)
        self._healthy_s = 0.0
        self._restart()

    def _restart(self) -> None:
        """Another session: nothing of it was sent yet."""
        self._column: int | None = None
        self._now = -1
        self._happened: int | None = None
        self._passage = self._trace = 0
        self._activity, self._levels, self._trends = Due(ACTIVITY_S), Due(LEVELS_S), Due(0.0)
        self._shapes = Due(SHAPES_S)

    def messages(self, now_s: float) -> list[Message]:
        """Return what is new for this page."""
        scene = self._scene
        with scene.lock:
            found: list[Message] = []
            if scene.version != self._version and scene.course is not None:
                if self._version >= 0:
                    self.select((), self._of)  # its positions mean other electrodes
                self._version = scene.version
                self._restart()
                self.session = str(scene.course.info["session"])
                found.append(scene.facts)
            if self._health.at(now_s, scene.health_version) or now_s - self._healthy_s >= HEALTH_S:
                self._healthy_s = now_s
                found.append(scene.health())
            if scene.course is not None:
                found += self._of_course(scene.course, now_s)
            return found

    def _of_course(self, course: Course, now_s: float) -> list[Message]:
        found: list[Message] = []
        if course.happenings.count != self._happened:
            found.append(course.happenings.message(self._happened or 0))
            self._happened = course.happenings.count
        if self._levels.at(now_s, course.levels_version):
            found.append(course.levels())
        if self._trends.at(now_s, self._scene.trends.version):
            found.append(self._scene.trends.message())
        if course.now != self._now:
            found.append(self._frame(course, now_s))
        if self._selected:
            found += self._details(course, now_s)
        return found

    def _frame(self, course: Course, now_s: float) -> bytes:
        """Return the `frame` message; the last columns are sent again, since spikes may still come into them.

        A `fresh` one tells the page to forget what it has, signals included.
        """
        fresh = self._column is None or self._column < course.raster.oldest
        if fresh:
            self._had.clear()
        first, columns, rate = course.raster.columns(course.raster.oldest if self._column is None else self._column)
        self._column = max(first, course.raster.stop - 3)
        self._now = course.now
        self.sent += 1
        arrays: dict[str, Any] = {"columns": columns, "rate": rate}
        if self._activity.at(now_s, self.sent):
            arrays["activity"] = course.activity()
        return pack({"t": "frame", "n": self.sent, "now": course.now, "column": first, "fresh": fresh}, arrays)

    def _details(self, course: Course, now_s: float) -> list[Message]:
        traces = self._scene.traces
        found: list[Message] = []
        for keys, passage, trace, most in (
            ([key for key in self._keys if key in self._had], self._passage, self._trace, MOST_NEW_SPIKES),
            ([key for key in self._keys if key not in self._had], 0, 0, MOST_OLD_SPIKES),
        ):
            if not keys:
                continue
            spikes, waveforms = course.newest([channel for channel, _ in keys], passage, most)
            runs, envelopes = traces.runs(keys, trace)
            if runs or len(spikes):
                found.append(detail(spikes, waveforms, runs, envelopes))
        self._had, self._passage, self._trace = set(self._keys), course.passages, traces.count
        if self._shapes.at(now_s, course.passages):
            kept, of = course.shapes, self._selected
            waveforms_of, isi = [kept.waveforms(c) for c in of], [kept.isi(c) for c in of]
            counts = [int(kept.counts[c]) for c in of]
            found.append(shapes(of, waveforms_of, isi, counts, sum(course.info["snippet_samples"])))
        return found

    @property
    def _keys(self) -> list[Key]:
        return [(channel, self._of) for channel in self._selected]

    def select(self, channels: Sequence[int], of: str) -> None:
        """Show these channels in detail, and this signal of them."""
        with self._scene.lock:
            course = self._scene.course
            n = 0 if course is None else course.n
            before = self._keys
            self._selected = tuple(dict.fromkeys(c for c in channels if 0 <= c < n))[:MOST_SELECTED]
            self._of = of if of in SIGNALS else SIGNALS[0]
            self._had.intersection_update(self._keys)
            self._scene.want(self._keys, before)
            self._shapes.again()

    def seek(self, sample: int, window_s: float) -> None:
        """Go nowhere: a running engine is looked at as it is now."""

    def play(self, speed: float) -> None:
        """Go on as the engine does."""

    def close(self) -> None:
        """Let go: the page is gone."""
        self._scene.leave(self._keys)
        self._selected = ()
