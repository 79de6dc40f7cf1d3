"""Three subscribers at 20,000 spikes/s: one is killed and resumes, one is stopped, one is well.

One minute; `RTSPIKES_CHAOS=2 pytest tests/system/test_chaos.py` takes two, of which the one is stopped for one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

import rtspikes
from tests.system.processes import DEADLINE_S, Running

PEERS = Path(__file__).parents[1] / "peers"

MINUTES = float(os.environ.get("RTSPIKES_CHAOS", "1"))
SECONDS = round(60 * MINUTES)
STOPPED_S = (15 * MINUTES, 45 * MINUTES)

DEATHS = (22 * MINUTES, 27 * MINUTES)
"""When (s) the keeper is killed, and when it is started again and again until it stays."""

ENGINE = (
    *("--source", f"sim:1024?live=1&seconds={SECONDS}", "--publish", "tcp://127.0.0.1:0", "--wait-subscribers", 4),
    *("--set", "detect.threshold=3.03", "--set", "history.max_mib=128", "--set", "detect.filter.order=1"),
    *("--set", "detect.rebound.reject=false"),
)


@contextmanager
def peer(name: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Start a program of tests/peers; kill it at the block's end."""
    command = [sys.executable, str(PEERS / name), *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Watch:
    """Follows the run by its `status`, and takes down the engine's memory."""

    def __init__(self, subscriber: rtspikes.Subscriber, engine: psutil.Process) -> None:
        self._subscriber, self._engine = subscriber, engine
        self.rss: list[int] = []

    def until(self, signal_s: float) -> float:
        """Return once the run has come to `signal_s`, with the time (LSL s) then."""
        for batch in self._subscriber:
            self.rss.append(self._engine.memory_info().rss)
            if batch.fields["signal_s"] >= signal_s:
                return float(batch.fields["t_sent"])
        raise AssertionError("the engine has ended")


def figures(name: str, latencies_s: NDArray[np.float64]) -> tuple[float, float]:
    """Print and return p50 and p99."""
    p50, p99 = np.percentile(latencies_s, (50, 99)) * 1e3
    print(f"latency {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, largest {latencies_s.max() * 1e3:.1f} ms")
    return p50, p99


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP, SIGCONT and SIGKILL are POSIX")
def test_a_killed_and_a_stopped_subscriber_cost_nobody_else_anything(tmp_path: Path) -> None:
    with Running("run", *ENGINE) as engine:
        endpoint = engine.endpoint()
        with (
            rtspikes.subscribe(endpoint, kinds=("status",)) as subscriber,
            peer("chaos_reader.py", endpoint, tmp_path / "well") as well,
            peer("chaos_reader.py", endpoint, tmp_path / "stopped") as stopped,
            peer("chaos_keeper.py", endpoint, tmp_path / "kept", 0) as first,
        ):
            watch = Watch(subscriber, psutil.Process(engine.process.pid))
            stop_s = watch.until(STOPPED_S[0])
            stopped.send_signal(signal.SIGSTOP)
            before = len(watch.rss)
            watch.until(DEATHS[0])
            first.kill()
            watch.until(DEATHS[1])
            for batches in (1000, 1):  # both times while it catches up
                with peer("chaos_keeper.py", endpoint, tmp_path / "kept", batches) as mortal:
                    assert mortal.wait(DEADLINE_S) == -signal.SIGKILL
                    assert mortal.stdout is not None
                    assert mortal.stdout.read().split() == ["resumed"]
            with peer("chaos_keeper.py", endpoint, tmp_path / "kept", 0) as last:
                continue_s = watch.until(STOPPED_S[1])
                stopped.send_signal(signal.SIGCONT)
                assert [p.wait(DEADLINE_S + SECONDS) for p in (well, stopped, last)] == [0, 0, 0]
                assert last.stdout is not None
                assert last.stdout.read().split() == ["resumed"]
            for _ in subscriber:
                pass
            assert engine.finish() == 0, engine.err
    print(*engine.err[-1:], sep="\n")
    check_well(tmp_path / "well", stop_s, continue_s)
    check_kept(tmp_path)
    check_stopped(tmp_path)
    check_memory(watch.rss, before, told(tmp_path / "well")["largest_bytes"])


def told(folder: Path) -> Any:
    return json.loads((folder / "told.json").read_text("utf-8"))


def is_whole(ids: NDArray[np.uint64], counts: dict[str, int]) -> bool:
    """Tell whether every event is there exactly once."""
    return np.array_equal(np.sort(ids), np.arange(counts["spikes"] + counts["rejected"], dtype=np.uint64))


def check_well(folder: Path, stop_s: float, continue_s: float) -> None:
    """Check that the subscriber that is well misses nothing, and is not kept waiting."""
    of_well = told(folder)
    counts, status = of_well["end"]["counts"], of_well["status"]
    rate = counts["spikes"] / status["signal_s"]
    print(f"{rate:.0f} spikes/s; {counts['lost_overrun']} samples lost by overrun in {counts['gaps']} gaps")
    assert rate >= 20_000
    assert of_well["missed_total"] == 0
    assert is_whole(np.load(folder / "ids.npy"), counts)
    acquired_s, received_s = np.load(folder / "times.npy").T
    periods = np.searchsorted(received_s, (stop_s, continue_s))
    parts = np.split(received_s - acquired_s, periods)
    medians = [figures(name, part)[0] for name, part in zip(("before", "during", "after"), parts, strict=True)]
    assert max(medians[1:]) < 3 * medians[0]


def check_kept(folder: Path) -> None:
    """Check that the subscriber that was killed has every event exactly once."""
    ids = np.fromfile(folder / "kept/ids", np.uint64)
    assert is_whole(ids, told(folder / "well")["end"]["counts"])


def check_stopped(folder: Path) -> None:
    """Check that the one that was stopped knows what it missed, and so does the engine."""
    of_stopped = told(folder / "stopped")
    print(f"stopped: received {of_stopped['received']}, missed {of_stopped['missed']}")
    assert of_stopped["missed"].get("spikes", 0) > 0
    for kind in ("spikes", "rejected", "status"):
        n = of_stopped["received"].get(kind, 0) + of_stopped["missed"].get(kind, 0)
        assert n == of_stopped["end"]["last_seq"].get(kind, -1) + 1 - of_stopped["first"][kind]
    assert told(folder / "well")["status"]["missed_by_subscribers"] == of_stopped["missed_total"]


def check_memory(rss: list[int], before: int, largest_bytes: int) -> None:
    """Check that the engine keeps no more for a stopped subscriber than its high-water mark."""
    growth, bound = max(rss[before:]) - rss[before - 1], 1000 * (largest_bytes + 4096)
    print(f"engine grew by {growth / 2**20:.1f} MiB; high-water mark × largest message {bound / 2**20:.1f} MiB")
    assert growth <= bound
