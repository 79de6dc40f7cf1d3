"""The history: the last messages as they were encoded, in memory that the reply process reads while the engine writes.

    header │ sessions: name, next number of each kind │ records … ─────▶ (a ring of bytes, with offsets that only grow)
           │                                          │   tail: oldest whole record      head: where the next one goes

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

MOST_SESSIONS = 8
"""Sessions whose messages can be found: the current one and those before it, as long as their messages are there."""

_RECORD = struct.Struct("=QdQIII")  # own offset, time (s), number, session and kind, length of the message, its crc32

_MAGIC = 0x0200_6B70_7374_7200
_MAGIC_AT, _HEAD, _TAIL, _CAPACITY, _ORDINAL, _SESSIONS = 0, 1, 2, 3, 4, 8
"""Where they stand in the header, in words of 64 bits. A word is written and read whole, never a part of it."""

_NAME_WORDS = 2
_SLOT = _NAME_WORDS + MOST_KINDS
"""Words of a session: its name, 16 characters at most, and the next number of each kind."""

_DATA = 8 * (_SESSIONS + MOST_SESSIONS * _SLOT)

ALIGN = 64
"""Records begin at its multiples, so that what is left at the ring's end always has room for a record's head."""

PAD = 0xFFFFFFFF
"""Stands for session and kind of a record that only fills the ring's end."""

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


def _slot(ordinal: int) -> int:
    """Return the word at which the `ordinal`-th session stands."""
    return _SESSIONS + ordinal % MOST_SESSIONS * _SLOT


def _of(ordinal: int, kind: int) -> int:
    """Return what a record says of its session and kind."""
    return ordinal * MOST_KINDS + kind


class HistoryWriter:
    """Appends messages; the oldest make room, and those older than `seconds` are gone."""

    def __init__(self, memory: mmap, seconds: float) -> None:
        self._memory = memory
        self._words = memoryview(memory)[:_DATA].cast("Q")
        self._seconds = seconds
        self._capacity = len(memory) - _DATA
        self._margin = min(MARGIN, self._capacity // 4)
        self._head = self._tail = self._ordinal = 0
        self._words[_CAPACITY] = self._capacity
        self._words[_MAGIC_AT] = _MAGIC

    def begin_session(self, session: str) -> None:
        """Let what is appended from here on be of `session` (1 … 16 ASCII characters), whose numbers begin at 0."""
        name = session.encode("ascii").ljust(8 * _NAME_WORDS, b"\0")
        if len(name) > 8 * _NAME_WORDS:
            raise ValueError(f"a session's name has {8 * _NAME_WORDS} characters at most, got {session!r}")
        at = _slot(self._ordinal + 1)
        self._words[at] = 0  # whoever looks for the session that stood here finds it no more
        for i in range(1, _SLOT):
            self._words[at + i] = 0
        self._words[at + 1] = int.from_bytes(name[8:], "little")
        self._words[at] = int.from_bytes(name[:8], "little")
        self._ordinal += 1
        self._words[_ORDINAL] = self._ordinal

    def append(self, kind: int, number: int, message: bytes, now: float) -> None:
        """Keep `message`, number `number` of its kind, from the time `now` (s) on; not one that is too large."""
        need = _room(len(message))
        if need <= self._capacity // 2:
            left = self._capacity - self._head % self._capacity
            if left < need:
                self._write(PAD, 0, b"", now, left)
            self._write(_of(self._ordinal, kind), number, message, now, need)
        self._words[_slot(self._ordinal) + _NAME_WORDS + kind] = number + 1
        self._remove(self._margin, now - self._seconds, EAGER)

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()

    def _write(self, of: int, number: int, message: bytes, now: float, need: int) -> None:
        self._remove(need, -math.inf, None)
        at = _DATA + self._head % self._capacity
        length = len(message) if of != PAD else need - _RECORD.size
        _RECORD.pack_into(self._memory, at, self._head, now, number, of, length, zlib.crc32(message))
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
        self._indices: dict[int, _Index] = {}

    @property
    def session(self) -> str:
        """The current session."""
        return self._name(self._words[_ORDINAL])

    def _name(self, ordinal: int) -> str:
        at = _slot(ordinal)
        name = b"".join(self._words[at + i].to_bytes(8, "little") for i in range(_NAME_WORDS))
        return name.rstrip(b"\0").decode("ascii")

    def find(self, session: str) -> int | None:
        """Return the ordinal of a session, None when it is none of the newest MOST_SESSIONS."""
        newest = self._words[_ORDINAL]
        ordinals = range(newest, max(-1, newest - MOST_SESSIONS), -1)
        return next((ordinal for ordinal in ordinals if self._name(ordinal) == session), None)

    def read(self, kind: int, first: int, stop: int | None, most_bytes: int, ordinal: int | None = None) -> Found:
        """Return the kind's messages from number `first` on, or from the oldest that is left.

        They lie before `stop`, and have `most_bytes` together at most, but for a first one that is larger. ordinal: of
        which session, as `find` says (default: the current one).
        """
        ordinal = self._words[_ORDINAL] if ordinal is None else ordinal
        number = _slot(ordinal) + _NAME_WORDS + kind
        while True:
            newest = self._words[number]  # read before the index follows, which then has all of them
            self._follow()
            index = self._indices.get(_of(ordinal, kind)) or _Index()
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
        """Return the kind's newest message in the current session, if the history still has it."""
        self._follow()
        index = self._indices.get(_of(self._words[_ORDINAL], kind))
        return self._copy(index[index.first + len(index) - 1]) if index else None

    def _record(self, offset: int) -> tuple[int, int, int, int, int] | None:
        """Return (offset, number, session and kind, length, crc32) of a record; None when it is no more."""
        own, _, number, of, length, check = _RECORD.unpack_from(self._memory, _DATA + offset % self._capacity)
        return (own, number, of, length, check) if own == offset >= self._words[_TAIL] else None

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
            offset, number, of, length, _ = record
            if of != PAD:
                self._indices.setdefault(of, _Index()).add(number, offset)
            self._at += _room(length)
        tail = self._words[_TAIL]
        for of, index in list(self._indices.items()):
            index.remove_before(tail)
            if not index:
                del self._indices[of]
