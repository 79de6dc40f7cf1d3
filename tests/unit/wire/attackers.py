"""A guarded socket, who listens to it, and who attacks it."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import zmq

from rtspikes.wire.guard import Guard
from tests.unit.wire.engines import DEADLINE_S

BURST = 512 * 1024
UNIX: int = getattr(socket, "AF_UNIX", -1)
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
TINY, FULL = b"\x01\x00", b"\x01\xff" + bytes(255)
"""Frames after which the message goes on."""

FLOOD = """
import collections, itertools, socket, sys
address, kind = eval(sys.argv[1]), sys.argv[2]
held = collections.deque(maxlen=500)
for n in itertools.count():
    peer = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    try:
        peer.settimeout(0.1)
        peer.connect(address)
        peer.sendall(bytes.fromhex(sys.argv[3]))
    except OSError:
        peer.close()
    if kind == "hold":
        held.append(peer)
    else:
        peer.close()
    if n == 2000:
        print("flooded", flush=True)
"""


def ready(kind: str) -> bytes:
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode()
    return b"\x04" + bytes([len(body)]) + body


class Guarded:
    """A bound socket with its guard in a thread, which sends numbers or reads what comes."""

    def __init__(self, kind: int, endpoint: str, prepare: Callable[[zmq.Socket[bytes]], object]) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.guard = Guard(self.socket, BURST, 1024, 64, 16)
        self.socket.set(zmq.MAXMSGSIZE, 1024)
        prepare(self.socket)
        self.socket.bind(endpoint)
        self.endpoint = self.socket.get_string(zmq.LAST_ENDPOINT)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._watch, self._work)]
        for thread in self._threads:
            thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.guard.socket.poll(round(self.guard.interval_s * 1e3))
            self.guard.handle()
            self.guard.sample()

    def _work(self) -> None:
        for n in count():
            if self._stop.is_set():
                return
            if self.socket.poll(1):
                self.socket.recv_multipart()
            if self.socket.type == zmq.XPUB:
                self.socket.send(struct.pack("<q", n))

    @property
    def address(self) -> tuple[str, int] | str:
        scheme, _, rest = self.endpoint.partition("://")
        host, _, port = rest.rpartition(":")
        return rest if scheme == "ipc" else (host, int(port))

    def connect(self) -> socket.socket:
        peer = socket.socket(UNIX if isinstance(self.address, str) else socket.AF_INET)
        peer.settimeout(1)
        peer.connect(self.address)
        return peer

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.guard.close()
        self.socket.close(0)
        self.context.term()


@contextmanager
def guarded(
    scheme: str,
    folder: Path,
    kind: int = zmq.XPUB,
    prepare: Callable[[zmq.Socket[bytes]], object] = lambda socket: None,
) -> Iterator[Guarded]:
    made = Guarded(kind, "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{folder}/s", prepare)
    try:
        yield made
    finally:
        made.close()


class Listener:
    """A subscriber to the numbers."""

    def __init__(self, endpoint: str, prepare: Callable[[zmq.Socket[bytes]], object] = lambda socket: None) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.set(zmq.RCVTIMEO, round(DEADLINE_S * 1e3))
        self.socket.set(zmq.RCVHWM, 0)
        self.socket.set(zmq.LINGER, 0)
        prepare(self.socket)
        self.socket.subscribe(b"")
        self.socket.connect(endpoint)

    def __enter__(self) -> Listener:
        try:
            self.last = self.number()
        except zmq.Again:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.context.term()

    def number(self) -> int:
        return int(struct.unpack("<q", self.socket.recv())[0])

    def catch_up(self) -> None:
        """Read all that has come and one more; none must be missing."""
        while True:
            waits = self.socket.poll(0)
            number = self.number()
            assert number == self.last + 1
            self.last = number
            if not waits:
                return


@contextmanager
def endless(at: Guarded, frame: bytes, kind: str) -> Iterator[None]:
    """Send a message that never ends, again from the start after each cut."""
    stop = threading.Event()

    def attack() -> None:
        data = frame * (500_000 // len(frame))
        while not stop.is_set():
            try:
                with at.connect() as peer:
                    peer.sendall(GREETING + ready(kind))
                    while not stop.is_set():
                        peer.sendall(data)
            except OSError:
                continue

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        yield
    finally:
        stop.set()
        attacker.join()


@contextmanager
def flood(at: Guarded, kind: str, sent: bytes) -> Iterator[None]:
    """Connect as often as can be, from another process; begin with the 2000th time."""
    with subprocess.Popen(
        [sys.executable, "-c", FLOOD, repr(at.address), kind, sent.hex()], stdout=subprocess.PIPE
    ) as attacker:
        assert attacker.stdout
        assert attacker.stdout.readline().strip() == b"flooded"
        try:
            yield
        finally:
            attacker.kill()
