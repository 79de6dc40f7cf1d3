"""Does a simulated array stream live, and what does it cost?

`rtspikes run --source "sim:LAYOUT?live=1" --log` with a subscriber in another process: nothing waits, and what did not
fit would be lost and told. `sim_cpu` is making the samples alone, `engine_cpu` the whole engine with it, in parts of
one core; `lost` adds up samples lost, messages missed, and spikes missing in log or subscriber; recall and precision
are against the simulation's truth (spikes of at least 8 times the noise; one to one within 1 ms), with the defaults.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.pair import run_to
from rtspikes.clock import LslClock
from rtspikes.sources import open_source
from rtspikes.sources.settings import SourceSettings
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.score import score_session

SUBSCRIBER = """
import json, sys, rtspikes
from rtspikes.clock import LslClock
from rtspikes.subscribers.watch import WATCHED_KINDS, Watch
clock, watch = LslClock(), None
with rtspikes.subscribe(sys.argv[1], kinds=WATCHED_KINDS) as s:
    for batch in s:
        if watch is None:
            watch = Watch(s.info)
        watch.add(batch, clock.now())
print(json.dumps({"spikes": int(watch.counts.sum()), "missed": watch.missed, "latency": watch.latency.summary_ms(),
                  "status": watch.status}))
"""


def sim_cpu(layout: str, seconds: float = 5.0) -> float:
    """Return the processor time per second of signal that making it takes, in chunks of 2 ms."""
    settings = SourceSettings(uri=f"sim:{layout}?seconds={seconds}", speed="max")
    with open_source(settings, LslClock()) as source:
        chunk = np.empty((40, source.info.n_channels), np.int16)
        source.start()
        begun = time.process_time()
        while not source.pull(chunk).ended:
            pass
        return (time.process_time() - begun) / seconds


def measure(folder: Path, layout: str, seconds: float) -> dict[str, Any]:
    """Run one simulation live and return its row."""
    log = folder / layout.replace(":", "-")
    found = json.loads(run_to(["run", "--source", f"sim:{layout}?seconds={seconds:g}&live=1"], log, SUBSCRIBER))
    session, status = read_session(log.with_suffix(".rtspikes")), found["status"]
    counts, scored = status["counts"], score_session(session)
    assert scored is not None
    return {
        "layout": layout,
        "seconds": seconds,
        "spikes": counts["spikes"],
        "lost": counts["lost_source"] + counts["lost_overrun"] + found["missed"] + session.missed
        + 2 * counts["spikes"] - found["spikes"] - len(session.spikes),
        "sim_cpu": f"{sim_cpu(layout):.0%}",
        "engine_cpu": f"{status['cpu_s'] / status['elapsed_s']:.0%}",
        "latency_p50_ms": found["latency"]["p50"],
        "latency_p99_ms": found["latency"]["p99"],
        "recall": round(scored.recall, 3),
        "precision": round(scored.precision, 3),
    }  # fmt: skip


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per layout."""
    parser = argparse.ArgumentParser(prog="python -m bench simulation")
    parser.add_argument("--layout")
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return [measure(Path(folder), x, args.seconds) for x in ([args.layout] if args.layout else ["60", "1024"])]
