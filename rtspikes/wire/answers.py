"""What the reply process says to each request; knows no sockets.

Requests and replies are those of PROTOCOL.md. What only the engine can do is handed to it with a ticket, and answered
when it has said what came of it. Every table here is bounded.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from rtspikes.errors import WireError
from rtspikes.wire.history import MOST_SESSIONS, HistoryReader
from rtspikes.wire.unpack import unpack_map

VERSION = 1

LARGEST_REQUEST = 1024 * 1024
"""Bytes of a request: thresholds for 50,000 channels."""

REPLY_BYTES = 255 * 1024
"""Bytes of messages in a reply; with its head a reply stays below 256 KiB."""

INFO_PART = 192 * 1024
"""Bytes of `info` in a reply."""

MOST_WAITING = 64
"""Control requests that may wait for the engine."""

ENGINE_S = 10.0
"""How long the engine may take to answer one."""

MOST_CLIENTS = 1000
"""Subscribers whose missed counts and holds are kept."""

MOST_MISSED = 2**40
"""A subscriber cannot have missed more messages than this."""

HOLD_S = 3.0
"""How long a subscriber that holds the history may be silent."""

Route = tuple[bytes, ...]
"""The frames in front of a reply that lead to who asked."""


class Refusal(Exception):
    """A request that is not granted: the error's code, and what to say."""

    def __init__(self, code: str, text: str, **more: Any) -> None:
        super().__init__(text)
        self.code, self.text, self.more = code, text, more


@dataclass(slots=True)
class Client:
    """A subscriber that reported: what it missed so far, when it was heard, and whether the history is held for it."""

    missed: int = 0
    heard_s: float = 0.0
    holds: bool = False


