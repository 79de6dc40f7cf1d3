"""What the operating system tells of a connection by its descriptor, and duplicates of descriptors."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from struct import pack

if sys.platform != "win32":
    import fcntl
    import resource
    import termios

_COUNTER = {"linux": (11, 128), "darwin": (0x106, 88)}.get(sys.platform)
"""Option of IPPROTO_TCP and place in it of the u64 that counts the bytes received: `tcpi_bytes_received` of TCP_INFO
(Linux ≥ 4.1, linux/tcp.h), `tcpi_rxbytes` of TCP_CONNECTION_INFO (macOS, netinet/tcp.h)."""

READ_AT_ONCE = 8192
"""Bytes that libzmq reads from a connection at a time."""

RESET = pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER on, 0 s: who goes on sending gets an error, and the system keeps nothing of the connection."""


def duplicate(fd: int) -> socket.socket | None:
    """Return a duplicate of a socket; None if `fd` is none. Raise OSError when no descriptor is left."""
    try:
        number = socket.dup(fd)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return None
    try:
        return socket.socket(fileno=number)
    except OSError:
        socket.close(number)
        return None


def local_address(fd: int) -> tuple[int, object]:
    """Return family and local address of a socket that stays open meanwhile, like one that listens."""
    borrowed = socket.socket(fileno=fd)
    try:
        return borrowed.family, borrowed.getsockname()
    finally:
        borrowed.detach()


def shut(held: socket.socket) -> None:
    """End a connection in both directions, for all who hold it."""
    with suppress(OSError):  # the peer may have ended it already
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        held.shutdown(socket.SHUT_RDWR)


class Spare:
    """A descriptor kept for the time when there is no other, to shut down connections that cannot be held."""

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._number = os.dup(self._null)

    def shut(self, fd: int, is_ours: Callable[[socket.socket], bool]) -> bool:
        """Shut `fd` down if it is ours; tell whether it was."""
        held = None
        try:
            os.dup2(fd, self._number, inheritable=False)  # in one step: no other thread can take the number between
            held = socket.socket(fileno=self._number)
            if ours := is_ours(held):
                shut(held)
            return ours
        except OSError:  # closed, or no socket, by now
            return False
        finally:
            if held is not None:
                held.detach()
            os.dup2(self._null, self._number, inheritable=False)

    def close(self) -> None:
        """Give both numbers back."""
        os.close(self._number)
        os.close(self._null)


def are_counted(held: socket.socket) -> bool:
    """Tell whether the system counts the bytes of this connection: those of TCP, on Linux and macOS."""
    if _COUNTER is None or held.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    option, at = _COUNTER
    try:
        return len(held.getsockopt(socket.IPPROTO_TCP, option, at + 8)) == at + 8
    except OSError:  # macOS, of a connection that its peer has reset
        return False


def received_bytes(held: socket.socket) -> int:
    """Return how many bytes have come through a connection whose bytes are counted."""
    option, at = _COUNTER or (0, 0)
    return int.from_bytes(held.getsockopt(socket.IPPROTO_TCP, option, at + 8)[at:], sys.byteorder)


def new_bytes(held: socket.socket, waited: int) -> tuple[int, int]:
    """Return how many bytes have come since the last look, judged by those that wait for libzmq, and how many wait.

    waited: those of the last look. Where as many wait now, or a little less, they are taken for the same ones: libzmq
    does not read on while its socket is full. Windows tells only whether there are any.
    """
    if sys.platform == "win32":
        return (READ_AT_ONCE, 1) if select.select([held], [], [], 0)[0] else (0, 0)
    else:
        waiting = int.from_bytes(fcntl.ioctl(held, termios.FIONREAD, bytes(4)), sys.byteorder)
        return (0 if 0 <= waited - waiting <= 2 * READ_AT_ONCE else waiting), waiting


def allow_files(most: int) -> int:
    """Let the process open `most` files if its system lets it; return how many of them it may."""
    if sys.platform == "win32":
        return most
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            except (OSError, ValueError):
                return soft
        return allowed
