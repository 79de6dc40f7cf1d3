"""The accuracy table is what the code gives, README.md's figures are the table's, and it runs without any data."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import accuracy, by_spikeinterface, truths
from bench.summary import between_markers, block, saved_rows
from tests.simulated import simulate, write_recording

ROOT = Path(__file__).parents[2]
SAVED = saved_rows((ROOT / "bench/README.md").read_text("utf-8"), "accuracy")

QUICK = "doublets"
BY_HAND = ("threshold", "window")

ANOTHER_SCIPY = 0.002
"""Figures by hand may differ by so much where another SciPy rounds otherwise; ours are the same bytes everywhere."""


def saved(recording: str, begins: str) -> list[dict[str, str]]:
    rows = [row for row in SAVED if row["recording"] == recording and row["detector"].startswith(begins)]
    assert rows, f"no {begins} on {recording} in bench/README.md: python -m bench accuracy --save"
    return rows


def as_saved(rows: list[accuracy.Row]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in rows]


def test_readmes_figures_are_those_of_the_table() -> None:
    shown = between_markers((ROOT / "README.md").read_text("utf-8"))
    assert shown == block(SAVED), "README.md and bench/README.md differ: python -m bench accuracy --save"
    assert len(shown.splitlines()) >= 2 + len(truths.TWINS)


def test_the_table_says_what_ours_gives_on_a_twin() -> None:
    assert as_saved(list(accuracy.ours(truths.twin(QUICK)))) == saved(f"sim: {QUICK}", "rtspikes: ")


def test_the_table_says_what_detectors_by_hand_give_on_a_twin() -> None:
    rows = {row["detector"]: row for row in saved(f"sim: {QUICK}", "by hand, ")}
    for row in accuracy.by_hand(truths.twin(QUICK), BY_HAND):
        for figure in ("recall", "precision", "F1"):
            assert float(row[figure]) == pytest.approx(float(rows[row["detector"]][figure]), abs=ANOTHER_SCIPY)


def test_the_table_says_what_is_found_on_a_recording(recordings: Path) -> None:
    name = "sim_martinez2009_simulation1_4s"
    recording = truths.recorded(recordings / f"{name}.raw")
    assert recording is not None
    assert as_saved(list(accuracy.ours(recording))) == saved(name, "rtspikes: ")
    rows = {row["detector"]: row for row in saved(name, "by hand, ")}
    for row in accuracy.by_hand(recording):
        assert float(row["F1"]) == pytest.approx(float(rows[row["detector"]]["F1"]), abs=ANOTHER_SCIPY)


@pytest.mark.parametrize(
    ("name", "sign", "shift"),
    [
        ("sim_martinez2009_simulation1_4s", "pos", 22),
        ("locust20010201_trial_01", "pos", 0),
        ("purkinje_cell_attached_first_half", "neg", 0),
        ("byb_rate_coding_2022-01-13_47s", "neg", 0),
    ],
)
def test_spikes_go_the_way_that_is_told_of_the_recording(name: str, sign: str, shift: int, recordings: Path) -> None:
    recording = truths.recorded(recordings / f"{name}.raw")
    assert recording is not None
    kind = {"exact": "ground_truth", "reference detector": ""}[recording.known]
    with open(recordings / f"{name}.events.csv", newline="") as file:
        first = next(row for row in csv.DictReader(file) if row["kind"].startswith(kind))
    assert (recording.sign, recording.truth.sample[0] - int(first["sample"])) == (sign, shift)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one short twin."""
    for module in (accuracy, truths):
        monkeypatch.setattr(module, "TWINS", {"tiny": "4?seconds=3&noise=2"})


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "accuracy", *arguments])
    bench.main()


@pytest.mark.usefixtures("tiny")
def test_without_data_the_twins_remain_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(by_spikeinterface, "is_installed", lambda: False)
    monkeypatch.setenv("RTSPIKES_DATA", "/nonexistent")
    run(monkeypatch, "--json")
    out, err = capsys.readouterr()
    assert "no recordings at /nonexistent" in err
    assert "SpikeInterface is not installed" in err
    rows = json.loads(out.splitlines()[-1])["accuracy"]
    assert {(row["recording"], row["truth"]) for row in rows} == {("sim: tiny", "simulated")}
    assert len({row["detector"] for row in rows}) == 15
    default = {row["detector"]: row["F1"] for row in rows if row["setting"] == "default"}
    best = {row["detector"]: row["F1"] for row in rows if row["setting"].startswith("best")}
    assert len(default) == 4
    assert all(best[name] >= default[name] for name in default)
    for row in rows:
        assert row["F1"] is not None
        assert 0 <= row["F1"] <= 1
        assert {"<5", "5–6", "6–8", "8–12", "≥12"} <= set(row)


@pytest.mark.usefixtures("tiny")
def test_twice_gives_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTSPIKES_DATA", "/nonexistent")
    first, second = (accuracy.run([]) for _ in range(2))
    assert bench.table(first) == bench.table(second)


@pytest.mark.parametrize("inside", ["", "recordings"])
def test_a_folder_of_recordings_is_taken_and_what_is_left_out_of_it_told(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (accuracy, truths):
        monkeypatch.setattr(module, "TWINS", {})
    for name in ("ours", "by_hand", "by_peer"):
        monkeypatch.setattr(accuracy, name, lambda recording: [recording.name])
    monkeypatch.setattr(by_spikeinterface, "is_installed", lambda: False)
    folder = tmp_path / "data" / inside
    folder.mkdir(parents=True)
    samples, spikes = simulate(2, 2.0)
    for name in ("known", "unknown"):
        write_recording(folder / name, samples)
    rows = [f"ground_truth,{at},{channel},u" for at, channel in spikes]
    (folder / "known.events.csv").write_text("\n".join(["kind,sample,channel,label", *rows]))
    assert accuracy.run(["--data", str(tmp_path / "data")]) == ["known", "known"]
    err = capsys.readouterr().err
    assert "unknown.raw is left out: its spikes are not known" in err
    assert "no recordings at" not in err


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_named_folder_without_recordings_is_refused_in_a_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty" / "recordings").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--data", str(tmp_path / name))
    assert re.fullmatch(r"--data: no recordings \(\*\.raw\) in [^\n]+", str(ended.value.code))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("words", "told"), [(["accuracy", "--help"], "--data"), (["--help"], "{list,all,")])
def test_help_is_that_of_the_benchmark_that_is_named(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert told in out
    assert ("--data" in out) == ("accuracy" in words)


@pytest.mark.usefixtures("tiny")
def test_spikeinterfaces_rows_are_its_default_and_its_best() -> None:
    pytest.importorskip("spikeinterface", reason="extra bench is not installed")
    rows = list(accuracy.by_peer(truths.twin("tiny")))
    assert {row["detector"] for row in rows} >= {"SpikeInterface: by_channel", "SpikeInterface: locally_exclusive"}
    for default, best in zip(rows[::2], rows[1::2], strict=True):
        assert default["setting"] == "default, 5 σ"
        assert best["setting"].startswith("best, ")
        assert float(best["F1"]) >= float(default["F1"])
