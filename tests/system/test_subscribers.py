"""Subscribers as processes and through the API: late, slow, stopped, killed, and lied to."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

import rtspikes
from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.codec import LEVELS_DTYPE, table_fields
from tests.simulated import RATE_HZ, simulate, write_recording
from tests.system.processes import DEADLINE_S, Running
from tests.system.processes import rtspikes as run_to_end

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
FEW = ("--set", "publish.high_water_mark=10")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP and SIGCONT are POSIX")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("short") / "rec", simulate(4, 2.0)[0])


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("dense") / "rec", simulate(16, 1.0, spikes_per_s=100)[0])


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("silent") / "rec", np.zeros((20000, 2), np.int16))


@pytest.fixture
def nobody() -> Iterator[str]:
    """Return the endpoint of a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{taken.getsockname()[1]}"


def timeless(spikes: NDArray[np.void]) -> bytes:
    spikes = np.array(spikes)
    spikes["time"] = 0
    return spikes.tobytes()


def drain_until_blocked(subscriber: rtspikes.Subscriber) -> list[rtspikes.Batch]:
    """Receive until even ticks, due every 10 ms, stay away: the engine waits for somebody else."""
    batches = []
    while (batch := subscriber.get(timeout_s=1.0)) is not None:
        batches.append(batch)
    return batches


def are_whole(batches: list[rtspikes.Batch], subscriber: rtspikes.Subscriber) -> bool:
    """Tell whether batches of `spikes` and `rejected` hold each event up to the engine's end once, in order."""
    assert subscriber.end is not None
    assert subscriber.missed_total == 0
    spikes, rejected = (np.concatenate([getattr(b, k)["id"] for b in batches]) for k in ("spikes", "rejected"))
    counts = subscriber.end["counts"]
    assert (len(spikes), len(rejected)) == (counts["spikes"], counts["rejected"])
    assert (np.diff(spikes.astype(np.int64)) > 0).all()
    return np.array_equal(np.sort(np.concatenate([spikes, rejected])), np.arange(len(spikes) + len(rejected)))


def test_iteration_gives_every_spike_with_its_waveform_in_order(short: Path) -> None:
    with Running("replay", short, "--speed", "max", *ANY_PORT, "--wait-subscribers", 1) as engine:
        with rtspikes.subscribe(engine.endpoint()) as subscriber:
            batches = list(subscriber)
        assert engine.finish() == 0
    spikes, waveforms = rtspikes.detect(short)
    assert timeless(np.concatenate([b.spikes for b in batches])) == timeless(spikes)
    assert np.concatenate([b.waveforms for b in batches]).tobytes() == waveforms.tobytes()
    assert not [m for b in batches for m in b.missed]
    assert subscriber.ended
    assert subscriber.get(timeout_s=0) is None
    reached = 0
    for batch in batches:
        assert batch.from_sample == reached
        assert batch.to_sample >= reached
        assert ((batch.spikes["crossing"] >= reached) & (batch.spikes["crossing"] < batch.to_sample)).all()
        reached = batch.to_sample
    assert reached == 40000


