"""How long is Python's lock held in the engine, with and without a subscriber that catches up 24 MB?

An engine at some 20,000 spikes/s (`sim:1024`, low threshold) runs in this process; another process asks for the last
24 MB of its history, again and again, in the second of two stretches. A watching thread wants the lock all the time:
what passes between two of its looks, less the time that it or another thread of the engine was ready but not
scheduled (Linux, /proc), is how long the lock was held. `append_max_ms`: the longest time in which a message of 256 KiB
was put into the history, which the engine does for every message.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from mmap import mmap
from typing import Any

import numpy as np

from rtspikes.config import config_from
from rtspikes.engine import Engine
from rtspikes.wire.history import HistoryWriter, size_for

CATCH_UP = """
import sys, time, zmq
from rtspikes.wire.requests import Requester
from rtspikes.wire.subscribe import subscribe
with subscribe(sys.argv[1]) as s:
    while s.info is None:
        s.get(0.1)
    session, ask = s.info["session"], s.requester()
    size = rounds = 0
    took = []
    deadline = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < deadline:
        begun, got = time.monotonic(), 0
        newest = ask.ask("again", 10, session=session, topic="spikes/array/", from_seq=2**62).head["next_seq"]
        at = max(0, newest - 4000)
        while got < 24e6:
            reply = ask.ask("again", 10, session=session, topic="spikes/array/", from_seq=at)
            got += sum(map(len, reply.frames))
            at = reply.head["first_seq"] + len(reply.frames)
            if not reply.frames:
                at = max(0, at - 4000)
        took.append(time.monotonic() - begun)
        rounds += 1
    print(rounds, sorted(took)[len(took) // 2])
"""


class Watcher:
    """Looks at the clock whenever it has the lock, and keeps what passed between two looks."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self.held: list[float] = []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        tasks = [os.open(f"/proc/self/task/{task}/schedstat", os.O_RDONLY) for task in os.listdir("/proc/self/task")]
        last, waited = time.perf_counter(), self._waited(tasks)
        while not self._stop.is_set():
            now = time.perf_counter()
            if now - last > 50e-6:
                before, waited = waited, self._waited(tasks)
                self.held.append(max(0.0, now - last - (waited - before)))
            last = time.perf_counter()
        for task in tasks:
            os.close(task)

    @staticmethod
    def _waited(tasks: list[int]) -> float:
        """Return how long these threads have been ready and not scheduled (s), over all of them."""
        return sum(int(os.pread(task, 100, 0).split()[1]) for task in tasks) * 1e-9


def _stretch(name: str, seconds: float, endpoint: str | None) -> dict[str, Any]:
    client = None
    if endpoint is not None:
        client = subprocess.Popen(
            [sys.executable, "-c", CATCH_UP, endpoint, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        time.sleep(1.0)
    with Watcher() as watcher:
        time.sleep(seconds)
    rounds, took = client.communicate()[0].split() if client else ("0", "nan")
    held = np.sort(watcher.held) * 1e3
    return {
        "stretch": name,
        "held_p50_ms": round(float(np.percentile(held, 50)), 3),
        "held_p99_ms": round(float(np.percentile(held, 99)), 3),
        "held_p999_ms": round(float(np.percentile(held, 99.9)), 3),
        "held_max_ms": round(float(held[-1]), 3),
        "catch_ups": int(rounds),
        "24_mb_s": round(float(took), 2),
    }


def _append() -> float:
    writer = HistoryWriter(mmap(-1, size_for(128.0)), 60.0)
    message, longest = bytes(256 * 1024 - 1), 0.0
    for n in range(3000):
        begun = time.perf_counter()
        writer.append(0, n, message, begun)
        longest = max(longest, time.perf_counter() - begun) if n > 1000 else 0.0
    return longest


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row without and one with catch-up."""
    parser = argparse.ArgumentParser(prog="python -m bench catchup")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    config = config_from(
        {
            "source": {"uri": "sim:1024?live=1"},
            "detect": {"threshold": 3.3},
            "publish": {"endpoint": "tcp://127.0.0.1:0"},
        }
    )
    append_ms = round(_append() * 1e3, 3)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with Engine(config) as engine:
            engine.start()
            engine.release()
            time.sleep(8.0)
            rows = [_stretch("alone", args.seconds, None), _stretch("catch-up", args.seconds, engine.endpoint)]
            rate = engine.status["spikes_per_s"]
            engine.stop()
            engine.wait(30.0)
    finally:
        sys.setswitchinterval(before)
    return [row | {"spikes_per_s": rate, "append_max_ms": append_ms} for row in rows]
