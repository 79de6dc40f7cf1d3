"""The guard of a bound zmq socket: it closes what libzmq leaves open.

libzmq bounds complete messages only. The frames of an unfinished message pile up in its memory, 32 bytes for each byte
sent, whatever the high-water marks and MAXMSGSIZE; and it accepts any number of connections. The guard learns from the
socket's monitor which connections there are, holds a duplicate of each one's descriptor, asks the operating system how
many bytes have come, and shuts down those that send too many: libzmq then drops the unfinished message.

A descriptor that the monitor names may have been closed, and its number used again, before the guard duplicates it.
So the duplicate is looked at: only a connection to the address of the guarded socket is kept. It stays the same
connection from then on, whatever becomes of the number, so that nothing else is ever shut down. Until its end is
handled, a duplicate keeps a connection open that libzmq has closed.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
import uuid
from collections.abc import Callable

import zmq

from rtspikes.wire.descriptors import (
    Spare,
    allow_files,
    are_counted,
    duplicate,
    local_address,
    new_bytes,
    received_bytes,
    shut,
)

HANDSHAKE_S = 3.0
"""A connection without a complete handshake is closed by libzmq after this time."""

MOST_EVENTS = 256
"""Events taken in at a time, so that a flood of them does not keep `sample` waiting."""

AT_ONCE = 64
"""Connections looked at before the interpreter's lock is given to others: some 0.1 ms."""

ALERT_S = 5.0

TOGETHER = 8
"""All connections together may owe this many times what one may."""

RECEIVE_BUFFER = 64 * 1024
"""What the system holds of a connection (bytes) is still read after it was shut down; left to itself it holds 32 MB."""

FILES = 4096
"""Descriptors that the process should be allowed: libzmq 4.3.5 (ipc_listener.cpp) aborts it when there is none left."""

EVENTS = zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED

ANY_HOST = ("0.0.0.0", "::")


