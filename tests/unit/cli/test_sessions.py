"""`info` and `export` of sessions with marks and control changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rtspikes.cli.sessions import MOST_LISTED, export, info
from tests.simulated import write_recording
from tests.unit.cli.sessions import heard, session
from tests.unit.subscribers.batches import control, marks, rejected, unobserved


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "a", np.zeros((20_000, 3), np.int16))


def test_info_lists_marks_and_control_changes_with_their_times(recording: Path) -> None:
    changes = (control(5000, change="mute", select="E1"), control(9000, change="shutdown"))
    path = session(recording, None, marks(2500, "10 µM\nbicuculline"), *changes, heard(19_000))
    shown = CliRunner().invoke(info, [str(path)]).output.splitlines()
    at = shown.index("marks                1")
    assert shown[at + 1].split() == ["0.1250", "s", "10", "µM", "bicuculline"]
    assert shown[at + 2 : at + 5] == [
        "control changes      2", "          0.2500 s  mute!", "          0.4500 s  shutdown!"
    ]  # fmt: skip
    facts = json.loads(CliRunner().invoke(info, [str(path), "--json"]).output)
    assert facts["marks"] == [
        {"at_s": 0.125, "sample": 2500, "time": 0.5, "line": 0, "value": 0, "text": "10 µM\nbicuculline"}
    ]
    assert facts["control_changes"][0] == {
        "at_s": 0.25, "sample": 5000, "change": {"change": "mute", "select": "E1"}, "by": "local", "text": "mute!"
    }  # fmt: skip


def test_info_counts_what_is_too_much_to_list(recording: Path) -> None:
    path = session(recording, None, marks(0, *map(str, range(MOST_LISTED + 1))))
    shown = CliRunner().invoke(info, [str(path)]).output
    assert f"marks                {MOST_LISTED + 1}; --json lists them\ncontrol changes      0\n" in shown


def test_info_tells_what_was_rejected_and_flagged_and_who_is_active(recording: Path) -> None:
    path = session(
        recording, None, heard(0), rejected(5), unobserved((10, 60, 1, 2)),
        heard(19_999),
    )  # fmt: skip
    shown = CliRunner().invoke(info, [str(path)]).output
    assert "\nactive electrodes    1\nflagged              coincident 1\nrejected             1\n" in shown
    assert "\nrejected by reason   cut 1\n" in shown
    assert "\nobserved s           min 0.9975, median 1, max 1\n" in shown
    facts = json.loads(CliRunner().invoke(info, [str(path), "--json"]).output)
    assert facts["observed_s"] == {"min": 0.9975, "median": 1.0, "max": 1.0}
    assert (facts["flagged"], facts["rejected_by_reason"]) == ({"coincident": 1}, {"cut": 1})


def test_a_csv_of_spikes_says_where_the_marks_are(recording: Path, tmp_path: Path) -> None:
    path = session(recording, None, heard(3), marks(7, "a"))
    of_spikes = CliRunner().invoke(export, [str(path), "--to", "csv", "-o", str(tmp_path / "a.csv")])
    assert of_spikes.stdout == (
        f"1 spike written to {tmp_path / 'a.csv'}\n"
        f"3 channels, with spikes, observed time and rate of each, in {tmp_path / 'a-channels.csv'}\n"
    )
    assert (tmp_path / "a-channels.csv").read_text("utf-8").splitlines()[1].startswith("0,E1,electrode,,1,")
    assert "a csv of spikes holds no marks (1 here); write them with --to marks-csv" in of_spikes.stderr
    of_marks = CliRunner().invoke(export, [str(path), "--to", "marks-csv", "-o", str(tmp_path / "m.csv")])
    assert of_marks.stdout == f"1 mark written to {tmp_path / 'm.csv'}\n"
    assert (tmp_path / "m.csv").read_text("utf-8") == "sample,time,line,value,text\n7,0.5,0,0,a\n"
