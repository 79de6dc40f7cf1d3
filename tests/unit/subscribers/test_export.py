"""Exports hold what the session holds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rtspikes.subscribers.log.export import export_session
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.types import SPIKE_DTYPE
from tests.unit.subscribers.batches import HandClock, flushed


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "a.rtspikes"
    flushed(path, HandClock()).close("end")
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
        assert json.loads(str(arrays["info"])) == session.info


def test_csv_reads_back_as_the_same_numbers_with_labels(session: Session, tmp_path: Path) -> None:
    export_session(session, "csv", tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(SPIKE_DTYPE.names or ())
    assert list(rows[0]) == [*names[: names.index("channel") + 1], "label", *names[names.index("channel") + 1 :]]
    back = np.array([tuple(row[name] for name in names) for row in rows], [(name, "U40") for name in names])
    for name in names:
        np.testing.assert_array_equal(back[name].astype(SPIKE_DTYPE[name]), session.spikes[name])
    assert [row["label"] for row in rows[:4]] == ["E1", "E2", "µ3", "E1"]


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
