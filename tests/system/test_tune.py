"""`rtspikes tune`: files, sessions and streams in, a picture and a line of settings out."""

from __future__ import annotations

import json
import shutil
import tomllib
import uuid
from pathlib import Path

import numpy as np
import pytest

from rtspikes.config import config_from
from rtspikes.subscribers.log.reader import read_session
from tests.simulated import simulate, write_recording
from tests.system.processes import Running, rtspikes

SAMPLES, TRUTH = simulate(n_channels=3, seconds=4.0, spikes_per_s=25.0, height_uv=90.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("tuned") / "recording", SAMPLES)


@pytest.fixture(scope="module")
def session(recording: Path) -> Path:
    folder = recording.with_name("session1.rtspikes")
    done = rtspikes("replay", recording, "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--log", folder,
                    "--set", "detect.threshold=4", "--set", "detect.sign=neg")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def is_picture(path: Path) -> bool:
    start = path.read_bytes()[:200]
    return start.startswith(b"\x89PNG") if path.suffix == ".png" else b"<svg" in path.read_bytes()[:2000]


@pytest.mark.parametrize(
    ("settings", "suffix"),
    [
        ((), ".svg"),
        (("detect.method=window", "detect.window.cutoff_units=200"), ".png"),
    ],
)
def test_a_recording_gives_a_picture_and_lines_that_are_settings(
    recording: Path, tmp_path: Path, settings: tuple[str, ...], suffix: str
) -> None:
    output = tmp_path / f"a{suffix}"
    done = rtspikes("tune", recording, "-o", output, *(word for s in settings for word in ("--set", s)))
    assert done.returncode == 0, done.stderr
    assert is_picture(output)
    assert "plateau" in done.stderr
    assert str(output) in done.stderr
    pasted = config_from(tomllib.loads(done.stdout)).detect
    assert pasted.threshold or pasted.window.cutoff_units


def test_json_has_the_figures_of_the_picture(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.svg"
    at = ("--at", 4, 5, 6, "--channels", "E3", "--channels", "#0", "--seconds", 2.5, "--start", 1)
    done = rtspikes("tune", recording, "-o", output, "--json", *at)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["candidates"] == [4.0, 5.0, 6.0]
    assert [c["channel"] for c in figures["channels"]] == [0, 2]
    assert figures["seconds"] == 2.5
    assert figures["notes"] == ["2.5 s from 1 s on, of 4 s"]
    assert figures["plateau"][0] < figures["suggestion"] < figures["plateau"][1]
    assert figures["toml"][0].startswith('channels = [{ select = ["E3", "#0"], threshold = ')
    text = output.read_text("utf-8")
    for shown in ("E1", "E3", "threshold (σ)", "amplitude (µV)", "time (ms)"):
        assert shown in text


def test_a_session_is_looked_at_with_its_own_settings_in_its_recording(session: Path, tmp_path: Path) -> None:
    done = rtspikes("tune", session, "-o", tmp_path / "a.png", "--json")
    assert done.returncode == 0, done.stderr
    assert "log alone" not in done.stderr
    figures = json.loads(done.stdout)
    assert figures["threshold"][0] < 4
    assert "not at hand" not in done.stderr


@pytest.fixture
def alone(session: Path, tmp_path: Path) -> Path:
    """Return a log like that of a live session: its signal is nowhere."""
    folder = tmp_path / "alone.rtspikes"
    shutil.copytree(session, folder)
    facts = json.loads((folder / "session.json").read_text("utf-8"))
    facts["info"]["source"]["uri"] = "lsl:name=gone"
    (folder / "session.json").write_text(json.dumps(facts), "utf-8")
    return folder


def test_a_session_whose_recording_is_gone_is_told_from_its_log(alone: Path, tmp_path: Path) -> None:
    done = rtspikes("tune", alone, "-o", tmp_path / "a.png", "--json")
    assert done.returncode == 0, done.stderr
    assert "the session's recording is not at hand: its log alone is looked at" in done.stderr
    figures = json.loads(done.stdout)
    assert figures["threshold"][0] == pytest.approx(4.0, rel=1e-3)
    assert is_picture(tmp_path / "a.png")


def test_the_log_alone_is_looked_at_as_it_is_or_not_at_all(alone: Path, tmp_path: Path) -> None:
    for option in (("--start", 1), ("--seconds", 3), ("--set", "detect.threshold=7")):
        done = rtspikes("tune", alone, "-o", tmp_path / "a.png", *option)
        assert done.returncode == 2
        assert "of its log alone, leave --set, --start and --seconds out" in done.stderr


def test_a_sessions_recording_is_worth_as_many_uv_as_in_the_session(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "twice.rtspikes"
    scale = ("--set", "source.uv_per_unit=2", "--set", "detect.threshold_uv=-300")
    done = rtspikes("replay", recording, "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--log", folder, *scale)
    assert done.returncode == 0, done.stderr
    done = rtspikes("tune", folder, "-o", tmp_path / "a.png", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    logged = read_session(folder).thresholds["sigma_uv"]
    assert figures["channels"][0]["sigma_uv"] == pytest.approx(float(np.median(logged)), rel=0.2)
    assert figures["suggestion"] > 200
    assert figures["seconds"] == 4.0


def test_a_live_stream_is_listened_to_for_a_while(recording: Path, tmp_path: Path) -> None:
    name = f"tune-{uuid.uuid4().hex}"
    with Running("stream", recording, "--loop", "--name", name):
        done = rtspikes("tune", f"lsl:name={name}", "--seconds", 3, "-o", tmp_path / "a.png", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["seconds"] == 3.0
    assert figures["plateau"] is not None
    assert "receiving 3 s of lsl:" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("recording.raw", "-o", "a.pdf"), 2, "-o must end in .png or .svg, got 'a.pdf'"),
        (("recording.raw", "-o", "no/such/a.png"), 5, "cannot write no/such/a.png"),
        (("recording.raw", "-o", "a.png", "--start", "3"), 5, "at least 2 s are needed, got 1 s from 3 s on"),
        (("recording.raw", "-o", "a.png", "--channels", "E9"), 2, "selector 'E9' matches no channel"),
        (("recording.raw", "-o", "a.png", "--set", "detect.method=hoop"), 2, "detect.hoop needs hoops"),
        (("recordin.raw", "-o", "a.png"), 5, "did you mean 'recording.raw'?"),
        (("sim:60", "-o", "a.png", "--start", "3"), 2, "--start is for files"),
        (("sim:60?seconds=1", "-o", "a.png"), 3, "at least 2 s without a loss are needed, got 1 s"),
        (("session1.rtspikes", "-o", "a.png", "--config", "x.toml"), 2, "a session is looked at with its own settings"),
        (("recording.raw", "-o", "a.png", "--at", "4", "5", "0"), 2, "must be a number > 0, got '0'"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_one_line(
    recording: Path, session: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    assert session.is_dir()
    folder = recording.parent
    (folder / "x.toml").write_text("")
    done = rtspikes("tune", *words, cwd=folder)
    assert done.returncode == code, done.stderr
    assert message in done.stderr.splitlines()[-1] if code != 2 else message in done.stderr
    assert done.stdout == ""
    assert not (folder / "a.png").exists()
