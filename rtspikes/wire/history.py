"""The history: the last messages as they were encoded, in memory that the reply process reads while the engine writes.

    header │ next number of each kind │ records … ─────▶ (a ring of bytes, addressed by offsets that only grow)
           │                          │   tail: oldest whole record      head: where the next one goes

One writer, the engine's processing thread, and readers in another process, without a lock. Before it overwrites
records the writer moves `tail` past them; after it has written one it moves `head`. A reader checks, after copying,
that `tail` has not passed what it copied and that the checksum fits, so it never hands out torn bytes.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from mmap import mmap
from typing import NamedTuple

MOST_KINDS = 16

_RECORD = struct.Struct("=QdQIII")  # own offset, time (s), number, kind, length of the message, its crc32

_MAGIC = 0x0100_6B70_7374_7200
_MAGIC_AT, _HEAD, _TAIL, _CAPACITY, _NUMBERS = 0, 1, 2, 3, 8
"""Where they stand in the header, in words of 64 bits. A word is written and read whole, never a part of it."""

_DATA = 8 * (_NUMBERS + MOST_KINDS)

ALIGN = 64
"""Records begin at its multiples, so that what is left at the ring's end always has room for a record's head."""

PAD = 0xFFFFFFFF
"""The kind of a record that only fills the ring's end."""

EAGER = 32
"""Old records that one append removes in advance, so that no append has to remove many."""

MARGIN = 1024 * 1024
"""Bytes that are kept free in advance, at most a quarter of the ring."""


class Found(NamedTuple):
    """What the history has of a kind: messages from number `first` on; its oldest and its next number."""

    first: int
    oldest: int
    newest: int
    messages: list[bytes]


def size_for(max_mib: float) -> int:
    """Return the bytes to share for a history of `max_mib` MiB."""
    return _DATA + int(max_mib * 2**20) // ALIGN * ALIGN


