"""Memory that the engine shares with its child process, and that is gone with the last of the two, also after kill −9.

It has no name that could be left behind or opened by others, but on Windows, where a random one stands in.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import tempfile
from typing import Self

from rtspikes.errors import ConfigError, reason


class SharedMemory:
    """`size` bytes of zeros, mapped; `token` is what the child needs to map them too."""

    def __init__(self, mapping: mmap.mmap, token: str, fd: int | None) -> None:
        self.map = mapping
        self.token = token
        self._fd = fd

    @classmethod
    def make(cls, size: int) -> Self:
        """Return new memory; raise ConfigError when the system has none, or not twice as much."""
        if size > (most := _physical_bytes() // 2):
            raise ConfigError(
                f"history.max_mib must be {most / 2**20:.0f} at most, half of this computer's memory, "
                f"got {size / 2**20:.0f}"
            )
        try:
            if sys.platform == "win32":
                name = f"rtspikes-{secrets.token_hex(16)}"
                return cls(mmap.mmap(-1, size, tagname=name), name, None)
            fd = _anonymous_file()
            try:
                _allot(fd, size)
                return cls(mmap.mmap(fd, size, mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)), str(fd), fd)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise ConfigError(
                f"history.max_mib: the system gives no {size / 2**20:.0f} MiB of shared memory ({reason(error)}); "
                f"lower it"
            ) from None

    @classmethod
    def attach(cls, token: str, size: int) -> Self:
        """Map, in the child and for reading only, the memory that `token` names."""
        if sys.platform == "win32":
            return cls(mmap.mmap(-1, size, tagname=token, access=mmap.ACCESS_READ), token, None)
        return cls(mmap.mmap(int(token), size, prot=mmap.PROT_READ), token, int(token))

    @property
    def inherited(self) -> tuple[int, ...]:
        """File descriptors that the child must inherit."""
        return () if self._fd is None else (self._fd,)

    def close(self) -> None:
        """Unmap; the memory is gone once the other process has done the same."""
        self.map.close()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _physical_bytes() -> int:
    """Return this computer's memory; where it does not tell, what 64 bits address."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    return 2**47


def _allot(fd: int, size: int) -> None:
    """Give a file all its memory now, so that the live loop neither waits for it nor finds that there is none."""
    os.ftruncate(fd, size)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)


def _anonymous_file() -> int:
    """Return a file in memory, or where the system has none, a file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rtspikes-history")
    fd, path = tempfile.mkstemp()
    os.unlink(path)
    return fd
