"""`run --source lsl:…`: what comes over LSL gives what `detect` gives, byte for byte; its times; what is refused."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pylsl
import pytest
from numpy.typing import NDArray

import rtspikes
from rtspikes.lsl.metadata import outlet_info
from rtspikes.sources.formats import open_recording
from rtspikes.subscribers.log.reader import Session
from tests.lsl_streams import unique_name
from tests.simulated import GAIN_UV, RATE_HZ, simulate
from tests.system.lsl_streams import LslRun, Producer, description, paced, pieces
from tests.system.processes import rtspikes as run_to_end
from tests.unit.sources.stamps import busy

NO_SOURCE = 3
N_CHANNELS = 4
RECORDINGS = ["axion_maestro_well_A1_2s", "mcs_w8_20kHz_2014-02-27", "sim_martinez2009_simulation1_4s"]


@pytest.fixture(scope="module")
def samples() -> NDArray[np.int16]:
    return simulate(N_CHANNELS, 4.0, spikes_per_s=20)[0]


@pytest.fixture
def name() -> str:
    return unique_name()


def assert_same(
    log: Session,
    expected: tuple[NDArray[np.void], NDArray[np.float32]],
    times: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    within_s: float = 50e-6,
) -> None:
    """Fail unless the log has these spikes byte for byte, but for their times: these are near `times(samples)`."""
    spikes, waveforms = expected
    assert len(spikes) > 5
    assert np.abs(log.spikes["time"] - times(log.spikes["sample"])).max() < within_s
    found = np.array(log.spikes)
    found["time"] = spikes["time"]
    assert found.tobytes() == spikes.tobytes()
    assert log.waveforms.tobytes() == waveforms.tobytes()
    assert len(log.gaps) == 0


AHEAD = 40_000
"""Samples that are pushed before the engine has them: less than its ring holds, as a rig's would be."""


