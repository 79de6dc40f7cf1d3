"""The guard under attack, over real sockets."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import zmq

from rtspikes.wire.guard import Guard
from tests.unit.wire.attackers import BURST, FULL, GREETING, TINY, UNIX, Listener, endless, flood, guarded, ready
from tests.unit.wire.engines import DEADLINE_S, until

SCHEMES = [
    "tcp",
    pytest.param("ipc", marks=pytest.mark.skipif(sys.platform == "win32", reason="Unix domain sockets")),
]


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
        if sys.platform != "win32":  # 0.3 s of what they can send; without a guard it would have no end
            assert most - before < {TINY: 150e6, FULL: 500e6}[frame]


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
def test_while_the_monitor_is_full_it_can_be_closed_and_all_that_was_sent_arrives(tmp_path: Path) -> None:
    context = zmq.Context()
    watched = context.socket(zmq.XPUB)
    guard = Guard(watched, BURST, 0, 64, 16)
    watched.bind(f"ipc://{tmp_path}/s")
    with zmq.Context() as elsewhere, elsewhere.socket(zmq.SUB) as subscriber:
        subscriber.set(zmq.RCVTIMEO, round(DEADLINE_S * 1e3))
        subscriber.subscribe(b"")
        subscriber.connect(f"ipc://{tmp_path}/s")
        assert watched.recv() == b"\1"
        full = False
        while not full:  # nobody takes events in: in the end libzmq stops, and the system's queue is full as well
            with socket.socket(UNIX) as peer:
                peer.settimeout(0.5)
                try:
                    peer.connect(f"{tmp_path}/s")
                except OSError:
                    full = True
        for n in range(100):
            watched.send(bytes([n]))
        guard.close()
        guard.close()
        watched.close(round(DEADLINE_S * 1e3))
        context.term()
        assert [subscriber.recv() for _ in range(100)] == [bytes([n]) for n in range(100)]


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
