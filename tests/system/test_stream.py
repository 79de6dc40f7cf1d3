"""`rtspikes stream`: what a consumer receives is exactly what is said, through every fault and every mishap."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtspikes.lsl import load
from rtspikes.lsl.metadata import describe
from rtspikes.sources.settings import SourceSettings
from tests.simulated import RATE_HZ, simulate, write_recording
from tests.system.processes import Running, rtspikes, wait_until

N_CHANNELS = 4
SECONDS = 2.0
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT, SIGSTOP and SIGKILL to one process are POSIX")


@pytest.fixture(scope="module")
def pylsl() -> ModuleType:
    return load()


@pytest.fixture(scope="module")
def samples() -> NDArray[np.int16]:
    """Return a recording whose rows differ from each other: a counter is in its first channel."""
    found = simulate(N_CHANNELS, SECONDS)[0]
    found[:, 0] = np.arange(len(found)) % 40_000 - 20_000
    return found


@pytest.fixture(scope="module")
def recording(samples: NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("stream") / "rec", samples)


@pytest.fixture
def name() -> str:
    return f"stream-{uuid.uuid4().hex}"


class Received:
    """An inlet that takes in all that comes, in a thread, until the block ends."""

    def __init__(self, pylsl: ModuleType, name: str) -> None:
        found = pylsl.resolve_byprop("name", name, timeout=30)
        assert len(found) == 1
        self._inlet = pylsl.StreamInlet(found[0], max_buflen=60)
        self.info = self._inlet.info(10)
        self._pieces: list[tuple[NDArray[Any], NDArray[np.float64]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take)

    def _take(self) -> None:
        buffer = np.zeros((1000, N_CHANNELS), np.int16)
        while not self._stop.is_set():
            _, times = self._inlet.pull_chunk(0.1, len(buffer), dest_obj=buffer, min_samples=1, as_numpy=True)
            if len(times):
                self._pieces.append((buffer[: len(times)].copy(), np.array(times)))

    def __enter__(self) -> Received:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._inlet.close_stream()

    @property
    def n(self) -> int:
        return sum(len(times) for _, times in self._pieces)

    @property
    def rows(self) -> NDArray[np.int16]:
        return np.concatenate([np.zeros((0, N_CHANNELS), np.int16), *(rows for rows, _ in self._pieces)])

    @property
    def times(self) -> NDArray[np.float64]:
        return np.concatenate([np.zeros(0), *(times for _, times in self._pieces)])


@contextmanager
def consumer_of(pylsl: ModuleType, name: str) -> Iterator[Received]:
    with Received(pylsl, name) as received:
        yield received


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sent_samples(faults: list[dict[str, Any]]) -> NDArray[np.int64]:
    """Return the indices of the samples that the file of faults says were sent."""
    kept = np.ones(faults[-1]["signal"], bool)
    for fault in faults[:-1]:
        kept[fault["sample"] : fault["sample"] + fault["lost"]] = False
    return np.flatnonzero(kept)


@pytest.mark.parametrize("chunk", ["0.2ms", "1ms", "2.35ms", "30ms"])
def test_a_recording_arrives_whole_with_exact_stamps(
    chunk: str, recording: Path, samples: NDArray[np.int16], name: str, pylsl: ModuleType, tmp_path: Path
) -> None:
    with Running(
        "stream", recording, "--wait", "--name", name, "--chunk", chunk, "--faults", tmp_path / "f"
    ) as streamer:
        with consumer_of(pylsl, name) as received:
            assert streamer.finish() == 0, streamer.err
            wait_until(lambda: received.n == len(samples), "the last sample")
    (end,) = entries(tmp_path / "f")
    assert (end["sent"], end["lost"], end["signal"]) == (len(samples), 0, len(samples))
    assert np.array_equal(received.rows, samples)
    np.testing.assert_allclose(received.times, end["t0"] + np.arange(len(samples)) / RATE_HZ, rtol=0, atol=1e-7)
    assert f"sent {len(samples)} samples of {N_CHANNELS} channels as {name!r}" in streamer.out[-1]


def test_the_metadata_are_those_of_the_source(recording: Path, name: str, pylsl: ModuleType) -> None:
    with Running("stream", recording, "--loop", "--name", name, "--source-id", f"id-{name}") as streamer:
        with consumer_of(pylsl, name) as received:
            wait_until(lambda: received.n, "a sample")
        os.kill(streamer.process.pid, signal.SIGTERM) if sys.platform != "win32" else streamer.process.terminate()
        assert streamer.finish() == 0 or sys.platform == "win32"
    info = received.info
    assert (info.name(), info.type(), info.source_id()) == (name, "Ephys", f"id-{name}")
    assert (info.channel_count(), info.nominal_srate()) == (N_CHANNELS, RATE_HZ)
    described = describe(info, "lsl:", SourceSettings()).info
    assert described.labels == [f"E{i + 1}" for i in range(N_CHANNELS)]
    assert {channel.gain_uv for channel in described.channels} == {0.195}


def test_every_fault_at_once_is_counted_exactly(name: str, recording: Path, pylsl: ModuleType, tmp_path: Path) -> None:
    faults = ("--drop", "3%", "--pause-every", "1.7s", "--pause-for", "0.3s", "--stall-every", "1.1s", "--stall-for")
    faults += ("0.2s", "--drift", "200ppm", "--clock-step", "-3s", "--clock-step-at", "3.3333s", "--seed", "7")
    faults += ("--disconnect-every", "4s", "--disconnect-for", "0.5s")
    with (
        Running(
            "stream", recording, "--loop", "--wait", "--name", name, "--duration", 10, "--chunk", "1ms", *faults,
            "--faults", tmp_path / "f",
        ) as streamer,
        consumer_of(pylsl, name) as received,
    ):  # fmt: skip
        assert streamer.finish() == 0, streamer.err
        end = entries(tmp_path / "f")[-1]
        wait_until(lambda: received.n >= end["sent"], "the last sample")
    told = entries(tmp_path / "f")
    assert {"drop", "pause", "stall", "disconnect", "clock-step", "end"} == {entry["fault"] for entry in told}
    assert end["signal"] == 10 * RATE_HZ
    sent = sent_samples(told)
    assert end["sent"] == len(sent) == received.n
    assert np.array_equal(received.rows[:, 0], sent % round(SECONDS * RATE_HZ) - 20_000)
    step_s = np.where(sent >= 66_666, -3.0, 0.0)
    expected = end["t0"] + sent / (RATE_HZ * (1 + 2e-4)) + step_s
    np.testing.assert_allclose(received.times, expected, rtol=0, atol=5e-7)  # within a push liblsl takes RATE_HZ
    for entry in told[:-1]:
        step_s = -3.0 if entry["sample"] >= 66_666 else 0.0
        assert entry["time_s"] == pytest.approx(end["t0"] + entry["sample"] / (RATE_HZ * (1 + 2e-4)) + step_s, abs=1e-9)


def test_jitter_is_in_the_stamps_alone(
    name: str, recording: Path, samples: NDArray[np.int16], pylsl: ModuleType, tmp_path: Path
) -> None:
    with (
        Running(
            "stream", recording, "--wait", "--name", name, "--chunk", "1ms", "--jitter", "5ms",
            "--faults", tmp_path / "f",
        ) as streamer,
        consumer_of(pylsl, name) as received,
    ):  # fmt: skip
        assert streamer.finish() == 0, streamer.err
        wait_until(lambda: received.n == len(samples), "the last sample")
    assert np.array_equal(received.rows, samples)
    late_s = received.times - (entries(tmp_path / "f")[-1]["t0"] + np.arange(len(samples)) / RATE_HZ)
    assert -1e-7 < late_s.min() < 1e-3
    assert 3e-3 < late_s.max() < 5e-3 + 1e-7


def test_stamps_left_to_liblsl_are_those_of_the_pushes(
    name: str, recording: Path, samples: NDArray[np.int16], pylsl: ModuleType, tmp_path: Path
) -> None:
    with (
        Running(
            "stream", recording, "--wait", "--name", name, "--default-stamps", "--faults", tmp_path / "f"
        ) as streamer,
        consumer_of(pylsl, name) as received,
    ):
        assert streamer.finish() == 0, streamer.err
        wait_until(lambda: received.n == len(samples), "the last sample")
    lasts = received.times[39::40]  # of chunks of 2 ms
    due = entries(tmp_path / "f")[-1]["t0"] + np.arange(39, len(samples), 40) / RATE_HZ
    assert (lasts - due).min() > 0


def test_nothing_is_sent_before_a_consumer_is_there_if_asked(name: str, recording: Path, tmp_path: Path) -> None:
    with Running("stream", recording, "--wait", "--name", name, "--faults", tmp_path / "f") as streamer:
        streamer.wait_line("waiting for a consumer")
        streamer.process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.CTRL_BREAK_EVENT)
        assert streamer.finish() == 0
    assert streamer.out == [
        f"sent 0 samples of {N_CHANNELS} channels as {name!r}, 0 s of signal; 0 lost; 0 pushes late"
    ]
    (end,) = entries(tmp_path / "f")
    assert (end["sent"], end["lost"], end["t0"]) == (0, 0, None)


@POSIX
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_the_first_ctrl_c_ends_it_with_all_that_was_sent_and_its_totals(
    how: str, name: str, recording: Path, pylsl: ModuleType, tmp_path: Path
) -> None:
    with (
        Running(
            "stream", recording, "--loop", "--wait", "--name", name, "--pause-every", "0.5s", "--pause-for", "0.4s",
            "--faults", tmp_path / "f",
        ) as streamer,
        consumer_of(pylsl, name) as received,
    ):  # fmt: skip
        streamer.wait_line("pause: nothing is sent for 0.4 s")
        os.kill(streamer.process.pid, getattr(signal, how))
        assert streamer.finish() == 0, streamer.err
        told = entries(tmp_path / "f")
        wait_until(lambda: received.n == told[-1]["sent"], "the last sample")
    assert told[-1]["sent"] + told[-1]["lost"] == told[-1]["signal"]
    assert len(sent_samples(told)) == told[-1]["sent"]


@POSIX
def test_a_stopped_streamer_is_late_and_loses_nothing(
    name: str, recording: Path, samples: NDArray[np.int16], pylsl: ModuleType, tmp_path: Path
) -> None:
    with (
        Running("stream", recording, "--wait", "--name", name, "--faults", tmp_path / "f") as streamer,
        consumer_of(pylsl, name) as received,
    ):
        wait_until(lambda: received.n > 2000, "0.1 s of signal")
        os.kill(streamer.process.pid, signal.SIGSTOP)
        seen = [received.n]

        def is_still() -> bool:
            seen.append(received.n)
            return len(seen) > 30 and seen[-1] == seen[-30]

        wait_until(is_still, "silence")
        os.kill(streamer.process.pid, signal.SIGCONT)
        assert streamer.finish() == 0, streamer.err
        wait_until(lambda: received.n == len(samples), "the last sample")
    assert np.array_equal(received.rows, samples)
    end = entries(tmp_path / "f")[-1]
    assert end["late"] > 0
    assert end["lost"] == 0
    np.testing.assert_allclose(received.times, end["t0"] + np.arange(len(samples)) / RATE_HZ, rtol=0, atol=1e-7)
    assert f"{end['late']} pushes late, by up to " in streamer.out[-1]
    assert [line for line in streamer.err if " late, by up to " in line]


PROGRAM = """
import sys
import rtspikes.lsl
pylsl = rtspikes.lsl.load()
inlet = pylsl.StreamInlet(pylsl.resolve_byprop("name", sys.argv[1], timeout=30)[0])
inlet.open_stream(30)
while True:
    inlet.pull_chunk(0.1, 1000, min_samples=1)
