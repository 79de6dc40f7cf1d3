"""The subscriber: batches of spikes in order, what was missed, and the certainty of an end or of its absence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtspikes.errors import ConfigError, TransportError, VersionError, WireError, nearest
from rtspikes.wire.batch import Batch, Missed, batch_of
from rtspikes.wire.catchup import CatchUp
from rtspikes.wire.codec import KINDS, Message, decode, fits, topic
from rtspikes.wire.connection import Connection
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.latest import Latest
from rtspikes.wire.numbers import Hole, Numbers, checked_position
from rtspikes.wire.requests import Requester, reply_address
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from rtspikes.wire.turn import Sessions, Turn

STEP_MS = 100
"""Longest single wait on the socket."""

SILENCE_S = 0.5
"""An engine that is there says something every 10 ms; after this time without, a lossless subscriber asks."""

PATIENCE_S = 3.0
"""How long the history of an engine whose connection is lost may leave a request unanswered."""

LOOK_MS = 20
"""Longest single wait for an answer while the subscription is looked at, too."""

REPORT_S = 1.0
"""How often, at most, the engine is told what this subscriber missed."""


class Subscriber:
    """Receives one engine's messages; a context manager, an iterator and an async iterator of `Batch`.

    Batches begin once `info`, everything constant about the session, has come. When the stream's layout changes the
    engine begins another session: `batch.session` is another then, `info` its, and samples, ids and positions begin
    anew. Iteration ends on the `end` of the last one; `end` is the last that came.
    Messages that are not of the protocol are counted in `malformed`; one of another version raises VersionError.
    Raises EngineVanished when the engine is gone without one, TransportError when none is there within
    `connect_timeout_s` (None: wait for ever). For the arguments see `subscribe`.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        kinds: Sequence[str] = ("spikes",),
        stream: str | None = None,
        lossless: bool = False,
        position: Mapping[str, Any] | None = None,
        from_start: Sequence[str] = (),
        latest: bool = False,
        key: ClientKey | str | Path | None = None,
        connect_timeout_s: float | None = 10.0,
        high_water_mark: int = 10_000,
        counts: bool = True,
    ) -> None:
        """Take what `subscribe` explains; `counts`: whether the engine counts it, also for `wait_subscribers`."""
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(f"unknown kind {kind!r}; {nearest(kind, KINDS)}")
        if latest and (lossless or position):
            raise ConfigError("latest leaves out what is not the newest, and lossless leaves out nothing: choose one")
        self.endpoint = endpoint
        self.kinds = tuple(dict.fromkeys(kinds))
        self.info: dict[str, Any] | None = None
        self._ended = False
        self.end: dict[str, Any] | None = None
        self.missed_total = 0
        self.resumed: bool | None = None
        """Whether the saved position was of the session that was met first; None: not known yet, or there was none."""
        self._stream = stream
        self._lossless = lossless or position is not None
        self._from_start = tuple(from_start)
        self._saved = checked_position(position)
        self._wants_latest = latest
        self._counts = counts
        self._key = ClientKey.load(Path(key)) if isinstance(key, str | Path) else key
        self._connect_timeout_s = connect_timeout_s
        self._high_water_mark = high_water_mark
        self._sessions = Sessions()
        self._turn = Turn(self._sessions)
        self._met_stream = ""
        self._position: dict[str, Any] = self._saved or {"session": None, "next_seq": {}}
        self._numbers = Numbers((*self.kinds, "end"))
        self._ready: deque[tuple[Batch, dict[str, Any]]] = deque()  # with the position behind each
        self._owed: list[Missed] = []
        self._malformed = self._missed_before = self._reported = 0
        self._hopeless = self._continuing = self._tail_sought = False
        self._reported_s = 0.0
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._requester: Requester | None = None
        self._catch_up: CatchUp | None = None
        self._latest: Latest | None = None

    def __enter__(self) -> Self:
        """Connect; does not wait for the engine."""
        kinds = tuple(dict.fromkeys((*self.kinds, "end", "info")))  # info last: once it is there, all are
        self._connection = Connection(
            self.endpoint, kinds, self._stream, self._high_water_mark, self._key, self._counts
        )
        if self._wants_latest:
            self._latest = Latest(self._next, lambda: self._ended and not self._ready)
            self._latest.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Disconnect."""
        if self._latest is not None:
            self._latest.stop()
        with self._lock:
            if self._connection is not None:
                if self._requester is not None:
                    self._report(at_once=True)
                    if self._lossless:
                        self._requester.send("done", client=self._requester.client)
                    self._requester.close()
                    self._requester = self._catch_up = None
                self._connection.close()
                self._connection.end()
                self._connection = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches until the engine's end."""
        while not self.ended:
            batch = self.get()
            if batch is not None:
                yield batch

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Yield batches until the engine's end, waiting in a thread of the event loop's executor."""
        while not self.ended:
            batch = await asyncio.to_thread(self.get, STEP_MS * 1e-3)
            if batch is not None:
                yield batch

    @property
    def ended(self) -> bool:
        """Whether the engine has ended, and every batch up to its end was returned."""
        return self._latest.done if self._latest is not None else self._ended and not self._ready

    @property
    def position(self) -> dict[str, Any]:
        """Where `subscribe(position=…)` goes on after the last batch that was returned; plain enough for JSON."""
        return {"session": self._position["session"], "next_seq": dict(self._position["next_seq"])}

    @property
    def malformed(self) -> int:
        """Messages and replies that were not of the protocol."""
        return self._malformed + sum(x.malformed for x in (self._requester, self._catch_up) if x is not None)

    def get(self, timeout_s: float | None = None) -> Batch | None:
        """Return the next batch; None after `timeout_s` without one, or once the engine has ended."""
        if self._latest is not None:
            return self._latest.get(None if timeout_s is None else time.monotonic() + timeout_s)
        return self._next(timeout_s)

    def _next(self, timeout_s: float | None) -> Batch | None:
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not (self._ended and not self._ready):
            left_ms = STEP_MS
            if deadline_s is not None:
                left_ms = max(0, min(STEP_MS, round((deadline_s - time.monotonic()) * 1e3)))
            with self._lock:  # `__exit__` may come from another thread
                if self._connection is None:
                    raise TransportError("the subscriber is not connected; use it in a with statement")
                self._step(self._connection, left_ms)
                if self._ready:
                    batch, self._position = self._ready.popleft()
                    return batch
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None
        return None

    def _step(self, connection: Connection, wait_ms: int) -> None:
        """Take in one message, recovered or new, or find out that none can come."""
        self._report()
        if self._catch_up is not None:
            self._catch_up.hold(self._turn.active)
        if self._ready:
            return
        if self._catch_up is not None and self._catch_up.active:
            connection.watch()
            found = self._catch_up.step(wait_ms)
            self._hopeless = not found and connection.gone and self._catch_up.waiting_s > PATIENCE_S
            self._recover(self._catch_up.give_up() if self._hopeless else found)
            return
        if self._turn.active:
            self._await_info(connection, wait_ms)
            return
        message = self._turn.next() or self._receive(connection, wait_ms)
        if message is not None:
            self._take(message)
        elif not self._look_in_silence(connection):
            connection.check_presence(self._sessions.current is not None, self._connect_timeout_s)

    def _receive(self, connection: Connection, wait_ms: int) -> Message | None:
        frames = connection.receive(wait_ms)
        if frames is None:
            return None
        try:
            return decode(frames)
        except VersionError:
            raise
        except WireError:
            self._malformed += 1
            return None

    def _look_in_silence(self, connection: Connection) -> bool:
        """When nothing comes any more, ask for what may have been lost; tell whether that was begun."""
        if time.monotonic() - connection.heard_s <= SILENCE_S:
            return False
        if self._hopeless and connection.gone:
            return False
        if self._sessions.announced is not None:
            connection.heard_s = time.monotonic()
            return self._ask_for_info(self._sessions.announced, None)
        if self._catch_up is not None:
            connection.heard_s = time.monotonic()
            self._catch_up.begin(self._numbers.newer(), None)
            return True
        return False

    def _ask_for_info(self, session: str, message: Message | None) -> bool:
        """Ask for the `info` of a session, where that is possible; `message` has come and is to follow it."""
        requester = None if self.info is None else self._asks(self.info)
        if requester is not None:
            self._turn.begin(requester, session, self._met_stream, message)
        return requester is not None

    def _await_info(self, connection: Connection, wait_ms: int) -> None:
        """Go on waiting for the `info` of a session that has begun without it."""
        message = self._receive(connection, 0) if self._turn.has_room else None
        found = None if message is None else self._turn.take(message)
        found = found or self._turn.step(0 if message is not None else min(wait_ms, LOOK_MS))
        if found is not None:
            self._take(found)
        elif (session := self._turn.give_up()) is not None:
            self._hopeless |= connection.gone
            if session == self._sessions.announced:
                self._sessions.announced = None
            else:
                self._begin_session(session, None)  # its messages come to nothing until its `info` is sent again

    def _take(self, message: Message) -> None:
        if self._sessions.is_gone(message.session):
            return  # what was missed of that session has been told
        self._met_stream = message.stream
        if message.session != self._sessions.current and not self._turn_to(message):
            return
        if self.info is not None and not fits(message, self.info):
            self._malformed += 1
            return
        if message.kind == "info":
            if self.info is None:
                self._join(message)
            self.info = message.fields
            self._follow_reply()
        if self.info is None:
            if message.kind != "end":
                return  # the engine sends `info` to whoever joins; a batch without it could not be understood
            if self._saved is not None and self._saved["session"] == message.session:
                self._numbers.begin({"next_seq": self._saved["next_seq"]})
                self.resumed = True
        if not self._numbers.is_duplicate(message):
            self._pass_on(message)

    def _pass_on(self, message: Message) -> None:
        """Deliver a message, once the holes before it are filled where they can be."""
        holes = self._numbers.holes_before(message)
        if holes and self._catch_up is not None and not self._hopeless:
            known = {"end", *(hole.kind for hole in holes)}
            others = [] if message.kind == "end" else [h for h in self._numbers.newer() if h.kind not in known]
            self._catch_up.begin([*holes, *others], message)  # who lost one message may have lost rare ones, too
            return
        for hole in holes:
            self._give_up(hole, message)
        self._deliver(message)

    def _turn_to(self, message: Message) -> bool:
        """Turn to the session of `message`; return False when something else must come before."""
        follows = message.kind == "info" and self._sessions.follows(message.fields)
        if follows and self._catch_up is not None and self._sessions.cut_short and not self._tail_sought:
            self._tail_sought = True
            self._catch_up.begin(self._numbers.newer(), message)
            return False
        announced = self._sessions.announced
        if follows and self._catch_up is not None and announced not in (None, message.session):
            return not self._ask_for_info(str(announced), message)  # one that went by unheard comes first
        if message.kind != "info" and self._ask_for_info(message.session, message):
            return False
        self._begin_session(message.session, message.fields if follows else None)
        return True

    def _begin_session(self, session: str, info: dict[str, Any] | None) -> None:
        """Drop everything that belongs to another session; `info`: of one that follows in the same engine run."""
        if info is None:
            self._missed_before = self._reported = self.missed_total
            self._malformed = self.malformed
            if self._requester is not None:
                self._requester.close()
                self._requester = None
        else:
            self._malformed += 0 if self._catch_up is None else self._catch_up.malformed
            if unseen := self._sessions.unseen(info):
                self.missed_total += unseen
                self._owed.append(Missed("end", 0, unseen))
        self._continuing = info is not None
        self._sessions.turn(session)
        self._numbers.forget()
        self._hopeless = self._tail_sought = False
        self.info = self._catch_up = None

    def _join(self, message: Message) -> None:
        """Begin at what `info` says comes next, or go back to the saved position.

        Who was there in the session before gets all of the one that follows.
        """
        self._sessions.join(message.fields)
        self._numbers.begin({"next_seq": dict.fromkeys(KINDS, 0)} if self._continuing else message.fields)
        if not self._lossless:
            self._position = self._behind(message.session)
            return
        requester = self._asks(message.fields)
        if requester is None:
            raise TransportError(f"the engine at {self.endpoint} keeps no history; subscribe without lossless")
        self._catch_up = CatchUp(requester, message.session, lambda kind: topic(kind, message.stream))
        saved = dict.fromkeys(self._from_start, 0)
        if self._saved is not None and self.resumed is None:
            self.resumed = self._saved["session"] == message.session
            if self.resumed:
                saved = self._saved["next_seq"]
        holes = self._numbers.resume(saved)
        self._position = self._behind(message.session)
        self._catch_up.begin(holes, None)

    def _behind(self, session: str) -> dict[str, Any]:
        """Return the position behind all that was delivered so far."""
        return {"session": session, "next_seq": self._numbers.position()}

    def _follow_reply(self) -> None:
        """Go on asking where the engine answers now."""
        address = None if self.info is None else reply_address(self.endpoint, self.info)
        if self._requester is not None and address is not None and address != self._requester.endpoint:
            self._requester.move(address)

    def requester(self) -> Requester:
        """Return the socket for requests, once `info` has come; raise TransportError when the engine takes none."""
        requester = None if self.info is None else self._asks(self.info)
        if requester is None:
            raise TransportError(
                f"the engine at {self.endpoint} takes no requests; it has ended, or is of another kind"
            )
        return requester

    def _asks(self, info: Mapping[str, Any]) -> Requester | None:
        """Return the socket for requests, opened at its first use; None when the engine takes none."""
        if self._requester is None and self._connection is not None:
            address = reply_address(self.endpoint, dict(info))
            if address is not None:
                self._requester = Requester(self._connection.context, address, self._key)
        return self._requester

    def _recover(self, found: Sequence[Message | Hole]) -> None:
        """Hand out what catch-up found; what is gone for good is missed."""
        for i, item in enumerate(found):
            if isinstance(item, Hole):
                behind = found[i + 1] if i + 1 < len(found) else None
                self._give_up(item, behind if isinstance(behind, Message) else None)
            elif item.session != self._sessions.current:
                self._take(item)
            elif self._numbers.is_duplicate(item):
                continue
            elif item.kind == "end":
                self._pass_on(item)
            else:
                self._deliver(item)

    def _give_up(self, hole: Hole, behind: Message | None) -> None:
        missed = self._numbers.give_up(hole, behind)
        if missed is not None:
            self.missed_total += missed.count
            self._owed.append(missed)

    def _deliver(self, message: Message) -> None:
        """Make a batch of a message if it was asked for, or has losses to tell."""
        self._numbers.take(message)
        if message.kind == "end":
            self._ended, self.end = self._sessions.end(message.fields), message.fields
        if message.kind in self.kinds or self._owed:
            batch = batch_of(message, tuple(self._owed))
            self._ready.append((batch, self._behind(message.session)))
            self._owed.clear()

    def _report(self, at_once: bool = False) -> None:
        """Tell the engine, now and then, what this subscriber missed."""
        now = time.monotonic()
        if self.missed_total == self._reported or (now - self._reported_s < REPORT_S and not at_once):
            return
        requester = None if self.info is None else self._asks(self.info)
        self._reported, self._reported_s = self.missed_total, now
        if requester is not None:
            count = self.missed_total - self._missed_before
            requester.send("missed", client=requester.client, count=count)


def subscribe(
    endpoint: str = DEFAULT_ENDPOINT,
    *,
    kinds: Sequence[str] = ("spikes",),
    stream: str | None = None,
    lossless: bool = False,
    position: Mapping[str, Any] | None = None,
    from_start: Sequence[str] = (),
    latest: bool = False,
    key: ClientKey | str | Path | None = None,
    connect_timeout_s: float | None = 10.0,
    high_water_mark: int = 10_000,
) -> Subscriber:
    """Return a subscriber to the engine at `endpoint`, to be used in a `with` statement.

    Parameters
    ----------
    endpoint
        The engine's ZeroMQ address.
    kinds
        Which of `spikes crossings rejected gaps marks thresholds unobserved notices status info end` to get batches
        for; losses of any kind that was asked for are told.
    stream
        Only this stream's topics (default: all).
    lossless
        Ask again for what did not come; `batch.missed` then holds only what the engine's history no longer has
        (`history.seconds`, `history.max_mib`).
    position
        What `Subscriber.position` was when an earlier subscriber stopped: go on behind it, lossless. After another
        session has begun there is nothing to go on with: then `resumed` is False, and batches begin now. (A subscriber
        that is there when its run begins another session goes on by itself, with a position in that one.)
    from_start
        Of these kinds also what was sent before this subscriber came (with `lossless`).
    latest
        Keep the newest batch of each kind only, received by a thread of its own; `batch.superseded` counts the others.
    key
        The client's key file (NAME.key_secret) for an engine with keys.
    connect_timeout_s
        How long to wait for an engine (None: for ever).
    high_water_mark
        Messages that may wait here before libzmq drops (each < 256 KiB).

    Raises
    ------
    ConfigError
        For unknown kinds, arguments that contradict each other, key files that others can read.
    """
    return Subscriber(
        endpoint,
        kinds=kinds,
        stream=stream,
        lossless=lossless,
        position=position,
        from_start=from_start,
        latest=latest,
        key=key,
        connect_timeout_s=connect_timeout_s,
        high_water_mark=high_water_mark,
    )
