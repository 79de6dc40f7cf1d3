"""When does a crossing reach a subscriber in another process, and where does the time go?

`rtspikes run --log --source pulses:CHANNELS`, live, 20 kHz in chunks of 1 ms, some 5 spikes/s/channel, with a logger,
the measuring subscriber and two more that are stopped (SIGSTOP) as soon as they have joined. The first two seconds do
not count: a part is held to learn the noise level. All in ms: `ring` from the chunk's arrival in the engine to the
subscriber's hands, `due` from the moment at which the chunk's last sample was due; then p50 / p99 of each stage, as
`rtspikes latency` tells them. `cpu` is the engine's, of one core. `idle`: how late the p99 and p99.9 of plain waits of
1 ms ended meanwhile, in a program that does nothing else: none that waits on this machine does better.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.pair import run_to

CHUNK_MS, SPIKES_PER_S, STOPPED = 1, 5, 2

WARM_UP_S = 2.0

SUBSCRIBER = """
import json, sys
import rtspikes
from rtspikes.clock import LslClock
from rtspikes.subscribers.latency import STAGES, Arrivals, percentiles_ms, stages_s
after_s, chunk_ms = float(sys.argv[2]), float(sys.argv[3])
clock, arrivals, status = LslClock(), Arrivals(), {}
with rtspikes.subscribe(sys.argv[1], kinds=("crossings", "status")) as s:
    for batch in s:
        arrivals.add(batch, clock.now())
        if batch.kind == "status":
            status = {name: batch.fields[name] for name in ("counts", "cpu_s", "elapsed_s")}
    rate, missed = s.info["rate_hz"], s.missed_total
rows = arrivals.rows(round(after_s * rate))
stages = stages_s(rows, rate, 0, round(chunk_ms * 1e-3 * rate))
stages["due"] = stages["sample_to_program"] - stages["chunk"]
print(json.dumps({"n": len(rows), "missed": missed, "status": status,
                  "ms": {name: percentiles_ms(values) for name, values in stages.items()}}))
"""


class Idle:
    """A thread that waits 1 ms, again and again, and notes how late it woke up."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._wait)
        self.late_s: list[float] = []

    def __enter__(self) -> Idle:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _wait(self) -> None:
        while not self._stop.is_set():
            due_s = time.perf_counter() + 1e-3
            time.sleep(1e-3)
            self.late_s.append(time.perf_counter() - due_s)


def measure(folder: Path, channels: int, seconds: float, overrides: list[str]) -> dict[str, Any]:
    """Run one engine and return its row."""
    uri = f"pulses:{channels}?spikes={SPIKES_PER_S}&seconds={WARM_UP_S + seconds:g}"
    overrides = [f"source.chunk_ms={CHUNK_MS}", "publish.linger_s=1", *overrides]
    settings = [word for override in overrides for word in ("--set", override)]
    stopped = STOPPED if hasattr(signal, "SIGSTOP") else 0
    arguments = (str(WARM_UP_S), str(CHUNK_MS))
    with Idle() as idle:
        said = run_to(
            ["run", "--source", uri, *settings], folder / f"l{channels}", SUBSCRIBER, *arguments, stopped=stopped
        )
    found = json.loads(said)
    status, ms = found["status"], found["ms"]
    row = {"channels": channels, "seconds": seconds, "stopped": stopped, "crossings": found["n"]}
    for name, stage in (("ring", "ring_to_program"), ("due", "due")):
        row |= {f"{name}_{p.replace('.', '')}": ms[stage][p] for p in ("p50", "p99", "p99.9", "max")}
    row |= {
        stage: f"{ms[stage]['p50']} / {ms[stage]['p99']}"
        for stage in ("arrive", "wait", "detect", "publish", "transport")
    }
    p99, p999 = np.percentile(idle.late_s, [99, 99.9]) * 1e3
    return {
        **row,
        "lost": status["counts"]["lost_source"] + status["counts"]["lost_overrun"] + found["missed"],
        "cpu": f"{status['cpu_s'] / status['elapsed_s']:.0%}",
        "idle": f"{p99:.2f} / {p999:.2f}",
    }


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per channel count."""
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--seconds", type=float, default=30.0, help="300 for the figures of record")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        counts = [args.channels] if args.channels else [60, 64, 1024]
        return [measure(Path(folder), n, args.seconds, args.overrides) for n in counts]
