"""Untrusted bytes to Python objects: the one place where msgpack that came from outside is read.

The structure is walked before any object is made. msgpack's own limits hold for each container alone, and it allots a
list as its header declares: 256 KiB of nested headers made 2 GB, 16 MiB of empty lists 1 GB (msgpack 1.0.8).
"""

from __future__ import annotations

from typing import Any

import msgpack

from rtspikes.errors import WireError

MOST_DEPTH = 32
"""Maps and lists within each other. What the engine sends has a few; the rest is for its user's own `[session]`."""

BYTES_PER_ITEM = 8
"""A message may hold one item (key, value, element) for so many bytes of its limit: at most 13 × that in memory."""


def _fixed_sizes() -> tuple[int, ...]:
    """Return how many bytes an item takes by its first byte; 0 where that byte alone does not tell."""
    sizes = dict.fromkeys((*range(0x80), 0xC0, 0xC2, 0xC3, *range(0xE0, 0x100)), 1)  # small int, nil, false, true
    sizes |= {0xA0 + n: 1 + n for n in range(32)}  # short str
    sizes |= {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}  # float, int
    return tuple(sizes.get(byte, 0) for byte in range(256))


_FIXED_SIZE = _fixed_sizes()
_SHORT_STR_SIZE = tuple(size if 0xA0 <= byte < 0xC0 else 0 for byte, size in enumerate(_FIXED_SIZE))
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # bin and str: a length, then so many bytes
_COUNT_BYTES = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # list and map: a count, then so many items or entries
_MAP = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
_EXTENSION = frozenset((0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9)))


def unpack_map(data: bytes, most_bytes: int) -> dict[str, Any]:
    """Return the msgpack map that `data` is; raise WireError for anything else.

    Refused beside what is not msgpack: more than `most_bytes`, more items than one per BYTES_PER_ITEM of these, nesting
    beyond MOST_DEPTH, keys that are no str of ≤ 255 bytes or come twice in a map, extension types, bytes after the map.
    """
    if len(data) > most_bytes:
        raise WireError(f"must have {most_bytes} bytes at most, got {len(data)}")
    if data[:1] == b"" or data[0] not in _MAP:
        raise WireError(f"must be a msgpack map, got {data[:8]!r}")
    entries = _count_entries(data, most_bytes // BYTES_PER_ITEM)

    def count(made: dict[str, Any]) -> dict[str, Any]:
        nonlocal entries
        entries -= len(made)
        return made

    try:
        fields: dict[str, Any] = msgpack.unpackb(data, object_hook=count)
    except ValueError as error:  # text that is not UTF-8
        raise WireError(f"not msgpack ({type(error).__name__}: {error})") from None
    if entries:
        raise WireError("the keys of a map must differ, got one twice")
    return fields


def _count_entries(data: bytes, room: int) -> int:
    """Walk over the one item that `data` must be; return how many entries its maps have together."""
    at, entries = 0, 0
    left, is_map = 1, False  # items or entries to come in the container that is being walked
    outer: list[tuple[int, bool]] = []
    try:
        while left or outer:
            if not left:
                left, is_map = outer.pop()
                continue
            left -= 1
            if is_map:
                key = data[at]
                if size := _SHORT_STR_SIZE[key]:
                    at += size
                elif key == 0xD9:  # str of ≤ 255 bytes; short, because Python 3.12.1 never frees what was a key
                    at += 2 + data[at + 1]
                else:
                    raise WireError(f"keys must be str of ≤ 255 bytes, got {data[at : at + 8]!r} at byte {at}")
            byte = data[at]
            if size := _FIXED_SIZE[byte]:
                at += size
            elif width := _LENGTH_BYTES.get(byte, 0):
                at += 1 + width + _number(data, at + 1, width)
            elif byte in _EXTENSION:
                raise WireError(f"msgpack extension types are not part of the protocol, got {byte:#x} at byte {at}")
            elif byte == 0xC1:
                raise WireError(f"not msgpack (0xc1 at byte {at})")
            else:
                width = _COUNT_BYTES.get(byte, 0)
                outer.append((left, is_map))
                left = _number(data, at + 1, width) if width else byte & 0xF
                is_map = byte in _MAP
                at += 1 + width
                entries += left if is_map else 0
                room -= 2 * left if is_map else left
                if room < 0:
                    raise WireError(f"too many items for a message of its kind, at byte {at}")
                if len(outer) > MOST_DEPTH:
                    raise WireError(f"nesting must be ≤ {MOST_DEPTH} deep, got more at byte {at}")
    except IndexError:
        raise WireError(f"not msgpack ({len(data)} bytes are not the whole map)") from None
    if at != len(data):
        raise WireError(f"not msgpack ({len(data)} bytes where the map takes {at})")
    return entries


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "big")
