"""Maps over the pipes between the engine and its reply process: four bytes of length, then msgpack."""

from __future__ import annotations

import struct
from typing import IO, Any

import msgpack

from rtspikes.errors import WireError

_LENGTH = struct.Struct("<I")

LARGEST = 64 * 1024 * 1024
"""Bytes of a map; `info` of very many channels is the largest."""


def pack_map(entries: dict[str, Any]) -> bytes:
    """Return what goes through the pipe for a map."""
    body: bytes = msgpack.packb(entries)
    return _LENGTH.pack(len(body)) + body


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """Return the next map as it is packed, None at the pipe's end; raise WireError when it would be too large."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > LARGEST:
        raise WireError(f"a map between the processes has {LARGEST} bytes at most, got {length}")
    body = pipe.read(length)
    return body if len(body) == length else None


def unpack(frame: bytes) -> dict[str, Any]:
    """Return the map in a frame; raise WireError when the other side does not keep to the form."""
    try:
        entries = msgpack.unpackb(frame, strict_map_key=False)
    except ValueError as error:
        raise WireError(f"the processes exchange msgpack, got {error}") from None
    if not isinstance(entries, dict):
        raise WireError(f"the processes exchange maps, got {type(entries).__name__}")
    return entries
