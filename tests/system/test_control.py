"""`rtspikes control` and `mark` with real engines: what is announced is what happens, and a refusal is one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rtspikes as package
from rtspikes.detect.levels import DEFAULT_THRESHOLD
from rtspikes.subscribers.log.reader import Session, read_session
from tests.simulated import RATE_HZ, simulate, write_recording
from tests.system.processes import DEADLINE_S, Running, command, rtspikes, wait_until

ANY = ("--publish", "tcp://127.0.0.1:0")

SETTINGS = {"detect": {"noise": {"window_s": 1.0}}}
"""σ that moves often."""

PLANNED = {
    "freeze": 40_000,
    "mute E2": 50_000,
    "threshold E1 3.5": 60_000,
    "threshold E3 -40 --uv": 70_000,
    "unmute E2 '#3'": 90_000,
    "follow": 100_000,
}
"""Requests → the samples for which they are asked, before the first sample comes."""

SAID = {
    "freeze": "thresholds frozen",
    "mute E2": "mute E2",
    "threshold E1 3.5": "threshold 3.5 σ for E1",
    "threshold E3 -40 --uv": "threshold -40 µV for E3",
    "unmute E2 '#3'": "unmute E2, #3",
    "follow": "thresholds follow the noise",
}

MARK = "10 µM bicuculline"

MARGIN = 200
"""Samples before the end within which the end may cut an event."""


def told(done: subprocess.CompletedProcess[str], what: str) -> int:
    """Return the sample that a command says, where it says `what` and no more."""
    assert (done.returncode, done.stderr) == (0, "")
    match = re.fullmatch(re.escape(what) + r" sample (\d+) \((\d+\.\d\d) s\)\n", done.stdout)
    assert match is not None, done.stdout
    assert float(match[2]) == pytest.approx(int(match[1]) / RATE_HZ, abs=0.006)
    return int(match[1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Run a session that is controlled in every way: log, what a subscriber heard, and what the commands said."""
    folder = tmp_path_factory.mktemp("controlled")
    recording = write_recording(folder / "recording", simulate(4, 40.0, spikes_per_s=40.0)[0])
    said: dict[str, int] = {}
    with Running(
        "replay", recording, *ANY, "--log", folder / "session", "--set", "detect.noise.window_s=1",
        "--wait-subscribers", 3,
    ) as engine:  # fmt: skip
        endpoint = engine.endpoint()
        with package.control(endpoint) as control:
            wait_until(lambda: control.status()["subscribers"] == 1, "the logger")
            for line, sample in PLANNED.items():
                done = rtspikes("control", endpoint, *shlex.split(line), "--at", sample)
                said[line] = told(done, f"{SAID[line]}: in force from")
            assert control.status()["signal_s"] == 0, (
                "four subscribers, the logger among them, are not there yet; who controls is none"
            )
        with (
            Running("listen", endpoint, "--topic", "crossings", "--topic", "notices", "--json") as listener,
            package.control(endpoint) as control,
            package.subscribe(endpoint, latest=True),
            package.subscribe(endpoint, latest=True),
        ):
            wait_until(lambda: control.status()["signal_s"] > 6, "six seconds of signal")
            done = rtspikes("control", endpoint, "recalibrate")
            said["recalibrate"] = told(done, "noise level learnt anew: in force from")
            said["mark"] = told(rtspikes("mark", endpoint, MARK), f"mark {MARK!r} at")
            saved = rtspikes("control", endpoint, "save", "saved.json", cwd=folder)
            done = rtspikes("control", endpoint, "load", "saved.json", cwd=folder)
            said["load"] = told(done, "thresholds of saved.json: in force from")
            wait_until(lambda: control.status()["to_sample"] > said["load"] + RATE_HZ, "a second with these thresholds")
            table = rtspikes("control", endpoint, "status")
            as_json = rtspikes("control", endpoint, "status", "--json")
            said["shutdown"] = told(rtspikes("control", endpoint, "shutdown"), "the run ends at")
        code = engine.finish()
        listener.finish()
    return SimpleNamespace(
        said=said, code=code, heard=[json.loads(line) for line in listener.out], recording=recording,
        log=read_session(folder / "session.rtspikes"), saved=saved, table=table, as_json=as_json,
        thresholds=json.loads((folder / "saved.json").read_text("utf-8")),
    )  # fmt: skip


