"""A bad day beside a rig: each loss over LSL is counted with its cause, and what came is detected to the byte."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
import pytest
from numpy.typing import NDArray

from rtspikes.subscribers.log.reader import Session
from rtspikes.types import OVERRUNS, GapCause
from tests.lsl_streams import unique_name
from tests.simulated import GAIN_UV, RATE_HZ, simulate, spike_shape, stream_info, write_recording
from tests.system.lsl_streams import (
    LslRun,
    Producer,
    assert_detected,
    description,
    faults_of,
    losses,
    received,
)
from tests.system.processes import Running, wait_until
from tests.unit.detect.streaming import Segments
from tests.unit.sources.stamps import busy

N_CHANNELS = 4
SECONDS = 17.0
INFO = stream_info(N_CHANNELS)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and SIGSTOP to one process are POSIX")


@pytest.fixture(scope="module")
def samples() -> NDArray[np.int16]:
    return simulate(N_CHANNELS, SECONDS, spikes_per_s=30)[0]


@pytest.fixture(scope="module")
def recording(samples: NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("faults") / "rec", samples)


@pytest.fixture
def name() -> str:
    return unique_name()


def streaming(recording: Path, name: str, faults: Path, *options: object) -> Running:
    """Start `rtspikes stream` in chunks of 1 ms; a consumer gets it from sample 0 on."""
    return Running(
        "stream", recording, "--wait", "--chunk", "1ms", "--name", name, "--source-id", f"id-{name}",
        "--faults", faults, *options,
    )  # fmt: skip


def last_sent(n: int, lost: list[tuple[int, int]]) -> int:
    """Return the sample behind the last one that was sent."""
    return lost[-1][0] if lost and sum(lost[-1]) == n else n


def as_told(rows: NDArray[np.int16], gaps: NDArray[np.void]) -> Segments:
    """Return the segments of the rows that came, where the gaps of a log put them."""
    segments, row, lost = [], 0, 0
    for sample, n in [(int(gap["sample"]), int(gap["lost"])) for gap in gaps]:
        segments.append((row + lost, rows[row : sample - lost]))
        row, lost = sample - lost, lost + n
    return [*segments, (row + lost, rows[row:])]


def assert_times(log: Session, told: list[dict[str, Any]], within_s: float) -> None:
    """Fail unless spikes have the times that the streamer gave their samples, a step of its clock included."""
    end = told[-1]
    truth = end["t0"] + log.spikes["sample"] / (end["rate_hz"] * (1 + end["drift"]))
    for step in (fault for fault in told if fault["fault"] == "clock-step"):
        truth[log.spikes["sample"] >= step["sample"]] += step["step_s"]
    assert np.abs(log.spikes["time"] - truth).max() < within_s


def test_losses_of_counted_stamps_are_exact_and_the_rest_is_detected_as_if_alone(
    name: str, recording: Path, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    faults = (
        "--drop",
        "3%",
        "--pause-every",
        "4s",
        "--pause-for",
        "1.9s",
        "--stall-every",
        "7s",
        "--stall-for",
        "1.8s",
    )
    faults += (
        "--disconnect-every",
        "10.5s",
        "--disconnect-for",
        "1s",
        "--clock-step",
        "10s",
        "--clock-step-at",
        "6.5s",
    )
    with (
        streaming(recording, name, tmp_path / "f", *faults, "--drift", "100ppm") as streamer,
        LslRun(f"name={name}", tmp_path / "log") as run,
    ):
        assert streamer.finish() == 0, streamer.err
        told = faults_of(tmp_path / "f")
        lost = losses(told)
        run.wait_sample(last_sent(len(samples), lost))
        [log] = run.stop()
    assert {fault["fault"] for fault in told} == {"drop", "pause", "stall", "disconnect", "clock-step", "end"}
    lost = [(first, n) for first, n in lost if first < log.to_sample]
    assert [(int(gap["sample"]), int(gap["lost"])) for gap in log.gaps] == lost
    assert (log.gaps["uncertain"] == 0).all()
    assert_detected(log, received(samples[: log.to_sample], lost), INFO)
    assert_times(log, told, 50e-6)
    for gap in log.gaps:
        first, end = int(gap["sample"]), int(gap["sample"] + gap["lost"])
        faults_there = {fault["fault"] for fault in told[:-1] if fault["lost"] and first <= fault["sample"] < end}
        assert GapCause(gap["cause"]) in likely_causes(faults_there)
    assert {GapCause.SOURCE, GapCause.PAUSE} <= {GapCause(cause) for cause in log.gaps["cause"]}
    assert [notice["step_s"] for notice in run.told("clock_reset")] == pytest.approx([10], abs=1e-3)
    assert run.told("rate")[0]["drift_ppm"] == pytest.approx(100, abs=5)
    came_back = sum(fault["fault"] == "disconnect" for fault in told if fault.get("sample", 0) < log.to_sample)
    assert len(run.told("source_found")) == came_back
    silences = [notice["sample"] for notice in run.told("source_silent")]
    assert silences
    assert len(run.told("source_resumed")) <= len(silences)
    stalls = {fault["sample"] for fault in told if fault["fault"] == "stall"}
    assert set(silences) <= stalls | {first for first, _ in lost} | {log.to_sample}


def likely_causes(faults: set[str]) -> set[GapCause]:
    """Return what a gap may be taken for: whatever is lost where nothing came for a while is a pause.

    An engine that did not get to run for that while sees only that samples are missing.
    """
    return {GapCause.RECONNECT} if "disconnect" in faults else {GapCause.SOURCE, GapCause.PAUSE}


def test_losses_of_jittered_stamps_are_known_within_their_uncertainty(
    name: str, recording: Path, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    faults = ("--jitter", "5ms", "--pause-every", "3s", "--pause-for", "0.5s", "--clock-step", "-4s", "--clock-step-at")
    faults += ("4.5s", "--disconnect-every", "7.5s", "--disconnect-for", "0.5s", "--duration", 11)
    with (
        streaming(recording, name, tmp_path / "f", *faults) as streamer,
        LslRun(f"name={name}", tmp_path / "log") as run,
    ):
        assert streamer.finish() == 0, streamer.err
        told = faults_of(tmp_path / "f")
        lost = losses(told)
        run.wait_notice("source_lost", 1 + sum(fault["fault"] == "disconnect" for fault in told))
        [log] = run.stop()
    rows = np.concatenate([rows for _, rows in received(samples[: told[-1]["signal"]], lost)])
    before = np.cumsum([0, *(n for _, n in lost)])
    borders = [first - int(n) for (first, _), n in zip(lost, before, strict=False)]
    segments = as_told(rows, log.gaps)
    assert [len(part) for _, part in segments] == np.diff([0, *borders, len(rows)]).tolist()
    assert_detected(log, segments, INFO)
    for gap, (_, n) in zip(log.gaps, lost, strict=True):
        assert abs(int(gap["lost"]) - n) <= gap["uncertain"] < 0.02 * RATE_HZ
    assert [GapCause(cause) for cause in log.gaps["cause"]] == [
        GapCause.PAUSE, GapCause.PAUSE, GapCause.RECONNECT, GapCause.PAUSE
    ]  # fmt: skip
    assert run.causes.count("clock_reset") == 1
    assert run.told("clock_reset")[0]["step_s"] == pytest.approx(-4, abs=0.02)


@POSIX
def test_a_killed_producer_is_found_again_and_one_with_another_layout_begins_a_session(
    name: str, recording: Path, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    other = write_recording(tmp_path / "other", samples[:, :3])
    marks = ("--stall-every", "0.5s", "--stall-for", "5ms")  # its lines say which sample has which stamp
    with LslRun(f"name={name}", tmp_path / "log") as run:
        begun_s = []
        for count in (1, 2):
            told = tmp_path / f"f{count}"
            with streaming(recording, name, told, *marks) as streamer:
                if count == 2:
                    run.wait_gaps(1)
                run.wait_sample(30_000 + int((run.gaps["sample"] + run.gaps["lost"]).sum()))
                wait_until(lambda told=told: faults_of(told), "a stall")
                streamer.process.kill()
            stall = faults_of(told)[-1]
            begun_s.append(stall["time_s"] - stall["sample"] / RATE_HZ)
            run.wait_notice("source_lost", count)
        with streaming(other, name, tmp_path / "f3") as streamer:
            run.wait_sample(30_000, session=2)
            streamer.process.kill()
            run.wait_notice("source_lost", 3)
        first, second = run.stop()
    [gap] = first.gaps
    behind = int(gap["sample"] + gap["lost"])
    assert abs(behind - (begun_s[1] - begun_s[0]) * RATE_HZ) <= 1
    assert (GapCause(gap["cause"]), int(gap["uncertain"]) <= 1) == (GapCause.RECONNECT, True)
    n = int(gap["sample"])
    assert_detected(first, [(0, samples[:n]), (behind, samples[: first.to_sample - behind])], INFO)
    assert first.ended == "another layout"
    assert (second.info["n_channels"], second.info["part"], second.path.name) == (3, 2, "log-2.rtspikes")
    assert len(second.gaps) == 0
    assert_detected(second, [(0, samples[: second.to_sample, :3])], stream_info(3))
    assert len(run.sessions) == 2
    assert run.causes.count("source_changed") == 1


@POSIX
def test_an_engine_that_stood_still_tells_what_its_queue_has_lost(
    name: str, recording: Path, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    marks = ("--stall-every", "0.5s", "--stall-for", "5ms", "--duration", 12)
    with (
        streaming(recording, name, tmp_path / "f", *marks) as streamer,
        LslRun(f"name={name}", tmp_path / "log", "source.buffer_s=1") as run,
    ):
        run.wait_sample(20_000)
        os.kill(run.engine.process.pid, signal.SIGSTOP)
        at = faults_of(tmp_path / "f")[-1]["sample"]
        wait_until(lambda: faults_of(tmp_path / "f")[-1]["sample"] > at + 5 * RATE_HZ, "5 s of signal")
        os.kill(run.engine.process.pid, signal.SIGCONT)
        assert streamer.finish() == 0, streamer.err
        run.wait_sample(int(12 * RATE_HZ))
        [log] = run.stop()
    lost = [(int(gap["sample"]), int(gap["lost"])) for gap in log.gaps]
    assert_detected(log, received(samples[: log.to_sample], lost), INFO)
    # All that stood in the network's buffers comes at once: liblsl's queue overruns, or, where that is emptied as fast,
    # the ring.
    assert set() != {GapCause(cause) for cause in log.gaps["cause"]} <= {*OVERRUNS}
    assert (log.gaps["uncertain"] == 0).all()


PIECES = ((1.6, 2000.0, 0.04), (0.7, -2000.0, 0.3), (0.7, 0.0, 1.0), (0.7, 1500.0, None), (0.7, -1500.0, 0.0))
"""(s of signal, its offset in µV, s that are lost behind it; None: its producer goes and another one comes)."""


@pytest.mark.parametrize("late", [False, True], ids=["counted", "jittered"])
def test_a_seam_between_offsets_is_no_spike_and_the_next_spike_is_found(late: bool, name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    shape = spike_shape() * 150
    parts, planted = [], []
    for seconds, offset_uv, _ in PIECES:
        part = rng.normal(offset_uv, 6.0, (round(seconds * RATE_HZ), 2))
        planted.append(len(part) - 2000)
        part[planted[-1] : planted[-1] + len(shape)] += shape[:, None]
        parts.append(np.round(part / GAIN_UV).astype(np.int16))
    info = description(name, 2, "int16", scale=GAIN_UV)
    times = []
    with LslRun(f"name={name}", tmp_path / "log", "detect.threshold=8") as run:
        producer = Producer(info)
        producer.wait_for_consumer()
        begun_s, pushed_s = pylsl.local_clock(), 0.0
        first = 0
        for part, spike, (_, _, lost_s) in zip(parts, planted, PIECES, strict=True):
            times.append(begun_s + (first + spike + int(shape.argmin())) / RATE_HZ)
            for a in range(0, len(part), 20):
                happened_s = begun_s + (first + a + 19) / RATE_HZ
                pushed_s = max(pushed_s + 2e-6, happened_s + (busy(rng) if late else 0.0))
                time.sleep(max(0.0, pushed_s - pylsl.local_clock()))
                producer.push(first + a, part[a : a + 20], pushed_s)
            first += len(part)
            if lost_s is None:
                run.wait_crossings(2 * len(times))
                producer.close()
                producer = Producer(info)
                producer.wait_for_consumer()
                first = round((pylsl.local_clock() - begun_s) * RATE_HZ)
            else:
                first += round(lost_s * RATE_HZ)
        run.wait_crossings(2 * len(times))
        producer.close()
        run.wait_notice("source_lost", 2)
        [log] = run.stop()
    assert len(log.gaps) == len(PIECES) - 1
    spikes = np.sort(np.array(log.spikes), order=("channel", "sample"))
    assert spikes["channel"].tolist() == [0] * len(times) + [1] * len(times)
    off_s = spikes["time"] - np.tile(times, 2)
    assert np.abs(off_s).max() < (1e-3 if late else 50e-6)