class Answers:
    """Answers requests from the history and the engine's facts; counts them."""

    def __init__(
        self,
        topics: Sequence[str],
        history: HistoryReader,
        to_engine: Callable[[dict[str, Any]], None],
    ) -> None:
        """topics: by their number in the history, "" where none is. to_engine: takes maps for the engine."""
        self._topics = {topic: number for number, topic in enumerate(topics) if topic}
        self._status = next((n for topic, n in self._topics.items() if topic.startswith("status/")), None)
        self._history = history
        self._to_engine = to_engine
        self._infos: dict[str, bytes] = {}
        self.clients: dict[str, Client] = {}
        self.requests = self.bad = 0
        self._waiting: dict[int, tuple[Route, Any, float]] = {}
        self._ticket = secrets.randbits(62)  # so that no earlier process had the same

    def answer(self, route: Route, body: bytes, by: str, may_control: bool, now: float) -> list[bytes] | None:
        """Return the frames of the reply to one request; None when it comes later, from `settle` or `overdue`.

        by: who asks, for the record.
        """
        self.requests += 1
        asked: Any = None
        try:
            try:
                request = unpack_map(body, LARGEST_REQUEST)
            except WireError as error:
                raise Refusal("malformed", str(error)) from None
            asked = request.get("id")
            if isinstance(asked, bool) or not isinstance(asked, int | str) or len(str(asked)) > 64:
                asked = None
                raise Refusal("malformed", "id must be a whole number or text of at most 64 characters")
            if request.get("v") != VERSION or isinstance(request["v"], bool):
                raise Refusal("version", f"protocol version must be {VERSION}, got {request.get('v')!r:.40}")
            return self._grant(route, asked, request, by, may_control, now)
        except Refusal as refusal:
            self.bad += refusal.code in ("malformed", "version", "unknown_request", "forbidden")
            return _refused(asked, refusal)

    def _grant(
        self, route: Route, asked: Any, request: dict[str, Any], by: str, may_control: bool, now: float
    ) -> list[bytes] | None:
        match request.get("request"):
            case "again":
                head, frames = self._again(request)
            case "info":
                head, frames = self._info_part(request)
            case "status":
                last = None if self._status is None else self._history.last(self._status)
                head, frames = {}, [] if last is None else [last]
            case "missed" | "hold" | "done" as what:
                self._heard(what, request, now)
                head, frames = {}, []
            case "control":
                if not may_control:
                    raise Refusal("forbidden", f"{by} may read, but not control; its key must be in controllers/")
                self._hand_on(route, asked, request, by, now)
                return None
            case other:
                raise Refusal("unknown_request", f"request must be again, info, status, missed, hold, done or control, "
                              f"got {other!r:.40}")  # fmt: skip
        return [msgpack.packb({"v": VERSION, "id": asked, "ok": True, **head, "n": len(frames)}), *frames]

    def _again(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        session = request.get("session")
        ordinal = self._history.find(session) if isinstance(session, str) else None
        if ordinal is None:
            raise self._unknown_session()
        topic = request.get("topic")
        kind = self._topics.get(topic) if isinstance(topic, str) else None
        if kind is None:
            raise Refusal("unknown_topic", f"topic must be one of {', '.join(self._topics)}, got {topic!r:.80}")
        first = _count(request, "from_seq")
        stop = None if request.get("to_seq") is None else _count(request, "to_seq")
        found = self._history.read(kind, first, stop, REPLY_BYTES, ordinal)
        numbers = {"first_seq": found.first, "oldest_seq": found.oldest, "next_seq": found.newest}
        return {"session": session, "topic": topic, **numbers}, found.messages

    def set_info(self, session: str, info: bytes) -> None:
        """Keep the `info` map of a session, with those of the sessions before it."""
        self._infos.pop(session, None)
        self._infos[session] = info
        while len(self._infos) > MOST_SESSIONS:
            del self._infos[next(iter(self._infos))]

    def _info_part(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        offset, session = _count(request, "offset", 0), request.get("session")
        if session is None:
            session = next(reversed(self._infos), "")
        if not isinstance(session, str) or (session and session not in self._infos):
            raise self._unknown_session()
        info = self._infos.get(session, b"")
        return {"size": len(info), "offset": offset}, [info[offset : offset + INFO_PART]]

    def _unknown_session(self) -> Refusal:
        current = self._history.session
        return Refusal("unknown_session", f"this engine's session is {current}", session=current)

    def _heard(self, what: str, request: dict[str, Any], now: float) -> None:
        """Note what a subscriber says of itself; with too many, the one that was not heard for longest is forgotten."""
        name = request.get("client")
        if not isinstance(name, str) or not 1 <= len(name) <= 32:
            raise Refusal("malformed", "client must be text of 1 … 32 characters")
        missed = min(_count(request, "count"), MOST_MISSED) if what == "missed" else 0
        if name not in self.clients and len(self.clients) >= MOST_CLIENTS:
            del self.clients[min(self.clients, key=lambda key: self.clients[key].heard_s)]
        client = self.clients.setdefault(name, Client())
        client.heard_s = now
        client.missed = max(client.missed, missed)
        if what != "missed":
            client.holds = what == "hold"

    def _hand_on(self, route: Route, asked: Any, request: dict[str, Any], by: str, now: float) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise Refusal("busy", f"{MOST_WAITING} control requests are waiting already; ask again")
        self._ticket += 1
        self._waiting[self._ticket] = (route, asked, now)
        command = {k: v for k, v in request.items() if k not in ("v", "id", "request")}
        self._to_engine({"ticket": self._ticket, "by": by, "command": command})

    def settle(self, ticket: int, outcome: dict[str, Any]) -> tuple[Route, list[bytes]] | None:
        """Return the reply to the control request of `ticket`, now that the engine has said what came of it.

        None when nobody waits for it any more.
        """
        waiting = self._waiting.pop(ticket, None)
        if waiting is None:
            return None
        route, asked, _ = waiting
        return route, [msgpack.packb({"v": VERSION, "id": asked, "n": 0, **outcome})]

    def overdue(self, now: float) -> list[tuple[Route, list[bytes]]]:
        """Return replies to the control requests that the engine has not answered in time."""
        late = [ticket for ticket, (_, _, since_s) in self._waiting.items() if now - since_s > ENGINE_S]
        refusal = Refusal(
            "timeout", f"the engine did not answer within {ENGINE_S:g} s; it may have done it nevertheless"
        )
        return [(route, _refused(asked, refusal)) for route, asked, _ in map(self._waiting.pop, late)]

    def summary(self, now: float) -> dict[str, Any]:
        """Return the counts, and what subscribers said of themselves, as the engine takes them."""
        return {
            "requests": self.requests,
            "bad_requests": self.bad,
            "missed": {name: client.missed for name, client in self.clients.items() if client.missed},
            "holding": sum(client.holds and now - client.heard_s <= HOLD_S for client in self.clients.values()),
        }


def _count(request: dict[str, Any], key: str, default: int | None = None) -> int:
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise Refusal("malformed", f"{key} must be a whole number from 0 on, got {value!r:.40}")
    return value


def _refused(asked: Any, refusal: Refusal) -> list[bytes]:
    head = {"v": VERSION, "id": asked, "ok": False, "n": 0, "error": refusal.code, "text": refusal.text, **refusal.more}
    return [msgpack.packb(head)]
