"""LSL marker streams as marks: found whenever they appear, taken in while they are there, their loss told.

One thread per stream looks for it, and then waits for its markers. The engine's processing thread takes them by `take`.
They share the deques of a stream, which only its thread fills and only the taker empties, and its counts.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from rtspikes import lsl
from rtspikes.clock import Clock
from rtspikes.errors import ConfigError, SourceError
from rtspikes.lsl.find import choose, find, parse_address
from rtspikes.lsl.text import quoted
from rtspikes.protocols import Remark
from rtspikes.sources.lsl.marker_content import changes, content
from rtspikes.sources.lsl.marker_inlet import MarkerInlet, Pulled, check_layout
from rtspikes.sources.settings import MarkerSettings

LOOK_S = 2.0
"""How long one look for a stream takes at most."""

CHECK_S, CHECK_WAIT_S = 5.0, 1.0
"""After so long without a marker, which in itself says nothing, see whether the stream still answers, for so long."""

ABSENCES = 2
"""So many looks in a row that do not find it mean that it is gone."""

MOST_WAITING = 4096
"""Markers of one stream that may wait to be taken; what comes beyond is left out and counted."""

FARTHEST_S = 3600.0
"""A stamp farther from the LSL clock is of another (of the date, for example)."""

MOST_REMARKS = 64
"""Remarks of one stream that may wait; beyond, the oldest make room."""

LONGEST_TEXT = 1000
"""Characters of a remark."""

TELL_S = 1.0
"""How often, at most, losses are told."""


class Incoming(NamedTuple):
    """A marker: when (s on this computer's LSL clock), of which stream (1: the first), and what it says."""

    time_s: float
    line: int
    value: int
    text: str


class MarkerStreams:
    """Takes in the streams of `[[markers]]`; a context manager, which starts and ends their threads.

    `failed` is called, from such a thread, with an error that nobody foresaw. Raises ConfigError for an address that
    is none, and SourceError when it is entered and LSL is not installed.
    """

    def __init__(
        self, settings: Sequence[MarkerSettings], clock: Clock, failed: Callable[[BaseException], None]
    ) -> None:
        self._stop = threading.Event()
        self._clock = clock
        self._streams = [_MarkerStream(i, each.uri, clock, self._stop, failed) for i, each in enumerate(settings, 1)]
        self._told_s = -math.inf

    def __enter__(self) -> Self:
        """Begin to look for the streams; waits for none."""
        if self._streams:
            lsl.load()
        for stream in self._streams:
            stream.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Let go of all streams."""
        self._stop.set()
        for stream in self._streams:
            if stream.thread.ident is not None:
                stream.thread.join()

    def take(self, most: int) -> list[Incoming]:
        """Return, in the order of their times, up to `most` of the markers that have come, and forget them.

        Each stream gives its oldest, in turn: none keeps the others waiting.
        """
        taken: list[Incoming] = []
        queues = [stream.waiting for stream in self._streams]
        while len(taken) < most and (queues := [queue for queue in queues if queue]):
            taken += [queue.popleft() for queue in queues[: most - len(taken)]]
        return sorted(taken)

    def remarks(self) -> list[Remark]:
        """Return what happened to the streams since this was last asked.

        Causes: `markers_found`; `markers_lost`; `markers_missing` (none or several match, or what does is none);
        `markers_dropped` (amount: how many found no room, or 1 for an unknown number); `markers_time` (stamps that
        cannot be used). The entry `line` says which stream.
        """
        found: list[Remark] = []
        now = self._clock.now()
        if now - self._told_s >= TELL_S:
            self._told_s = now
            found += [remark for stream in self._streams if (remark := stream.losses()) is not None]
        for stream in self._streams:
            while stream.told:
                found.append(stream.told.popleft())
        return found

    def status(self) -> dict[str, Any]:
        """Return the state of each stream, and how many markers came of it."""
        return {"streams": [stream.status() for stream in self._streams]}

    def lines(self) -> list[dict[str, Any]]:
        """Return which line of the marks is which stream."""
        return [{"line": stream.line, "uri": stream.uri} for stream in self._streams]


class _MarkerStream:
    """One table of `[[markers]]`, and the thread that serves it."""

    def __init__(
        self, line: int, uri: str, clock: Clock, stop: threading.Event, failed: Callable[[BaseException], None]
    ) -> None:
        self.line = line
        self.uri = uri
        self.waiting: deque[Incoming] = deque()
        self.told: deque[Remark] = deque(maxlen=MOST_REMARKS)
        self.thread = threading.Thread(target=self._run, name=f"rtspikes-markers-{line}", daemon=True)
        address = uri.removeprefix("lsl:")
        if not address.strip() or address == uri:
            raise ConfigError(f"markers: uri must say which stream, for example lsl:type=Markers, got {quoted(uri)}")
        self._query = parse_address(address)
        self._clock = clock
        self._stop = stop
        self._failed = failed
        self._name: str | None = None
        self._problem: frozenset[str] | None = None
        self._before: np.ndarray[Any, Any] | None = None
        self._markers = self._dropped = self._dropped_told = self._overruns = self._overruns_told = 0
        self._restamped = self._restamped_before = 0

    # the taker's thread

    def status(self) -> dict[str, Any]:
        """Return figures; `name` is that of the stream while one is connected."""
        return {
            "line": self.line,
            "name": self._name,
            "markers": self._markers,
            "dropped": self._dropped,
            "overruns": self._overruns,
            "restamped": self._restamped,
        }

    def losses(self) -> Remark | None:
        """Return the losses that were not told yet."""
        dropped, overruns = self._dropped - self._dropped_told, self._overruns - self._overruns_told
        self._dropped_told += dropped
        self._overruns_told += overruns
        if not dropped and not overruns:
            return None
        texts = [f"{dropped} markers came faster than they could be published and were left out"] if dropped else []
        texts += ["liblsl's own queue ran full: markers may be lost, nobody knows how many"] if overruns else []
        return self._remark("markers_dropped", "; ".join(texts), max(1, dropped))

    # the stream's thread

    def _tell(self, cause: str, text: str) -> None:
        self.told.append(self._remark(cause, text))

    def _remark(self, cause: str, text: str, amount: int = 1) -> Remark:
        return Remark(0, cause, f"marker stream {self.line}: {text}"[:LONGEST_TEXT], amount, {"line": self.line})

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                found = find(self._query, LOOK_S, self._stop)
                try:
                    if found:
                        info = choose(found, self._query)
                        check_layout(info)
                        self._connect(info)
                    else:
                        self._tell_missing(found, f"nothing matches {self._query.text}; it is taken in when it appears")
                except SourceError as error:
                    self._tell_missing(found, str(error))
        except BaseException as error:
            self._failed(error)

    def _tell_missing(self, found: list[Any], why: str) -> None:
        """Say, once for the same streams, why none is taken in."""
        problem = frozenset(each.uid() for each in found)
        if problem != self._problem and not self._stop.is_set():
            self._problem = problem
            self._tell("markers_missing", why)
        if found:  # `find` waits itself while there is nothing
            self._stop.wait(LOOK_S)

    def _connect(self, info: Any) -> None:
        """Take in a stream's markers until it is gone."""
        name = f"{quoted(info.name())} on {quoted(info.hostname())}"
        try:
            inlet = MarkerInlet(info, self._stop)
            inlet.open()
            self._name, self._before, self._restamped_before, self._problem = name, None, self._restamped, None
            self._tell("markers_found", f"{name} is taken in")
            self._receive(inlet, name)
            why = "is gone"
        except RuntimeError as error:  # pylsl's errors: lost, timed out, a peer that breaks the protocol
            why = "is gone" if self._name else f"cannot be taken in ({error})"
        if not self._stop.is_set():
            if self._name or self._problem is None:
                self._tell("markers_lost", f"{name} {why}; it is taken in again when it is back")
            if not self._name:
                self._problem = frozenset([info.uid()])
                self._stop.wait(LOOK_S)
        self._name = None

    def _receive(self, inlet: MarkerInlet, name: str) -> None:
        """Pull markers until the stream is no longer there."""
        heard_s, absences = self._clock.now(), 0
        while not self._stop.is_set():
            pulled = inlet.pull()
            if inlet.reconnected():
                self._tell("markers_lost", f"{name} was gone and is back; what it sent meanwhile is lost")
            if pulled is not None:
                self._enter(inlet, pulled)
                heard_s, absences = self._clock.now(), 0
            elif absences or self._clock.now() - heard_s >= CHECK_S:
                here = inlet.is_there(self._query, CHECK_WAIT_S)
                heard_s, absences = self._clock.now(), 0 if here else absences + 1
                if absences >= ABSENCES:
                    return

    def _enter(self, inlet: MarkerInlet, pulled: Pulled) -> None:
        """Put samples into the queue, as far as there is room."""
        samples, times = pulled.samples, pulled.stamps
        if inlet.of_changes:
            rows = changes(samples, self._before)
            self._before = samples[-1].copy()
            samples, times = samples[rows], times[rows]
        now = self._clock.now()
        wrong = ~(np.abs(times - now) <= FARTHEST_S) | (not pulled.on_clock)
        if wrong.any():
            if self._restamped == self._restamped_before:
                why = "are not of the LSL clock" if pulled.on_clock else "are of a clock that does not answer"
                self._tell("markers_time", f"its stamps {why}; the time of arrival is taken instead")
            self._restamped += int(wrong.sum())
            times = np.where(wrong, now, times)
        room = max(0, MOST_WAITING - len(self.waiting))
        for time_s, sample in zip(times[:room].tolist(), samples[:room], strict=True):
            self.waiting.append(Incoming(time_s, self.line, *content(sample)))
        self._markers += len(times)
        self._dropped += max(0, len(times) - room)
        self._overruns += pulled.overrun