def of_channel(log: Session, channel: int, first: int, end: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """Return a channel's spikes with a trigger in [first, end)."""
    table = log.spikes
    return table[(table["channel"] == channel) & (table["crossing"] >= first) & (table["crossing"] < end)]


def test_the_run_ends_well_and_its_log_says_that_it_was_stopped(run: SimpleNamespace) -> None:
    assert (run.code, run.log.ended) == (0, "end")
    assert run.log.facts["ended"]["engine"]["reason"] == "stopped"
    assert run.log.to_sample >= run.said["shutdown"] > run.said["load"] + RATE_HZ
    assert run.log.missed == 0


def test_every_change_is_in_force_when_asked_for_and_in_the_log_as_announced(run: SimpleNamespace) -> None:
    assert {line: run.said[line] for line in PLANNED} == PLANNED
    changes = [line for line in run.said if line != "mark"]
    *samples, end = (notice["sample"] for notice in run.log.controls)
    assert samples == [run.said[line] for line in changes[:-1]]
    assert end <= run.said["shutdown"] <= run.log.to_sample  # whose answer may be the run's end itself
    assert {notice["by"] for notice in run.log.controls} == {"local"}
    names = [notice["change"]["change"] for notice in run.log.controls]
    assert names == [{"load": "levels"}.get(line.split()[0], line.split()[0]) for line in changes]


def test_what_is_asked_for_at_once_is_announced_before_anything_that_it_changes(run: SimpleNamespace) -> None:
    reached = 0
    announced = {}
    for message in run.heard:
        if message["kind"] == "crossings":
            reached = max(reached, message["crossing"])
        elif message.get("cause") == "control":
            announced[message["change"]["change"]] = reached < message["sample"]
    assert announced["recalibrate"]
    assert announced["levels"]


def test_the_events_are_those_of_an_offline_run_with_the_changes_of_the_log(run: SimpleNamespace) -> None:
    spikes, waveforms = package.detect(run.recording, SETTINGS, changes=run.log.changes)
    end = run.log.to_sample - MARGIN
    live, offline = run.log.spikes["crossing"] < end, spikes["crossing"] < end
    assert live.sum() > 1000
    for name in spikes.dtype.names or ():
        if name not in ("time", "id"):
            assert np.array_equal(run.log.spikes[live][name], spikes[offline][name]), name
    assert np.array_equal(run.log.waveforms[live], waveforms[offline])


def test_events_before_the_first_change_are_as_without_it(run: SimpleNamespace) -> None:
    spikes, _ = package.detect(run.recording, SETTINGS)
    first = min(PLANNED.values())
    for name in ("sample", "crossing", "channel", "amplitude_uv", "threshold_uv"):
        assert np.array_equal(
            run.log.spikes[run.log.spikes["crossing"] < first][name], spikes[spikes["crossing"] < first][name]
        )
    assert (spikes["crossing"] < first).sum() > 100


def test_frozen_thresholds_stay_and_others_move(run: SimpleNamespace) -> None:
    rows = run.log.thresholds[run.log.thresholds["channel"] == 3]
    frozen, followed = PLANNED["freeze"], PLANNED["follow"]
    before = rows[rows["sample"] < frozen]["sigma_uv"]
    during = rows[(rows["sample"] >= frozen) & (rows["sample"] < followed)]["sigma_uv"]
    after = rows[(rows["sample"] >= followed) & (rows["sample"] < run.said["recalibrate"])]["sigma_uv"]
    assert len(set(before.tolist())) > 1
    assert set(during.tolist()) == {before[-1]}
    assert len({before[-1], *after.tolist()}) > 1
    assert len(set(of_channel(run.log, 3, frozen, followed)["threshold_uv"].tolist())) == 1


def test_a_muted_channel_is_silent_from_its_sample_on_until_it_is_not(run: SimpleNamespace) -> None:
    muted, unmuted = PLANNED["mute E2"], PLANNED["unmute E2 '#3'"]
    assert len(of_channel(run.log, 1, muted, unmuted)) == 0
    assert len(of_channel(run.log, 1, 2 * muted - unmuted, muted)) > 20
    assert len(of_channel(run.log, 1, unmuted, 2 * unmuted - muted)) > 20
    assert len(of_channel(run.log, 0, muted, unmuted)) > 20


def test_another_threshold_is_in_force_from_its_sample_on(run: SimpleNamespace) -> None:
    frozen, lower, fixed = PLANNED["freeze"], PLANNED["threshold E1 3.5"], PLANNED["threshold E3 -40 --uv"]
    (before,) = set(of_channel(run.log, 0, frozen, lower)["threshold_uv"].tolist())
    (after,) = set(of_channel(run.log, 0, lower, PLANNED["follow"])["threshold_uv"].tolist())
    assert after / before == pytest.approx(3.5 / DEFAULT_THRESHOLD["threshold"])
    assert -40 not in of_channel(run.log, 2, 0, fixed)["threshold_uv"]
    assert set(of_channel(run.log, 2, fixed, run.log.to_sample)["threshold_uv"].tolist()) == {-40.0}


def test_saved_thresholds_are_in_force_again_bit_by_bit(run: SimpleNamespace) -> None:
    assert run.saved.stdout == "thresholds of 4 of 4 electrodes saved: saved.json\n"
    want = [run.thresholds["thresholds"][f"E{i + 1}"]["negative_uv"] for i in range(4)]
    rows = run.log.thresholds[run.log.thresholds["sample"] >= run.said["load"]]
    assert len(rows) >= 4
    for channel in range(4):
        heights = rows[rows["channel"] == channel]["negative_uv"]
        assert set(heights.tolist()) == {float(np.float32(want[channel]))}
        late = of_channel(run.log, channel, run.said["load"], run.log.to_sample)
        assert set(late["threshold_uv"].tolist()) == {float(np.float32(want[channel]))}


def test_a_mark_is_in_the_log_with_its_text(run: SimpleNamespace) -> None:
    assert run.log.mark_texts == [MARK]
    assert run.log.marks["sample"].tolist() == [run.said["mark"]]
    assert (run.log.marks["line"].tolist(), run.log.marks["value"].tolist()) == ([0], [0])


def test_the_state_is_a_table_and_json(run: SimpleNamespace) -> None:
    assert (run.table.returncode, run.table.stderr, run.as_json.stderr) == (0, "", "")
    rows = {line[:23].strip(): line[23:] for line in run.table.stdout.splitlines()}
    assert rows["thresholds"] == "follow the noise"
    assert rows["marks"] == "1"
    assert rows["security"] == "local: this computer only"
    assert rows["reply process"].startswith("answers, restarted 0 times")
    assert rows["lost samples"] == "0 in 0 gaps; 0 bad ones held"
    assert re.fullmatch(r"p50 \d+\.\d{3} ms, p99 \d+\.\d{3} ms", rows["detected after"])
    figures = json.loads(run.as_json.stdout)
    assert figures["commands"]["done"] >= len(run.said) - 1
    assert figures["counts"]["marks"] == 1
    recording = figures["recording"]
    assert recording["path"].endswith("session.rtspikes")
    assert recording["bytes"] > 0
    assert recording["bytes_per_s"] > 0
    assert recording["hours_left"] == pytest.approx(recording["free_bytes"] / recording["bytes_per_s"] / 3600, rel=0.1)


EARLIER = r"a change must be for sample \d+ or a later one, got 5; ask for a later one"

ANSWERS: dict[str, tuple[int, str]] = {
    "control EP threshold Q1 4": (2, "selector 'Q1' matches no channel; did you mean 'E1'?"),
    "control EP threshold E1 high": (
        2, "VALUE must be a number, got 'high' (see rtspikes control ENDPOINT threshold --help)"),
    "control EP threshold E1 -4": (2, "threshold must be > 0 and ≤ 1000 σ, got -4"),
    "control EP threshold E1 nan --uv": (2, "threshold_uv must be a height (µV) other than 0, got nan"),
    "control EP threshold E1": (2, "missing argument VALUE (see rtspikes control ENDPOINT threshold --help)"),
    "control EP mute": (2, "missing argument SELECTOR... (see rtspikes control ENDPOINT mute --help)"),
    "control EP unmute '#9'": (2, "selector '#9' must name positions 0 … 3 of this stream, in rising order"),
    "control EP frezze": (2, "unknown command 'frezze'; did you mean 'freeze'? (see rtspikes control --help)"),
    "control EP": (2, "missing command (see rtspikes control --help)"),
    "control EP --at 5 freeze": (
        2, "--at must stand behind the command, as in: control tcp://127.0.0.1:5570 freeze --at … "
           "(see rtspikes control --help)"),
    "control freeze": (
        2, "ENDPOINT must be tcp://HOST:PORT or ipc://PATH, for example tcp://127.0.0.1:5570, got 'freeze' "
           "(see rtspikes control --help)"),
    "control EP freeze --at -1": (
        2, "--at must be a whole number ≥ 0, got '-1' (see rtspikes control ENDPOINT freeze --help)"),
    "control EP freeze --att 1": (
        2, "unknown option '--att'; did you mean '--at'? (see rtspikes control ENDPOINT freeze --help)"),
    "control EP freeze --at 5": (2, EARLIER),
    "control EP freeze --at 9223372036854775808": (
        2, "at_sample must be an absolute sample, 0 … 2⁶³ - 1, got 9223372036854775808"),
    "control EP save saved.json": (2, "saved.json exists, and thresholds are never overwritten; choose another name"),
    "control EP save none/x.json": (
        5, f"cannot write {Path('none/x.json')}: no such file or directory; choose another name"),
    "control EP load save.json": (5, "save.json: no such file or folder; did you mean 'saved.json'?"),
    "control EP load fewer.json": (
        5, "fewer.json must name exactly this run's electrodes; 'E1' is in only one of the two"),
    "control EP load slow.json": (
        5, "slow.json is of a signal with 10000 Hz, this run's has 20000 Hz: its thresholds do not compare"),
    "control EP load garbage.json": (
        5, "garbage.json holds no thresholds: rtspikes_thresholds must be 1, got None; write them with: "
           "rtspikes control ENDPOINT save FILE"),
    "control EP shutdown --key none.key_secret": (
        2, "the key none.key_secret cannot be read: no such file or directory; take clients/NAME.key_secret from the "
           "engine's folder of keys"),
    "mark EP ''": (2, "a mark's text must have 1 … 1000 characters, got ''"),
    "mark EP": (2, "missing argument TEXT (see rtspikes mark --help)"),
    "control tcp://127.0.0.1:1 status --timeout 0.1": (
        4, "no engine at tcp://127.0.0.1:1 within 0.1 s; start one with: rtspikes run --source URI"),
    "mark tcp://127.0.0.1:1 now --timeout 0.1": (
        4, "no engine at tcp://127.0.0.1:1 within 0.1 s; start one with: rtspikes run --source URI"),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.CompletedProcess[str]]]:
    """Ask an engine for all of ANSWERS, one process per core at a time; it is still there in the end."""
    folder = tmp_path_factory.mktemp("refusals")
    with Running("run", "--source", "sim:4?seconds=3600", *ANY) as engine, ThreadPoolExecutor(os.cpu_count()) as pool:
        endpoint = engine.endpoint()
        with package.control(endpoint) as control:
            wait_until(lambda: control.status()["signal_s"] > 0.5, "a known noise level")
            control.save_thresholds(folder / "saved.json")
        saved = json.loads((folder / "saved.json").read_text("utf-8"))
        fewer = {label: heights for label, heights in saved["thresholds"].items() if label != "E1"}
        for name, content in (
            ("fewer", saved | {"thresholds": fewer}), ("slow", saved | {"rate_hz": 10_000}), ("garbage", [1]),
        ):  # fmt: skip
            (folder / f"{name}.json").write_text(json.dumps(content))
        lines = [shlex.split(line.replace("EP", endpoint)) for line in ANSWERS]
        done = list(pool.map(lambda words: rtspikes(*words, cwd=folder), lines))
        alive = rtspikes("control", endpoint, "freeze")
        assert (alive.returncode, alive.stderr) == (0, "")
        yield dict(zip(ANSWERS, done, strict=True))


