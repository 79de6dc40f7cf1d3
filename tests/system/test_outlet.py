"""`rtspikes outlet`: an engine's spikes as LSL streams, received by real inlets, whatever happens to either side."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rtspikes
from rtspikes.subscribers.lsl_description import CHANNELS
from tests.lsl_streams import Inlet, child_values, unique_name
from tests.simulated import simulate, write_recording
from tests.system.processes import Running
from tests.system.processes import rtspikes as run_to_end
from tests.system.test_subscribers import nobody  # noqa: F401

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP and SIGCONT are POSIX")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("rec") / "rec", simulate(8, 3.0, spikes_per_s=50)[0])


@pytest.fixture
def name() -> str:
    return unique_name()


@pytest.mark.parametrize("speed", [4, "max"])
def test_every_spike_of_a_replay_arrives_with_its_stamp_and_values(recording: Path, name: str, speed: object) -> None:
    with Running("replay", recording, "--speed", speed, *ANY_PORT, "--wait-subscribers", 2) as engine:
        endpoint = engine.endpoint()
        with (
            rtspikes.subscribe(endpoint, kinds=("spikes",)) as subscriber,
            Running("outlet", endpoint, "--name", name, "--wait") as outlet,
        ):
            inlet = Inlet(name)
            spikes = np.concatenate([batch.spikes for batch in subscriber])
            inlet.wait_count(len(spikes))
            assert [engine.finish(), outlet.finish()] == [0, 0]
    assert len(spikes) == len(rtspikes.detect(recording)[0]) > 500
    assert inlet.stamps == spikes["time"].tolist()
    for i, column in enumerate(CHANNELS):
        assert inlet.table[:, i].tolist() == spikes[column].astype(np.float64).tolist()
    assert outlet.out == [f"{len(spikes)} spikes sent, 0 messages missed"]
    assert [line for line in outlet.err if line.startswith("rtspikes:")] == []
    assert child_values(inlet.info.desc().child("source_channels"), "channel", "label") == [
        f"E{i}" for i in range(1, 9)
    ]


def test_markers_name_the_spikes_and_hand_on_what_people_mark(name: str) -> None:
    source = "sim:4?seconds=3600"
    with Running("run", "--source", source, *ANY_PORT) as engine:
        endpoint = engine.endpoint()
        with Running("outlet", endpoint, "--name", name, "--markers") as outlet:
            inlet = Inlet(f"{name}-markers")
            inlet.wait_count(5)
            assert run_to_end("mark", endpoint, "10 µM bicuculline").returncode == 0
            inlet.wait(lambda: "rtspikes: mark 10 µM bicuculline" in inlet.words, "the mark")
            labels = set(inlet.words) - {word for word in inlet.words if word.startswith("rtspikes: ")}
            assert labels <= {str(i) for i in range(100)} | {f"E{i}" for i in range(100)}
            outlet.process.send_signal(signal.SIGINT)
            assert outlet.finish() == 0
            assert outlet.out[0].endswith("0 messages missed")
            assert "Traceback" not in "\n".join(outlet.err)


def test_a_dense_run_marks_few_spikes_sends_all_and_says_so(recording: Path, name: str) -> None:
    with Running("replay", recording, "--speed", "max", *ANY_PORT, "--wait-subscribers", 1) as engine:
        with Running("outlet", engine.endpoint(), "--name", name, "--markers", "--wait") as outlet:
            inlet, markers = Inlet(name), Inlet(f"{name}-markers")
            n = len(rtspikes.detect(recording)[0])
            inlet.wait_count(n)
            assert [engine.finish(), outlet.finish()] == [0, 0]
            markers.wait(lambda: any("left out" in word for word in markers.words), "what is told at the end")
    of_spikes = [word for word in markers.words if not word.startswith("rtspikes: ")]
    assert 200 <= len(of_spikes) < n
    assert f"{n} spikes sent, 0 messages missed, {n - len(of_spikes)} markers left out" in outlet.out
    assert [line for line in outlet.err if "markers left out" in line]


STOPPING = """
import sys, pylsl
inlet = pylsl.StreamInlet(pylsl.resolve_byprop("name", sys.argv[1], 1, 60)[0])
inlet.pull_sample(60)
print("receiving", flush=True)
sys.stdin.read()
"""


@POSIX
def test_a_consumer_that_stops_reading_costs_the_others_nothing(recording: Path, name: str) -> None:
    n = len(rtspikes.detect(recording)[0])
    with Running("replay", recording, "--loop", "--speed", "max", *ANY_PORT, "--wait-subscribers", 1) as engine:
        with Running("outlet", engine.endpoint(), "--name", name, "--wait") as outlet:
            command = [sys.executable, "-c", STOPPING, name]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as victim:
                assert victim.stdout is not None
                assert victim.stdout.readline() == "receiving\n"
                victim.send_signal(signal.SIGSTOP)
                inlet = Inlet(name)
                inlet.wait_count(20 * n)
                victim.kill()
                inlet.wait_count(22 * n)
            ids = inlet.table[:, list(CHANNELS).index("id")]
            crossings = inlet.table[:, list(CHANNELS).index("crossing")]
            assert (np.diff(ids) > 0).all()
            assert (np.diff(crossings) >= 0).all()
            engine.process.send_signal(signal.SIGINT)
            assert engine.finish() == 0
            assert outlet.finish() == 0
            assert "0 messages missed" in outlet.out[0]
    rejected_or_late = int(ids[-1] - ids[0]) + 1 - len(ids)
    assert rejected_or_late <= len(ids) * 0.01


def test_an_engine_that_is_killed_ends_it_with_one_line(name: str) -> None:
    with Running("run", "--source", "sim:4?seconds=3600", *ANY_PORT) as engine:
        with Running("outlet", engine.endpoint(), "--name", name) as outlet:
            Inlet(name).wait_count(5)
            engine.process.kill()
            assert outlet.finish() == 4
            assert [line for line in outlet.err if line.startswith("rtspikes: ")] == [outlet.err[-1]]
            assert outlet.out[0].endswith("0 messages missed")


def test_an_engine_that_is_not_there_is_told(nobody: str) -> None:  # noqa: F811
    done = run_to_end("outlet", nobody, "--timeout", 0.1)
    assert done.returncode == 4
    assert done.stdout == "no session was met; nothing was sent\n"
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["", " ", "a\x1bb", "x" * 201])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    done = run_to_end("outlet", "--name", name)
    assert done.returncode == 2
    assert "--name must" in done.stderr


def test_without_liblsl_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pylsl.py").write_text("raise ImportError('No module named pylsl')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run_to_end("outlet", "--timeout", 0.1)
    assert done.returncode == 3
    assert "install" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_outlet_of_the_same_engine_gets_all_too(recording: Path, name: str) -> None:
    n = len(rtspikes.detect(recording)[0])
    with Running("replay", recording, *ANY_PORT, "--wait-subscribers", 2) as engine:
        endpoint = engine.endpoint()
        names = [f"{name}-{i}" for i in range(2)]
        with (
            Running("outlet", endpoint, "--name", names[0], "--wait") as first,
            Running("outlet", endpoint, "--name", names[1], "--wait") as second,
        ):
            inlets = [Inlet(each) for each in names]
            for inlet in inlets:
                inlet.wait_count(n)
            assert [engine.finish(), first.finish(), second.finish()] == [0, 0, 0]
            assert inlets[0].samples == inlets[1].samples
