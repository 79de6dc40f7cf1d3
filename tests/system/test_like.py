"""A session's log is enough to have its spikes again: the same settings, the same changes at the same samples."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtspikes as package
from rtspikes.clock import LslClock
from rtspikes.config import load_config
from rtspikes.detect.changes import Change, Follow, Freeze, Levels, Mute, Recalibrate, Threshold, Unmute
from rtspikes.engine import Engine
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.record import record_session
from rtspikes.subscribers.log.writer import LOGGED_KINDS
from tests.simulated import simulate, write_recording
from tests.system.processes import Running, rtspikes, wait_until

SAMPLES, _ = simulate(n_channels=4, seconds=3.0, spikes_per_s=30)

SETTINGS = """
channels = [{select = "E3", sign = "both"}, {select = "E4", dead_time_ms = 2}]
[detect]
threshold = 4
noise = {block_s = 0.2, window_s = 0.6}
[publish]
endpoint = "tcp://127.0.0.1:0"
"""

CHANGES: list[tuple[int, Change]] = [
    (9_001, Threshold("E1", threshold=6.0)),
    (15_000, Mute(("E2", "#3"))),
    (15_000, Threshold("E*", threshold_uv=40.0)),
    (21_234, Recalibrate()),
    (25_000, Unmute("E2")),
    (30_000, Freeze()),
    (41_000, Levels(("E4", "E3", "E2", "E1"), (-31.5, None, -29.25, -44.0), (None, 33.1, None, None))),
    (50_000, Follow()),
    (50_000, Threshold(0, threshold=4.5)),
]

MAX = ("--speed", "max", "--publish", "tcp://127.0.0.1:0")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "rig.toml").write_text(SETTINGS)
    return write_recording(tmp_path / "a", SAMPLES)


def logged(recording: Path, **source: Any) -> Session:
    """Return the log of an engine that was told CHANGES while it replayed the recording."""
    settings = {"source": {"uri": f"file:{recording}", "speed": "max", **source}}
    config = load_config(recording.with_name("rig.toml"), (), settings)
    folder = recording.with_name("first.rtspikes")
    with Engine(config, changes=CHANGES) as engine:
        with package.subscribe(engine.endpoint, kinds=LOGGED_KINDS) as subscriber:
            ready = threading.Event()
            logger = threading.Thread(
                target=record_session, args=(subscriber, folder, LslClock()), kwargs={"ready": lambda log: ready.set()}
            )
            logger.start()
            engine.start()
            wait_until(lambda: ready.is_set() and engine.subscribers, "the logger's readiness")
            engine.release()
            while not engine.wait(0.05):
                pass
            logger.join()
    return read_session(folder)


def replayed(recording: Path, like: Session, name: str = "again") -> tuple[Session, str]:
    """Return the log of `replay --like`, and what it said on stderr."""
    folder = like.path.with_name(f"{name}.rtspikes")
    done = rtspikes("replay", recording, "--like", like.path, *MAX, "--log", folder)
    assert done.returncode == 0, done.stderr
    return read_session(folder), done.stderr


def assert_same(found: Session, wanted: Session) -> None:
    """Check that two logs tell the same of everything but the clock."""
    assert len(wanted.spikes) > 20
    for name in ("spikes", "rejected"):
        tables = [getattr(session, name).copy() for session in (found, wanted)]
        for table in tables:
            table["time"] = 0
        assert tables[0].tobytes() == tables[1].tobytes()
    for name in ("waveforms", "thresholds", "observed_s"):
        assert getattr(found, name).tobytes() == getattr(wanted, name).tobytes()
    assert found.changes == wanted.changes
    assert found.to_sample == wanted.to_sample


def test_a_replay_like_a_session_gives_its_spikes_and_so_does_one_like_the_replay(recording: Path) -> None:
    first = logged(recording)
    assert first.changes == CHANGES
    again, said = replayed(recording, first)
    assert_same(again, first)
    assert "with its 9 control changes" in said
    assert "not all can be" not in said
    assert_same(replayed(recording, again, "third")[0], first)


def test_offline_detection_with_the_sessions_changes_gives_its_spikes(recording: Path) -> None:
    first = logged(recording)
    spikes, waveforms = package.detect(recording, recording.with_name("rig.toml"), changes=first.changes)
    wanted = first.spikes.copy()
    wanted["time"] = spikes["time"] = 0
    assert spikes.tobytes() == wanted.tobytes()
    assert waveforms.tobytes() == first.waveforms.tobytes()


def test_muted_time_is_not_observed(recording: Path) -> None:
    first = logged(recording)
    muted = [0, 10_000, 0, len(SAMPLES) - 15_000]
    assert first.observed_s.tolist() == [(len(SAMPLES) - n) / 20_000 for n in muted]
    quiet = first.spikes[(first.spikes["crossing"] >= 15_000) & (first.spikes["channel"] == 3)]
    assert len(quiet) == 0


def test_the_stretch_is_the_sessions_too(recording: Path) -> None:
    first = logged(recording, start_s=0.25, stop_s=2.0)
    again, said = replayed(recording, first)
    assert (first.info["first_sample"], first.to_sample) == (5_000, 40_000)
    assert_same(again, first)
    assert "not all can be" not in said


def test_a_live_run_that_was_controlled_comes_again(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "first.rtspikes"
    config = ("--config", recording.with_name("rig.toml"))
    with Running("replay", recording, *config, "--log", folder, "--wait-subscribers", 1) as run:
        with package.control(run.endpoint()) as control, package.subscribe(run.endpoint()) as subscriber:
            assert any(batch.to_sample > 0 for batch in subscriber)  # all who were waited for are there
            control.mute(["E1", "E2"])
            control.threshold("E3", 3.5)
            control.mark("10 µM bicuculline")
            control.unmute("E1")
            last = control.freeze()
            for batch in subscriber:
                if batch.to_sample > last.sample + 10_000:
                    break
            control.shutdown()
        assert run.finish() == 0, run.err
    first = read_session(folder)
    assert [type(change).__name__ for _, change in first.changes] == ["Mute", "Threshold", "Unmute", "Freeze"]
    assert first.mark_texts == ["10 µM bicuculline"]
    assert first.missed == 0
    again, said = replayed(recording, first)
    assert_same(again, first)
    assert "not all can be" not in said
    shown = rtspikes("info", folder).stdout
    assert "control changes      5\n" in shown
    assert "10 µM bicuculline" in shown


def test_a_killed_session_comes_again_as_far_as_it_went(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "first.rtspikes"
    long = np.tile(SAMPLES, (20, 1))  # it must not end before it is killed
    recording = write_recording(tmp_path / "a", long)
    with Running("replay", recording, "--config", recording.with_name("rig.toml"), "--log", folder) as run:
        with package.control(run.endpoint()) as control:
            wait_until(lambda: folder.exists() and read_session(folder).to_sample, "a flush")
            control.threshold("E1", 3.5)
        wait_until(lambda: len((log := read_session(folder)).spikes) > 60 and log.changes, "a flush")
        run.process.kill()
    first = read_session(folder)
    assert first.ended == "open" or first.ended == "engine vanished"
    again, _ = replayed(recording, first)
    n = len(first.spikes)
    assert again.to_sample == len(long)
    assert again.waveforms[:n].tobytes() == first.waveforms.tobytes()
    assert again.changes == first.changes


def test_a_simulation_runs_again_like_its_session(tmp_path: Path) -> None:
    source = ("--source", "sim:4?rate=20000&seconds=2&seed=5", "--set", "source.speed=max")
    sim = ("run", *source, "--publish", "tcp://127.0.0.1:0")
    first, again = tmp_path / "first.rtspikes", tmp_path / "again.rtspikes"
    assert rtspikes(*sim, "--set", "detect.threshold=3.7", "--log", first).returncode == 0
    done = rtspikes(*sim, "--like", first, "--log", again)
    assert done.returncode == 0, done.stderr
    assert_same(read_session(again), read_session(first))


@pytest.mark.parametrize(
    ("case", "message", "code"),
    [
        ("missing", "no such file or folder", 5),
        ("no session", "is not a session log", 5),
        ("channels", "must have channels 4, got 3", 2),
        ("rate", "must have a sampling rate (Hz) of 20000.0, got 25000.0", 2),
        ("contradiction", "leave detect.threshold out", 2),
    ],
)
def test_what_cannot_be_alike_is_refused_in_one_line(
    recording: Path, tmp_path: Path, case: str, message: str, code: int
) -> None:
    like = tmp_path / "first.rtspikes"
    if case == "no session":
        like.mkdir()
    elif case != "missing":
        assert rtspikes("replay", recording, *MAX, "--log", like).returncode == 0
    if case in ("channels", "rate"):
        samples = SAMPLES[:, :3] if case == "channels" else SAMPLES
        recording = write_recording(tmp_path / "b", samples, 25000.0 if case == "rate" else 20000.0)
    said = ("--set", "detect.threshold=6") if case == "contradiction" else ()
    done = rtspikes("replay", recording, "--like", like, *MAX, *said)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("rtspikes: ")
    assert message in line
    assert done.stdout == ""