class Guard:
    """Watches the connections of one socket; belongs to the thread that polls it, once the socket is bound.

    The context must have one I/O thread (the default): events then come in the order of what happened.
    """

    def __init__(
        self,
        guarded: zmq.Socket[bytes],
        burst_bytes: int,
        bytes_per_s: float,
        most_connections: int,
        most_ungreeted: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it before the socket is bound; close it before the socket is closed.

        A peer may send burst_bytes at once and bytes_per_s on and on. Beyond most_connections, or most_ungreeted
        without a complete handshake, the oldest of the latter has to go: whoever means to talk has done so by then.
        Sets the socket's HANDSHAKE_IVL, RCVBUF and LINGER, and raises the process's soft limit of open files to FILES.
        """
        self._burst, self._rate, self._clock = burst_bytes, bytes_per_s, clock
        self._most_connections = min(most_connections, allow_files(FILES) // 4)  # each takes two
        self._most_ungreeted = most_ungreeted
        self._guarded = guarded
        self._bound: list[tuple[int, object]] = []
        self._peers: dict[int, _Peer] = {}  # by libzmq's descriptor, in the order of arrival
        self._ungreeted: dict[int, _Peer] = {}
        self._sampled_s = self._alert_until_s = clock()
        self._refused = self._cut_off = 0
        self._spare = Spare() if sys.platform != "win32" else None
        guarded.set(zmq.HANDSHAKE_IVL, round(HANDSHAKE_S * 1e3))
        guarded.set(zmq.RCVBUF, RECEIVE_BUFFER)
        # What `close` is given counts for peers that are still there. For one that left just before, it is what was set
        # at `bind`: with libzmq's own −1 the context then never ends, but waits for that peer to take its messages.
        guarded.set(zmq.LINGER, 0)
        address = f"inproc://guard-{uuid.uuid4().hex}"
        guarded.monitor(address, EVENTS)
        self.socket: zmq.Socket[bytes] = guarded.context.socket(zmq.PAIR)
        self.socket.set(zmq.LINGER, 0)
        # With libzmq's own 1000 that makes 1001 events; then its I/O thread waits, and accepts no more for the moment.
        self.socket.set(zmq.RCVHWM, 1)
        self.socket.connect(address)

    @property
    def counts(self) -> dict[str, int]:
        """Connections now; refused because there were too many; cut off because they sent too much."""
        return {"connections": len(self._peers), "refused": self._refused, "cut_off": self._cut_off}

    @property
    def interval_s(self) -> float:
        """How often to `sample`: more often where bytes are not counted, but must be caught waiting (ipc).

        And for ALERT_S after somebody came or was cut off: a flood's first milliseconds count.
        """
        if self._clock() < self._alert_until_s:
            return 0.002
        return 0.02 if all(isinstance(name, tuple) for _, name in self._bound) else 0.005

    def handle(self) -> None:
        """Take in what the monitor tells of connections; call it whenever `socket` can be read.

        libzmq's I/O thread waits while 1001 events do: a thread that it keeps waiting must go on calling this.
        """
        for _ in range(MOST_EVENTS):
            try:
                event, number = struct.unpack("=HI", self.socket.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                return
            if event == zmq.EVENT_ACCEPTED:
                self._accept(number)
            elif event == zmq.EVENT_DISCONNECTED:
                self._forget(number)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and self._ungreeted:
                # It does not say whose: who has come so far has sent most.
                del self._ungreeted[max(self._ungreeted, key=lambda fd: self._ungreeted[fd].look())]
            elif event == zmq.EVENT_LISTENING:
                self._bound.append(local_address(number))

    def sample(self) -> None:
        """Look at what each peer has sent, and cut off those that sent too much; call it every `interval_s`."""
        now_s = self._clock()
        allowed = self._rate * (now_s - self._sampled_s)
        self._sampled_s = now_s
        together = 0.0
        for n, (fd, peer) in enumerate(list(self._peers.items()), 1):
            if n % AT_ONCE == 0:
                time.sleep(0)  # lets the other threads have the interpreter
            peer.look()
            peer.owed = max(0.0, peer.owed - allowed)
            if peer.owed > self._burst:
                self._cut(fd)
            else:
                together += peer.owed
        while together > TOGETHER * self._burst:
            worst = max(self._peers, key=lambda fd: self._peers[fd].owed)
            together -= self._peers[worst].owed
            self._cut(worst)
        for fd, peer in list(self._ungreeted.items()):
            if now_s - peer.since_s < 2 * HANDSHAKE_S:
                break
            del self._ungreeted[fd]  # libzmq would have closed it

    def close(self) -> None:
        """Let go of all connections, without ending them; the socket, and then its context, must be closed next.

        Until the context is, libzmq's I/O thread waits at the next event. (It would also do so while the monitor is
        being stopped, if that were full, and pyzmq keeps the interpreter's lock while it stops a monitor.)
        """
        if self.socket.closed:
            return
        self.socket.close()
        for fd in list(self._peers):
            self._forget(fd)
        if self._spare:
            self._spare.close()

    def _accept(self, fd: int) -> None:
        self._forget(fd)  # the number is used again: the connection that had it has ended
        try:
            held = duplicate(fd)
        except OSError:
            self._refused += bool(self._spare and self._spare.shut(fd, self._is_ours))
            return
        if held is None or not self._is_ours(held):
            if held is not None:
                held.close()
            return
        self._alert_until_s = self._clock() + ALERT_S
        self._peers[fd] = self._ungreeted[fd] = _Peer(held, self._clock())
        if len(self._ungreeted) > self._most_ungreeted or len(self._peers) > self._most_connections:
            self._end(next(iter(self._ungreeted)))
            self._refused += 1

    def _is_ours(self, held: socket.socket) -> bool:
        """Tell whether it is a connection to the guarded socket."""
        try:
            name = held.getsockname()
        except OSError:
            return False
        return held.type == socket.SOCK_STREAM and any(
            held.family == family and _is_at(name, bound) for family, bound in self._bound
        )

    def _cut(self, fd: int) -> None:
        self._alert_until_s = self._clock() + ALERT_S
        self._end(fd)
        self._cut_off += 1

    def _end(self, fd: int) -> None:
        shut(self._peers[fd].held)
        self._forget(fd)

    def _forget(self, fd: int) -> None:
        self._ungreeted.pop(fd, None)
        if peer := self._peers.pop(fd, None):
            peer.held.close()


class _Peer:
    """A connection, and what its peer owes: the bytes it sent less those it was allowed since."""

    __slots__ = ("_counted", "_seen", "_sent", "held", "owed", "since_s")

    def __init__(self, held: socket.socket, since_s: float) -> None:
        self.held, self.since_s = held, since_s
        self.owed = 0.0
        self._sent = self._seen = 0
        self._counted = are_counted(held)

    def look(self) -> int:
        """Return the bytes that the peer has sent, at least those that were seen."""
        try:
            if self._counted:
                sent = received_bytes(self.held)
            else:
                new, self._seen = new_bytes(self.held, self._seen)
                sent = self._sent + new
        except OSError:  # macOS tells no more of a connection that its peer has reset
            sent = self._sent
        self.owed += sent - self._sent
        self._sent = sent
        return sent


def _is_at(name: object, bound: object) -> bool:
    """Tell whether the local address of a connection is the one that was bound: (host, port, …), or a path."""
    if isinstance(name, tuple) and isinstance(bound, tuple):
        return bool(name[1] == bound[1] and bound[0] in (name[0], *ANY_HOST))
    return name == bound
