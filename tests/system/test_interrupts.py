"""Ctrl-C, kill and kill -9 of real processes: what ends, what goes on, and what the log still holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

import rtspikes
from rtspikes.errors import RtspikesError
from rtspikes.subscribers.log.layout import JOURNAL_DTYPE, JOURNAL_FILE
from rtspikes.subscribers.log.reader import Session
from tests.simulated import GAIN_UV, RATE_HZ, simulate, write_recording
from tests.system.processes import Running, wait_until
from tests.system.processes import rtspikes as run_to_end

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT, SIGSTOP and SIGKILL to one process are POSIX")

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
LONG_S = 120.0


@pytest.fixture(scope="module")
def samples() -> NDArray[np.int16]:
    """Return a recording that outlasts every test, at the speed used here."""
    return np.tile(simulate(2, 20.0)[0], (int(LONG_S / 20), 1))


@pytest.fixture(scope="module")
def long(samples: NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("long") / "rec", samples)


@pytest.fixture
def flood(tmp_path: Path) -> tuple[object, ...]:
    """Return the command of an endless run at speed max, whose subscribers have room for few messages."""
    recording = write_recording(tmp_path / "flood", simulate(16, 1.0, spikes_per_s=100)[0])
    return ("replay", recording, "--speed", "max", "--loop", *ANY_PORT, "--set", "publish.linger_s=3600")


def timeless(spikes: NDArray[np.void]) -> bytes:
    spikes = np.array(spikes)
    spikes["time"] = 0
    return spikes.tobytes()


def holds_all_before_its_end(log: Session, samples: NDArray[np.int16]) -> bool:
    """Tell whether the log is exactly what offline detection has with triggers before the log's `to_sample`."""
    stop = min(len(samples), log.to_sample + round(RATE_HZ))  # beyond the last event's window
    spikes, waveforms = rtspikes.detect(samples[:stop], rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
    n = int(np.searchsorted(spikes["crossing"], log.to_sample))
    return timeless(log.spikes) == timeless(spikes[:n]) and log.waveforms.tobytes() == waveforms[:n].tobytes()


def logged_spikes(path: Path) -> int:
    """Return how many spikes are safe in a log that is being written."""
    try:
        return len(rtspikes.read_session(path).spikes)
    except RtspikesError:
        return 0


def drain_until_blocked(subscriber: rtspikes.Subscriber) -> None:
    """Receive until even ticks, due every 10 ms, stay away: the engine waits for somebody else."""
    while subscriber.get(timeout_s=1.0) is not None:
        pass


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_ctrl_c_drains_and_closes(name: str, long: Path, samples: NDArray[np.int16], tmp_path: Path) -> None:
    with Running("replay", long, "--speed", 4, *ANY_PORT, "--log", tmp_path / "s") as engine:
        engine.wait_line("spikes/s")
        engine.process.send_signal(getattr(signal, name))
        assert engine.finish() == 0, engine.err
    log = rtspikes.read_session(tmp_path / "s.rtspikes")
    assert log.ended == "end"
    assert log.facts["ended"]["engine"]["reason"] == "stopped"
    assert log.facts["ended"]["engine"]["to_sample"] == log.to_sample
    assert 0 < log.to_sample < len(samples)
    spikes, waveforms = rtspikes.detect(samples[: log.to_sample], rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
    assert len(spikes) > 0
    assert timeless(log.spikes) == timeless(spikes)
    assert log.waveforms.tobytes() == waveforms.tobytes()


def test_ctrl_c_before_the_logger_is_there_ends_the_run(long: Path, tmp_path: Path) -> None:
    with Running("replay", long, *ANY_PORT, "--log", tmp_path / "s", "--set", "publish.linger_s=0") as engine:
        engine.endpoint()
        engine.process.send_signal(signal.SIGINT)
        assert engine.finish() == 0, engine.err


def test_ctrl_c_while_subscribers_are_awaited_ends_the_run(long: Path) -> None:
    with Running("replay", long, *ANY_PORT, "--wait-subscribers", 1) as engine:
        engine.endpoint()
        engine.process.send_signal(signal.SIGINT)
        assert engine.finish() == 0, engine.err


def test_a_second_ctrl_c_ends_a_run_that_waits_for_a_stopped_subscriber(flood: tuple[object, ...]) -> None:
    few = ("--set", "publish.high_water_mark=10", "--wait-subscribers", 2)
    with Running(*flood, *few) as engine:
        endpoint = engine.endpoint()
        with Running("listen", endpoint) as stopped, rtspikes.subscribe(endpoint) as healthy:
            stopped.wait_line("µV")
            stopped.process.send_signal(signal.SIGSTOP)
            drain_until_blocked(healthy)
            engine.process.send_signal(signal.SIGINT)
            drain_until_blocked(healthy)
            assert engine.process.poll() is None
            engine.process.send_signal(signal.SIGINT)
            assert engine.finish() == 130
            assert stopped.process.poll() is None
            assert "Traceback" not in "".join(engine.err)


def test_a_second_ctrl_c_ends_a_run_that_lingers(flood: tuple[object, ...], tmp_path: Path) -> None:
    beyond_socket_buffers = 40_000_000
    many = ("--set", "publish.high_water_mark=10000", "--log", tmp_path / "s", "--wait-subscribers", 2)
    with Running(*flood, *many) as engine:
        endpoint = engine.endpoint()
        with Running("listen", endpoint) as stopped, rtspikes.subscribe(endpoint) as healthy:
            stopped.wait_line("µV")
            stopped.process.send_signal(signal.SIGSTOP)
            received = 0
            while received < beyond_socket_buffers:
                batch = healthy.get()
                assert batch is not None
                received += batch.waveforms.nbytes
            engine.process.send_signal(signal.SIGINT)
            for _ in healthy:
                pass
            wait_until(lambda: rtspikes.read_session(tmp_path / "s.rtspikes").ended == "end", "the log's end")
            assert engine.process.poll() is None
            engine.process.send_signal(signal.SIGINT)
            assert engine.finish() == 130
            assert stopped.process.poll() is None
            assert "Traceback" not in "".join(engine.err)
    assert rtspikes.read_session(tmp_path / "s.rtspikes").missed == 0


def test_an_engine_killed_leaves_a_log_and_subscribers_that_say_so(
    long: Path, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    path = tmp_path / "s.rtspikes"
    with Running("replay", long, *ANY_PORT, "--log", path, "--wait-subscribers", 1) as engine:
        with Running("listen", engine.endpoint(), "--json") as listener:
            wait_until(lambda: logged_spikes(path) > 5, "a flush of spikes")
            engine.process.kill()
            safe = logged_spikes(path)
            assert listener.finish() == 4
            assert "closed the connection without an end" in listener.err[-1]
            assert "Traceback" not in "".join(listener.err)
            wait_until(lambda: rtspikes.read_session(path).ended != "open", "the log's end")
            log = rtspikes.read_session(path)
            assert log.ended == "engine vanished"
            assert len(log.spikes) >= safe
            assert log.missed == log.torn_bytes == 0
            assert [json.loads(line)["id"] for line in listener.out] == list(range(len(listener.out)))
            assert len(listener.out) >= safe
            assert holds_all_before_its_end(log, samples)
    told = run_to_end("info", path, "--json")
    assert '"engine vanished"' in told.stdout
    exported = run_to_end("export", path, "--to", "npz", "-o", tmp_path / "x.npz")
    assert "engine vanished" in exported.stderr
    assert exported.returncode == 0


def test_a_logger_killed_leaves_its_log_and_a_run_that_goes_on(
    long: Path, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    path = tmp_path / "s.rtspikes"
    with Running("replay", long, *ANY_PORT, "--log", path, "--wait-subscribers", 1) as engine:
        with rtspikes.subscribe(engine.endpoint()) as subscriber:
            wait_until(lambda: logged_spikes(path) > 5, "a flush of spikes")
            children = psutil.Process(engine.process.pid).children()
            (logger,) = [child for child in children if str(path) in child.cmdline()]
            logger.kill()
            notice = engine.err.index(engine.wait_line("THE LOGGER ENDED"))
            wait_until(lambda: any("spikes/s" in line for line in engine.err[notice:]), "a later status line")
            engine.process.send_signal(signal.SIGINT)
            missed = [m for batch in subscriber for m in batch.missed]
            assert engine.finish() == 5
            assert not missed
            assert subscriber.end is not None
            assert subscriber.end["to_sample"] > rtspikes.read_session(path).to_sample
    log = rtspikes.read_session(path)
    assert log.ended == "open"
    assert len(log.spikes) > 5
    assert holds_all_before_its_end(log, samples)
    told = run_to_end("export", path, "--to", "csv", "-o", tmp_path / "x.csv")
    assert "was cut off" in told.stderr


def test_a_journal_cut_anywhere_never_parts_spikes_from_their_waveforms(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "rec", simulate(2, 1.0)[0])
    done = run_to_end("replay", recording, "--speed", "max", *ANY_PORT, "--log", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    whole = tmp_path / "s.rtspikes"
    journal = (whole / JOURNAL_FILE).read_bytes()
    assert len(journal) > JOURNAL_DTYPE.itemsize
    for size in range(0, len(journal) + 1, JOURNAL_DTYPE.itemsize // 2):
        torn = tmp_path / f"torn{size}"
        shutil.copytree(whole, torn)
        (torn / JOURNAL_FILE).write_bytes(journal[:size])
        log = rtspikes.read_session(torn)
        assert len(log.spikes) == len(log.waveforms), f"journal cut to {size} bytes"


def test_a_recording_that_is_cut_while_it_is_replayed_ends_the_run_with_a_line(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "r", simulate(2, 10.0)[0])
    with Running("replay", recording, "--publish", "tcp://127.0.0.1:0", "--log", tmp_path / "s") as run:
        run.wait_line(" spikes/s")
        os.truncate(recording, 4000)
        assert run.finish() == 5
    assert run.err[-1].startswith(f"rtspikes: {recording}: another program has cut it")
    ended = rtspikes.read_session(tmp_path / "s.rtspikes").facts["ended"]["engine"]
    assert ended["reason"].startswith("source failed: ")
    assert "another program has cut it" in ended["reason"]
