"""The session log: what was flushed is read back, whatever happened afterwards."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from rtspikes.detect.changes import Freeze, Levels, Mute, Threshold, Unmute, to_map
from rtspikes.errors import ConfigError, DataError
from rtspikes.subscribers.log import writer as writer_module
from rtspikes.subscribers.log.layout import FILES, JOURNAL_DTYPE
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.writer import FLUSH_BYTES, FLUSH_S, LogWriter, session_path
from rtspikes.types import MARK_DTYPE, SPIKE_DTYPE, THRESHOLD_DTYPE, UNOBSERVED_DTYPE
from rtspikes.wire.batch import Batch, Missed
from tests.unit.subscribers.batches import (
    INFO,
    HandClock,
    control,
    flushed,
    gap,
    marks,
    notice,
    rejected,
    spikes,
    thresholds,
    unobserved,
)

JOURNAL_ROW = JOURNAL_DTYPE.itemsize

KEPT = (
    "spikes.bin",
    "waveforms.bin",
    "flags.bin",
    "gaps.bin",
    "notices.jsonl",
    "marks.bin",
    "marks.txt",
    "unobserved.bin",
)
"""Files that `flushed` writes something into."""


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
    np.testing.assert_array_equal(log.flags, log.spikes["id"] % 2)
    assert log.unobserved["sample"].tolist() == [10 * i for i in range(flushes)]
    assert log.gaps["lost"].tolist() == list(range(flushes))
    assert [n["i"] for n in log.notices] == list(range(flushes))
    assert log.marks["sample"].tolist() == [10 * i for i in range(flushes)]
    assert log.mark_texts == [f"µ\n{i}" for i in range(flushes)]


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
    said = ("10 µM bicuculline", "", '"\r\n\u2028\x00', "x" * 1000)
    for batch in (marks(2, *said[:3]), marks(7, said[3]), unobserved((1, 4, 2, 1)), unobserved((2, 3, 2, 2))):
        writer.add(batch)
    writer.close("end", {"reason": "done", "counts": {"spikes": 8}, "to_sample": 8, "last_seq": {}})
    log = read_session(path)
    assert log.info == INFO
    assert log.spikes.tobytes() == first.spikes.tobytes() + second.spikes.tobytes()
    assert log.waveforms.tobytes() == first.waveforms.tobytes() + second.waveforms.tobytes()
    assert log.waveforms.shape == (8, 3)
    assert (log.flags.dtype, log.flags.tolist()) == (np.uint8, [0, 1, 0, 1, 0, 1, 0, 1])
    assert log.neighbours.shape == (8, 0)
    assert log.unobserved.tolist() == [(1, 4, 2, 1), (2, 3, 2, 2)]
    assert log.rejections == {"cut": 1}
    assert log.counts.tolist() == [3, 3, 2]
    assert log.rejected.tobytes() == rejected(3).rejected.tobytes()
    assert log.gaps.tobytes() == gap(5, 9).gaps.tobytes()
    assert log.thresholds.dtype == THRESHOLD_DTYPE
    assert log.thresholds["sample"].tolist() == [0, 0, 6, 6]
    assert log.thresholds["channel"].tolist() == [0, 1, 1, 2]
    assert log.thresholds["negative_uv"].tolist() == [-30, -35, -30, -35]
    assert log.notices == [{"cause": "breaker", "text": "µV\u2028"}]
    assert log.marks.tobytes() == marks(2, *said[:3]).marks.tobytes() + marks(7, said[3]).marks.tobytes()
    assert tuple(log.mark_texts) == said
    assert (log.ended, log.missed, log.to_sample, log.torn_bytes) == ("end", 0, 8, 0)
    assert log.facts["ended"]["engine"] == {"reason": "done", "counts": {"spikes": 8}, "to_sample": 8}
    assert len(log.facts["clocks"]) == 2


def test_the_files_are_plain_records(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    assert np.fromfile(path / "spikes.bin", SPIKE_DTYPE)["id"].tolist() == list(range(30))
    assert np.fromfile(path / "waveforms.bin", "<f4").reshape(-1, 3)[:, 0].tolist() == list(range(30))
    assert np.fromfile(path / "flags.bin", "u1").tolist() == [0, 1] * 15
    assert np.fromfile(path / "unobserved.bin", UNOBSERVED_DTYPE)["stop"].tolist() == [1, 11, 21]


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


@pytest.mark.parametrize("name", KEPT)
def test_a_corrupted_byte_is_found(path: Path, clock: HandClock, name: str) -> None:
    flushed(path, clock).close("end")
    damage(path / name, (path / name).stat().st_size // 2)
    with pytest.raises(DataError, match=rf"{name}: bytes .* do not match their checksum"):
        read_session(path)
    if name.endswith(".bin"):
        assert read_session(path, verify=False).to_sample == 30


def test_text_that_nobody_verified_is_no_crash(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    damage(path / "marks.txt", 0)
    with pytest.raises(DataError, match=r"marks\.txt: not JSON lines"):
        read_session(path, verify=False)


@pytest.mark.parametrize("name", KEPT)
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
        (b'{"format": 99, "info": {"snippet_samples": [1, 2]}}', "log format must be 1 … 3, got 99"),
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
    writer.add(marks(20, "µ\n2"))
    writer.add(unobserved((20, 21, 0, 1)))
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


def test_control_changes_are_read_back_in_the_order_in_which_they_are_in_force(path: Path, clock: HandClock) -> None:
    levels = Levels(("E1", "E2", "µ3"), (float(np.float32(-30.1)), None, -1.0), (None, None, 7.5))
    announced = [
        (700, Threshold("E*", threshold=4.2)),
        (500, Mute(("E1", 2))),
        (500, Unmute("#0-1")),
        (500, Freeze()),
        (900, levels),
    ]
    writer = LogWriter(path, INFO, clock)
    for sample, change in announced:
        writer.add(control(sample, **msgpack.unpackb(msgpack.packb(to_map(change)))))
    writer.add(control(950, change="shutdown"))
    writer.close("end")
    log = read_session(path)
    assert log.changes == [*announced[1:4], announced[0], announced[4]]
    assert [(n["sample"], n["by"]) for n in log.controls] == [(at, "local") for at in (700, 500, 500, 500, 900, 950)]


def test_a_change_of_another_version_is_told(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(control(5, change="louder"))
    writer.close("end")
    log = read_session(path)
    with pytest.raises(DataError, match=r"notices\.jsonl: a control change cannot be understood: .*'louder'"):
        log.changes  # noqa: B018


@pytest.mark.parametrize("kept", [True, False], ids=["empty files", "no files"])
def test_a_log_from_before_there_were_marks_is_read(path: Path, clock: HandClock, kept: bool) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(0, 10))
    writer.add(notice(cause="test"))
    writer.close("end")
    if not kept:
        (path / "marks.bin").unlink()
        (path / "marks.txt").unlink()
    log = read_session(path)
    assert (len(log.spikes), len(log.notices), len(log.marks), log.mark_texts) == (10, 1, 0, [])
    assert log.marks.dtype == MARK_DTYPE
    assert log.changes == []


def as_format_2(path: Path) -> None:
    """Make of a log what a writer of format 2 would have left."""
    data = (path / "journal.bin").read_bytes()
    rows = np.frombuffer(data, JOURNAL_DTYPE)
    (path / "journal.bin").write_bytes(rows[rows["file"] < FILES.index("flags.bin")].tobytes())
    for name in FILES[FILES.index("flags.bin") :]:
        (path / name).unlink()
    facts = json.loads((path / "session.json").read_bytes())
    (path / "session.json").write_text(json.dumps(facts | {"format": 2}))


def test_a_log_from_before_there_were_flags_has_none(path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    as_format_2(path)
    log = read_session(path)
    assert (log.to_sample, log.torn_bytes, len(log.spikes)) == (30, 0, 30)
    assert (log.flags.tolist(), log.neighbours.shape, len(log.unobserved)) == ([0] * 30, (30, 0), 0)


def test_neighbours_are_a_row_per_spike(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO | {"neighbour_count": 2}, clock)
    near = np.arange(16, dtype=np.float32).reshape(8, 2)
    near[3, 1] = np.nan
    writer.add(spikes(0, 5, neighbours=near[:5]))
    writer.add(spikes(5, 3, neighbours=near[5:]))
    writer.close("end")
    np.testing.assert_array_equal(read_session(path).neighbours, near)
    assert np.fromfile(path / "neighbours.bin", "<f4").tobytes() == near.tobytes()


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"flags": np.zeros(4, np.uint8)}, r"flags\.bin has 4 values, but spikes\.bin asks for 5"),
        ({"neighbours": np.zeros((5, 1), np.float32)}, r"neighbours\.bin has 5 values, but spikes\.bin asks for 0"),
    ],
)
def test_what_does_not_pair_with_spikes_is_refused(
    path: Path, clock: HandClock, about: dict[str, Any], message: str
) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(0, 5, **about))
    writer.close("end")
    with pytest.raises(DataError, match=message):
        read_session(path)


def test_channels_that_are_not_there_are_damage(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(unobserved((0, 5, 3, 1)))
    writer.close("end")
    with pytest.raises(DataError, match=r"unobserved\.bin is of channels that session\.json does not know"):
        read_session(path)


def test_marks_and_texts_that_do_not_pair_are_refused(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(Batch("marks", "s1", 0, 0, marks=marks(5, "a", "b").marks, texts=("a",)))
    writer.close("end")
    with pytest.raises(DataError, match=r"marks\.txt has 1 values, but marks\.bin asks for 2"):
        read_session(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate_hz", 0),
        ("rate_hz", "fast"),
        ("settling_samples", -1),
        ("neighbour_count", -1),
        ("neighbour_count", "many"),
        ("enabled", []),
        ("enabled", "abc"),
        ("enabled", [1, 1, 1]),
        ("source", {"uri": 5}),
        ("channels", {}),
        ("channels", {"label": ["E1", "E2", "µ3"], "kind": ["electrode"]}),
    ],
)
def test_info_that_cannot_be_computed_with_is_damage(key: str, value: object, path: Path, clock: HandClock) -> None:
    flushed(path, clock).close("end")
    facts = json.loads((path / "session.json").read_bytes())
    facts["info"][key] = value
    (path / "session.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=r"session\.json is damaged"):
        read_session(path)
