"""Engines that replay looped recordings, each with a logger and a subscriber in processes of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import rtspikes
from bench.pair import run_to
from bench.recordings import RATE_HZ

Row = dict[str, Any]

SUBSCRIBER = """
import json, sys
import numpy as np, rtspikes
from rtspikes.clock import LslClock
clock, after, late, fill, status = LslClock(), int(sys.argv[2]), [np.zeros(0)], 0.0, {}
spikes = missed = 0
with rtspikes.subscribe(sys.argv[1], kinds=("spikes", "crossings", "status")) as s:
    for batch in s:
        missed += sum(m.count for m in batch.missed)
        if batch.kind == "spikes":
            spikes += len(batch.spikes)
        elif batch.kind == "crossings":
            found = batch.crossings
            late.append(clock.now() - found["time"][found["crossing"] >= after])
        elif batch.kind == "status":
            status = batch.fields
            fill = max(fill, status["ring_fill"])
late_ms = np.concatenate(late) * 1e3
p50, p99 = np.percentile(late_ms, [50, 99]) if len(late_ms) else (0.0, 0.0)
print(json.dumps({"spikes": spikes, "missed": missed, "ring_fill": fill, "p50_ms": p50, "p99_ms": p99,
                  "end_ms": float(late_ms[-1]) if len(late_ms) else 0.0,
                  **{name: status[name] for name in ("signal_s", "elapsed_s", "cpu_s", "counts")}}))
"""


def replay(
    recordings: Sequence[Path],
    folder: Path,
    seconds: float,
    speed: str,
    settled_s: float,
    settings: Sequence[str] = (),
) -> list[Row]:
    """Replay each recording, looped, for `seconds`, in an engine of its own, all at once; return what came of each.

    settled_s: crossings in the signal before that do not count as late; settings: further words of the command.
    """

    def one(nth: int) -> Row:
        log = folder / f"{recordings[nth].stem}-{nth}-{speed}"
        command = ["replay", str(recordings[nth]), "--loop", "--duration", str(seconds), "--speed", speed, *settings]
        heard: Row = json.loads(run_to(command, log, SUBSCRIBER, str(round(settled_s * RATE_HZ))))
        session = rtspikes.read_session(log.with_suffix(".rtspikes"))
        counts = session.facts["ended"]["engine"]["counts"]
        heard["lost_samples"] = counts["lost_source"] + counts["lost_overrun"]
        heard["missed_messages"] = heard.pop("missed") + session.missed
        heard["spikes_astray"] = 2 * counts["spikes"] - heard["spikes"] - len(session.spikes)
        heard["spikes"] = counts["spikes"]
        del session
        shutil.rmtree(log.with_suffix(".rtspikes"))
        return heard

    with ThreadPoolExecutor(len(recordings)) as pool:
        return list(pool.map(one, range(len(recordings))))


def figures(heard: Sequence[Row]) -> Row:
    """Return what came of several engines as one row's figures: sums of what was lost, the worst of what was late."""
    return {
        "times_real": round(min(each["signal_s"] / each["elapsed_s"] for each in heard), 2),
        "cpu": f"{sum(each['cpu_s'] / each['elapsed_s'] for each in heard):.0%}",
        "ring_fill_max": max(each["ring_fill"] for each in heard),
        "late_p50_ms": round(float(np.median([each["p50_ms"] for each in heard])), 1),
        "late_p99_ms": round(max(each["p99_ms"] for each in heard), 1),
        "late_at_end_ms": round(max(each["end_ms"] for each in heard), 1),
        "spikes": sum(each["spikes"] for each in heard),
        **{name: sum(each[name] for each in heard) for name in ("lost_samples", "missed_messages", "spikes_astray")},
    }
