"""The history: what is kept, for how long, and that a reader never gets torn bytes."""

from __future__ import annotations

import errno
import subprocess
import sys
import zlib
from mmap import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import ConfigError
from rtspikes.processes import start_module
from rtspikes.wire import shared as shared_module
from rtspikes.wire.history import MOST_SESSIONS, HistoryReader, HistoryWriter, size_for
from rtspikes.wire.shared import SharedMemory

MIB = 2**20


def history(max_mib: float = 1.0, seconds: float = 1e9) -> tuple[HistoryWriter, HistoryReader]:
    memory = mmap(-1, size_for(max_mib))
    return HistoryWriter(memory, seconds), HistoryReader(memory)


def body(number: int, size: int) -> bytes:
    return (number.to_bytes(8, "little") * (size // 8 + 1))[:size]


def test_what_was_appended_is_read_from_any_number_on() -> None:
    writer, reader = history()
    for n in range(5):
        writer.append(1, n, b"spikes%d" % n, 0.0)
        writer.append(2, n, b"gaps%d" % n, 0.0)
    assert reader.read(1, 0, None, 1000) == (0, 0, 5, [b"spikes%d" % n for n in range(5)])
    assert reader.read(2, 3, None, 1000) == (3, 0, 5, [b"gaps3", b"gaps4"])
    assert reader.read(2, 1, 3, 1000) == (1, 0, 5, [b"gaps1", b"gaps2"])
    assert reader.read(2, 5, None, 1000) == (5, 0, 5, [])
    assert reader.read(2, 0, None, 1).newest == 5
    assert reader.last(1) == b"spikes4"
    assert (reader.read(7, 0, None, 1000), reader.last(7)) == ((0, 0, 0, []), None)


def test_a_reply_is_bounded_but_never_empty() -> None:
    writer, reader = history()
    for n in range(10):
        writer.append(0, n, body(n, 1000), 0.0)
    assert len(reader.read(0, 0, None, 3500).messages) == 3
    assert len(reader.read(0, 0, None, 10).messages) == 1


def test_what_is_older_than_its_time_is_gone() -> None:
    writer, reader = history(seconds=10.0)
    for n in range(30):
        writer.append(0, n, b"x", float(n))
    found = reader.read(0, 0, None, 10**6)
    assert (found.first, found.oldest, len(found.messages)) == (19, 19, 11)


def test_a_message_that_no_history_holds_leaves_a_hole_and_its_number() -> None:
    writer, reader = history(1.0)
    writer.append(0, 0, b"small", 0.0)
    writer.append(0, 1, bytes(MIB), 0.0)
    assert reader.read(0, 0, None, 10**6) == (0, 0, 2, [b"small"])
    assert reader.read(0, 1, None, 10**6) == (1, 0, 2, [])
    writer.append(0, 2, b"next", 0.0)
    assert reader.read(0, 1, None, 10**6) == (2, 2, 3, [b"next"])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60_000)), min_size=1, max_size=200), st.data())