"""
"""A consumer that can be killed."""


@POSIX
@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_a_consumer_that_dies_or_hangs_harms_nobody(how: str, name: str, recording: Path, pylsl: ModuleType) -> None:
    with Running("stream", recording, "--loop", "--wait", "--name", name) as streamer:
        with subprocess.Popen([sys.executable, "-c", PROGRAM, name]) as consumer:
            try:
                streamer.wait_line("a consumer is there")
                os.kill(consumer.pid, getattr(signal, how))
                if how == "SIGKILL":
                    streamer.wait_line("no consumer is there")
                with consumer_of(pylsl, name) as received:
                    wait_until(lambda: received.n > RATE_HZ, "a second of signal for somebody else")
                os.kill(streamer.process.pid, signal.SIGINT)
                assert streamer.finish() == 0, streamer.err
            finally:
                consumer.kill()
    assert np.all(np.diff(received.times) * RATE_HZ < 1.5)


@POSIX
def test_after_a_kill_the_same_source_id_is_found_again(
    name: str, recording: Path, pylsl: ModuleType, tmp_path: Path
) -> None:
    line = ("stream", recording, "--loop", "--wait", "--name", name, "--drop", "20%", "--faults", tmp_path / "f")
    with Running(*line) as streamer, consumer_of(pylsl, name) as received:
        streamer.wait_line("samples lost")
        wait_until(lambda: (tmp_path / "f").read_text().endswith("\n"), "a whole line")
        streamer.process.kill()
        streamer.process.wait()
        told = entries(tmp_path / "f")
        assert {entry["fault"] for entry in told} == {"drop"}
        before = received.n
        with Running(*line) as again:
            again.wait_line("a consumer is there")
            wait_until(lambda: received.n > before + 1000, "samples of the second")
            os.kill(again.process.pid, signal.SIGINT)
            assert again.finish() == 0, again.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_ends_it_with_one_line(name: str, recording: Path) -> None:
    done = rtspikes("stream", recording, "--name", name, "--drop", "30%", "--faults", "/dev/full")
    assert done.returncode == 5
    said = [line for line in done.stderr.splitlines() if line.startswith("rtspikes: ")]
    assert said == ["rtspikes: --faults: cannot write /dev/full: no space left on device; choose another file"]


USAGE, DATA = 2, 5

ANSWERS = {
    "god.raw": (DATA, "god.raw: no such file or directory"),
    "simm:60": (USAGE, "source.uri: unknown scheme 'simm'; did you mean 'sim'?"),
    "sim:60 --jitter 5": (
        USAGE, "--jitter must be a time > 0 in s, ms, us, µs or min, for example 5ms, got '5' "
               "(see rtspikes stream --help)"),
    "sim:60 --drop 60%": (USAGE, "--drop must be 0 … 50%, got 60%"),
    "sim:60 --drift 5%": (USAGE, "--drift must be -1% … 1%, got 5%"),
    "sim:60 --pause-for 3s": (USAGE, "--pause-for says nothing without --pause-every; say both"),
    "sim:60 --pause-every 3s": (USAGE, "--pause-for must be shorter than --pause-every, got 5s and 3s"),
    "sim:60 --set detect.threshold=5": (
        USAGE, "--set of stream must be a setting of the source (source.…), got 'detect.threshold'"),
    "sim:60 --set source.speed=max": (
        USAGE, "source.speed must be a number for an LSL stream, which no consumer can hold up, got max"),
    "sim:60 --name ''": (USAGE, "--name must be 1 … 200 printable characters, got ''"),
    "sim:60 --faults -": (USAGE, "--faults must be the name of a file, new or old, got '-'"),
    "sim:60 --faults none/f": (
        DATA, f"--faults: cannot write {Path('none/f')}: no such file or directory; choose another file"),
    "sim:64x64 --stall-every 60s --stall-for 20s": (
        USAGE, "--stall-for would hold 3.1 GiB of this signal back, and 1 GiB is the most; say at most "
               "--stall-for 6.6s"),
}  # fmt: skip
"""Arguments → exit code, and the whole line after `rtspikes: `."""


@pytest.mark.parametrize("line", ANSWERS)
def test_wrong_lines_are_answered_in_one(line: str, tmp_path: Path) -> None:
    done = rtspikes("stream", *shlex.split(line), cwd=tmp_path)
    code, text = ANSWERS[line]
    assert done.stderr.splitlines() == [f"rtspikes: {text}"]
    assert (done.returncode, done.stdout) == (code, "")
