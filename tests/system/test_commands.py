"""replay → listen and log → export → info in real processes; exit codes and one-line errors."""

from __future__ import annotations

import csv
import json
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


@pytest.mark.parametrize("command", ["replay", "log"])
def test_an_existing_log_is_refused_and_left_as_it_is(command: str, tmp_path: Path) -> None:
    taken = tmp_path / "taken.rtspikes"
    taken.mkdir()
    (taken / "session.json").write_text("precious")
    recording = write_recording(tmp_path / "rec", simulate(1, 0.1)[0])
    where = {"replay": [recording, *ANY_PORT, "--log", tmp_path / "taken"], "log": ["tcp://127.0.0.1:1", taken]}
    done = run_to_end(command, *where[command])
    assert done.returncode == 2
    assert "never overwritten" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [(p.name, p.read_text()) for p in taken.iterdir()] == [("session.json", "precious")]
