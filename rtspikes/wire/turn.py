"""The turn from one session to the next: which it is, and its `info`, also when that got lost on the way.

A session is joined by its `info`. Where that does not come though messages of the session do, or though the `end`
before it says that there is one, it is asked for; what comes meanwhile waits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from rtspikes.errors import WireError
from rtspikes.wire.codec import MAX_BYTES, Message, decode, topic
from rtspikes.wire.requests import Requester

MOST_AHEAD = 64
"""Messages of a session that wait for its `info`; then the subscription waits in its queue."""

ASK_AGAIN_S = 0.2
"""How often `info` is asked for anew: it may not be made yet."""

OVERDUE_S = 5.0
"""How long it is asked for."""

MOST_GONE = 64
"""Sessions that are over and whose late messages are known as such."""


class Sessions:
    """The sessions of an engine run as they were met, so that none goes by unnoticed."""

    def __init__(self) -> None:
        self.current: str | None = None
        self.announced: str | None = None
        """The session that follows the current one, once its `end` has said so."""
        self._run: str | None = None
        self._part = 0
        self._ended = False
        self._gone: deque[str] = deque(maxlen=MOST_GONE)

    def is_gone(self, session: str) -> bool:
        """Tell whether this session was left behind."""
        return session in self._gone

    def leave(self, session: str) -> None:
        """Leave a session behind."""
        if session not in self._gone:
            self._gone.append(session)

    def follows(self, info: Mapping[str, Any]) -> bool:
        """Tell whether `info` is of a later session in the run of the one that was joined."""
        return self._run is not None and info.get("run") == self._run and _part(info) > self._part

    @property
    def cut_short(self) -> bool:
        """Whether the `end` of the session that was joined has not come."""
        return self._run is not None and not self._ended

    def end(self, fields: Mapping[str, Any]) -> bool:
        """Take in an `end`; tell whether the run is over with it."""
        following = fields.get("next_session")
        self._ended = True
        self.announced = following if isinstance(following, str) else None
        return self.announced is None

    def turn(self, session: str) -> None:
        """Begin another session, of which nothing is known."""
        if self.current is not None:
            self.leave(self.current)
        self.current, self.announced, self._ended = session, None, False

    def join(self, info: Mapping[str, Any]) -> None:
        """Take in the `info` of the current session."""
        run = info.get("run", info.get("session"))
        self._run, self._part = run if isinstance(run, str) else None, _part(info)

    def unseen(self, info: Mapping[str, Any]) -> int:
        """Return how many sessions ended without their `end` having come, if the one of `info` is joined next."""
        return _part(info) - self._part - self._ended if self.follows(info) else 0


def _part(info: Mapping[str, Any]) -> int:
    part = info.get("part")
    return part if type(part) is int and 1 <= part < 2**63 else 1


class Fetch:
    """Asks for the `info` of a session that follows, as often as it takes."""

    def __init__(self, requester: Requester, session: str, stream: str, sessions: Sessions) -> None:
        self.session = session
        self._requester = requester
        self._topic = topic("info", stream)
        self._sessions = sessions
        self._body = b""
        self._asked: set[int] = set()
        self._asked_s = 0.0
        self._begun_s = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether it has been asked for long enough."""
        return time.monotonic() - self._begun_s > OVERDUE_S

    def step(self, wait_ms: int) -> Message | None:
        """Return the `info` once it is there."""
        if time.monotonic() - self._asked_s > ASK_AGAIN_S:
            self._ask()
        reply = self._requester.receive(wait_ms)
        if reply is None or reply.head.get("id") not in self._asked or len(reply.frames) != 1:
            return None
        size, part = reply.head.get("size"), reply.frames[0]
        if reply.head.get("offset") != len(self._body) or type(size) is not int or not part or size > MAX_BYTES:
            return None
        self._body += part
        self._asked.clear()
        if len(self._body) < size:
            self._ask()
            return None
        return self._whole()

    def _whole(self) -> Message | None:
        """Return what was fetched, if it is the `info` that is sought."""
        body, self._body = self._body, b""
        try:
            message = decode([self._topic, body])
        except WireError:
            return None
        return message if message.session == self.session and self._sessions.follows(message.fields) else None

    def _ask(self) -> None:
        self._asked_s = time.monotonic()
        self._asked.add(self._requester.send("info", session=self.session, offset=len(self._body)))


class Turn:
    """Waits for the `info` of a session, and keeps what comes meanwhile."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._fetch: Fetch | None = None
        self._ahead: deque[Message] = deque()

    @property
    def active(self) -> bool:
        """Whether an `info` is awaited."""
        return self._fetch is not None

    @property
    def has_room(self) -> bool:
        """Whether more may be kept."""
        return len(self._ahead) < MOST_AHEAD

    def begin(self, requester: Requester, session: str, stream: str, message: Message | None) -> None:
        """Ask for the `info` of `session`; `message` comes behind it, and before what is kept already."""
        self._fetch = Fetch(requester, session, stream, self._sessions)
        if message is not None:
            self._ahead.appendleft(message)

    def take(self, message: Message) -> Message | None:
        """Keep what comes meanwhile; return it if it is the `info`."""
        if self._fetch is not None and message.kind == "info" and message.session == self._fetch.session:
            self._fetch = None
            return message
        self._ahead.append(message)
        return None

    def step(self, wait_ms: int) -> Message | None:
        """Return the `info` if it has been answered."""
        found = None if self._fetch is None else self._fetch.step(wait_ms)
        if found is not None:
            self._fetch = None
        return found

    def give_up(self) -> str | None:
        """Return the session whose `info` is overdue, which is awaited no more."""
        if self._fetch is None or not self._fetch.overdue:
            return None
        session, self._fetch = self._fetch.session, None
        return session

    def next(self) -> Message | None:
        """Return what was kept, one after the other."""
        return self._ahead.popleft() if self._ahead else None
