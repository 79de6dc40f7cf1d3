"""The guard under attack over real sockets, and event by event under a clock moved by hand."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psutil
import pytest
import zmq

from rtspikes.wire.guard import Guard
from tests.unit.wire.engines import DEADLINE_S, until

BURST = 512 * 1024
UNIX: int = getattr(socket, "AF_UNIX", -1)
SCHEMES = [
    "tcp",
    pytest.param("ipc", marks=pytest.mark.skipif(sys.platform == "win32", reason="Unix domain sockets")),
]
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


@pytest.mark.parametrize("frame", [TINY, FULL])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_endless_message_is_cut_off_and_a_subscriber_gets_everything(
    scheme: str, frame: bytes, tmp_path: Path
) -> None:
    with guarded(scheme, tmp_path) as at, Listener(at.endpoint) as listener:
        memory = psutil.Process().memory_info
        before = most = memory().rss
        with endless(at, frame, "SUB"):
            while at.guard.counts["cut_off"] < 5:
                listener.catch_up()
                most = max(most, memory().rss)
        until(lambda: at.guard.counts["connections"] == 1, listener.catch_up)
        if sys.platform != "win32":
            assert most - before < 150e6


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_endless_request_is_cut_off(scheme: str, tmp_path: Path) -> None:
    with guarded(scheme, tmp_path, zmq.ROUTER) as at, endless(at, TINY, "DEALER"):
        until(lambda: at.guard.counts["cut_off"] >= 3)


@pytest.mark.parametrize("kind", ["hold", "close"])
@pytest.mark.parametrize(
    "sent", [b"", GREETING[:20], GREETING, random.Random(4).randbytes(100)], ids=["none", "half", "all", "random"]
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_flood_of_connections_harms_no_subscriber_and_keeps_none_out(
    scheme: str, sent: bytes, kind: str, tmp_path: Path
) -> None:
    with guarded(scheme, tmp_path) as at, Listener(at.endpoint) as old:
        with flood(at, kind, sent), Listener(at.endpoint):
            old.catch_up()
        until(lambda: at.guard.counts["connections"] == 1, old.catch_up)
        with Listener(at.endpoint) as new:
            new.catch_up()
        old.catch_up()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_random_bytes_are_survived_before_and_after_the_greeting(scheme: str, tmp_path: Path) -> None:
    rng = random.Random(4)
    with guarded(scheme, tmp_path) as at, Listener(at.endpoint) as listener:
        for n in range(300):
            with at.connect() as peer:
                try:
                    peer.sendall((b"", GREETING, GREETING + ready("SUB"))[n % 3] + rng.randbytes(rng.randrange(2000)))
                except OSError:
                    continue  # it was cut already
            listener.catch_up()
        until(lambda: at.guard.counts["connections"] == 1, listener.catch_up)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_topic_for_each_of_4096_channels_is_no_attack(scheme: str, tmp_path: Path) -> None:
    def subscribe(socket: zmq.Socket[bytes]) -> None:
        for channel in range(4096):
            socket.subscribe(f"traces/a_rather_long_name_of_a_stream_as_it_may_be/{channel}/")

    with guarded(scheme, tmp_path) as at, Listener(at.endpoint, subscribe) as listener:
        listener.catch_up()
        assert at.guard.counts == {"connections": 1, "refused": 0, "cut_off": 0}


@pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq has no CURVE")
def test_an_encrypted_subscriber_outlives_a_flood_too(tmp_path: Path) -> None:
    server, client = zmq.curve_keypair(), zmq.curve_keypair()

    def secure(socket: zmq.Socket[bytes]) -> None:
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, server[1])

    def have_key(socket: zmq.Socket[bytes]) -> None:
        socket.set(zmq.CURVE_SERVERKEY, server[0])
        socket.set(zmq.CURVE_PUBLICKEY, client[0])
        socket.set(zmq.CURVE_SECRETKEY, client[1])

    with guarded("tcp", tmp_path, prepare=secure) as at, Listener(at.endpoint, have_key) as old:
        with flood(at, "hold", GREETING.replace(b"NULL\0", b"CURVE")), Listener(at.endpoint, have_key) as new:
            new.catch_up()
        old.catch_up()
        assert at.guard.counts["refused"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX descriptors")
def test_all_descriptors_are_given_back(tmp_path: Path) -> None:
    numbers = psutil.Process().num_fds
    before = numbers()
    with guarded("tcp", tmp_path) as at:
        idle = numbers()
        with endless(at, TINY, "SUB"), ExitStack() as peers:
            for _ in range(100):
                peers.enter_context(at.connect())
            until(lambda: at.guard.counts["cut_off"] >= 1 and at.guard.counts["refused"] >= 1)
        until(lambda: numbers() == idle and at.guard.counts["connections"] == 0)
    assert numbers() == before


@pytest.mark.skipif(sys.platform == "win32", reason="Unix domain sockets")
def test_it_can_be_closed_while_the_monitor_is_full(tmp_path: Path) -> None:
    context = zmq.Context()
    watched = context.socket(zmq.XPUB)
    guard = Guard(watched, BURST, 0, 64, 16)
    watched.bind(f"ipc://{tmp_path}/s")
    full = False
    while not full:  # nobody takes events in: in the end libzmq accepts no more, and the system's queue is full as well
        with socket.socket(UNIX) as peer:
            peer.settimeout(0.5)
            try:
                peer.connect(f"{tmp_path}/s")
            except OSError:
                full = True
    guard.close()
    guard.close()
    watched.close(0)
    context.term()


ENGINE = """
import resource, struct, sys, zmq
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from rtspikes.wire import descriptors
from rtspikes.wire.guard import Guard
spared, shut = [], descriptors.Spare.shut
descriptors.Spare.shut = lambda *args: spared.append(shut(*args)) or spared[-1]
context = zmq.Context()
out = context.socket(zmq.XPUB)
guard = Guard(out, 512 * 1024, 1024, 1000, 1000)
out.bind("tcp://127.0.0.1:*")
print(out.get_string(zmq.LAST_ENDPOINT), flush=True)
sys.stdin.readline()
n = 0
while True:
    guard.socket.poll(1)
    guard.handle()
    guard.sample()
    while out.poll(0):
        out.recv_multipart()
    out.send(struct.pack("<q", n))
    n += 1
    if n % 50 == 0:
        print(spared.count(True), guard.counts["connections"], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of descriptors")
def test_it_goes_on_when_descriptors_run_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ENGINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdin
        assert engine.stdout
        try:
            endpoint = engine.stdout.readline().decode().strip()
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            with ExitStack() as peers:
                for _ in range(250):  # libzmq takes in what it can; the others wait in the system's queue
                    peers.enter_context(socket.create_connection((host, int(port))))
                engine.stdin.write(b"\n")
                engine.stdin.flush()
                with Listener(endpoint) as listener:
                    listener.catch_up()
            spared, connections = 0, 250
            while connections > 0:
                spared, connections = map(int, engine.stdout.readline().split())
            assert spared > 0, "the descriptors did not run out"
            assert engine.poll() is None
        finally:
            engine.kill()
