"""Catch-up: fills the holes in what a subscriber received, in order, from the engine's history.

While holes are filled, what comes on the subscription waits in its queue; if that overflows, it is one more hole. So at
most one reply (256 KiB) and one message are held, whatever was missed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from rtspikes.errors import WireError
from rtspikes.wire.codec import Message, decode
from rtspikes.wire.numbers import Hole
from rtspikes.wire.requests import AGAIN_S, Reply, Requester

GIVE_UP_S = 30.0
"""How long a request may bring nothing, whatever is tried, before its hole stays one; a process that hangs is replaced
within 10 s."""

HOLD_S = 1.0
"""How often the engine is reminded that somebody needs its history."""


class CatchUp:
    """Fills one row of holes after the other."""

    def __init__(self, requester: Requester, session: str, topic: Callable[[str], bytes]) -> None:
        """topic: the topic frame of a kind."""
        self._requester = requester
        self._session = session
        self._topic = topic
        self._holes: deque[Hole] = deque()
        self._then: Message | None = None
        self._asked: set[int] = set()
        self._asked_s = self._begun_s = self._held_s = 0.0
        self.malformed = 0

    @property
    def waiting_s(self) -> float:
        """How long (s) the history has been asked in vain."""
        return time.monotonic() - self._begun_s if self._holes else 0.0

    @property
    def active(self) -> bool:
        """Whether something is still to be filled or handed out."""
        return bool(self._holes) or self._then is not None

    def begin(self, holes: Sequence[Hole], then: Message | None) -> None:
        """Fill `holes`, then hand out `then`."""
        self._holes.extend(holes)
        self._then = then
        self._ask()

    def hold(self, others: bool = False) -> None:
        """Remind the engine, when it is time to, that its history is needed; `others` await answers, too."""
        now = time.monotonic()
        if now - self._held_s >= HOLD_S:
            self._held_s = now
            self._requester.send("hold", client=self._requester.client)
            if not self.active and not others:
                while self._requester.receive(0) is not None:
                    pass  # the answers to earlier reminders

    def step(self, wait_ms: int) -> list[Message | Hole]:
        """Return what was recovered next, in order; a Hole stands for what is gone for good."""
        if not self._holes:
            then, self._then = self._then, None
            return [] if then is None else [then]
        reply = self._requester.receive(wait_ms)
        while reply is not None and reply.head.get("id") not in self._asked:
            reply = self._requester.receive(0)  # that one answered a reminder
        if reply is not None:
            return self._take(reply)
        now = time.monotonic()
        if now - self._begun_s > GIVE_UP_S:
            return [self._pass_over()]
        if now - self._asked_s > AGAIN_S:
            self._send()
        return []

    def give_up(self) -> list[Message | Hole]:
        """Leave all holes as they are; return them, and what was to come behind them."""
        found: list[Message | Hole] = [*self._holes]
        if self._then is not None:
            found.append(self._then)
        self._holes.clear()
        self._then = None
        return found

    def _ask(self) -> None:
        """Ask for the first hole."""
        if self._holes:
            self._asked.clear()
            self._begun_s = time.monotonic()
            self._send()

    def _send(self) -> None:
        hole = self._holes[0]
        self._asked_s = time.monotonic()
        self._asked.add(
            self._requester.send(
                "again",
                session=self._session,
                topic=self._topic(hole.kind).decode(),
                from_seq=hole.first,
                to_seq=hole.stop,
            )
        )

    def _pass_over(self) -> Hole:
        """Leave the first hole as it is."""
        hole = self._holes.popleft()
        self._ask()
        return hole

    def _take(self, reply: Reply) -> list[Message | Hole]:
        """Take in an answer for the first hole, and ask for what is left of it, or for the next."""
        hole = self._holes[0]
        head = reply.head
        begin, newest = head.get("first_seq"), head.get("next_seq")
        if head.get("ok") is not True or not isinstance(begin, int) or not isinstance(newest, int):
            return [self._pass_over()]  # another session, or no answer that could be understood
        end = newest if hole.stop is None else hole.stop
        begin = max(begin, hole.first)
        found: list[Message | Hole] = []
        if begin > hole.first:
            found.append(Hole(hole.kind, hole.first, min(begin, end)))
        messages = self._messages(hole.kind, begin, reply.frames)
        found += messages
        at = begin + len(messages)
        if reply.frames and not messages:
            found.append(Hole(hole.kind, at, at + 1))  # what cannot be read is as good as gone
            at += 1
        self._holes.popleft()
        if at < end:
            self._holes.appendleft(Hole(hole.kind, at, hole.stop))
        if found or at >= end:
            self._ask()
        return found

    def _messages(self, kind: str, first: int, frames: Sequence[bytes]) -> list[Message]:
        """Return the messages in a reply, up to the first that is not the expected one."""
        messages: list[Message] = []
        for frame in frames:
            try:
                message = decode([self._topic(kind), frame])
            except WireError:
                self.malformed += 1
                break
            if message.session != self._session or message.seq != first + len(messages):
                self.malformed += 1
                break
            messages.append(message)
        return messages
