"""The publisher: one XPUB socket, numbered messages, and who listens.

Owned by one thread after `bind`, but for its gate, which a thread of its own attends. Paced runs wait for a full
subscriber (XPUB_NODROP), so nothing is lost; live runs never wait: libzmq drops for that subscriber alone, who sees the
hole in `seq` and may ask the history.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgpack
import zmq

from rtspikes.errors import TransportError
from rtspikes.wire.codec import KINDS, VERSION, Encoded, encode, encode_items, topic
from rtspikes.wire.gate import Gate, Limits
from rtspikes.wire.history import HistoryWriter
from rtspikes.wire.keys import Right, ServerKeys
from rtspikes.wire.security import check_endpoint
from rtspikes.wire.settings import KEEPALIVE, PublishSettings, bindable
from rtspikes.wire.watches import Watches, trace_topic

INFO_INTERVAL_S = 0.1
"""`info` goes out at most this often, however many subscribe."""

PATIENCE_MS = 50
"""How long a paced send waits before it looks at `abort` again."""

NOTABLE_WAIT_S = 1e-3
"""A send that takes longer has waited for a subscriber."""

PEEK = b"info"
"""Who subscribes to this prefix gets `info` and does not count as a subscriber: a program that asks or controls."""

MOST_CHANGES = 64
"""Subscriptions taken in at a time: a flood of them must not keep spikes waiting."""

_NUMBER = {kind: number for number, kind in enumerate(KINDS)}

LARGEST_UPSTREAM, LARGEST_HANDSHAKE = 128, 1024
"""Bytes of a subscription, and of a step of CURVE's handshake; a peer that sends more is cut off."""

LIMITS = Limits(burst_bytes=8 * 1024, bytes_per_s=256, most_connections=256, most_ungreeted=64)
"""A subscriber sends some 500 bytes, and then heartbeats at most. Each byte of a subscription costs libzmq a node of a
tree, which it walks through in the sending thread when the subscriber goes: megabytes would keep spikes waiting."""

UPSTREAM_BUFFER = 2048
"""Bytes of a peer that wait in the system to be taken in: a flood then comes slowly, and the guard sees it."""


class Aborted(Exception):
    """The run was told to stop at once while a send waited for a subscriber."""


def new_session() -> str:
    """Return the name of a session that nobody has had: 16 hexadecimal digits."""
    return uuid.uuid4().hex[:16]


