"""When does a crossing reach a subscriber in another process, counted from its sample's due time?

`rtspikes replay --speed 1` (chunks of 2 ms) with a logger and the measuring subscriber. A crossing's `time` is when its
sample was due, and the subscriber reads the same clock on arrival; those of the first second, half of which is held to
learn the noise level, are left out. `cpu` is the engine's, of one core; `replay_late` is how late the replay's own
chunks were.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from bench.pair import replay_to
from bench.recordings import RATE_HZ, write

AFTER = RATE_HZ
"""First sample that counts: the held start comes late by design."""

SUBSCRIBER = """
import json, sys, rtspikes
from rtspikes.clock import LslClock
clock, late, last, status = LslClock(), [], 0.0, {}
with rtspikes.subscribe(sys.argv[1], kinds=("crossings", "status")) as s:
    for batch in s:
        now = clock.now()
        live = batch.crossings[batch.crossings["crossing"] >= int(sys.argv[2])]
        if len(live):
            late += (now - live["time"]).tolist()
            last = now - float(live["time"][-1])
        if batch.kind == "status":
            status = batch.fields
late.sort()
pick = lambda p: late[min(len(late) - 1, int(p * len(late)))] * 1e3
print(json.dumps({"n": len(late), "p50": pick(0.5), "p99": pick(0.99), "p999": pick(0.999), "max": late[-1] * 1e3,
                  "last": last * 1e3, "status": status}))
"""


def measure(folder: Path, channels: int, seconds: float) -> dict[str, Any]:
    """Run one replay at real speed and return its row."""
    recording = write(folder / f"l{channels}", channels, seconds)
    found = json.loads(replay_to(recording, folder / f"l{channels}", SUBSCRIBER, str(AFTER), speed="1"))
    status = found["status"]
    return {
        "channels": channels,
        "crossings": found["n"],
        **{f"{name}_ms": round(found[name], 2) for name in ("p50", "p99", "p999", "max")},
        "last_spike_ms": round(found["last"], 2),
        "replay_late_p99_ms": status["source"]["lateness_ms"]["p99"],
        "detect_p50_ms": status["latency_ms"]["detect"]["p50"],
        "cpu": f"{status['cpu_s'] / status['elapsed_s']:.0%}",
    }


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per channel count."""
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return [measure(Path(folder), n, args.seconds) for n in ([args.channels] if args.channels else [60, 1024])]
