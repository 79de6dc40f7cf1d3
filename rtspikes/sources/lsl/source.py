"""The `lsl:` source: finds its stream, keeps up with it, and says what happens to it.

Threads: `pull` and everything it touches belong to the thread that calls it. `correcting` (connection.py) measures the
clocks' offset; `searching` (search.py) looks for a stream that was lost, and hands over a connection that is open.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, NamedTuple, Self

from rtspikes.clock import Clock
from rtspikes.lsl.find import choose, find, parse_address
from rtspikes.protocols import Pull, Remark
from rtspikes.sources.lsl.connection import WAIT_S, Connection, Lost
from rtspikes.sources.lsl.hold import Hold
from rtspikes.sources.lsl.search import Search
from rtspikes.sources.lsl.timeline import Timeline
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import Samples, StreamInfo

SILENT_S = 1.5
"""Silence of a stream that is told; with a pull's wait it is told within 2 s."""

DEAF_S = 5.0
"""Silence after which it is looked whether the stream is elsewhere now: its computer may have vanished."""

STATUS_S = 0.5
"""How often the figures for `status` are made anew."""


class LslSource:
    """A stream of the Lab Streaming Layer, as the source of a run."""

    first_sample = 0

    def __init__(self, address: str, settings: SourceSettings, clock: Clock) -> None:
        self._uri = f"lsl:{address}"
        self._query = parse_address(address)
        self._settings = settings
        self._clock = clock
        self._cancelled = threading.Event()
        self._connection: Connection | None = None
        self._search: Search | None = None
        self._remarks: list[Remark] = []
        self._heard_s = self._status_s = 0.0
        self._silent = False
        self._next: Connection | None = None  # of another layout
        self._connections = 1
        self._trouble = ""
        self._status: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Find the stream and read its description; samples come from `start` on."""
        found = find(self._query, self._settings.wait_s, self._cancelled)
        chosen = choose(found, self._query)
        self._identity = _identity(chosen)
        self._begin(self._connect(chosen))
        return self

    def _connect(self, found: Any) -> Connection:
        return Connection(found, self._uri, self._settings, self._settings.buffer_s)

    def _connect_again(self, found: Any) -> Connection:
        connection = self._connect(found)
        try:
            connection.open()
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: Connection) -> None:
        """Begin with a stream whose layout is new."""
        self._connection = connection
        self.info: StreamInfo = connection.info
        self._timeline = Timeline(connection.nominal_hz, connection.offset, connection.buffer_s)
        self._hold = Hold(connection.info)
        self._remarks += [Remark(0, "source", warning) for warning in connection.warnings]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Disconnect."""
        self.cancel()
        self._end_search()
        self._disconnect()
        if self._next is not None:
            self._next.close()

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.stop()
            self._search = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def start(self) -> None:
        """Let samples come."""
        if self._connection is not None:
            self._connection.open()
        self._heard_s = self._clock.now()

    def cancel(self) -> None:
        """End a search; a pull waits 0.1 s at most."""
        self._cancelled.set()

    def pull(self, destination: Samples) -> Pull:
        """Write what has come into `destination`; wait 0.1 s at most when nothing has."""
        if self._hold.decided:
            pull = self._hold.hand_on(destination)
        elif self._next is not None:
            pull = self._turn_over(self._next)
        else:
            try:
                pull = self._receive(destination)
            except Lost:
                pull = self._lose(destination)
        if self._remarks:
            remarks, self._remarks = tuple(self._remarks), []
            pull = pull._replace(remarks=(*remarks, *pull.remarks))
        return pull

    def status(self) -> dict[str, Any]:
        """Return what is known of the stream: its clock, its silence, what waits in liblsl's queue."""
        return self._status

    # the thread that pulls

    def _receive(self, destination: Samples) -> Pull:
        """Pull from the connection; where there is none, or it is silent, look whether there is another."""
        if self._search is not None:
            found = self._search.get(WAIT_S if self._connection is None else 0.0)
            if self._search.trouble and self._search.trouble != self._trouble:
                self._trouble = self._search.trouble
                self._remarks.append(Remark(0, "source_trouble", self._trouble))
            if found is not None:
                return self._take_over(found, destination)
        if self._connection is None:
            self._note(self._clock.now())
            return Pull(0)
        if self._connection.failed is not None:
            raise self._connection.failed
        held = self._hold.undecided
        rows = self._hold.room if held else destination[: self._hold.capacity]
        stamps = self._connection.pull(rows)
        now = self._clock.now()
        self._listen(len(stamps) > 0, now)
        self._note(now)
        if held:
            self._hold.add(stamps)
            return self._decide(destination, now, final=not len(self._hold.room))
        if not len(stamps):
            return Pull(0)
        verdict = self._timeline.take(stamps, now)
        if verdict.held is None:
            return Pull(len(stamps), *verdict[:3])
        self._hold.keep(rows[verdict.held : len(stamps)], stamps[verdict.held :])
        return Pull(verdict.held, *verdict[:3])

    def _decide(self, destination: Samples, now: float, final: bool) -> Pull:
        """Ask again about what is held back, and hand on what is decided."""
        self._hold.decide(self._timeline.take(self._hold.stamps, now, final))
        return self._hold.hand_on(destination)

    def _listen(self, heard: bool, now: float) -> None:
        """Tell when samples cease to come, and when they come again; look for a silent stream elsewhere."""
        silent_s = now - self._heard_s
        if heard:
            self._heard_s = now
            if self._silent:
                self._silent = False
                self._end_search()
                facts = {"silent_s": round(silent_s, 3)}
                self._remarks.append(
                    Remark(0, "source_resumed", f"samples come again after {silent_s:.1f} s", 1, facts)
                )
        elif not self._silent and silent_s >= SILENT_S:
            self._silent = True
            text = f"no samples for {silent_s:.1f} s from {self._name()}; its connection stands"
            self._remarks.append(Remark(0, "source_silent", text))
        elif self._silent and silent_s >= DEAF_S and self._search is None:
            self._look_for_it()

    def _name(self) -> str:
        facts = self.info.facts
        return f"the stream {facts.get('name', self._uri)!r} on {facts.get('hostname') or 'its computer'}"

    def _look_for_it(self) -> None:
        """Look in the background for the stream, for one that differs in its source_id only, or for the only one."""
        standing, identity = self._connection, self._identity

        def wanted(found: list[Any]) -> Any | None:
            same = [x for x in found if _identity(x) == identity]
            if standing is not None:  # silent: nothing but the very stream, begun anew
                return next((x for x in same if x.uid() != standing.uid), None)
            alike = same[:1] or [x for x in found if _identity(x)[1:] == identity[1:]] or found
            return alike[0] if len(alike) == 1 else None

        self._search = Search(self._query, wanted, self._connect_again)

    def _lose(self, destination: Samples) -> Pull:
        """Tell that the stream is gone, let go of it, and begin to look for it; hand on what was held back."""
        self._remarks.append(Remark(0, "source_lost", f"{self._name()} is gone; looking for it"))
        self._end_search()
        self._disconnect()
        self._silent = False
        self._look_for_it()
        return self._decide(destination, self._clock.now(), final=True) if self._hold.undecided else Pull(0)

    def _take_over(self, found: Connection, destination: Samples) -> Pull:
        """Go on with the stream that was found again."""
        self._search = None
        self._trouble = ""
        self._connections += 1
        self._heard_s, self._silent = self._clock.now(), False
        pull = self._decide(destination, self._heard_s, final=True) if self._hold.undecided else Pull(0)
        self._disconnect()
        if _layout(found.info) == _layout(self.info):
            self._connection = found
            self._timeline.reconnect(found.offset, found.buffer_s)
            self._remarks.append(Remark(pull.n, "source_found", f"{self._name()} is back"))
        else:
            self._next = found
            text = (
                f"{self._name()} is back with another layout: {found.info.n_channels} channels of {found.info.dtype} "
                f"at {found.info.rate_hz:g} Hz; a new session begins"
            )
            self._remarks.append(Remark(pull.n, "source_changed", text))
        return pull

    def _turn_over(self, connection: Connection) -> Pull:
        """End the old layout; from here on everything is the new one's."""
        self._next = None
        remarks, self._remarks = tuple(self._remarks), []
        self._begin(connection)
        return Pull(0, remarks=remarks, ended=True, another=True)

    def _note(self, now: float) -> None:
        """Make the figures for `status`, now and then."""
        if now - self._status_s < STATUS_S:
            return
        self._status_s = now
        connection = self._connection
        self._status = {
            "connected": connection is not None,
            "connections": self._connections,
            "silent_s": round(now - self._heard_s, 3),
            "waiting_samples": 0 if connection is None else connection.waiting,
            "bad_stamps": self._timeline.bad_stamps,
            **self._timeline.status(),
        }


class _Identity(NamedTuple):
    """By what a stream is known again; pylsl makes another source_id in each process where none is given."""

    source_id: str
    name: str
    type: str
    hostname: str


def _identity(found: Any) -> _Identity:
    return _Identity(str(found.source_id()), str(found.name()), str(found.type()), str(found.hostname()))


def _layout(info: StreamInfo) -> tuple[Any, ...]:
    """Return what makes a session: streams with the same go on as one."""
    return info.rate_hz, info.dtype, info.channels