def push_all(producer: Producer, run: LslRun, rows: NDArray[np.generic], rate_hz: float, seed: int) -> None:
    """Push everything in random pieces, stamped by the sample counter, as fast as the engine takes it."""
    begun_s = pylsl.local_clock()
    for first, end in pieces(len(rows), seed):
        if end > run.to_sample + AHEAD:
            run.wait_sample(end - AHEAD // 2)
        producer.push(first, rows[first:end], begun_s + (end - 1) / rate_hz)


# form → what is in the stream, its unit and scale, and how offline detection takes it
FORMS: dict[str, tuple[Callable[..., NDArray[np.generic]], str, float | None, float]] = {
    "int16": (lambda x: x, "microvolts", GAIN_UV, GAIN_UV),
    "float32": (lambda x: (x * GAIN_UV).astype(np.float32), "microvolts", None, 1.0),
    "double64": (lambda x: x * (GAIN_UV * 1e-3), "millivolts", None, 1000.0),
    "int32": (lambda x: x.astype(np.int32) * 195, "nanovolts", None, 1e-3),
}


def test_random_chunks_of_every_format_give_what_detect_gives(
    name: str, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        producers, runs = {}, {}
        for form, (_, unit, scale, _) in FORMS.items():
            info = description(f"{name}-{form}", N_CHANNELS, form, unit=unit, scale=scale)
            producers[form] = stack.enter_context(Producer(info))
            runs[form] = stack.enter_context(LslRun(f"name={name}-{form}", tmp_path / form))
        for seed, (form, (convert, *_)) in enumerate(FORMS.items()):
            producers[form].wait_for_consumer()
            push_all(producers[form], runs[form], convert(samples), RATE_HZ, seed)
        for form, (convert, _, _, uv_per_unit) in FORMS.items():
            runs[form].wait_sample(len(samples))
            [log] = runs[form].stop()
            assert log.to_sample == len(samples)
            stored = convert(samples) if form == "int16" else convert(samples).astype(np.float32)
            expected = rtspikes.detect(stored, rate_hz=RATE_HZ, uv_per_unit=uv_per_unit)
            assert_same(log, expected, producers[form].regression)
            assert set(runs[form].causes) <= {"source_silent", "source_resumed"}
            assert log.info["source"]["name"] == f"{name}-{form}"


def test_real_recordings_give_what_detect_gives(recordings: Path, name: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        producers, runs, infos = {}, {}, {}
        for recording in RECORDINGS:
            infos[recording] = open_recording(recordings / f"{recording}.raw").info
            info = outlet_info(infos[recording], name=recording, type="Ephys", source_id=f"{name}-{recording}")
            producers[recording] = stack.enter_context(Producer(info))
            runs[recording] = stack.enter_context(LslRun(f"source_id={name}-{recording}", tmp_path / recording))
        for recording, info in infos.items():
            rows = np.fromfile(recordings / f"{recording}.raw", info.dtype).reshape(-1, info.n_channels)
            producers[recording].wait_for_consumer()
            push_all(producers[recording], runs[recording], rows, info.rate_hz, seed=3)
            runs[recording].wait_sample(len(rows))
            [log] = runs[recording].stop()
            assert_same(log, rtspikes.detect(recordings / f"{recording}.raw"), producers[recording].regression)
            assert log.info["channels"]["label"] == info.labels


def test_stamps_of_pushes_give_the_same_spikes_and_the_times_of_their_regression(
    name: str, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    """One stream is stamped as on a busy computer, the other with the true moments of its pushes, whatever they are."""
    rng = np.random.default_rng(4)
    with ExitStack() as stack:
        producers, runs = [], []
        for i in range(2):
            info = description(f"{name}-{i}", N_CHANNELS, "int16", scale=GAIN_UV)
            producers.append(stack.enter_context(Producer(info)))
            runs.append(stack.enter_context(LslRun(f"name={name}-{i}", tmp_path / f"log{i}")))
        for producer in producers:
            producer.wait_for_consumer()
        begun_s = stamp_s = pylsl.local_clock()
        for first, end in paced(pieces(len(samples), seed=5, most=60)):
            stamp_s = max(stamp_s + 2e-6, begun_s + (end - 1) / RATE_HZ + busy(rng))
            producers[0].push(first, samples[first:end], stamp_s)
            producers[1].push(first, samples[first:end], pylsl.local_clock())
        for run in runs:
            run.wait_sample(len(samples))
        logs = [run.stop()[0] for run in runs]
    expected = rtspikes.detect(samples, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
    assert_same(logs[0], expected, producers[0].regression)
    assert_same(logs[1], expected, producers[1].regression, 50e-6 + producers[1].latest_s)


def test_two_engines_on_two_streams_share_one_clock(name: str, samples: NDArray[np.int16], tmp_path: Path) -> None:
    """The same events on two arrays: other chunks, other starts, 80 ppm fast, one with noise on its stamps."""
    late = 3001  # samples of the first stream before the second one begins
    rng = np.random.default_rng(8)
    with ExitStack() as stack:
        producers = [
            stack.enter_context(Producer(description(f"{name}-{i}", N_CHANNELS, "int16", scale=GAIN_UV)))
            for i in range(2)
        ]
        runs = [stack.enter_context(LslRun(f"name={name}-{i}", tmp_path / f"log{i}")) for i in range(2)]
        for producer in producers:
            producer.wait_for_consumer()
        begun_s = pylsl.local_clock()
        true_hz = RATE_HZ * (1 + 80e-6)

        def produce(i: int) -> None:
            start = late * i
            for first, end in paced(pieces(len(samples) - start, seed=i, most=200)):
                noise_s = rng.uniform(-40e-6, 40e-6) if i else 0.0
                stamp_s = begun_s + (start + end - 1) / true_hz + noise_s
                producers[i].push(first, samples[start + first : start + end], stamp_s)

        threads = [threading.Thread(target=produce, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, run in enumerate(runs):
            run.wait_sample(len(samples) - late * i)
        logs = [run.stop()[0] for run in runs]
    times = [{(int(s["sample"]) + late * i, int(s["channel"])): s["time"] for s in logs[i].spikes} for i in range(2)]
    common = sorted(times[0].keys() & times[1].keys())
    assert len(common) > 0.9 * len(logs[1].spikes) > 100
    first, second = (np.array([each[event] for event in common]) for each in times)
    truth = begun_s + np.array([sample for sample, _ in common]) / true_hz
    assert np.abs(first - truth).max() < 50e-6
    assert np.abs(second - truth).max() < 50e-6
    assert np.abs(second - first).max() < 50e-6


# what is refused, and how


def test_a_rate_that_the_stream_does_not_say_is_taken_from_the_settings(
    name: str, samples: NDArray[np.int16], tmp_path: Path
) -> None:
    with (
        Producer(description(name, N_CHANNELS, "int16", scale=GAIN_UV, rate_hz=0)) as producer,
        LslRun(f"name={name}", tmp_path / "log", f"source.rate_hz={RATE_HZ:g}") as run,
    ):
        producer.wait_for_consumer()
        begun_s = pylsl.local_clock()
        for first, end in pieces(len(samples), seed=9):
            stamps = begun_s + np.arange(first, end) / RATE_HZ
            producer.push_each(first, samples[first:end], stamps)
        run.wait_sample(len(samples))
        [log] = run.stop()
    assert_same(log, rtspikes.detect(samples, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV), producer.regression)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "no unit": ({"unit": ""}, "source.uv_per_unit"),
    "a unit of unknown size": ({"unit": "bananas"}, "source.uv_per_unit"),
    "texts": ({"form": "string"}, "carries texts, no signal; markers are read with [[markers]]"),
    "no rate": ({"rate_hz": 0.0}, "say source.rate_hz"),
    "an absurd rate": ({"rate_hz": 1e8}, "say source.rate_hz"),
}


def refusal(address: str, *options: object) -> str:
    """Run on a stream that must be refused; return its error, one line, behind `rtspikes: `."""
    done = run_to_end("run", "--source", f"lsl:{address}", "--publish", "tcp://127.0.0.1:0", *options)
    assert (done.returncode, done.stdout) == (NO_SOURCE, ""), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("rtspikes: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0].removeprefix("rtspikes: ")


@pytest.mark.parametrize("what", REFUSED)
def test_a_stream_that_cannot_be_used_is_refused_in_one_line(what: str, name: str) -> None:
    said, answer = REFUSED[what]
    given = {"form": "float32"} | said
    with Producer(description(name, 2, **given)):  # type: ignore[arg-type]
        assert answer in refusal(f"name={name}")


def test_several_streams_are_listed_with_the_address_of_each(name: str) -> None:
    with (
        Producer(description(name, 2, "float32", source_id=f"{name}-a")),
        Producer(description(name, 3, "float32", source_id=f"{name}-b")),
    ):
        line = refusal(f"name={name}")
        assert line.startswith(f"2 LSL streams have name '{name}'; say which one: ")
        assert f"lsl:name={name}&source_id={name}-a (Ephys, 2 × 20000 Hz float32, on " in line
        assert f"lsl:name={name}&source_id={name}-b (Ephys, 3 × 20000 Hz float32, on " in line


def test_no_stream_is_told_with_those_that_there_are(name: str) -> None:
    with Producer(description(f"{name}-other", 2, "float32")):
        line = refusal(f"name={name}", "--set", "source.wait_s=0.1")
    assert line.startswith(f"no LSL stream has name '{name}'; there are: ")
    assert f"{name}-other" in line


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        ("raise ImportError('No module named pylsl')", "pip install 'pylsl>=1.18'"),
        ("raise RuntimeError('LSL binary library file was not found.\\nSearched: …')", "conda-forge liblsl"),
        ("__version__ = '1.16.2'\ndef library_version(): return 116", "pip install -U pylsl"),
        ("__version__ = '1.18.0'\ndef library_version(): return 113", "liblsl 1.16 or newer, got 1.13"),
    ],
    ids=["no pylsl", "no liblsl", "old pylsl", "old liblsl"],
)
def test_a_missing_or_old_liblsl_is_told_in_one_line(
    module: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pylsl.py").write_text(f"{module}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert answer in refusal("")


@pytest.mark.skipif(sys.platform == "win32", reason="the name of a library that is none differs")
def test_a_liblsl_that_cannot_be_loaded_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "liblsl.so").write_text("no library")
    monkeypatch.setenv("PYLSL_LIB", str(tmp_path / "liblsl.so"))
    assert "set PYLSL_LIB" in refusal("")
