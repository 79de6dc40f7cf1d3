"""The publisher: one XPUB socket, numbered messages, and who listens.

Owned by one thread after `bind`. Paced runs wait for a full subscriber (XPUB_NODROP), so nothing is lost; live runs
never wait: libzmq drops for that subscriber alone, who sees the hole in `seq`.
"""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import zmq

from rtspikes.errors import ConfigError, TransportError
from rtspikes.wire.codec import KINDS, VERSION, Encoded, encode, encode_items, topic
from rtspikes.wire.settings import KEEPALIVE, PublishSettings

INFO_INTERVAL_S = 0.1
"""`info` goes out at most this often, however many subscribe."""

PATIENCE_MS = 50
"""How long a paced send waits before it looks at `abort` again."""

NOTABLE_WAIT_S = 1e-3
"""A send that takes longer has waited for a subscriber."""

MOST_CHANGES = 64
"""Subscriptions taken in at a time: a flood of them must not keep spikes waiting."""

LARGEST_UPSTREAM = 256
"""Bytes of a subscription; a peer that sends more is cut off."""


class Aborted(Exception):
    """The run was told to stop at once while a send waited for a subscriber."""


def check_local(endpoint: str) -> None:
    """Raise ConfigError unless `endpoint` can be reached from this computer only."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "ipc" and address:
        return
    if scheme != "tcp" or not address:
        raise ConfigError(f"publish.endpoint must be tcp://127.0.0.1:PORT or ipc://PATH, got {endpoint!r}")
    host, _, port = address.rpartition(":")
    if not (port == "*" or (port.isdecimal() and int(port) < 65536)):
        raise ConfigError(f"publish.endpoint must have a port 0 … 65535 (0: any free one), got {endpoint!r}")
    if not _is_loopback(host.strip("[]")):
        raise ConfigError(
            f"publish.endpoint must be on this computer (tcp://127.0.0.1:PORT or ipc://PATH), got {endpoint!r}; "
            f"other addresses need CURVE keys, which this version does not have"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Publisher:
    """Publishes one stream's messages under one session."""

    def __init__(self, settings: PublishSettings, paced: bool, abort: Callable[[], bool]) -> None:
        """`abort` ends a paced send that waits for a subscriber: it raises Aborted once `abort()` is true."""
        check_local(settings.endpoint)
        self._settings = settings
        self._paced = paced
        self._abort = abort
        self.session = uuid.uuid4().hex[:16]
        self.endpoint = settings.endpoint
        self._seq: Counter[str] = Counter()
        self._topics = {kind: topic(kind, settings.stream) for kind in KINDS}
        self._info: Encoded | None = None
        self._info_due = False
        self._info_sent_s = 0.0
        self.subscribers = 0
        self.waited_s = 0.0
        self.waiting_since_s: float | None = None
        self.bad_upstream = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)

    def bind(self) -> str:
        """Open the socket; return the address with its real port. Raise TransportError when it cannot be had."""
        socket = self._socket
        socket.set(zmq.XPUB_VERBOSER, 1)
        socket.set(zmq.IPV6, int("[" in self.endpoint))
        socket.set(zmq.XPUB_NODROP, int(self._paced))
        socket.set(zmq.SNDHWM, self._settings.high_water_mark)
        socket.set(zmq.RCVHWM, 1000)
        socket.set(zmq.SNDTIMEO, PATIENCE_MS)
        socket.set(zmq.MAXMSGSIZE, LARGEST_UPSTREAM)
        for option, value in KEEPALIVE.items():
            socket.set(option, value)
        address = self.endpoint
        if address.startswith("tcp://") and address.endswith(":0"):
            address = address[:-1] + "*"
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            self.close(at_once=True)
            taken = "another engine may be running there: " if error.errno == zmq.EADDRINUSE else ""
            raise TransportError(
                f"cannot publish on {self.endpoint}: {zmq.strerror(error.errno or 0).lower()}; {taken}"
                f"choose another address, for example --publish tcp://127.0.0.1:0 (any free port)"
            ) from None
        self.endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        return self.endpoint

    def set_info(self, fields: dict[str, Any]) -> None:
        """Set what `info` says and send it to those who already listen."""
        self._info = encode_items(fields)
        self._info_due = True

    def poll(self) -> None:
        """Take in new and lost subscribers; send `info` to the new ones."""
        for _ in range(MOST_CHANGES):
            if not int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
                break
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
            change, prefix = frames[0][:1], frames[0][1:]
            if len(frames) > 1 or change not in (b"\x00", b"\x01"):
                self.bad_upstream += 1
            elif self._topics["info"].startswith(prefix):
                self.subscribers += 1 if change == b"\x01" else -1
                self._info_due |= change == b"\x01"
        now = time.monotonic()
        if self._info_due and self._info and now - self._info_sent_s >= INFO_INTERVAL_S:
            self._info_due, self._info_sent_s = False, now
            self._send("info", self._info)

    def send(self, kind: str, fields: dict[str, Any]) -> None:
        """Send one message, with the next number of its kind."""
        self._send(kind, encode_items(fields))

    def _send(self, kind: str, items: Encoded) -> None:
        seq = self._seq[kind]
        head: dict[str, Any] = {"v": VERSION, "session": self.session, "seq": seq}
        if kind == "info":
            head["next_seq"] = {k: self._seq[k] for k in KINDS}
        frames = [self._topics[kind], encode(head, items)]
        begun_s = time.monotonic()
        self._socket.get(zmq.EVENTS)  # lets libzmq take in what subscribers have read; send() does so only now and then
        while True:
            try:
                self._socket.send_multipart(frames)
                break
            except zmq.Again:
                self.waiting_since_s = begun_s
                if self._abort():
                    raise Aborted from None
        self.waiting_since_s = None
        if (took_s := time.monotonic() - begun_s) > NOTABLE_WAIT_S:
            self.waited_s += took_s
        self._seq[kind] = seq + 1

    @property
    def informed(self) -> int:
        """Subscribers that have been sent `info`."""
        return 0 if self._info_due else self.subscribers

    def last_seqs(self) -> dict[str, int]:
        """Return the number of the last message of each kind that was sent."""
        return {kind: n - 1 for kind, n in self._seq.items()}

    def close(self, at_once: bool = False) -> None:
        """Close; undelivered messages are kept for `linger_s` unless `at_once`."""
        linger = 0 if at_once else round(self._settings.linger_s * 1e3)
        self._socket.close(linger)
        self._context.term()