def test_async_iteration_gives_the_same_while_the_event_loop_runs(short: Path) -> None:
    async def receive(endpoint: str) -> tuple[list[rtspikes.Batch], int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        beating = asyncio.create_task(beat())
        with rtspikes.subscribe(endpoint) as subscriber:
            batches = [batch async for batch in subscriber]
        beating.cancel()
        return batches, beats

    with Running("replay", short, "--speed", 4, *ANY_PORT, "--wait-subscribers", 1) as engine:
        batches, beats = asyncio.run(receive(engine.endpoint()))
        assert engine.finish() == 0
    assert timeless(np.concatenate([b.spikes for b in batches])) == timeless(rtspikes.detect(short)[0])
    assert beats > len(batches)


def test_get_returns_none_when_nothing_comes(nobody: str) -> None:
    with rtspikes.subscribe(nobody) as subscriber:
        assert subscriber.get(timeout_s=0.05) is None
        assert subscriber.get(timeout_s=0) is None
        assert subscriber.info is None


def test_no_engine_is_told_after_the_connect_timeout(nobody: str) -> None:
    with rtspikes.subscribe(nobody, connect_timeout_s=0.1) as subscriber:
        with pytest.raises(rtspikes.TransportError, match="no engine"):
            next(iter(subscriber))


def test_ticks_tell_that_there_was_no_spike(silent: Path) -> None:
    with Running("replay", silent, *ANY_PORT, "--wait-subscribers", 1) as engine:
        with rtspikes.subscribe(engine.endpoint(), kinds=("spikes", "crossings")) as subscriber:
            batches = list(subscriber)
        assert engine.finish() == 0
    for kind in ("spikes", "crossings"):
        of_kind = [b for b in batches if b.kind == kind]
        assert sum(len(b.spikes) + len(b.crossings) for b in of_kind) == 0
        reached = [b.to_sample for b in of_kind]
        assert reached == sorted(reached)
        assert len(set(reached)) > 3
        assert reached[-1] == 20000


def test_a_late_subscriber_gets_info_then_spikes_and_misses_nothing(dense: Path) -> None:
    with Running("replay", dense, "--loop", *ANY_PORT, "--wait-subscribers", 1) as engine:
        endpoint = engine.endpoint()
        with rtspikes.subscribe(endpoint) as first:
            early = next(b for b in first if len(b.spikes))
        with rtspikes.subscribe(endpoint) as late:
            batches: list[rtspikes.Batch] = []
            while sum(len(b.spikes) for b in batches) < 50:
                batch = late.get()
                assert batch is not None
                batches.append(batch)
            assert late.info is not None
            assert late.info["n_channels"] == 16
            assert late.info["session"] == batches[0].session == early.session
            ids = np.concatenate([b.spikes["id"] for b in batches])
            assert ids[0] > early.spikes["id"][0]
            assert not [m for b in batches for m in b.missed]


@POSIX
def test_a_subscriber_killed_while_it_is_waited_for_costs_the_others_nothing(dense: Path) -> None:
    options = ("--speed", "max", "--loop", *ANY_PORT, *FEW, "--wait-subscribers", 2)
    with Running("replay", dense, *options) as engine:
        endpoint = engine.endpoint()
        with Running("listen", endpoint) as victim, rtspikes.subscribe(endpoint, kinds=("spikes", "rejected")) as other:
            victim.wait_line("µV")
            victim.process.send_signal(signal.SIGSTOP)
            batches = drain_until_blocked(other)
            blocked_at = batches[-1].to_sample
            victim.process.kill()
            while batches[-1].to_sample <= blocked_at + 100 * RATE_HZ:
                batch = other.get()
                assert batch is not None
                batches.append(batch)
            engine.process.send_signal(signal.SIGINT)
            batches += list(other)
            assert engine.finish() == 0
            assert are_whole(batches, other)


@POSIX
def test_a_stopped_subscriber_loses_nothing_in_a_paced_run(dense: Path) -> None:
    options = ("--speed", "max", "--loop", *ANY_PORT, *FEW, "--wait-subscribers", 2)
    with Running("replay", dense, *options) as engine:
        endpoint = engine.endpoint()
        with (
            Running("listen", endpoint, "--json") as stopped,
            rtspikes.subscribe(endpoint, kinds=("spikes", "rejected")) as other,
        ):
            stopped.wait_line("spikes")
            stopped.process.send_signal(signal.SIGSTOP)
            batches = drain_until_blocked(other)
            engine.process.send_signal(signal.SIGINT)
            stopped.process.send_signal(signal.SIGCONT)
            batches += list(other)
            assert [engine.finish(), stopped.finish()] == [0, 0]
            assert are_whole(batches, other)
            assert not [line for line in stopped.err if "missed" in line]
            ids = [json.loads(line)["id"] for line in stopped.out]
            assert ids == np.concatenate([b.spikes["id"] for b in batches]).tolist()


SLOW = """
import sys, threading
import rtspikes.wire.subscribe as module
module.HEARTBEAT_MS = 50  # where there are heartbeats, they must not take a slow program for a dead connection
n = lost = 0
with module.subscribe(sys.argv[1], high_water_mark=10) as subscriber:
    subscriber.get()
    print("in a long calculation", flush=True)
    threading.Event().wait(1.0)
    for batch in subscriber:
        n += len(batch.spikes)
        lost += sum(m.count for m in batch.missed)
        if n >= 50000:
            break
print(n >= 50000, lost)
"""


def test_a_program_that_does_not_read_for_long_loses_nothing_in_a_paced_run(dense: Path) -> None:
    options = ("--speed", "max", "--loop", *ANY_PORT, *FEW, "--wait-subscribers", 1)
    with Running("replay", dense, *options) as engine:
        slow = subprocess.run(
            [sys.executable, "-c", SLOW, engine.endpoint()], capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert slow.returncode == 0, slow.stderr
        assert slow.stdout.splitlines()[-1] == "True 0"


def test_a_run_waits_for_its_logger_although_another_subscriber_is_there(short: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with rtspikes.subscribe(endpoint, connect_timeout_s=None) as early:
        options = ("--speed", "max", "--publish", endpoint, "--log", tmp_path / "s", "--set", "publish.linger_s=0")
        with Running("replay", short, *options) as engine:
            spikes = np.concatenate([b.spikes for b in early])
            assert engine.finish() == 0, engine.err
    assert rtspikes.read_session(tmp_path / "s.rtspikes").spikes.tobytes() == spikes.tobytes()


INFO: dict[str, Any] = {
    "first_sample": 0,
    "rate_hz": RATE_HZ,
    "snippet_samples": [1, 2],
    "n_channels": 1,
    "channels": {"label": ["E1"]},
    "source": {"uri": "test:"},
    "units": {"amplitude_uv": "µV"},
}


def spikes_message(channel: int = 0, samples: int = 3, **more: Any) -> dict[str, Any]:
    table = np.zeros(1, SPIKE_DTYPE)
    table["channel"] = channel
    wave = {"waveform_samples": samples, "waveforms": bytes(4 * samples)}
    return {"from_sample": 0, "to_sample": 5, **table_fields(table), **wave, **more}


def levels_message(first_channel: Any, sample: Any) -> dict[str, Any]:
    return {"sample": sample, "first_channel": first_channel, **table_fields(np.zeros(1, LEVELS_DTYPE))}


LIES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "a channel beyond the stream": (INFO, "spikes", spikes_message(channel=7)),
    "waveforms of another length than info says": (INFO, "spikes", spikes_message(samples=2)),
    "an empty info": ({}, "spikes", spikes_message()),
    "channels that are no table": (INFO | {"channels": "x"}, "spikes", spikes_message()),
    "snippets without samples": (INFO | {"snippet_samples": [0, 0]}, "spikes", spikes_message()),
    "bytes where JSON has none": (INFO | {"x": b"\xff"}, "spikes", spikes_message()),
    "a notice from nowhere": (INFO, "notices", {"from_sample": "x"}),
    "thresholds of a channel that is no number": (INFO, "thresholds", levels_message("x", 0)),
    "thresholds from beyond int64": (INFO, "thresholds", levels_message(0, 2**64 - 1)),
    "an end whose numbers are none": (INFO, "end", {"last_seq": {"spikes": "x"}, "counts": 3}),
}


@pytest.mark.parametrize("command", ["listen", "log"])
@pytest.mark.parametrize("lie", LIES)
def test_a_publisher_that_lies_crashes_nobody(lie: str, command: str, tmp_path: Path) -> None:
    info, kind, fields = LIES[lie]
    kinds = [word for k in ("spikes", "notices", "thresholds") for word in ("--topic", k)]
    with zmq.Context() as context, context.socket(zmq.XPUB) as liar:
        liar.linger = 0
        liar.rcvtimeo = round(DEADLINE_S * 1e3)
        endpoint = f"tcp://127.0.0.1:{liar.bind_to_random_port('tcp://127.0.0.1')}"
        with Running(command, endpoint, *(kinds if command == "listen" else [tmp_path / "s"])) as reader:
            while liar.recv() != b"\x01info/":
                pass
            end = {"reason": "", "to_sample": 5, "counts": {}, "last_seq": {}}
            for topic, body in (("info", info), (kind, fields), ("end", end)):
                head = {"v": 1, "session": "s", "seq": 0}
                liar.send_multipart([f"{topic}/a/".encode(), msgpack.packb(head | body)])
            code = reader.finish()
            assert "Traceback" not in "\n".join(reader.err)
            assert code in (0, 4, 5)
    if (tmp_path / "s.rtspikes").exists():
        told = run_to_end("info", tmp_path / "s.rtspikes")
        assert "Traceback" not in told.stderr
