"""How fast does a replay run through everything: file, ring, detector, ZeroMQ, a logger and a listener?

`rtspikes replay --speed max --log` with a Python subscriber in another process, all pinned to one core where the system
can pin; 5 spikes/s/channel, the file in the page cache. `times_real` is signal time over the run's time, from the first
sample to the engine's end; `lost` adds up samples lost, messages missed, and spikes missing in log or subscriber.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.pair import replay_to
from bench.pinned import one_core
from bench.recordings import write

SUBSCRIBER = """
import sys, rtspikes
n = missed = 0
with rtspikes.subscribe(sys.argv[1]) as s:
    for batch in s:
        n += len(batch.spikes)
        missed += sum(m.count for m in batch.missed)
print(n, missed)
"""


def measure(folder: Path, channels: int, seconds: float) -> dict[str, Any]:
    """Run one replay and return its row."""
    import rtspikes

    recording = write(folder / f"n{channels}", channels, seconds)
    recording.read_bytes()
    log = folder / f"n{channels}"
    begun = time.perf_counter()
    received, missed = map(int, replay_to(recording, log, SUBSCRIBER, speed="max").split())
    whole_s = time.perf_counter() - begun
    session = rtspikes.read_session(log.with_suffix(".rtspikes"))
    end = session.facts["ended"]["engine"]["counts"]
    took = session.facts["ended"]["engine"]["took_s"]
    recording.unlink()
    return {
        "channels": channels,
        "signal_s": seconds,
        "run_s": round(took, 2),
        "times_real": round(seconds / took, 1),
        "msamples_per_s": round(channels * seconds * 20000 / took / 1e6),
        "spikes": end["spikes"],
        "lost": end["lost_source"] + end["lost_overrun"] + missed + session.missed
        + 2 * end["spikes"] - received - len(session.spikes),
        "with_start_s": round(whole_s, 2),
    }  # fmt: skip


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per channel count."""
    parser = argparse.ArgumentParser(prog="python -m bench datapath")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args(arguments)
    with one_core(), tempfile.TemporaryDirectory() as folder:
        counts = [args.channels] if args.channels else [60, 1024]
        return [measure(Path(folder), n, args.seconds) for n in counts]