def test_the_newest_messages_are_there_whole_and_nothing_else(
    sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    writer, reader = history(1.0)
    sent: dict[int, list[bytes]] = {kind: [] for kind in range(4)}
    for kind, size in sizes:
        message = body(len(sent[kind]), size)
        writer.append(kind, len(sent[kind]), message, 0.0)
        sent[kind].append(message)
        if data.draw(st.booleans()):
            reader.read(0, 0, None, 100)  # a reader that looks now and then
    kept = 0
    for kind, messages in sent.items():
        found = reader.read(kind, 0, None, 10**9)
        assert found.first == found.oldest
        assert found.messages == messages[found.first :]
        assert found.newest == len(messages)
        kept += sum(64 + len(m) for m in found.messages)
    total = sum(64 + size for _, size in sizes)
    assert kept >= min(total, MIB // 2)


def test_each_session_has_numbers_of_its_own_and_those_before_are_still_found() -> None:
    writer, reader = history()
    sessions = [f"session{i}" for i in range(MOST_SESSIONS + 3)]
    for i, session in enumerate(sessions):
        writer.begin_session(session)
        assert reader.session == session
        for n in range(i + 1):
            writer.append(1, n, b"%s %d" % (session.encode(), n), 0.0)
    for i, session in enumerate(sessions):
        ordinal = reader.find(session)
        if i < 3:
            assert ordinal is None
        else:
            messages = [b"%s %d" % (session.encode(), n) for n in range(i + 1)]
            assert reader.read(1, 0, None, 10**6, ordinal) == (0, 0, i + 1, messages)
            assert reader.read(2, 0, None, 10**6, ordinal) == (0, 0, 0, [])
    assert reader.read(1, 2, 3, 10**6).messages == [b"%s 2" % sessions[-1].encode()]
    assert reader.last(1) == b"%s %d" % (sessions[-1].encode(), len(sessions) - 1)
    assert reader.find("nobody") is None


def test_a_session_whose_messages_are_gone_still_says_how_many_there_were() -> None:
    writer, reader = history(seconds=10.0)
    writer.begin_session("s1")
    for n in range(5):
        writer.append(0, n, b"x", 0.0)
    writer.begin_session("s2")
    for n in range(20):
        writer.append(0, n, b"y", 100.0)
    assert reader.read(0, 0, None, 10**6, reader.find("s1")) == (5, 5, 5, [])
    assert len(reader.read(0, 0, None, 10**6).messages) == 20


def test_a_reader_that_comes_later_finds_all_sessions() -> None:
    memory = mmap(-1, size_for(1.0))
    writer = HistoryWriter(memory, 1e9)
    for session in ("s1", "s2"):
        writer.begin_session(session)
        writer.append(0, 0, session.encode(), 0.0)
    reader = HistoryReader(memory)  # in a process that was started anew
    assert [reader.read(0, 0, None, 100, reader.find(s)).messages for s in ("s1", "s2")] == [[b"s1"], [b"s2"]]


def test_a_sessions_name_must_fit() -> None:
    with pytest.raises(ValueError, match="16 characters at most"):
        history()[0].begin_session("x" * 17)


def test_another_process_reads_while_this_one_writes_and_never_gets_torn_bytes() -> None:
    """The writer laps the reader all the time; whatever comes out is whole, in order, and what was written."""
    memory = SharedMemory.make(size_for(1.0))
    try:
        writer = HistoryWriter(memory.map, 1e9)
        program = "tests.unit.wire.history_reader"
        with start_module(program, memory.token, str(size_for(1.0)), pass_fds=memory.inherited,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # fmt: skip
            assert child.stdout is not None
            assert child.stdin is not None
            assert child.stdout.readline() == b"ready\n"
            number = 0
            while number < 200_000 and child.poll() is None:
                message = body(number, 200 + 37 * (number % 90))
                writer.append(0, number, zlib.crc32(message).to_bytes(4, "little") + message, 0.0)
                number += 1
            child.stdin.close()
            read, wrong, skipped = map(int, child.stdout.readline().split())
            assert child.wait(30) == 0
            writer.close()
    finally:
        memory.close()
    assert read > 0
    assert (wrong, skipped) == (0, 0)


def test_memory_that_the_system_does_not_have_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.ENOMEM, "none left")

    with pytest.raises(ConfigError, match=r"history\.max_mib must be \d+ at most, half of this computer's memory"):
        SharedMemory.make(2**62)
    monkeypatch.setattr(shared_module, "_allot", refuse)
    with pytest.raises(ConfigError, match=r"history\.max_mib: the system gives no 4 MiB of shared memory"):
        SharedMemory.make(4 * MIB)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows maps it by a name of its own")
def test_the_memory_has_no_name_that_could_be_left_behind() -> None:
    memory = SharedMemory.make(4096)
    assert memory.token.isdecimal()
    memory.close()