class Publisher:
    """Publishes one stream's messages, under one session after the other."""

    def __init__(
        self,
        settings: PublishSettings,
        paced: bool,
        abort: Callable[[], bool],
        keys: ServerKeys | None = None,
        own: Mapping[bytes, tuple[str, Right]] | None = None,
        failed: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        """`abort` ends a paced send that waits for a subscriber: it raises Aborted once `abort()` is true.

        keys, own: who gets in, see `Gate`. failed: told when the gate's thread ends with an error.
        """
        self.security = check_endpoint("publish.endpoint", settings.endpoint, keys is not None, settings.insecure)
        self._settings = settings
        self._paced = paced
        self._abort = abort
        self.session = new_session()
        self.endpoint = settings.endpoint
        self._seq: Counter[str] = Counter()
        self._trace_seq: Counter[tuple[int, str]] = Counter()
        self.watches = Watches(settings.stream)
        """Which traces somebody subscribes to."""
        self._packer = msgpack.Packer()  # kept: its buffer is 256 KiB, which the system would give anew each time
        self._topics = {kind: topic(kind, settings.stream) for kind in KINDS}
        self.history: HistoryWriter | None = None
        """Keeps every message but `info` before it is sent, under its kind's place in KINDS."""
        self._info: Encoded | None = None
        self._info_due = False
        self._info_sent_s = 0.0
        self.subscribers = 0
        self.waited_s = 0.0
        self.waiting_since_s: float | None = None
        self.bad_upstream = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._gate = Gate(self._context, self._socket, LIMITS, keys, own, self.security == "local")
        self._failed = failed
        self._closing = threading.Event()
        self._guarding = threading.Thread(target=self._guard, name="rtspikes-guarding", daemon=True)

    def bind(self) -> str:
        """Open the socket; return the address with its real port. Raise TransportError when it cannot be had."""
        socket = self._socket
        socket.set(zmq.XPUB_VERBOSER, 1)
        socket.set(zmq.IPV6, int("[" in self.endpoint))
        socket.set(zmq.XPUB_NODROP, int(self._paced))
        socket.set(zmq.SNDHWM, self._settings.high_water_mark)
        # No limit to subscriptions that wait but the guard's: with one, libzmq 4.3.5 aborts the process when a peer
        # whose input it has stopped goes away (stream_engine_base.cpp: `!_io_error`).
        socket.set(zmq.RCVHWM, 0)
        socket.set(zmq.RCVBUF, UPSTREAM_BUFFER)
        socket.set(zmq.SNDTIMEO, PATIENCE_MS)
        socket.set(zmq.MAXMSGSIZE, LARGEST_UPSTREAM if self._settings.keys is None else LARGEST_HANDSHAKE)
        for option, value in KEEPALIVE.items():
            socket.set(option, value)
        try:
            socket.bind(bindable(self.endpoint))
        except zmq.ZMQError as error:
            self.close(at_once=True)
            taken = "another engine may be running there: " if error.errno == zmq.EADDRINUSE else ""
            raise TransportError(
                f"cannot publish on {self.endpoint}: {zmq.strerror(error.errno or 0).lower()}; {taken}"
                f"choose another address, for example --publish tcp://127.0.0.1:0 (any free port)"
            ) from None
        self.endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        self._guarding.start()
        return self.endpoint

    def _guard(self) -> None:
        """Attend the gate until the publisher closes (in a thread of its own)."""
        try:
            poller = zmq.Poller()
            for socket in self._gate.sockets:
                poller.register(socket, zmq.POLLIN)
            while not self._closing.is_set():
                poller.poll(self._gate.wait_ms)
                self._gate.handle()
        except BaseException as error:
            self._failed(error)

    @property
    def history_topics(self) -> list[str]:
        """The topics of the history by their number in it; "" for `info`, which it does not keep."""
        return ["" if kind == "info" else self._topics[kind].decode() for kind in KINDS]

    @property
    def connections(self) -> dict[str, Any]:
        """What the gate counts."""
        return self._gate.counts

    def begin_session(self, session: str) -> None:
        """Let what is sent from here on be of `session`, numbered from 0; `set_info` and `send_info` come next."""
        self.session = session
        self._seq.clear()
        self._trace_seq.clear()
        self._info = None
        if self.history is not None:
            self.history.begin_session(session)

    def set_info(self, fields: dict[str, Any]) -> None:
        """Set what `info` says and send it to those who already listen."""
        self._info = encode_items(fields)
        self._info_due = True
        self.watches.begin(fields["n_channels"])

    def encoded_info(self) -> bytes:
        """Return the `info` map as it would be sent now."""
        return encode(self._head("info"), self._info or (0, b""))

    def _head(self, kind: str) -> dict[str, Any]:
        """Return what every map begins with, for the next message of a kind."""
        head: dict[str, Any] = {"v": VERSION, "session": self.session, "seq": self._seq[kind]}
        if kind == "info":
            head["next_seq"] = {k: self._seq[k] for k in KINDS}
        return head

    def poll(self) -> bool:
        """Take in new and lost subscribers, and send `info` to the new ones; tell whether it was sent."""
        for _ in range(MOST_CHANGES):
            if not self._poller.poll(0):
                break
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
            change, prefix = frames[0][:1], frames[0][1:]
            if len(frames) > 1 or change not in (b"\x00", b"\x01"):
                self.bad_upstream += 1
            elif self._topics["info"].startswith(prefix):
                if prefix != PEEK:
                    self.subscribers += 1 if change == b"\x01" else -1
                self._info_due |= change == b"\x01"
            else:
                self.watches.change(prefix, change == b"\x01")
        self.watches.settle()
        if self._info_due and self._info and time.monotonic() - self._info_sent_s >= INFO_INTERVAL_S:
            self.send_info()
            return True
        return False

    def send_info(self) -> None:
        """Send `info` at once."""
        if self._info is not None:
            self._info_due, self._info_sent_s = False, time.monotonic()
            self._send("info", self.encoded_info())

    def send(self, kind: str, fields: dict[str, Any]) -> None:
        """Send one message, with the next number of its kind."""
        self._send(kind, self._packer.pack(self._head(kind) | fields))

    def send_trace(self, channel: int, of: str, fields: dict[str, Any]) -> None:
        """Send a trace's message, with its next number; the history does not keep it."""
        head = {"v": VERSION, "session": self.session, "seq": self._trace_seq[channel, of]}
        self._put(trace_topic(self._settings.stream, channel, of), self._packer.pack(head | fields), time.monotonic())
        self._trace_seq[channel, of] += 1

    def _send(self, kind: str, message: bytes) -> None:
        seq = self._seq[kind]
        begun_s = time.monotonic()
        if kind != "info" and self.history is not None:
            self.history.append(_NUMBER[kind], seq, message, begun_s)
        self._put(self._topics[kind], message, begun_s)
        self._seq[kind] = seq + 1

    def _put(self, topic: bytes, message: bytes, begun_s: float) -> None:
        """Give a message to the socket; wait for room where the run is paced."""
        # Lets libzmq take in what subscribers have read and asked for: send() does so only now and then, and get()
        # would hold the interpreter's lock meanwhile.
        self._poller.poll(0)
        while True:
            try:
                self._socket.send_multipart((topic, message))
                break
            except zmq.Again:
                self.waiting_since_s = begun_s
                if self._abort():
                    raise Aborted from None
        self.waiting_since_s = None
        if (took_s := time.monotonic() - begun_s) > NOTABLE_WAIT_S:
            self.waited_s += took_s

    @property
    def informed(self) -> int:
        """Subscribers that have been sent `info`."""
        return 0 if self._info_due else self.subscribers

    def last_seqs(self) -> dict[str, int]:
        """Return the number of the last message of each kind that was sent."""
        return {kind: n - 1 for kind, n in self._seq.items()}

    def close(self, at_once: bool = False) -> None:
        """Close; undelivered messages are kept for `linger_s` unless `at_once`."""
        self._closing.set()
        if self._guarding.ident is not None:
            self._guarding.join()
        self._gate.close()
        linger = 0 if at_once else round(self._settings.linger_s * 1e3)
        self._socket.close(linger)
        self._context.term()
