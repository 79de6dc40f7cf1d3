"""The events beside a recording: which are taken, and what is said of broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.events import events_of
from rtspikes.errors import DataError

HEADER = "kind,sample,channel,label,snr"
N_SAMPLES, N_CHANNELS = 1000, 3


def read(folder: Path, *lines: str, n_channels: int = N_CHANNELS) -> list[dict[str, str]]:
    path = folder / "r.events.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return events_of(path, N_SAMPLES, n_channels)


def test_the_truth_is_taken_before_a_references_events_and_nothing_else_is(tmp_path: Path) -> None:
    rows = ("stimulus,0,x,,", "vendor,1,0,,", "ref_b,2,0,,", "ground_truth,999,2,u,7.5", "ground_truth_not,3,0,,")
    assert [row["sample"] for row in read(tmp_path, HEADER, *rows)] == ["999"]
    assert [row["sample"] for row in read(tmp_path, HEADER, *rows[:3])] == ["1"]
    assert read(tmp_path, HEADER, rows[0], rows[4]) == []
    assert events_of(tmp_path / "none.events.csv", 1, 1) == []


def test_a_channel_is_not_needed(tmp_path: Path) -> None:
    assert len(read(tmp_path, HEADER, "vendor,1,,,", "vendor,2,,,nan")) == 2
    assert len(read(tmp_path, HEADER, "vendor,1,,,", "vendor,2,0,,", n_channels=1)) == 2


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("kind,sample,channel", "vendor,1,0"), "the columns kind, sample, channel, label; it has no 'label'"),
        ((HEADER, "vendor,1,0,,", "vendor,1000,0,,"), "line 3: sample must be a whole number 0 … 999 of the recording"),
        ((HEADER, "vendor,-1,0,,"), "line 2: sample must be"),
        ((HEADER, "vendor,1.5,0,,"), "line 2: sample must be"),
        ((HEADER, "vendor"), "line 2: sample must be"),
        ((HEADER, "vendor,1,3,,"), "line 2: channel must be 0 … 2, or empty where it is not known, got '3'"),
        ((HEADER, "vendor,1,E1,,"), "line 2: channel must be 0 … 2"),
        ((HEADER, "vendor,1,,,", "vendor,1,0,,"), "channel must be told of all vendor events, or of none"),
        ((HEADER, "vendor,1,0,,x"), "line 2: snr must be a number ≥ 0"),
        ((HEADER, "reference_height_sigma,1,0,,"), "line 2: the label of kind reference_height_sigma must be a height"),
        ((HEADER, 'vendor,1,0,"x"y,'), "is no CSV file: "),
    ],
)  # fmt: skip
def test_what_is_broken_is_said_in_words(lines: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^r\.events\.csv") as error:
        read(tmp_path, *lines)
    assert told in str(error.value)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: "):
        events_of(tmp_path, 1, 1)
    (tmp_path / "latin").write_bytes(b"kind,sample,channel,label\n\xb5")
    with pytest.raises(DataError, match="must be a CSV file in UTF-8"):
        events_of(tmp_path / "latin", 1, 1)
