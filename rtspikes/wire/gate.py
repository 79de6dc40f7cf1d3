"""The gate of a socket: who may connect to it, what they may do, and how much they may send.

Joins the guard of its connections and, with keys, the handler of their handshakes; belongs to the thread that polls it.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import zmq

from rtspikes.wire.guard import Guard
from rtspikes.wire.keys import Right, ServerKeys
from rtspikes.wire.security import Authoriser, secure_server


class Limits(NamedTuple):
    """What a socket bears: bytes of a peer, at once and each second; connections, and those that have not greeted."""

    burst_bytes: int
    bytes_per_s: float
    most_connections: int
    most_ungreeted: int


class Gate:
    """Guards one socket; make it before the socket is bound."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        socket: zmq.Socket[bytes],
        limits: Limits,
        keys: ServerKeys | None = None,
        own: Mapping[bytes, tuple[str, Right]] | None = None,
        local: bool = True,
    ) -> None:
        """Take `keys`: only their clients get in, encrypted; `own`: further public keys, with name and right.

        local: whether the socket's address can be reached from this computer only.
        """
        self._guard = Guard(socket, *limits)
        self._authoriser: Authoriser | None = None
        if keys is not None:
            self._authoriser = Authoriser(context, keys, own or {})
            secure_server(socket, keys)
        self._local = local
        self._sampled_s = 0.0

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """What to poll beside the guarded socket."""
        return [self._guard.socket] + ([self._authoriser.socket] if self._authoriser else [])

    @property
    def wait_ms(self) -> int:
        """How long a poll may last."""
        return max(1, round(self._guard.interval_s * 1e3))

    @property
    def counts(self) -> dict[str, Any]:
        """Connections now; refused, for want of room or a right; and cut off for what they sent."""
        counts = dict(self._guard.counts)
        if self._authoriser is not None:
            counts["unauthorised"] = self._authoriser.refused
        return counts

    def handle(self) -> None:
        """Do what is due."""
        self._guard.handle()
        if self._authoriser is not None:
            self._authoriser.handle()
        now = time.monotonic()
        if now - self._sampled_s >= self._guard.interval_s:
            self._sampled_s = now
            self._guard.sample()

    def caller(self, frame: zmq.Frame) -> tuple[str, bool]:
        """Return who sent `frame`, and whether they may control.

        With keys: as the key's folder says. Without: whoever is on this computer may, and who that is must be certain
        (libzmq does not know the address of peers that speak the protocol's first versions).
        """
        if self._authoriser is not None:
            right, _, name = _property(frame, "User-Id").partition("/")
            return name, right == Right.CONTROL.value
        address = _property(frame, "Peer-Address")
        if self._local or _is_loopback(address):
            return "local", True
        return address or "somebody", False

    def close(self) -> None:
        """Let go of the guarded socket, which may then be closed."""
        self._guard.close()
        if self._authoriser is not None:
            self._authoriser.close()


def _property(frame: zmq.Frame, name: str) -> str:
    """Return a property of the connection that `frame` came by, "" where it has none."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
