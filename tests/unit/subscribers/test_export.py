"""Exports hold what the session holds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rtspikes.subscribers.log.export import CHANNEL_COLUMNS, export_session
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.writer import LogWriter
from rtspikes.types import MARK_DTYPE, SPIKE_DTYPE, UNOBSERVED_DTYPE
from tests.unit.subscribers.batches import INFO, HandClock, control, flushed, marks, spikes, unobserved


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "a.rtspikes"
    writer = flushed(path, HandClock())
    writer.add(control(12, change="mute", select="µ3"))
    writer.close("end")
    return read_session(path)


def test_npz_holds_what_the_session_holds(session: Session, tmp_path: Path) -> None:
    export_session(session, "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        for name in SPIKE_DTYPE.names or ():
            np.testing.assert_array_equal(arrays[name], session.spikes[name])
            assert arrays[name].dtype == SPIKE_DTYPE[name]
        np.testing.assert_array_equal(arrays["waveforms"], session.waveforms)
        np.testing.assert_array_equal(arrays["gap_sample"], session.gaps["sample"])
        np.testing.assert_array_equal(arrays["gap_lost"], session.gaps["lost"])
        for name in MARK_DTYPE.names or ():
            np.testing.assert_array_equal(arrays[f"mark_{name}"], session.marks[name])
        assert arrays["mark_text"].tolist() == session.mark_texts == ["µ\n0", "µ\n1", "µ\n2"]
        assert arrays["change_sample"].tolist() == [12]
        assert [json.loads(change) for change in arrays["change"]] == [{"change": "mute", "select": "µ3"}]
        np.testing.assert_array_equal(arrays["observed_s"], session.observed_s)
        np.testing.assert_array_equal(arrays["active"], session.active)
        assert (arrays["flags"].dtype, arrays["flags"].tolist()) == (np.uint8, [0, 1] * 15)
        assert arrays["neighbours"].shape == (30, 0)
        for name in UNOBSERVED_DTYPE.names or ():
            np.testing.assert_array_equal(arrays[f"unobserved_{name}"], session.unobserved[name])
        assert len(arrays["unobserved_stop"]) == 3
        assert json.loads(str(arrays["info"])) == session.info


def test_npz_of_nothing_has_columns_of_the_right_types(tmp_path: Path) -> None:
    LogWriter(tmp_path / "a.rtspikes", INFO, HandClock()).close("end")
    export_session(read_session(tmp_path / "a.rtspikes"), "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        kinds = {name: arrays[name].dtype.kind for name in ("mark_text", "change_sample", "change", "mark_sample")}
    assert kinds == {"mark_text": "U", "change_sample": "i", "change": "U", "mark_sample": "i"}


def test_marks_read_back_from_csv_whatever_their_text(tmp_path: Path) -> None:
    texts = ("10 µM bicuculline", 'a, "b"\n\r;', "")
    writer = LogWriter(tmp_path / "a.rtspikes", INFO, HandClock())
    writer.add(marks(7, *texts))
    writer.close("end")
    export_session(read_session(tmp_path / "a.rtspikes"), "marks-csv", tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*(MARK_DTYPE.names or ()), "text"]
    assert [(r["sample"], r["time"], r["line"], r["value"]) for r in rows] == [
        ("7", "0.5", "0", "0"), ("8", "0.5", "0", "1"), ("9", "0.5", "0", "2")
    ]  # fmt: skip
    assert tuple(r["text"] for r in rows) == texts


def test_csv_reads_back_as_the_same_numbers_with_labels(session: Session, tmp_path: Path) -> None:
    export_session(session, "csv", tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(SPIKE_DTYPE.names or ())
    assert list(rows[0]) == [
        *names[: names.index("channel") + 1], "label", *names[names.index("channel") + 1 :], "flags"
    ]  # fmt: skip
    back = np.array([tuple(row[name] for name in names) for row in rows], [(name, "U40") for name in names])
    for name in names:
        np.testing.assert_array_equal(back[name].astype(SPIKE_DTYPE[name]), session.spikes[name])
    assert [row["label"] for row in rows[:4]] == ["E1", "E2", "µ3", "E1"]
    assert [row["flags"] for row in rows] == ["0", "1"] * 15


def test_npz_holds_the_neighbours(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "a.rtspikes", INFO | {"neighbour_count": 2}, HandClock())
    near = np.array([[1.5, np.nan], [-3, 4]], np.float32)
    writer.add(spikes(0, 2, neighbours=near))
    writer.close("end")
    export_session(read_session(tmp_path / "a.rtspikes"), "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["neighbours"], near)


def test_beside_a_csv_of_spikes_is_one_of_channels_with_all_that_a_rate_needs(tmp_path: Path) -> None:
    channels = {
        "label": ["E1", "µ,2", "ref"], "kind": ["electrode", "electrode", "reference"], "well": ["A1", None, None]
    }  # fmt: skip
    info = INFO | {"channels": channels, "enabled": [True, True, False]}
    writer = LogWriter(tmp_path / "a.rtspikes", info, HandClock())
    rows = spikes(0, 7).spikes
    rows["channel"] = [0] * 5 + [1, 2]
    writer.add(spikes(0, 7, spikes=rows))
    writer.add(unobserved((30_000, 35_000, 0, 1), (0, 100, 1, 2)))
    writer.add(spikes(60_000, 0))
    writer.close("end")
    log = read_session(tmp_path / "a.rtspikes")
    assert export_session(log, "csv", tmp_path / "b.csv") == [tmp_path / "b.csv", tmp_path / "b-channels.csv"]
    with open(tmp_path / "b-channels.csv", encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == CHANNEL_COLUMNS
    assert lines == [
        ["0", "E1", "electrode", "A1", "5", "55.0", str(5 / 55), "1"],
        ["1", "µ,2", "electrode", "", "1", "59.9", str(1 / 59.9), "0"],
        ["2", "ref", "reference", "", "1", "0.0", "", "0"],
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.rtspikes", "b-channels.csv", "b.csv"]


def test_an_export_that_fails_leaves_nothing_behind(session: Session, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        export_session(session, "csv", tmp_path / "absent" / "a.csv")
    (tmp_path / "kept.csv").write_text("old")
    broken = Session(
        **{name: getattr(session, name) for name in Session.__slots__} | {"info": {"channels": {"label": []}}}
    )
    with pytest.raises(IndexError):
        export_session(broken, "csv", tmp_path / "kept.csv")
    assert (tmp_path / "kept.csv").read_text() == "old"
    assert [p.name for p in tmp_path.glob("*.part")] == []
    assert not (tmp_path / "kept-channels.csv").exists()
