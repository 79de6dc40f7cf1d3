"""README, PROTOCOL and CONFIG are true: their commands and snippets are run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import rtspikes
from rtspikes.cli.commands import cli
from rtspikes.config import settings_document
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.score import score_session
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from tests.simulated import simulate, write_recording
from tests.system.processes import DEADLINE_S, Running
from tests.system.processes import rtspikes as run_to_end

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
TOUR = (ROOT / "rtspikes/TOUR.md").read_text("utf-8")
DOCUMENTS = [
    ROOT / name
    for name in ("README.md", "devices/README.md", "rtspikes/TOUR.md", "rtspikes/VIEW.md", "rtspikes/wire/PROTOCOL.md")
]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def snippet(document: str, after: str) -> str:
    """Return the first fenced block after a text."""
    match = re.search(r"```\w+\n(.*?)```", document[document.index(after) :], re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are written for sh; PowerShell's differ in their paths"
)
def test_readmes_replay_runs_as_written(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", snippet(README, "<!-- python: make -->")], cwd=tmp_path, timeout=DEADLINE_S
    )
    assert made.returncode == 0
    commands = snippet(README, "<!-- shell: replay -->").replace(
        "replay recording.raw", "replay recording.raw --speed max"
    )
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "session1.npz").exists()
    found = rtspikes.read_session(tmp_path / "session1.rtspikes").spikes
    assert 350 < len(found) <= 420


def test_readmes_subscriber_runs_as_written(tmp_path: Path) -> None:
    code = snippet(README, "<!-- python: subscribe -->")
    assert len(code.strip().splitlines()) <= 5
    subscribe_with(code, tmp_path, expected="]")


def test_readmes_demo_is_the_command_that_the_demo_test_runs() -> None:
    assert snippet(README, "<!-- demo -->").split() == [".venv/bin/rtspikes", "demo"]


def test_readme_is_a_front_door() -> None:
    assert len(README.splitlines()) <= 250


def test_every_guarantee_of_the_readme_links_its_test() -> None:
    table = README[README.index("## What you can rely on") :]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "promise" not in line]
    assert len(rows) >= 6
    for row in rows:
        assert re.search(r"\]\(tests/[\w/]+\.py\)", row), row


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are written for sh")
def test_the_tour_can_be_walked_as_written(tmp_path: Path) -> None:
    steps = re.findall(r"<!-- (shell|python): tour -->\n```\w+\n(.*?)```", TOUR, re.DOTALL)
    assert len(steps) >= 6
    said = ""
    for kind, text in steps:
        if kind == "shell":
            text = re.sub(r"^rtspikes demo", "rtspikes demo --seconds 2", text, flags=re.MULTILINE)
        step = ["sh", "-e", "-c", text] if kind == "shell" else [sys.executable, "-c", text]
        done = subprocess.run(
            step, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=2 * DEADLINE_S
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    scores = {name: rtspikes.read_session(tmp_path / f"{name}.rtspikes") for name in ("low", "middle", "high", "gaps")}
    recall, precision = zip(*(_scored(scores[name]) for name in ("low", "middle", "high")), strict=True)
    assert 14 / 15 < 1 - precision[0] < 17 / 18  # fifteen of sixteen events are noise
    assert min(precision[1], recall[0], recall[1]) > 0.95
    assert precision[2] > 0.999
    assert recall[2] < 0.97
    assert len(scores["gaps"].gaps) == 10
    assert 19 < scores["gaps"].observed_s.max() < 20
    bicuculline, ttx = (list(map(int, counts.split())) for counts in re.findall(r"2 s: \[([\d\s]+)\]", said))
    assert sum(bicuculline[5:]) / 15 > 2 * sum(bicuculline[:5]) / 5
    assert sum(ttx[7:]) / 13 < 0.1 * sum(ttx[:5]) / 5


def _scored(session: Session) -> tuple[float, float]:
    score = score_session(session)
    assert score is not None
    return score.recall, score.precision


def test_the_tours_closed_loop_sees_the_bursts(tmp_path: Path) -> None:
    code = snippet(TOUR, "<!-- python: loop -->")
    options = ("--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1", "--set", "source.speed=10")
    with Running("run", "--source", "sim:60?seconds=20", *options) as run:
        script = code.replace("tcp://127.0.0.1:5570", run.endpoint())
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
        assert run.finish() == 0
    assert done.returncode == 0, done.stderr
    bursts = [float(x) for x in re.findall(r"burst at ([\d.]+) s", done.stdout)]
    assert 3 <= len(bursts) <= 20
    assert bursts == sorted(bursts)


def subscribe_with(code: str, folder: Path, expected: str) -> None:
    """Run `code` as a subscriber of a replay until both end; it must have printed `expected`."""
    recording = write_recording(folder / "r", simulate(n_channels=1, seconds=2.0)[0])
    with Running(
        "replay", recording, "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1"
    ) as run:
        script = code.replace("tcp://127.0.0.1:5570", run.endpoint())
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
        assert run.finish() == 0
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    from rtspikes.config import load_config

    path = tmp_path / "lab.toml"
    path.write_text(snippet(README, "per channel too:"), "utf-8")
    config = load_config(path)
    assert config.detect.threshold == 4.5
    assert config.session["culture"] == "B7"
    made = subprocess.run(
        [sys.executable, "-c", snippet(README, "<!-- python: make -->")], cwd=tmp_path, timeout=DEADLINE_S
    )
    assert made.returncode == 0
    options = ("--set", "source.speed=max", "--publish", "tcp://127.0.0.1:0", "--log", "s")
    done = run_to_end("run", "lab.toml", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rtspikes.read_session(tmp_path / "s.rtspikes").info["session_keys"]["div"] == 21


def test_the_settings_document_is_up_to_date() -> None:
    stored = (ROOT / "rtspikes/CONFIG.md").read_text("utf-8")
    assert stored == settings_document(), "run: python -m rtspikes.config"


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links {target}"


def test_every_command_that_a_document_names_is_there_with_its_options() -> None:
    named = [
        (document.name, words)
        for document in DOCUMENTS
        for span in re.findall(r"`(rtspikes [^`\n]+)`", document.read_text("utf-8"))
        if (words := span.split()[1:]) and not words[0].startswith("-")
    ]
    assert len(named) > 15
    for document, words in named:
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, f"{document} names {words}"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, f"{document} names {words}"


def test_readmes_one_liners_in_python_do_what_it_says(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "recording", simulate(4, 1.0)[0])
    array, session = np.fromfile(recording, "<i2").reshape(-1, 4), "session1.rtspikes"
    run_to_end("replay", recording, "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--log", session, cwd=tmp_path)
    spans = [span for span in re.findall(r"`([^`\n]+)`", PROSE) if re.search(r"rtspikes\.\w+\(", span)]
    assert len(spans) >= 3
    with Running("run", "--source", "sim:16?live=1", "--publish", "tcp://127.0.0.1:0", "--duration", 60) as engine:
        here = {"recording.raw": recording.as_posix(), session: (tmp_path / session).as_posix()}
        here[DEFAULT_ENDPOINT] = engine.endpoint()
        for span in spans:
            code = span
            for name, real in here.items():
                code = code.replace(name, real)
            exec(code, {"rtspikes": rtspikes, "array": array})


def test_readmes_control_of_a_running_engine_works_and_is_in_the_log(tmp_path: Path) -> None:
    lines = snippet(README, "<!-- shell: control -->").splitlines()
    log = tmp_path / "session1"
    any_port = ("--publish", "tcp://127.0.0.1:0")
    with Running("run", "--source", "sim:60?live=1", *any_port, "--log", log, "--duration", 60) as engine:
        endpoint = engine.endpoint()
        with rtspikes.subscribe(endpoint) as s:
            assert next(batch for batch in s if len(batch.spikes)).kind == "spikes"  # the noise level is known
        for line in lines:
            words = [endpoint if word == DEFAULT_ENDPOINT else word for word in shlex.split(line, comments=True)[1:]]
            done = run_to_end(*words, cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, ""), line
        engine.process.terminate()
        assert engine.finish() == 0
    session = rtspikes.read_session(f"{log}.rtspikes")
    assert [type(change).__name__ for _, change in session.changes] == ["Threshold", "Freeze"]
    assert (tmp_path / "frozen.json").exists()
    assert session.mark_texts == ["10 µM bicuculline"]


def test_the_truth_is_to_be_had_as_the_devices_document_says() -> None:
    names: dict[str, Any] = {}
    exec(snippet((ROOT / "devices/README.md").read_text("utf-8"), "<!-- python: truth -->"), names)
    assert 0 < len(names["to_find"]) <= len(names["spikes"])
    assert set(names["spikes"].dtype.names) == {"sample", "channel", "unit", "amplitude_uv"}
