"""What the guard does with each event: connections made here, told to it one by one, under a clock moved by hand."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import zmq

from rtspikes.wire.guard import Guard

BURST, PER_S = 10_000, 100.0
CUT = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="this system does not count bytes")


class Told:
    """Stands for a bound socket: accepts connections itself and tells the guard what it is to know."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.context = stack.enter_context(zmq.Context())
        self.options: dict[int, int] = {}
        self.now_s = 0.0
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.guard = Guard(cast(Any, self), BURST, PER_S, 4, 3, lambda: self.now_s)
        self.tell(zmq.EVENT_LISTENING, self.listener.fileno())

    def set(self, option: int, value: int) -> None:
        self.options[option] = value

    def monitor(self, address: str, events: int) -> None:
        self._monitor = self._stack.enter_context(self.context.socket(zmq.PAIR))
        self._monitor.bind(address)

    def tell(self, event: int, number: int = 0) -> None:
        """Let the guard take in an event."""
        self._monitor.send_multipart([struct.pack("=HI", event, number), b""])
        assert self.guard.socket.poll(1000)
        self.guard.handle()

    def connect(self, tell: bool = True) -> tuple[socket.socket, socket.socket]:
        """Return a peer and the connection to it."""
        peer = self._stack.enter_context(socket.create_connection(self.listener.getsockname()))
        connection = self._stack.enter_context(self.listener.accept()[0])
        if tell:
            self.tell(zmq.EVENT_ACCEPTED, connection.fileno())
        return peer, connection

    def send(self, pair: tuple[socket.socket, socket.socket], n: int) -> None:
        pair[0].sendall(bytes(n))
        assert len(pair[1].recv(n, socket.MSG_WAITALL)) == n


@pytest.fixture
def told() -> Iterator[Told]:
    with ExitStack() as stack:
        made = Told(stack)
        yield made
        made.guard.close()


def is_open(pair: tuple[socket.socket, socket.socket]) -> bool:
    """Tell whether bytes still get through to the peer."""
    try:
        pair[1].sendall(b"?")
        return pair[0].recv(1) == b"?"
    except OSError:
        return False


def test_the_socket_gets_a_handshake_limit_a_small_buffer_and_no_linger(told: Told) -> None:
    assert told.options == {zmq.HANDSHAKE_IVL: 3000, zmq.RCVBUF: 65536, zmq.LINGER: 0}


@CUT
def test_a_peer_may_send_a_burst_and_so_many_bytes_each_second(told: Told) -> None:
    pair = told.connect()
    told.send(pair, BURST)
    told.guard.sample()
    assert is_open(pair)
    told.now_s = 20.0
    told.guard.sample()
    told.send(pair, 2000)
    told.guard.sample()
    assert is_open(pair)
    told.send(pair, 1)
    told.guard.sample()
    assert not is_open(pair)
    assert told.guard.counts == {"connections": 0, "refused": 0, "cut_off": 1}


@CUT
def test_what_was_not_sent_in_the_past_is_not_saved_up(told: Told) -> None:
    pair = told.connect()
    told.now_s = 1e6
    told.guard.sample()
    told.send(pair, BURST + 1)
    told.guard.sample()
    assert not is_open(pair)


@CUT
def test_many_peers_together_owe_no_more_than_some_bursts(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspikes.wire.guard.TOGETHER", 2)
    pairs = [told.connect() for _ in range(3)]
    for pair, n in zip(pairs, (6_000, 9_000, 6_000), strict=True):
        told.send(pair, n)
        told.tell(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    told.guard.sample()
    assert [is_open(pair) for pair in pairs] == [True, False, True]
    assert told.guard.counts == {"connections": 2, "refused": 0, "cut_off": 1}


@CUT
def test_of_too_many_without_a_greeting_the_oldest_goes_and_who_greeted_stays(told: Told) -> None:
    idle, talking, *others = (told.connect() for _ in range(3))
    told.send(talking, 91)
    told.tell(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    others += [told.connect(), told.connect()]
    assert [is_open(pair) for pair in (idle, talking, *others)] == [False, True, True, True, True]
    told.connect()
    assert not is_open(others[0])
    assert is_open(talking)
    assert told.guard.counts == {"connections": 4, "refused": 2, "cut_off": 0}


def test_where_all_have_greeted_there_is_no_room_for_more(told: Told) -> None:
    pairs = []
    for _ in range(4):
        pairs.append(told.connect())
        told.tell(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    late = told.connect()
    assert not is_open(late)
    assert all(map(is_open, pairs))
    told.tell(zmq.EVENT_DISCONNECTED, pairs[0][1].fileno())
    assert is_open(told.connect())


def test_who_is_there_longer_than_a_handshake_may_take_has_greeted(told: Told) -> None:
    old = told.connect()
    told.now_s = 60.0
    told.guard.sample()
    pairs = [told.connect() for _ in range(4)]
    assert is_open(old)
    assert not is_open(pairs[0])


def test_an_end_gives_the_connection_back(told: Told) -> None:
    peer, connection = told.connect()
    number = connection.fileno()
    connection.close()
    told.tell(zmq.EVENT_DISCONNECTED, number)
    assert peer.recv(1) == b""
    assert told.guard.counts["connections"] == 0


def test_nothing_but_connections_to_the_socket_is_touched(told: Told, tmp_path: Path) -> None:
    with ExitStack() as stack:
        elsewhere = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        peer = stack.enter_context(socket.create_connection(elsewhere.getsockname()))
        foreign = (peer, stack.enter_context(elsewhere.accept()[0]))
        datagram = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        datagram.bind(told.listener.getsockname())
        numbers = [foreign[0].fileno(), foreign[1].fileno(), datagram.fileno()]
        if sys.platform != "win32":
            file = stack.enter_context(open(tmp_path / "spikes.bin", "wb"))
            numbers.append(file.fileno())
        client, _ = told.connect(tell=False)
        for number in (*numbers, client.fileno(), 1_000_000):
            told.tell(zmq.EVENT_ACCEPTED, number)
            assert told.guard.counts == {"connections": 0, "refused": 0, "cut_off": 0}
            told.tell(zmq.EVENT_DISCONNECTED, number)
        assert is_open(foreign)


def test_a_number_that_is_used_again_is_another_connection(told: Told) -> None:
    peer, connection = told.connect()
    with socket.socket() as other:
        number = connection.fileno()
        connection.close()
        other.connect(told.listener.getsockname())
        again, _ = told.listener.accept()
        with again:
            if again.fileno() != number:
                pytest.skip(f"the system gave number {again.fileno()}, not {number}")
            told.tell(zmq.EVENT_ACCEPTED, number)
            assert told.guard.counts["connections"] == 1
            assert peer.recv(1) == b""
            assert is_open((other, again))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of descriptors")
def test_a_connection_that_cannot_be_held_is_refused(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(fd: int) -> socket.socket:
        raise OSError(errno.EMFILE, "no descriptor is left")

    monkeypatch.setattr("rtspikes.wire.guard.duplicate", none_left)
    pair = told.connect()
    assert not is_open(pair)
    with socket.socket() as other:
        told.tell(zmq.EVENT_ACCEPTED, other.fileno())
    assert told.guard.counts == {"connections": 0, "refused": 1, "cut_off": 0}
