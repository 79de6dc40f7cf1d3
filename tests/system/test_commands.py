"""replay → listen and log → export → info in real processes; exit codes and one-line errors."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rtspikes
from rtspikes.subscribers.log.reader import Session
from rtspikes.types import SPIKE_DTYPE, GapCause
from tests.simulated import GAIN_UV, RATE_HZ, simulate, write_recording
from tests.system.processes import Running
from tests.system.processes import rtspikes as run_to_end

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
FIELDS = SPIKE_DTYPE.names or ()


def timeless(spikes: NDArray[np.void]) -> bytes:
    spikes = np.array(spikes)
    spikes["time"] = 0
    return spikes.tobytes()


def shifted(spikes: NDArray[np.void], samples: int) -> NDArray[np.void]:
    spikes = np.array(spikes)
    spikes["sample"] += samples
    spikes["crossing"] += samples
    return spikes


def times_are_exact(spikes: NDArray[np.void], rate_hz: float = RATE_HZ) -> bool:
    """Tell whether one anchor, to the last bit, gives all times as anchor + sample / rate."""
    anchor = spikes["time"][0] - spikes["sample"][0] / rate_hz
    for _ in range(8):
        anchor = np.nextafter(anchor, -np.inf)
    for _ in range(17):
        if (anchor + spikes["sample"] / rate_hz == spikes["time"]).all():
            return True
        anchor = np.nextafter(anchor, np.inf)
    return False


@dataclass
class Replayed:
    recording: Path
    session: Session
    logged_apart: Session
    listened: list[dict[str, Any]]
    npz: dict[str, NDArray[Any]]
    rows: list[dict[str, str]]
    facts: dict[str, Any]


@pytest.fixture(scope="module", params=["max", "4"])
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp(f"speed-{request.param}")
    recording = write_recording(folder / "rec", simulate(4, 2.0)[0])
    options = ("--speed", request.param, *ANY_PORT, "--log", folder / "own", "--wait-subscribers", 2)
    with Running("replay", recording, *options) as engine:
        endpoint = engine.endpoint()
        with Running("listen", endpoint, "--json") as listener, Running("log", endpoint, folder / "apart") as logger:
            assert [p.finish() for p in (engine, listener, logger)] == [0, 0, 0], (engine.err, listener.err, logger.err)
            listened = [json.loads(line) for line in listener.out]
    for to in ("npz", "csv"):
        done = run_to_end("export", folder / "own.rtspikes", "--to", to, "-o", folder / f"out.{to}")
        assert done.returncode == 0, done.stderr
        assert not done.stderr
    info = run_to_end("info", folder / "own.rtspikes", "--json")
    with np.load(folder / "out.npz", allow_pickle=False) as npz, open(folder / "out.csv", encoding="utf-8") as table:
        return Replayed(
            recording,
            rtspikes.read_session(folder / "own.rtspikes"),
            rtspikes.read_session(folder / "apart.rtspikes"),
            listened,
            dict(npz),
            list(csv.DictReader(table)),
            json.loads(info.stdout),
        )


def test_the_log_holds_what_offline_detection_finds(replayed: Replayed) -> None:
    spikes, waveforms = rtspikes.detect(replayed.recording)
    assert len(spikes) > 20
    for session in (replayed.session, replayed.logged_apart):
        assert session.ended == "end"
        assert session.missed == session.torn_bytes == 0
        assert session.to_sample == 40000
        assert timeless(session.spikes) == timeless(spikes)
        assert session.waveforms.tobytes() == waveforms.tobytes()


def test_npz_holds_every_field_and_the_info(replayed: Replayed) -> None:
    assert {*FIELDS, "waveforms", "info"} <= set(replayed.npz)
    for name in FIELDS:
        assert replayed.npz[name].dtype == SPIKE_DTYPE[name]
        assert replayed.npz[name].tobytes() == replayed.session.spikes[name].tobytes()
    assert replayed.npz["waveforms"].tobytes() == replayed.session.waveforms.tobytes()
    info = json.loads(str(replayed.npz["info"]))
    assert info == replayed.session.info
    assert (info["rate_hz"], info["n_channels"]) == (RATE_HZ, 4)


def test_csv_reads_back_bit_for_bit(replayed: Replayed) -> None:
    columns = {name: [SPIKE_DTYPE[name].type(row[name]) for row in replayed.rows] for name in FIELDS}
    back = np.zeros(len(replayed.rows), SPIKE_DTYPE)
    for name, values in columns.items():
        back[name] = values
    assert back.tobytes() == replayed.session.spikes.tobytes()
    assert [row["label"] for row in replayed.rows] == [f"E{c + 1}" for c in back["channel"]]


def test_spike_times_are_one_anchor_plus_sample_over_rate(replayed: Replayed) -> None:
    assert times_are_exact(replayed.session.spikes)
    assert replayed.session.spikes["time"].tobytes() == replayed.logged_apart.spikes["time"].tobytes()


def test_listen_prints_every_spike_as_json(replayed: Replayed) -> None:
    assert {line["kind"] for line in replayed.listened} == {"spikes"}
    back = np.array([tuple(line[name] for name in FIELDS) for line in replayed.listened], SPIKE_DTYPE)
    assert back.tobytes() == replayed.session.spikes.tobytes()


def test_info_tells_what_a_session_and_a_recording_hold(replayed: Replayed) -> None:
    assert replayed.facts["spikes"] == len(replayed.session.spikes)
    assert (replayed.facts["ended"], replayed.facts["length_s"]) == ("end", 2.0)
    recording = json.loads(run_to_end("info", replayed.recording, "--json").stdout)
    assert (recording["length_s"], recording["channels"], recording["sampling_rate_hz"]) == (2.0, 4, RATE_HZ)


def test_run_takes_all_tables_of_its_configuration(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "rec", simulate(4, 2.0)[0])
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
        [source]
        uri = {json.dumps(f"file:{recording.as_posix()}")}
        speed = "max"
        [detect]
        threshold = 6
        [[channels]]
        select = "E2"
        enabled = false
        [session]
        culture = "C7"
        div = 21
        """
    )
    done = run_to_end("run", config, *ANY_PORT, "--log", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    session = rtspikes.read_session(tmp_path / "s.rtspikes")
    info = json.loads((tmp_path / "s.rtspikes" / "session.json").read_text("utf-8"))["info"]
    assert info["session_keys"] == {"culture": "C7", "div": 21}
    assert info["detect"]["threshold"] == 6
    assert info["enabled"] == [True, False, True, True]
    assert set(session.spikes["channel"]) == {0, 2, 3}
    assert timeless(session.spikes) == timeless(rtspikes.detect(recording, config)[0])


def test_session_keys_may_be_dates(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "rec", simulate(1, 0.1)[0])
    options = ("--set", "session.plated=2026-01-31", "--log", tmp_path / "s")
    done = run_to_end("replay", recording, "--speed", "max", *ANY_PORT, *options)
    assert done.returncode == 0, done.stderr[-300:]
    keys = rtspikes.read_session(tmp_path / "s.rtspikes").info["session_keys"]
    assert keys == {"plated": "2026-01-31"}


def test_a_part_of_a_file_keeps_the_files_indices(tmp_path: Path) -> None:
    samples = simulate(4, 2.0)[0]
    recording = write_recording(tmp_path / "rec", samples)
    options = ("--start", 0.5, "--stop", 1.5, "--set", "detect.threshold_uv=-40", "--log", tmp_path / "s")
    done = run_to_end("replay", recording, "--speed", "max", *ANY_PORT, *options)
    assert done.returncode == 0, done.stderr
    session = rtspikes.read_session(tmp_path / "s.rtspikes")
    settings = {"detect": {"threshold_uv": -40.0}}
    alone, waveforms = rtspikes.detect(samples[10000:30000], settings, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
    assert len(alone) > 10
    assert (session.info["first_sample"], session.to_sample) == (10000, 30000)
    assert timeless(session.spikes) == timeless(shifted(alone, 10000))
    assert session.waveforms.tobytes() == waveforms.tobytes()


def test_a_loop_goes_on_counting_and_logs_its_seams(tmp_path: Path) -> None:
    n = 12000
    recording = write_recording(tmp_path / "rec", simulate(2, n / RATE_HZ)[0])
    options = ("--loop", "--duration", 1, "--set", "detect.threshold_uv=-40", "--log", tmp_path / "s")
    done = run_to_end("replay", recording, "--speed", "max", *ANY_PORT, *options)
    assert done.returncode == 0, done.stderr
    session = rtspikes.read_session(tmp_path / "s.rtspikes")
    assert session.facts["ended"]["engine"]["reason"] == "stopped"
    assert session.to_sample > 2 * n
    gaps = session.gaps
    assert gaps["sample"].tolist() == list(range(n, n * (len(gaps) + 1), n))
    assert session.to_sample - n <= gaps["sample"][-1] <= session.to_sample
    assert set(gaps["lost"]) == {0}
    assert set(gaps["cause"]) == {GapCause.SEAM}
    ids = np.concatenate([session.spikes["id"], session.rejected["id"]])
    assert np.array_equal(np.sort(ids), np.arange(len(ids)))
    assert times_are_exact(session.spikes)

    settled = session.info["settling_samples"]
    first, second = (
        np.flatnonzero((session.spikes["crossing"] >= k * n + settled) & (session.spikes["crossing"] < (k + 1) * n))
        for k in (0, 1)
    )
    again, once = session.spikes[second], shifted(session.spikes[first], n)
    assert len(once) > 5
    for name in ("sample", "crossing", "channel", "amplitude_uv"):
        assert again[name].tobytes() == once[name].tobytes(), name
    assert session.waveforms[second].tobytes() == session.waveforms[first].tobytes()


@dataclass
class Place:
    """A folder with a good recording, and a port that another program has."""

    folder: Path
    good: Path
    port: int

    def recording(self, name: str, **sidecar: Any) -> Path:
        return write_recording(self.folder / name, simulate(2, 0.05)[0], **sidecar)

    def cut(self, size: int) -> Path:
        path = self.recording(f"cut{size}")
        path.write_bytes(path.read_bytes()[:size])
        return path

    def without_sidecar(self) -> Path:
        path = self.recording("alone")
        path.with_suffix(".json").unlink()
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("errors")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Place(folder, write_recording(folder / "good", simulate(2, 0.2)[0]), taken.getsockname()[1])


def replay(path: Callable[[Place], Path], *options: object) -> Callable[[Place], list[object]]:
    return lambda p: ["replay", path(p), "--speed", "max", *ANY_PORT, *options]


def good(*options: object) -> Callable[[Place], list[object]]:
    return replay(lambda p: p.good, *options)


WRONG: dict[str, tuple[int, Callable[[Place], list[object]], str]] = {
    "missing file": (5, replay(lambda p: p.folder / "none.raw"), "none.raw"),
    "unknown suffix": (5, replay(lambda p: p.folder / "none.xyz"), ".xyz"),
    "empty file": (5, replay(lambda p: p.cut(0)), "empty"),
    "file torn inside a frame": (5, replay(lambda p: p.cut(3999)), "3999"),
    "file cut between frames": (5, replay(lambda p: p.cut(2000)), "500"),
    "missing sidecar": (5, replay(lambda p: p.without_sidecar()), "alone.json"),
    "contradicting sidecar": (5, replay(lambda p: p.recording("bad", n_samples=7)), "7"),
    "zero channels": (5, replay(lambda p: p.recording("zero", n_channels=0, channel_ids=[])), "n_channels"),
    "two channels of one name": (5, replay(lambda p: p.recording("twins", channel_ids=["A", "A"])), "'A'"),
    "absurd rate": (5, replay(lambda p: p.recording("fast", sampling_rate_hz=1e15)), "sampling_rate_hz"),
    "unknown key": (2, good("--set", "detect.treshold=4"), "did you mean 'detect.threshold'?"),
    "wrong value": (2, good("--set", "detect.threshold=-4"), "-4"),
    "wrong type": (2, good("--set", 'detect.threshold="high"'), "high"),
    "wrong speed": (2, good("--speed", "fast"), "fast"),
    "start that is no number": (2, good("--start", "nan"), "nan"),
    "stop without end": (2, good("--stop", "inf"), "inf"),
    "stop after the end": (2, good("--stop", 9), "0.2 s"),
    "snippet that is no number": (2, good("--set", "detect.snippet_ms=[nan, 1]"), "nan"),
    "bad selector": (2, good("--set", 'channels=[{select="Q*", enabled=false}]'), "Q*"),
    "unknown command": (2, lambda p: ["reply"], "did you mean 'replay'?"),
    "unknown option": (2, good("--sped", 1), "--speed"),
    "missing configuration": (2, lambda p: ["run", p.folder / "no.toml"], "no.toml"),
    "no source": (2, lambda p: ["run"], "--source"),
    "unknown scheme": (2, lambda p: ["run", "--source", "filed:x"], "did you mean 'file'?"),
    "endpoint for everybody": (2, good("--publish", "tcp://0.0.0.0:0"), "0.0.0.0"),
    "endpoint of another computer": (2, good("--publish", "tcp://192.0.2.1:5570"), "192.0.2.1"),
    "port that is none": (2, good("--publish", "tcp://127.0.0.1:99999"), "99999"),
    "port in use": (
        4,
        lambda p: [*good()(p), "--publish", f"tcp://127.0.0.1:{p.port}"],
        "in use",
    ),
    "log under a file": (2, lambda p: [*good()(p), "--log", p.good / "s"], "good.raw"),
    "listen without an engine": (
        4,
        lambda p: ["listen", f"tcp://127.0.0.1:{p.port}", "--timeout", 0.1],
        "no engine",
    ),
    "listen to no endpoint": (4, lambda p: ["listen", "somewhere"], "somewhere"),
    "listen to an unknown topic": (2, lambda p: ["listen", "--topic", "spike"], "spike"),
    "log without an engine": (
        4,
        lambda p: ["log", f"tcp://127.0.0.1:{p.port}", p.folder / "l", "--timeout", 0.1],
        "no engine",
    ),
    "export of no session": (5, lambda p: ["export", p.folder, "--to", "csv", "-o", p.folder / "x"], "session"),
    "info of nothing": (5, lambda p: ["info", p.folder / "none.raw"], "none.raw"),
}


Outcome = Future[subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def outcomes(place: Place) -> Iterator[dict[str, Outcome]]:
    """Run all of WRONG, one process per core at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {case: pool.submit(run_to_end, *arguments(place)) for case, (_, arguments, _) in WRONG.items()}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line_and_have_their_exit_code(case: str, outcomes: dict[str, Outcome]) -> None:
    code, _, text = WRONG[case]
    done = outcomes[case].result()
    progress = ("publishing on", "compiling the kernels")
    lines = [line for line in done.stderr.splitlines() if not line.startswith(progress)]
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    assert len(lines) == 1
    assert lines[0].startswith("rtspikes: ")
    assert text in lines[0]
    assert not done.stdout


@pytest.mark.parametrize("command", ["replay", "log"])
def test_an_existing_log_is_refused_and_left_as_it_is(command: str, place: Place) -> None:
    taken = place.folder / f"{command}.rtspikes"
    taken.mkdir()
    (taken / "session.json").write_text("precious")
    where = {
        "replay": [place.good, *ANY_PORT, "--log", place.folder / command],
        "log": [f"tcp://127.0.0.1:{place.port}", taken],
    }
    done = run_to_end(command, *where[command])
    assert done.returncode == 2
    assert "never overwritten" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [(p.name, p.read_text()) for p in taken.iterdir()] == [("session.json", "precious")]
