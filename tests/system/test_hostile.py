"""Whoever reaches the sockets attacks them, in every way and as fast as it goes: no spike is lost, and few are late."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import rtspikes
from rtspikes.clock import LslClock
from tests.peers.hostile_attacks import ATTACKS
from tests.system.processes import Running, wait_until

ATTACKER = Path(__file__).parents[1] / "peers/hostile_attacks.py"

ATTACK_S = 1.0
"""How long each attack lasts; together with the quiet stretch this is the length of the test."""

MOST_GROWTH = 300 * 2**20
"""Bytes that a process may grow by: unguarded, each of the unfinished messages takes more in a second."""


class Well(threading.Thread):
    """A subscriber that is what it should be: counts, and takes the time that spikes need."""

    def __init__(self, endpoint: str, lossless: bool) -> None:
        super().__init__(name=f"well-{lossless}")
        self._endpoint, self._lossless = endpoint, lossless
        self.ids: list[int] = []
        self.late: list[tuple[float, float]] = []
        self.missed = 0
        self.end: dict[str, Any] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        clock = LslClock()
        try:
            with rtspikes.subscribe(
                self._endpoint, kinds=("spikes", "rejected", "crossings"), lossless=self._lossless
            ) as s:
                for batch in s:
                    now = clock.now()
                    if len(batch.crossings):
                        self.late.append((now, now - float(batch.crossings["time"][-1])))
                    self.ids += batch.spikes["id"].tolist() + batch.rejected["id"].tolist()
                    self.missed += sum(m.count for m in batch.missed)
                self.end = s.end or {}
        except BaseException as error:
            self.error = error

    def figures(self, begin_s: float, end_s: float) -> str:
        late = np.array([x for at, x in self.late if begin_s <= at < end_s]) * 1e3
        return (
            "none"
            if not len(late)
            else "p50 {:.2f} p99 {:.2f} max {:.1f} ms".format(*np.percentile(late, (50, 99)), late.max())
        )


@contextmanager
def attacker(name: str, endpoint: str, kind: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ATTACKER), name, endpoint, kind, str(ATTACK_S)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def reply_of(engine: psutil.Process) -> psutil.Process | None:
    return next((c for c in engine.children() if "rtspikes.wire.reply_process" in c.cmdline()), None)


class Memory(threading.Thread):
    """Looks at what the engine and its reply process hold."""

    def __init__(self, engine: psutil.Process) -> None:
        super().__init__(name="memory")
        self._engine = engine
        self.engine = [engine.memory_info().rss]
        self.reply = [0]
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            try:
                self.engine.append(self._engine.memory_info().rss)
                if (reply := reply_of(self._engine)) is not None:
                    self.reply.append(reply.memory_info().rss)
            except psutil.Error:  # it has just died
                continue


def addresses(transport: str, folder: Path) -> str:
    return "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{folder}/s"


@pytest.mark.timeout(170)
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_no_spike_is_lost_whatever_comes_through_the_sockets(transport: str, tmp_path: Path) -> None:
    if transport == "ipc" and sys.platform == "win32":
        pytest.skip("Windows has no ipc://")
    clock = LslClock()
    source = ("run", "--source", "sim:256?live=1&seed=4", "--publish", addresses(transport, tmp_path))
    with Running(*source, "--wait-subscribers", 2) as run:
        endpoint = run.endpoint()
        engine = psutil.Process(run.process.pid)
        wells = [Well(endpoint, False), Well(endpoint, True)]
        for well in wells:
            well.start()
        run.wait_line("spikes/s")
        with rtspikes.control(endpoint) as control:
            reply = control.info["reply"]["endpoint"]
            memory = Memory(engine)
            memory.start()
            stretches = {}
            begun = clock.now()
            wait_until(lambda: clock.now() - begun > ATTACK_S, "time")
            stretches["quiet"] = (begun, clock.now())
            for name in ATTACKS:
                begun = clock.now()
                with attacker(name, endpoint, "SUB") as first, attacker(name, reply, "DEALER") as second:
                    if name == "garbage" and (child := reply_of(engine)) is not None:
                        child.kill()  # while it is attacked
                    said = [json.loads(p.communicate(timeout=60)[0]) for p in (first, second)]
                stretches[name] = (begun, clock.now())
                sent = ", ".join(f"{s.get('bytes', 0) / 1e6:.1f} MB in {s['begun']} connections" for s in said)
                print(f"{name:17} sent {sent}; latency {wells[0].figures(*stretches[name])}")
                assert engine.is_running(), run.err[-3:]
                assert [w.error for w in wells] == [None, None]
            print(f"{'quiet':17} latency {wells[0].figures(*stretches['quiet'])}")
            wait_until(lambda: control.status()["reply"]["alive"], "the reply process's return")
            status = control.status()
            assert control.freeze().sample > 0  # it still obeys
            memory.over.set()
            memory.join()
            control.shutdown()
        for well in wells:
            well.join(60)
        assert run.finish() == 0, run.err[-3:]
    print(f"status: connections {status['connections']}, reply {status['reply']}, bad {status['bad_upstream']}")
    grown = [(max(m) - m[min(1, len(m) - 1)]) / 2**20 for m in (memory.engine, memory.reply)]
    print(f"grew by {grown[0]:.0f} MiB (engine), {grown[1]:.0f} MiB (reply process)")
    for well in wells:
        counts = well.end["counts"]
        assert (well.error, well.missed) == (None, 0)
        assert sorted(well.ids) == list(range(counts["spikes"] + counts["rejected"]))
        assert (counts["lost_source"], counts["lost_overrun"]) == (0, 0)
    assert status["reply"]["restarts"] >= 1
    assert status["connections"]["cut_off"] + status["connections"]["refused"] > 0
    assert status["reply"]["bad_requests"] > 0
    assert max(grown) * 2**20 < MOST_GROWTH


def test_every_attack_is_one() -> None:
    """An attack that cannot connect would prove nothing: each gets something through to an open socket."""
    with Running("run", "--source", "sim:4?live=1", "--publish", "tcp://127.0.0.1:0", "--duration", 60) as run:
        endpoint = run.endpoint()
        for name in ATTACKS:
            begun = time.monotonic()
            process = subprocess.run(
                [sys.executable, str(ATTACKER), name, endpoint, "SUB", "0.5"],
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert process.returncode == 0, process.stderr
            assert json.loads(process.stdout).get("bytes", 0) > 0, name
            assert time.monotonic() - begun < 30