def _room(length: int) -> int:
    return -(-(_RECORD.size + length) // ALIGN) * ALIGN


class HistoryWriter:
    """Appends messages; the oldest make room, and those older than `seconds` are gone."""

    def __init__(self, memory: mmap, seconds: float) -> None:
        self._memory = memory
        self._words = memoryview(memory)[:_DATA].cast("Q")
        self._seconds = seconds
        self._capacity = len(memory) - _DATA
        self._margin = min(MARGIN, self._capacity // 4)
        self._head = self._tail = 0
        self._words[_CAPACITY] = self._capacity
        self._words[_MAGIC_AT] = _MAGIC

    def append(self, kind: int, number: int, message: bytes, now: float) -> None:
        """Keep `message`, number `number` of its kind, from the time `now` (s) on; not one that is too large."""
        need = _room(len(message))
        if need <= self._capacity // 2:
            left = self._capacity - self._head % self._capacity
            if left < need:
                self._write(PAD, 0, b"", now, left)
            self._write(kind, number, message, now, need)
        self._words[_NUMBERS + kind] = number + 1
        self._remove(self._margin, now - self._seconds, EAGER)

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()

    def _write(self, kind: int, number: int, message: bytes, now: float, need: int) -> None:
        self._remove(need, -math.inf, None)
        at = _DATA + self._head % self._capacity
        length = len(message) if kind != PAD else need - _RECORD.size
        _RECORD.pack_into(self._memory, at, self._head, now, number, kind, length, zlib.crc32(message))
        self._memory[at + _RECORD.size : at + _RECORD.size + len(message)] = message
        self._head += need
        self._words[_HEAD] = self._head

    def _remove(self, room: int, oldest_s: float, most: int | None) -> None:
        """Remove old records until `room` bytes are free and none is older than `oldest_s`, `most` of them at most."""
        tail = self._tail
        while tail < self._head and most != 0:
            at = _DATA + tail % self._capacity
            _, time_s, _, _, length, _ = _RECORD.unpack_from(self._memory, at)
            if self._capacity - (self._head - tail) >= room and time_s >= oldest_s:
                break
            tail += _room(length)
            most = None if most is None else most - 1
        if tail != self._tail:
            self._words[_TAIL] = self._tail = tail


class _Index:
    """Where the messages of one kind lie, whose numbers follow each other; 8 bytes for each."""

    def __init__(self) -> None:
        self.first = 0
        self._offsets = array("Q")
        self._gone = 0

    def __len__(self) -> int:
        return len(self._offsets) - self._gone

    def __getitem__(self, number: int) -> int:
        """Return the offset of a message."""
        return self._offsets[self._gone + number - self.first]

    def add(self, number: int, offset: int) -> None:
        """Enter the newest message; what does not join it is forgotten."""
        if number != self.first + len(self):
            self.__init__()  # type: ignore[misc]
            self.first = number
        self._offsets.append(offset)

    def remove_before(self, tail: int) -> None:
        """Forget the messages that lie before `tail`."""
        while len(self) and self._offsets[self._gone] < tail:
            self._gone += 1
            self.first += 1
        if self._gone > len(self) + 1000:
            del self._offsets[: self._gone]
            self._gone = 0


class HistoryReader:
    """Finds messages by kind and number in what a HistoryWriter, in another process, writes."""

    def __init__(self, memory: mmap) -> None:
        self._memory = memory
        self._words = memoryview(memory)[:_DATA].cast("Q")
        self._capacity = self._words[_CAPACITY]
        if self._words[_MAGIC_AT] != _MAGIC or self._capacity != len(memory) - _DATA:
            raise ValueError("this memory holds no history")
        self._at = 0
        self._index = [_Index() for _ in range(MOST_KINDS)]

    def read(self, kind: int, first: int, stop: int | None, most_bytes: int) -> Found:
        """Return the kind's messages from number `first` on, or from the oldest that is left.

        They lie before `stop`, and have `most_bytes` together at most, but for a first one that is larger.
        """
        while True:
            newest = self._words[_NUMBERS + kind]  # read before the index follows, which then has all of them
            self._follow()
            index = self._index[kind]
            oldest = index.first if len(index) else newest
            begin = max(first, oldest)
            end = index.first + len(index) if len(index) else newest
            found = self._messages(index, begin, end if stop is None else min(stop, end), most_bytes)
            if found or begin >= min(newest, end):
                return Found(begin, oldest, newest, found)
            if stop is not None and begin >= stop:
                return Found(begin, oldest, newest, [])

    def _messages(self, index: _Index, begin: int, end: int, most_bytes: int) -> list[bytes]:
        """Return messages [begin, end), up to the first that is no more or would be too much."""
        found: list[bytes] = []
        size = 0
        for number in range(begin, end):
            message = self._copy(index[number])
            if message is None:
                break
            size += len(message)
            if found and size > most_bytes:
                break
            found.append(message)
        return found

    def last(self, kind: int) -> bytes | None:
        """Return the kind's newest message, if the history still has it."""
        self._follow()
        index = self._index[kind]
        return self._copy(index[index.first + len(index) - 1]) if len(index) else None

    def _record(self, offset: int) -> tuple[int, int, int, int, int] | None:
        """Return (offset, number, kind, length, crc32) of the record at `offset`; None when it is no more."""
        own, _, number, kind, length, check = _RECORD.unpack_from(self._memory, _DATA + offset % self._capacity)
        return (own, number, kind, length, check) if own == offset >= self._words[_TAIL] else None

    def _copy(self, offset: int) -> bytes | None:
        """Return the message at `offset`; None when it has been overwritten meanwhile."""
        record = self._record(offset)
        if record is None:
            return None
        at = _DATA + offset % self._capacity + _RECORD.size
        message = self._memory[at : at + record[3]]
        return message if offset >= self._words[_TAIL] and zlib.crc32(message) == record[4] else None

    def _follow(self) -> None:
        """Enter what was written since the last look, and forget what was removed."""
        head = self._words[_HEAD]
        self._at = max(self._at, self._words[_TAIL])
        while self._at < head:
            record = self._record(self._at)
            if record is None:
                tail = self._words[_TAIL]
                if tail <= self._at:
                    break  # not visible to this processor yet; the next look will find it
                self._at = tail
                continue
            offset, number, kind, length, _ = record
            if kind < MOST_KINDS:
                self._index[kind].add(number, offset)
            self._at += _room(length)
        tail = self._words[_TAIL]
        for index in self._index:
            index.remove_before(tail)
