"""The asking side of the reply socket: one request at a time, asked again when its answer does not come."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack
import zmq

from rtspikes.errors import RequestError, TransportError, WireError
from rtspikes.wire.codec import MAX_BYTES, VERSION
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.security import secure_client
from rtspikes.wire.settings import KEEPALIVE
from rtspikes.wire.unpack import unpack_map

AGAIN_S = 1.0
"""After this time without an answer a request is sent again: the process that had it may have been replaced."""

LOOK_MS = 50
"""Longest single wait for a reply."""

MOST_FRAMES = 20_000
"""Frames of a reply: its 256 KiB hold fewer of the smallest messages."""

ANY_HOST = ("0.0.0.0", "*", "[::]", "::")


class Reply(NamedTuple):
    """The head of a reply, and the frames behind it."""

    head: dict[str, Any]
    frames: list[bytes]


def reply_address(connected: str, info: dict[str, Any]) -> str | None:
    """Return where to send requests, for who is connected to `connected`; None when this engine takes none."""
    reply = info.get("reply")
    endpoint = reply.get("endpoint") if isinstance(reply, dict) else None
    if not isinstance(endpoint, str) or not endpoint:
        return None
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    if scheme == "tcp" and host in ANY_HOST:
        own_host = connected.partition("://")[2].rpartition(":")[0]
        return f"tcp://{own_host}:{port}"
    return endpoint


class Requester:
    """Sends requests to one engine; belongs to one thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, key: ClientKey | None = None) -> None:
        self.client = secrets.token_hex(8)
        """The name under which this client reports."""
        self.endpoint = endpoint
        self.socket = context.socket(zmq.DEALER)
        self.socket.set(zmq.IPV6, int("[" in endpoint))
        self.socket.set(zmq.MAXMSGSIZE, MAX_BYTES)
        self.socket.set(zmq.SNDHWM, 16)
        self.socket.set(zmq.RCVHWM, 64)
        self.socket.set(zmq.LINGER, 200)
        self.socket.set(zmq.RECONNECT_IVL, 100)
        for option, value in KEEPALIVE.items():
            self.socket.set(option, value)
        if key is not None:
            secure_client(self.socket, key)
        try:
            self._connect()
        except WireError:
            self.socket.close(0)  # else its context would never end
            raise
        self._number = 0
        self.malformed = 0

    def move(self, endpoint: str) -> None:
        """Go on asking at another address."""
        self.socket.disconnect(self.endpoint)
        self.endpoint = endpoint
        self._connect()

    def _connect(self) -> None:
        try:
            self.socket.connect(self.endpoint)
        except (zmq.ZMQError, TypeError, ValueError):
            raise WireError(f"the engine names a reply address that is none: {self.endpoint!r:.100}") from None

    def send(self, request: str, **entries: Any) -> int:
        """Send a request without waiting; return its id. With a full queue it is as if it got lost."""
        self._number += 1
        body = msgpack.packb({"v": VERSION, "id": self._number, "request": request, **entries})
        self.socket.get(zmq.EVENTS)  # lets libzmq notice what has gone out since; send() does so only now and then
        try:
            self.socket.send_multipart([b"", body], zmq.NOBLOCK)
        except zmq.Again:
            return self._number
        return self._number

    def receive(self, wait_ms: int) -> Reply | None:
        """Return the next reply, whatever it answers; None after `wait_ms` without one."""
        if not self.socket.poll(wait_ms):
            return None
        frames = self.socket.recv_multipart()
        try:
            if not 2 <= len(frames) <= MOST_FRAMES or frames[0]:
                raise WireError(f"a reply has an empty frame, a head, and messages, got {len(frames)} frames")
            head = unpack_map(frames[1], MAX_BYTES)
            if head.get("v") != VERSION:
                raise WireError(f"protocol version must be {VERSION}, got {head.get('v')!r:.40}")
        except WireError:
            self.malformed += 1
            return None
        return Reply(head, frames[2:])

    def ask(
        self,
        request: str,
        timeout_s: float,
        repeat: bool = True,
        look: Callable[[], object] = lambda: None,
        **entries: Any,
    ) -> Reply:
        """Return the reply to a request; raise RequestError when it is not granted, TransportError when none comes.

        repeat: whether it may be sent again; a request that does something each time it is heard must not be. look: is
        called while nothing comes, and may raise.
        """
        deadline_s = time.monotonic() + timeout_s
        numbers: list[int] = []
        sent_s = -math.inf
        while (now := time.monotonic()) < deadline_s:
            if not numbers or (repeat and now - sent_s > AGAIN_S):
                numbers.append(self.send(request, **entries))
                sent_s = now
            reply = self.receive(LOOK_MS)
            if reply is not None and reply.head.get("id") in numbers:
                return granted(reply)
            if reply is None:
                look()
        raise TransportError(f"the engine at {self.endpoint} did not answer within {timeout_s:g} s; is it held up?")

    def close(self) -> None:
        """Close; what was sent last is still delivered."""
        self.socket.close()


def granted(reply: Reply) -> Reply:
    """Return the reply; raise RequestError when it is an error."""
    if reply.head.get("ok") is not True:
        raise RequestError(str(reply.head.get("error")), str(reply.head.get("text")))
    return reply
