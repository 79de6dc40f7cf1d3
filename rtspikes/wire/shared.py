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
        """Return new memory; raise ConfigError when the system has none."""
        try:
            if sys.platform == "win32":
                name = f"rtspikes-{secrets.token_hex(16)}"
                return cls(mmap.mmap(-1, size, tagname=name), name, None)
            fd = _anonymous_file()
            os.ftruncate(fd, size)
            return cls(mmap.mmap(fd, size), str(fd), fd)
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


def _anonymous_file() -> int:
    """Return a file in memory, or where the system has none, a file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rtspikes-history")
    fd, path = tempfile.mkstemp()
    os.unlink(path)
    return fd
