"""What the operating system tells of connections, and that nothing but the right one is shut down."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

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
from tests.unit.wire.engines import until

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX descriptors")


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a peer, and the connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        connection, _ = listener.accept()
        with connection:
            yield peer, connection


def is_alive(one: socket.socket, other: socket.socket) -> bool:
    one.sendall(b"?")
    return other.recv(1) == b"?"


def test_a_duplicate_is_the_same_connection_and_leaves_its_mode_alone(tcp: tuple[socket.socket, socket.socket]) -> None:
    peer, connection = tcp
    connection.setblocking(False)
    held = duplicate(connection.fileno())
    assert held is not None
    assert held.getsockname() == connection.getsockname()
    with pytest.raises(BlockingIOError):
        connection.recv(1)
    held.close()
    assert is_alive(connection, peer)


def test_the_local_address_of_a_borrowed_socket(tcp: tuple[socket.socket, socket.socket]) -> None:
    peer, connection = tcp
    assert local_address(connection.fileno()) == (socket.AF_INET, connection.getsockname())
    assert is_alive(connection, peer)


@POSIX
def test_what_is_no_socket_is_not_duplicated(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    with open(tmp_path / "spikes.bin", "wb") as file:
        assert duplicate(file.fileno()) is None
        file.write(b"more")
    assert duplicate(file_number := 10_000) is None, file_number
    assert psutil.Process().num_fds() == before


def test_both_directions_end_for_all_who_hold_it(tcp: tuple[socket.socket, socket.socket]) -> None:
    peer, connection = tcp
    held = duplicate(connection.fileno())
    assert held is not None
    with held:
        shut(held)
        shut(held)
    assert connection.recv(1) == b""
    assert peer.recv(1) == b""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="this system does not count bytes")
def test_received_bytes_are_counted_read_or_not(tcp: tuple[socket.socket, socket.socket]) -> None:
    peer, connection = tcp
    assert are_counted(connection)
    assert received_bytes(connection) == 0
    peer.sendall(bytes(1000))
    until(lambda: received_bytes(connection) == 1000)
    assert len(connection.recv(1000, socket.MSG_WAITALL)) == 1000
    peer.sendall(bytes(500))
    until(lambda: received_bytes(connection) == 1500)


@POSIX
def test_where_bytes_are_not_counted_those_that_wait_are_but_once() -> None:
    peer, connection = socket.socketpair()
    with peer, connection:
        assert not are_counted(connection)
        assert new_bytes(connection, 0) == (0, 0)
        peer.sendall(bytes(60_000))
        new, waiting = new_bytes(connection, 0)
        assert new == waiting == 60_000
        assert new_bytes(connection, waiting) == (0, 60_000), "libzmq waits"
        connection.recv(5_000)
        assert new_bytes(connection, waiting) == (0, 55_000), "libzmq reads on slowly"
        peer.sendall(bytes(10_000))
        assert new_bytes(connection, 55_000)[0] > 0
        connection.recv(60_000)
        assert new_bytes(connection, 65_000)[0] == 5_000, "all that waited was read"


@POSIX
def test_the_spare_descriptor_shuts_down_ours_only(tcp: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    peer, connection = tcp
    before = psutil.Process().num_fds()
    spare = Spare()
    with open(tmp_path / "spikes.bin", "wb") as file:
        assert not spare.shut(file.fileno(), lambda held: True)
        file.write(b"more")
    assert not spare.shut(connection.fileno(), lambda held: False)
    assert is_alive(connection, peer)
    assert spare.shut(connection.fileno(), lambda held: held.getsockname() == connection.getsockname())
    assert peer.recv(1) == b""
    assert not spare.shut(10_000, lambda held: True)
    spare.close()
    assert psutil.Process().num_fds() == before


def test_files_are_allowed_as_far_as_the_system_goes() -> None:
    assert 0 < allow_files(64) <= 64
