"""The session log: what was flushed is read back, whatever happened afterwards."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from rtspikes.errors import ConfigError, DataError
from rtspikes.subscribers.log import writer as writer_module
from rtspikes.subscribers.log.layout import FILES, JOURNAL_DTYPE
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.writer import FLUSH_BYTES, FLUSH_S, LogWriter, session_path
from rtspikes.types import SPIKE_DTYPE, THRESHOLD_DTYPE
from rtspikes.wire.subscribe import Batch, Missed
from tests.unit.subscribers.batches import INFO, HandClock, flushed, gap, notice, rejected, spikes, thresholds

JOURNAL_ROW = JOURNAL_DTYPE.itemsize


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "a.rtspikes"


def check_whole_flushes(log: Session, flushes: int) -> None:
    """Check that the log holds exactly the first `flushes` of `flushed`."""
    assert log.to_sample == 10 * flushes
    assert log.spikes["id"].tolist() == list(range(10 * flushes))
    np.testing.assert_array_equal(log.waveforms[:, 0], log.spikes["id"])
    assert log.gaps["lost"].tolist() == list(range(flushes))
    assert [n["i"] for n in log.notices] == list(range(flushes))


def damage(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def test_everything_that_was_added_is_read_back(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    first, second = spikes(0, 5), spikes(5, 3)
    for batch in (thresholds(0), first, rejected(3), gap(5, 9), notice(cause="breaker", text="µV\u2028"), second):
        writer.add(batch)
    writer.add(thresholds(6, first_channel=1))
    writer.close("end", {"reason": "done", "counts": {"spikes": 8}, "to_sample": 8, "last_seq": {}})
    log = read_session(path)
    assert log.info == INFO
    assert log.spikes.tobytes() == first.spikes.tobytes() + second.spikes.tobytes()
    assert log.waveforms.tobytes() == first.waveforms.tobytes() + second.waveforms.tobytes()
    assert log.waveforms.shape == (8, 3)
    assert log.rejected.tobytes() == rejected(3).rejected.tobytes()
    assert log.gaps.tobytes() == gap(5, 9).gaps.tobytes()
    assert log.thresholds.dtype == THRESHOLD_DTYPE
    assert log.thresholds["sample"].tolist() == [0, 0, 6, 6]
    assert log.thresholds["channel"].tolist() == [0, 1, 1, 2]
    assert log.thresholds["negative_uv"].tolist() == [-30, -35, -30, -35]
    assert log.notices == [{"cause": "breaker", "text": "µV\u2028"}]
    assert (log.ended, log.missed, log.to_sample, log.torn_bytes) == ("end", 0, 8, 0)
    assert log.facts["ended"]["engine"] == {"reason": "done", "counts": {"spikes": 8}, "to_sample": 8}
    assert len(log.facts["clocks"]) == 2


def test_the_files_are_plain_records(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    assert np.fromfile(path / "spikes.bin", SPIKE_DTYPE)["id"].tolist() == list(range(30))
    assert np.fromfile(path / "waveforms.bin", "<f4").reshape(-1, 3)[:, 0].tolist() == list(range(30))


def test_a_log_of_nothing_is_readable(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO | {"first_sample": 40}, clock)
    log = read_session(path)
    assert (len(log.spikes), log.waveforms.shape, log.to_sample, log.ended) == (0, (0, 3), 40, "open")
    writer.close("stopped")
    log = read_session(path)
    assert (len(log.spikes), log.waveforms.shape, log.to_sample, log.ended) == (0, (0, 3), 40, "stopped")


def test_missed_messages_are_in_the_log(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(90, 1, missed=(Missed("spikes", 6, 3, 60, 90), Missed("gaps", 0, 2))))
    writer.close("end")
    log = read_session(path)
    assert log.missed == log.facts["ended"]["missed_messages"] == 5
    assert log.notices[0] == {
        "cause": "missed", "kind": "spikes", "first_seq": 6, "count": 3, "from_sample": 60, "to_sample": 90
    }  # fmt: skip


def test_a_running_log_is_readable_up_to_its_last_flush(path: Path, clock: HandClock) -> None:
    writer = flushed(path, clock)
    writer.add(spikes(30, 10))
    check_whole_flushes(read_session(path), 3)
    assert read_session(path).ended == "open"
    writer.close("end")
    assert len(read_session(path).spikes) == 40


def test_a_flush_comes_with_time_or_with_size(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(0, 10))
    writer.tick()
    assert len(read_session(path).spikes) == 0
    clock.time_s += FLUSH_S
    writer.tick()
    assert len(read_session(path).spikes) == 10
    writer.add(spikes(10, FLUSH_BYTES // SPIKE_DTYPE.itemsize + 1))
    writer.tick()
    assert len(read_session(path).spikes) > 10
    writer.close("end")


@pytest.mark.parametrize("name", FILES)
def test_a_torn_tail_behind_the_journal_is_left_out_and_counted(path: Path, clock: HandClock, name: str) -> None:
    flushed(path, clock).close("end")
    with open(path / name, "ab") as file:
        file.write(b"torn")
    log = read_session(path)
    check_whole_flushes(log, 3)
    assert log.torn_bytes == 4


@pytest.mark.parametrize("name", ["spikes.bin", "waveforms.bin", "gaps.bin", "notices.jsonl"])
def test_a_corrupted_byte_is_found(path: Path, clock: HandClock, name: str) -> None:
    flushed(path, clock).close("end")
    damage(path / name, (path / name).stat().st_size // 2)
    with pytest.raises(DataError, match=rf"{name}: bytes .* do not match their checksum"):
        read_session(path)
    assert read_session(path, verify=False).to_sample == 30


@pytest.mark.parametrize("name", ["spikes.bin", "waveforms.bin", "gaps.bin", "notices.jsonl"])
def test_a_file_that_is_shorter_than_the_journal_says_is_refused(path: Path, clock: HandClock, name: str) -> None:
    flushed(path, clock).close("end")
    (path / name).write_bytes((path / name).read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{name}: holds .* bytes, but the journal says"):
        read_session(path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_no_crash(path: Path, clock: HandClock, name: str) -> None:
    flushed(path, clock).close("end")
    empty = not (path / name).stat().st_size
    (path / name).unlink()
    try:
        log = read_session(path)
    except DataError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert empty
        check_whole_flushes(log, 3)


def test_the_log_is_cut_at_a_corrupted_journal_record(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    per_flush = (path / "journal.bin").stat().st_size // JOURNAL_ROW // 3
    damage(path / "journal.bin", 2 * per_flush * JOURNAL_ROW + 5)
    log = read_session(path)
    check_whole_flushes(log, 2)
    assert log.torn_bytes > 0


def test_a_log_cut_anywhere_in_its_journal_holds_whole_flushes_only(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    journal = path / "journal.bin"
    data = journal.read_bytes()
    for cut in range(0, len(data), JOURNAL_ROW // 2):
        journal.write_bytes(data[:cut])
        log = read_session(path)
        check_whole_flushes(log, log.to_sample // 10)


def test_journals_that_do_not_join_are_refused(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    journal = path / "journal.bin"
    journal.write_bytes(journal.read_bytes()[JOURNAL_ROW:])
    with pytest.raises(DataError, match=r"journal\.bin: its entries do not join"):
        read_session(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is not a session log: session\.json"),
        (b"", r"session\.json is damaged"),
        (b"[]", r"session\.json is damaged"),
        (b'{"format": 1}', r"session\.json is damaged: it lacks 'info'"),
        (b'{"format": 1, "info": {"snippet_samples": "x"}}', r"session\.json is damaged"),
        (b'{"format": 99, "info": {"snippet_samples": [1, 2]}}', "log format must be 1, got 99"),
    ],
)
def test_a_damaged_session_file_is_refused(path: Path, content: bytes | None, message: str) -> None:
    path.mkdir(parents=True)
    if content is not None:
        (path / "session.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_session(path)


def test_a_folder_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a session log: session\.json: no such file"):
        read_session(path)


def test_a_path_that_exists_is_refused_and_left_alone(tmp_path: Path, clock: HandClock) -> None:
    taken = tmp_path / "a.rtspikes"
    taken.write_text("mine")
    with pytest.raises(ConfigError, match="exists, and a session is never overwritten; choose another path"):
        LogWriter(taken, INFO, clock)
    assert taken.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, clock: HandClock) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match="file is not a folder"):
        LogWriter(tmp_path / "file" / "a.rtspikes", INFO, clock)


@pytest.mark.parametrize(
    ("typed", "folder"), [("a", "a.rtspikes"), ("a.rtspikes", "a.rtspikes"), ("d/a.b", "d/a.b.rtspikes")]
)
def test_the_folder_has_its_suffix(typed: str, folder: str) -> None:
    assert session_path(Path(typed)) == Path(folder)


def test_a_path_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a name"):
        session_path(Path("."))


class Disk:
    """Stands in for `open`: its files share `room` bytes; what is beyond is written in part and then refused."""

    def __init__(self, room: int) -> None:
        self.room = room

    def open(self, name: Path, mode: str, **options: Any) -> Any:
        file, disk = open(name, mode, **options), self

        class Limited:
            def write(self, data: memoryview) -> int:
                if len(data) and not disk.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                n = file.write(data[: disk.room])
                disk.room -= n
                return n

            fileno, close = file.fileno, file.close

        return Limited()


def written(path: Path) -> int:
    return sum((path / name).stat().st_size for name in (*FILES, "journal.bin"))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.7, 0.85, 0.9, 0.97])
def test_a_full_disk_is_told_and_earlier_flushes_stay_readable(
    path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    flushed(path.with_name("enough.rtspikes"), clock, 2).close("end")
    two = written(path.with_name("enough.rtspikes"))
    flushed(path.with_name("more.rtspikes"), clock, 3).close("end")
    three = written(path.with_name("more.rtspikes"))
    closing = JOURNAL_ROW  # `close` flushes once more
    room = two - closing + round(part * (three - two))
    monkeypatch.setattr(writer_module, "open", Disk(room).open, raising=False)
    writer = flushed(path, clock, 2)
    writer.add(spikes(20, 10))
    writer.add(gap(20, 2))
    writer.add(notice(cause="test", i=2))
    with pytest.raises(DataError, match=r"cannot write the log .*no space left.*complete up to sample 20;"):
        writer.flush()
    writer.close("stopped")
    log = read_session(path)
    check_whole_flushes(log, 2)
    assert log.ended == "open"


def test_every_notice_that_the_wire_allows_can_be_logged(path: Path, clock: HandClock) -> None:
    fields = msgpack.unpackb(msgpack.packb({"cause": "x", "blob": b"\xff\x00", "value": float("nan")}))
    writer = LogWriter(path, INFO, clock)
    writer.add(notice(**fields))
    writer.close("end")
    assert read_session(path).notices[0]["cause"] == "x"


def test_observed_time_leaves_out_what_was_lost_and_what_the_filter_needs_after_it(
    path: Path, clock: HandClock
) -> None:
    writer = LogWriter(
        path, INFO | {"first_sample": 1000, "enabled": [True, False, True], "settling_samples": 100}, clock
    )
    for first, end, lost in ((1000, 3000, 500), (3500, 3550, 450), (4000, 4000, 0)):
        writer.add(spikes(first, end - first))
        writer.add(gap(end, lost))
    writer.add(spikes(4000, 2000))
    writer.close("end")
    # 2000 samples; a piece of 50 that the filter never settled in; a seam at once after it; 2000 − 100
    assert read_session(path).observed_s.tolist() == [2.0 + 1.9, 0.0, 2.0 + 1.9]


def test_what_a_late_logger_did_not_hear_is_not_observed(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(4000, 1000))
    writer.flush()
    log = read_session(path)  # what a kill would leave
    writer.close("end")
    assert log.unseen() == [(0, 4000)]
    assert log.observed_s.tolist() == [1.0] * 3


def test_messages_that_were_missed_are_not_observed(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(0, 1000))
    writer.add(gap(1900, 50))
    writer.add(spikes(2000, 1000, missed=(Missed("spikes", 3, 2, 1000, 2000), Missed("status", 1, 1))))
    writer.add(Batch("end", "s1", 0, 0, missed=(Missed("spikes", 9, 1, 3000, None),)))
    writer.close("end")
    log = read_session(path)
    assert log.unseen() == [(1000, 2050)]
    assert log.observed_s.tolist() == [1.95] * 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate_hz", 0),
        ("rate_hz", "fast"),
        ("settling_samples", -1),
        ("enabled", []),
        ("enabled", "abc"),
        ("enabled", [1, 1, 1]),
        ("source", {"uri": 5}),
        ("channels", {}),
    ],
)
def test_info_that_cannot_be_computed_with_is_damage(key: str, value: object, path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    facts = json.loads((path / "session.json").read_bytes())
    facts["info"][key] = value
    (path / "session.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=r"session\.json is damaged"):
        read_session(path)
