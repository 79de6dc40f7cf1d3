"""The numbers of a session's messages: which comes next, what is a hole, what a duplicate. Knows no sockets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rtspikes.errors import ConfigError
from rtspikes.wire.batch import Missed
from rtspikes.wire.codec import INTERVAL_KINDS, KINDS, Message


class Hole(NamedTuple):
    """Messages [first, stop) of a kind that did not come; stop None: up to the newest there is."""

    kind: str
    first: int
    stop: int | None


class Numbers:
    """Keeps, for each of `kinds`, the number that comes next and the sample that was reached."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._kinds = tuple(k for k in kinds if k != "info")
        self._next: dict[str, int] = {}
        self._reached: dict[str, int] = {}

    def forget(self) -> None:
        """Begin a session of which nothing is known."""
        self._next.clear()
        self._reached.clear()

    def begin(self, info: dict[str, Any]) -> None:
        """Take over the numbers with which `info` says each kind goes on: all from there on were sent to who has it."""
        self._next = {k: n for k, n in _numbers(info.get("next_seq")).items() if k in KINDS and k != "info"}

    def resume(self, saved: dict[str, int]) -> list[Hole]:
        """Go back to saved numbers; return what was sent since."""
        holes = []
        for kind in self._kinds:
            first, now = saved.get(kind), self._next.get(kind)
            if first is not None and now is not None and first < now:
                holes.append(Hole(kind, first, now))
                self._next[kind] = first
        return holes

    def is_duplicate(self, message: Message) -> bool:
        """Tell whether the message, or its loss, was taken in before."""
        return message.seq < self._next.get(message.kind, 0)

    def holes_before(self, message: Message) -> list[Hole]:
        """Return what should have come before `message`; before `end`, everything that was sent."""
        holes = []
        first = self._next.get(message.kind)
        if first is not None and first < message.seq:
            holes.append(Hole(message.kind, first, message.seq))
        if message.kind == "end":
            last = _numbers(message.fields.get("last_seq"))
            for kind in self._kinds:
                first = self._next.get(kind)
                if kind != "end" and first is not None and last.get(kind, -1) >= first:
                    holes.append(Hole(kind, first, last[kind] + 1))
        return holes

    def newer(self) -> list[Hole]:
        """Return, as holes, everything that may have been sent and not come."""
        return [Hole(kind, first, None) for kind, first in self._next.items() if kind in (*self._kinds, "end")]

    def take(self, message: Message) -> None:
        """Note that `message` was taken in."""
        self._next[message.kind] = max(self._next.get(message.kind, 0), message.seq + 1)
        if message.kind in INTERVAL_KINDS:
            self._reached[message.kind] = message.fields["to_sample"]

    def give_up(self, hole: Hole, before: Message | None) -> Missed | None:
        """Note that a hole stays one; return it as what was missed. before: the message that comes behind it."""
        if hole.stop is None or hole.stop <= hole.first:
            return None
        self._next[hole.kind] = max(self._next.get(hole.kind, 0), hole.stop)
        reached = self._reached.get(hole.kind)
        to = None
        if before is not None and before.kind == hole.kind and hole.kind in INTERVAL_KINDS and reached is not None:
            to = before.fields["from_sample"]
        return Missed(hole.kind, hole.first, hole.stop - hole.first, reached, to)

    def position(self) -> dict[str, int]:
        """Return the number with which each kind goes on."""
        return {kind: self._next[kind] for kind in self._kinds if kind in self._next}


def _numbers(value: Any) -> dict[str, int]:
    """Return a map of kinds to numbers as a message has it, without what is none."""
    if not isinstance(value, dict):
        return {}
    return {k: n for k, n in value.items() if isinstance(n, int) and not isinstance(n, bool) and -1 <= n < 2**63}


def checked_position(position: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a saved position, None when nothing had come yet; raise ConfigError when it is none."""
    if position is None or (position.get("session", "") is None):
        return None
    numbers = position.get("next_seq")
    if not isinstance(position.get("session"), str) or not isinstance(numbers, Mapping):
        raise ConfigError(f"position must be what Subscriber.position returned, got {position!r:.200}")
    for kind, number in numbers.items():
        if kind not in KINDS or isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ConfigError(f"position: next_seq must hold numbers from 0 on by kind, got {number!r} for {kind!r}")
    return {"session": position["session"], "next_seq": dict(numbers)}
