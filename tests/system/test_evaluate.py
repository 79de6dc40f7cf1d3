"""`rtspikes evaluate`: a session against labels, as a person calls it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.recorded import events
from tests.simulated import RATE_HZ, simulate, write_recording
from tests.system.processes import rtspikes

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
SECONDS, CHANNELS = 4.0, 3


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """Return a folder with a recording `r` and its session `s`, and the true (sample, channel) behind it."""
    folder = tmp_path_factory.mktemp("evaluate")
    samples, truth = simulate(CHANNELS, SECONDS, spikes_per_s=6.0)
    recording = write_recording(folder / "r", samples)
    done = rtspikes("replay", recording, "--speed", "max", *ANY_PORT, "--log", folder / "s")
    assert done.returncode == 0, done.stderr
    return folder, truth


Replayed = tuple[Path, list[tuple[int, int]]]


def write_labels(path: Path, rows: list[tuple[Any, ...]], header: str = "sample,channel") -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def evaluated(session: Path, truth: Path, *options: object) -> dict[str, Any]:
    done = rtspikes("evaluate", session, "--truth", truth, "--json", *options)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_a_known_truth_is_counted_exactly(replayed: Replayed, tmp_path: Path) -> None:
    folder, truth = replayed
    hidden, invented = truth[5:15:3], [(truth[i][0] + 400, truth[i][1]) for i in (2, 20)]
    labels = write_labels(tmp_path / "l.csv", [row for row in truth if row not in hidden] + invented)
    facts = evaluated(folder / "s.rtspikes", labels)
    n = len(truth) - len(hidden)
    assert (facts["found"], facts["missed"], facts["excused"], facts["unmatched"]) == (n, 2, 0, len(hidden))
    assert (facts["recall"], facts["precision"]) == (n / (n + 2), n / (n + len(hidden)))
    assert {(m["sample"], m["channel"], m["why"]) for m in facts["missed_spikes"]} == {
        (*row, "no event") for row in invented
    }
    places = sorted((e["sample"], e["channel"]) for e in facts["unmatched_events"])
    assert all(abs(a - b) <= 10 and c == d for (a, c), (b, d) in zip(places, sorted(hidden), strict=True))
    assert sum(row["found"] for row in facts["by_channel"]) == n
    assert facts["false_per_s_and_channel"] == pytest.approx(len(hidden) / facts["observed_s"])
    assert facts["observed_s"] == pytest.approx(SECONDS * CHANNELS)
    assert abs(facts["late_ms"]["p50"]) < 0.2
    assert facts["remarks"] == []


def test_what_a_person_reads(replayed: Replayed, tmp_path: Path) -> None:
    folder, truth = replayed
    half = len(truth) // 2
    rows = [("ground_truth", at / RATE_HZ, f"E{c + 1}", i % 2, 4 + i % 10) for i, (at, c) in enumerate(truth[:half])]
    labels = write_labels(tmp_path / "l.csv", rows, "kind,time_s,channel,label,snr")
    done = rtspikes("evaluate", folder / "s.rtspikes", "--truth", labels)
    assert (done.returncode, done.stdout.count("\n\n")) == (0, 4)
    text = done.stdout
    assert re.search(rf"^recall +1\.000  {half} of {half} labelled spikes found, 0 missed$", text, re.MULTILINE)
    unmatched = len(truth) - half
    assert re.search(
        rf"^precision +0\.\d+  {half} of {len(truth)} events matched, {unmatched} unmatched$", text, re.MULTILINE
    )
    for title in ("SNR of the label", "unit", "channel", "unmatched events: s"):
        assert re.search(rf"^ *{title}  ", text, re.MULTILINE), title
    assert f"… and {unmatched - 20} more unmatched events; --csv FILE lists them all" in text
    assert "unmatched events are before the first label or after the last" in done.stderr


def test_every_mistake_is_in_the_csv_and_on_the_pictures(replayed: Replayed, tmp_path: Path) -> None:
    folder, truth = replayed
    rows = truth[: len(truth) - 30] + [(at + 700, c) for at, c in truth[:40]]
    labels = write_labels(tmp_path / "l.csv", rows)
    facts = {}
    for name in ("p.png", "p.svg"):
        facts[name] = evaluated(folder / "s.rtspikes", labels, "-o", tmp_path / name, "--csv", tmp_path / "m.csv")
    with open(tmp_path / "m.csv", newline="", encoding="utf-8") as file:
        mistakes = list(csv.DictReader(file))
    kinds = [row["kind"] for row in mistakes]
    told = facts["p.svg"]
    assert (kinds.count("missed"), kinds.count("unmatched")) == (told["missed"], told["unmatched"])
    assert told["missed"] > 30
    assert all(float(row["amplitude_uv"]) < 0 for row in mistakes if row["kind"] == "unmatched")
    assert all(row["amplitude_uv"] and row["threshold_uv"] for row in mistakes), "the recording was here"
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "p.svg").read_text("utf-8")
    assert f"12 of {told['missed']} missed spikes, evenly over time" in svg
    assert "the session's recording is not here" not in svg


def test_a_recording_that_was_moved_is_named(tmp_path: Path) -> None:
    samples, truth = simulate(1, 1.0)
    recording = write_recording(tmp_path / "r", samples)
    assert rtspikes("replay", recording, "--speed", "max", *ANY_PORT, "--log", tmp_path / "s").returncode == 0
    labels = write_labels(tmp_path / "l.csv", [(at + 700,) for at, _ in truth], "sample")
    (tmp_path / "elsewhere").mkdir()
    for name in ("r.raw", "r.json"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    session = tmp_path / "s.rtspikes"
    evaluated(session, labels, "-o", tmp_path / "a.svg")
    assert "the session's recording is not here" in (tmp_path / "a.svg").read_text("utf-8")
    facts = evaluated(session, labels, "-o", tmp_path / "a.svg", "--recording", tmp_path / "elsewhere" / "r.raw")
    assert "the session's recording is not here" not in (tmp_path / "a.svg").read_text("utf-8")
    assert all(mistake["amplitude_uv"] is not None for mistake in facts["missed_spikes"])
    other = write_recording(tmp_path / "other", simulate(2, 1.0)[0])
    done = rtspikes("evaluate", session, "--truth", labels, "--recording", other)
    assert (done.returncode, done.stdout) == (5, "")
    assert "has 2 channels" in done.stderr


def test_labels_that_mark_the_start_are_noticed_and_shifted(replayed: Replayed, tmp_path: Path) -> None:
    folder, truth = replayed
    labels = write_labels(tmp_path / "l.csv", [(at - 50, c) for at, c in truth if at > 50])
    done = rtspikes("evaluate", folder / "s.rtspikes", "--truth", labels)
    shift = re.search(r"with the labels 2\.\d+ ms later: do they mark the peak\? try --shift (\S+)\n", done.stderr)
    assert shift is not None, done.stderr
    assert 2.3 < float(shift[1]) < 2.7
    for option in (shift[1], f"{shift[1]}ms"):
        facts = evaluated(folder / "s.rtspikes", labels, "--shift", option)
        assert facts["recall"] == 1
    assert evaluated(folder / "s.rtspikes", labels, "--within", "3")["recall"] == 1


def test_labels_of_another_detector_are_said_to_be_no_truth(replayed: Replayed, tmp_path: Path) -> None:
    folder, truth = replayed
    for kind in ("vendor", "ref_box5_thr4", "reference_height_sigma", "other_detector"):
        labels = write_labels(tmp_path / "l.csv", [(kind, *row) for row in truth], "kind,sample,channel")
        done = rtspikes("evaluate", folder / "s.rtspikes", "--truth", labels)
        assert (done.returncode, done.stderr.count("\n")) == (0, 1)
        assert f"kind {kind}) come from another detector; agreement with it is not accuracy" in done.stderr


def test_labels_on_a_dead_electrode_are_missed_and_it_is_said_why(tmp_path: Path) -> None:
    samples, truth = simulate(CHANNELS, 2.0)
    samples[:, 1] = 0
    recording = write_recording(tmp_path / "r", samples)
    assert rtspikes("replay", recording, "--speed", "max", *ANY_PORT, "--log", tmp_path / "s").returncode == 0
    facts = evaluated(tmp_path / "s.rtspikes", write_labels(tmp_path / "l.csv", truth), "-o", tmp_path / "p.svg")
    dead = [(at, channel) for at, channel in truth if channel == 1]
    assert (facts["missed"], facts["excused"], facts["found"]) == (len(dead), 0, len(truth) - len(dead))
    assert facts["observed_s"] == pytest.approx(2.0 * CHANNELS)
    assert {mistake["why"] for mistake in facts["missed_spikes"]} == {"no threshold"}
    (remark,) = facts["remarks"]
    assert remark.startswith(f"{len(dead)} of the {len(dead)} missed spikes are where no threshold was in force")
    assert "σ is unknown: E2; they count as missed" in remark
    drawn = (tmp_path / "p.svg").read_text("utf-8")
    assert "session s.rtspikes" in drawn
    assert "no threshold" in drawn


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ((), 2, "missing option --truth"),
        (("--truth", "no.csv"), 5, "no.csv: no such file or folder"),
        (("--truth", "labels"), 5, "did you mean 'labels.csv'?"),
        (("--truth", "bad.csv"), 5, "bad.csv, line 3: sample must be a whole number 0 … 2^53, got 'x'"),
        (("--truth", "r.raw"), 5, "r.raw"),
        (("--truth", "labels.csv", "--kind", "x"), 2, "no column 'kind'"),
        (("--truth", "labels.csv", "--within", "0"), 2, "--within must be a time > 0"),
        (("--truth", "labels.csv", "--within", "1s"), 2, "--within must be ≤ 100 ms, got 1000 ms"),
        (("--truth", "labels.csv", "--shift", "x"), 2, "--shift must be a time"),
        (("--truth", "labels.csv", "-o", "a.jpg"), 2, "-o must end in .png or .svg, got 'a.jpg'"),
        (("--truth", "labels.csv", "-o", "no/a.png"), 5, "cannot write no/a.png"),
        (("--truth", "labels.csv", "--csv", "labels.csv"), 2, "--csv must be another file than --truth"),
        (("--truth", "labels.csv", "--csv", "."), 2, "--csv must be the name of a file"),
        (("--truth", "labels.csv", "--csv", "no/a.csv"), 5, "cannot write no/a.csv"),
    ],
)  # fmt: skip
def test_refusals_are_a_line_each(options: tuple[str, ...], code: int, told: str, replayed: Replayed) -> None:
    folder, truth = replayed
    content = write_labels(folder / "labels.csv", truth).read_bytes()
    (folder / "bad.csv").write_text("sample,channel\n1,0\nx,0\n")
    done = rtspikes("evaluate", "s.rtspikes", *options, cwd=folder)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"rtspikes: [^\n]+\n", done.stderr)
    assert told in done.stderr
    assert (folder / "labels.csv").read_bytes() == content


def test_what_is_no_session_is_refused(replayed: Replayed, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "l.csv", [(1, 0)])
    done = rtspikes("evaluate", tmp_path, "--truth", labels)
    assert (done.returncode, done.stdout) == (5, "")
    assert "is not a session log" in done.stderr


def test_martinez_all_single_units_are_found(recordings: Path, tmp_path: Path) -> None:
    name = "sim_martinez2009_simulation1_4s"
    settings = ("--set", "detect.sign=pos", "--set", "detect.threshold=5")
    done = rtspikes(
        "replay", recordings / f"{name}.raw", "--speed", "max", *ANY_PORT, *settings, "--log", tmp_path / "s"
    )
    assert done.returncode == 0, done.stderr
    session = tmp_path / "s.rtspikes"
    options = ("--shift", f"{22 / 24000 * 1e3}ms", "-o", tmp_path / "m.svg")
    units = {row["unit"]: row for row in evaluated(session, recordings / f"{name}.events.csv", *options)["by_unit"]}
    assert sum(units[unit]["found"] for unit in ("1", "2")) == 7
    assert units["1"]["missed"] == units["2"]["missed"] == 0
    single = [(row["sample"], row["label"]) for row in events(recordings, name, "ground_truth") if row["label"] != "0"]
    facts = evaluated(session, write_labels(tmp_path / "single.csv", single, "sample,label"), *options[:2])
    assert (facts["found"], facts["missed"]) == (7, 0)
