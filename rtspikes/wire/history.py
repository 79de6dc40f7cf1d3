"""The history: the last messages as they were encoded, in memory that the reply process reads while the engine writes.

    header │ next number of each kind │ records … ─────▶ (a ring of bytes, addressed by offsets that only grow)
           │                          │   tail: oldest whole record      head: where the next one goes

One writer, the engine's processing thread, and readers in another process, without a lock. Before it overwrites
records the writer moves `tail` past them; after it has written one it moves `head`. A reader checks, after copying,
that `tail` has not passed what it copied and that the checksum fits, so it never hands out torn bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from mmap import mmap
from typing import NamedTuple

MOST_KINDS = 16

_HEADER = struct.Struct("<8sQQQ")  # magic, head, tail, bytes for records
_NUMBERS = struct.Struct(f"<{MOST_KINDS}Q")
_RECORD = struct.Struct("<QdQIII")  # own offset, time (s), number, kind, length of the message, its crc32
_U64 = struct.Struct("<Q")

_MAGIC = b"rtspk\0\0\1"
_HEAD, _TAIL = 8, 16
_NUMBERS_AT = 64
_DATA = _NUMBERS_AT + _NUMBERS.size

ALIGN = 64
"""Records begin at its multiples, so that what is left at the ring's end always has room for a record's head."""

PAD = 0xFFFFFFFF
"""The kind of a record that only fills the ring's end."""

EAGER = 32
"""Old records that one append removes in advance, so that no append has to remove many."""

MARGIN = 1024 * 1024
"""Bytes that are kept free in advance, at most a quarter of the ring."""


class Position(NamedTuple):
    """Where a message lies."""

    number: int
    offset: int


def size_for(max_mib: float) -> int:
    """Return the bytes to share for a history of `max_mib` MiB."""
    return _DATA + int(max_mib * 2**20) // ALIGN * ALIGN


def _room(length: int) -> int:
    return -(-(_RECORD.size + length) // ALIGN) * ALIGN


class HistoryWriter:
    """Appends messages; the oldest make room, and those older than `seconds` are gone."""

    def __init__(self, memory: mmap, seconds: float) -> None:
        self._memory = memory
        self._seconds = seconds
        self._capacity = len(memory) - _DATA
        self._margin = min(MARGIN, self._capacity // 4)
        self._head = self._tail = 0
        _HEADER.pack_into(memory, 0, _MAGIC, 0, 0, self._capacity)

    def append(self, kind: int, number: int, message: bytes, now: float) -> None:
        """Keep `message`, number `number` of its kind, from the time `now` (s) on; not one that is too large."""
        need = _room(len(message))
        if need <= self._capacity // 2:
            left = self._capacity - self._head % self._capacity
            if left < need:
                self._write(PAD, 0, b"", now, left)
            self._write(kind, number, message, now, need)
        _U64.pack_into(self._memory, _NUMBERS_AT + 8 * kind, number + 1)
        self._make_room(self._margin, now, EAGER)

    def _write(self, kind: int, number: int, message: bytes, now: float, need: int) -> None:
        self._make_room(need, now, None)
        at = _DATA + self._head % self._capacity
        length = len(message) if kind != PAD else need - _RECORD.size
        _RECORD.pack_into(self._memory, at, self._head, now, number, kind, length, zlib.crc32(message))
        self._memory[at + _RECORD.size : at + _RECORD.size + len(message)] = message
        self._head += need
        _U64.pack_into(self._memory, _HEAD, self._head)

    def _make_room(self, need: int, now: float, most: int | None) -> None:
        """Remove old records until `need` bytes are free and none is out of date, `most` of them at most."""
        tail, oldest_s = self._tail, now - self._seconds
        while tail < self._head and most != 0:
            at = _DATA + tail % self._capacity
            _, time_s, _, _, length, _ = _RECORD.unpack_from(self._memory, at)
            if self._capacity - (self._head - tail) >= need and time_s >= oldest_s:
                break
            tail += _room(length)
            most = None if most is None else most - 1
        if tail != self._tail:
            self._tail = tail
            _U64.pack_into(self._memory, _TAIL, tail)


class HistoryReader:
    """Finds messages by kind and number in what a HistoryWriter, in another process, writes."""

    def __init__(self, memory: mmap) -> None:
        magic, _, _, self._capacity = _HEADER.unpack_from(memory, 0)
        if magic != _MAGIC or self._capacity != len(memory) - _DATA:
            raise ValueError("this memory holds no history")
        self._memory = memory
        self._at = 0
        self._index: list[deque[Position]] = [deque() for _ in range(MOST_KINDS)]

    def next_number(self, kind: int) -> int:
        """Return the number that the kind's next message will have."""
        return int(_U64.unpack_from(self._memory, _NUMBERS_AT + 8 * kind)[0])

    def read(self, kind: int, first: int, stop: int | None, most_bytes: int) -> tuple[int, int, list[bytes]]:
        """Return (number of the first message, oldest number there is, messages) of the kind from `first` on.

        They join, lie before `stop`, and have `most_bytes` together at most, but for a first one that is larger.
        """
        while True:
            self._follow()
            index = self._index[kind]
            oldest = index[0].number if index else self.next_number(kind)
            begin = max(first, oldest)
            found: list[bytes] = []
            size = 0
            for k in range(begin - oldest, len(index)):
                number, offset = index[k]
                if number != begin + len(found) or (stop is not None and number >= stop):
                    break
                message = self._copy(offset)
                if message is None:
                    break
                size += len(message)
                if found and size > most_bytes:
                    return begin, oldest, found
                found.append(message)
            if found or not self._overtaken():
                return begin, oldest, found

    def last(self, kind: int) -> bytes | None:
        """Return the kind's newest message, if the history still has it."""
        self._follow()
        index = self._index[kind]
        return self._copy(index[-1].offset) if index else None

    def _overtaken(self) -> bool:
        """Tell whether the writer has removed records that the index still has."""
        tail = self._tail()
        return any(index and index[0].offset < tail for index in self._index)

    def _tail(self) -> int:
        return int(_U64.unpack_from(self._memory, _TAIL)[0])

    def _head(self, offset: int) -> tuple[int, int, int, int, int] | None:
        """Return (offset, number, kind, length, crc32) of the record at `offset`; None when it is no more."""
        own, _, number, kind, length, check = _RECORD.unpack_from(self._memory, _DATA + offset % self._capacity)
        return (own, number, kind, length, check) if own == offset >= self._tail() else None

    def _copy(self, offset: int) -> bytes | None:
        """Return the message at `offset`; None when it has been overwritten meanwhile."""
        record = self._head(offset)
        if record is None:
            return None
        at = _DATA + offset % self._capacity + _RECORD.size
        message = self._memory[at : at + record[3]]
        return message if offset >= self._tail() and zlib.crc32(message) == record[4] else None

    def _follow(self) -> None:
        """Enter what was written since the last look, and forget what was removed."""
        head = int(_U64.unpack_from(self._memory, _HEAD)[0])
        self._at = max(self._at, self._tail())
        while self._at < head:
            record = self._head(self._at)
            if record is None:
                tail = self._tail()
                if tail <= self._at:
                    break  # not visible to this processor yet; the next look will find it
                self._at = tail
                continue
            offset, number, kind, length, _ = record
            if kind < MOST_KINDS:
                self._index[kind].append(Position(number, offset))
            self._at += _room(length)
        tail = self._tail()
        for index in self._index:
            while index and index[0].offset < tail:
                index.popleft()