@pytest.mark.parametrize("line", ANSWERS)
def test_a_refusal_is_one_line_and_an_exit_code(
    line: str, outcomes: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    code, text = ANSWERS[line]
    done = outcomes[line]
    (said,) = done.stderr.splitlines()
    assert re.fullmatch(text if text is EARLIER else re.escape(text), said.removeprefix("rtspikes: ")), said
    assert (done.returncode, done.stdout) == (code, "")


def test_keys_decide_who_reads_who_controls_and_who_stays_out(tmp_path: Path) -> None:
    assert rtspikes("keys", "keys", "--reader", "plots", "--controller", "lab", cwd=tmp_path).returncode == 0
    plots, lab = (tmp_path / "keys" / "clients" / f"{name}.key_secret" for name in ("plots", "lab"))
    with Running(
        "run", "--source", "sim:4?seconds=3600", *ANY, "--set", f"publish.keys={tmp_path / 'keys'}",
        "--log", tmp_path / "session",
    ) as engine:  # fmt: skip
        endpoint = engine.endpoint()
        stranger = rtspikes("control", endpoint, "freeze", "--timeout", 2)
        assert (stranger.returncode, stranger.stdout) == (4, "")
        assert "refused the connection" in stranger.stderr
        reader = rtspikes("control", endpoint, "freeze", "--key", plots)
        assert (reader.returncode, reader.stdout) == (2, "")
        assert "plots may read, but not control" in reader.stderr
        assert "curve: encrypted" in rtspikes("control", endpoint, "status", "--key", plots).stdout
        with Running("listen", endpoint, "--topic", "marks", "--key", plots) as listener:
            wait_until(lambda: marked(endpoint, lab) and listener.out, "a mark that is heard")
        by_stdin = subprocess.run(
            command("control", endpoint, "shutdown", "--key", "-"),
            input=lab.read_bytes(), capture_output=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert (by_stdin.returncode, by_stdin.stderr) == (0, b"")
        assert engine.finish() == 0
    log = read_session(tmp_path / "session.rtspikes")
    assert (log.ended, log.controls[-1]["by"]) == ("end", "lab")
    assert "heard" in log.mark_texts


def marked(endpoint: str, key: Path) -> bool:
    """Mark once more: a listener that has just come hears of no earlier one."""
    return rtspikes("mark", endpoint, "heard", "--key", key).returncode == 0
