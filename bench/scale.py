"""How do cost and memory grow with channels, with spikes and with engines?

The detector alone (`--cost`), default settings, calls of 20 ms, one core, a fresh process each: seconds per second of
signal, and the memory (RSS) that it takes; then at 1024 channels with none to 200 spikes per second and channel.

The whole path (`--path`): 26,400 channels × 20 kHz (more than any array streams) through everything: a file in the
page cache, looped, ring, detector, ZeroMQ, a logger and a subscriber in processes of their own; at real speed, then as
fast as it goes. Several engines (`--engines`) on this computer, each with its recording, logger and subscriber, at real
speed. `late`: from the moment at which a crossing's sample was due to the subscriber's hands, once all have started;
`cpu`: of the engines, in parts of one core; `spikes_astray`: found, and then not in the log or not at the subscriber.

The first row whose `times_real` is below 1, or that lost something, is beyond this computer. What is to be done then:
engines on several computers, each with an array or a part of the channels (`rtspikes run --publish … --keys …`); a
program subscribes to each of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.engines import figures, replay
from bench.pinned import one_core
from bench.recordings import RATE_HZ, planted, write

Row = dict[str, Any]

CHUNK_MS = 20

CHANNELS = (64, 256, 1024, 4096, 16384, 26400)

SPIKES_PER_S = 5

RATES = (0, 20, 50, 100, 200)
"""Spikes per second and channel, at 1024 channels."""

PATH_CHANNELS = 26400

ENGINES = ((1, 1024), (2, 1024), (4, 256), (4, 1024), (2, 4096), (4, 4096))
"""How many engines, and channels of each."""

RECORDING_S = 2.0
"""Of signal, looped."""

SETTLED_S = 5.0
"""Until then engines may still be starting."""

TURNS = 5


def rss_mib() -> float:
    """Return this process's resident memory; NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def detector_cost(channels: int, spikes_per_s: float) -> Row:
    """Return what a detector costs in this process, which should be fresh."""
    from bench.detector import Runner

    with one_core():
        signal = planted(channels, 1.0, spikes_per_s)
        few = planted(64, 1.0)
        Runner(few.samples, len(few.sample), CHUNK_MS)
        before = rss_mib()
        runner = Runner(signal.samples, len(signal.sample), CHUNK_MS)
        speed = float(np.median([runner.msamples_per_s() for _ in range(TURNS)]))
    return {
        "channels": channels,
        "spikes_per_s": spikes_per_s,
        "msamples_per_s": round(speed),
        "s_per_s_of_signal": round(channels * RATE_HZ / speed / 1e6, 4),
        "channels_at_20khz": round(speed * 1e6 / RATE_HZ),
        "detector_mib": round(rss_mib() - before, 1),
        "kib_per_channel": round((rss_mib() - before) * 1024 / channels, 1),
    }


def in_fresh_process(channels: int, spikes_per_s: float) -> Row:
    """Return `detector_cost` of a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(detector_cost, channels, spikes_per_s).result()


def path(folder: Path, channels: int, seconds: float, settings: Sequence[str]) -> list[Row]:
    """Return the rows of the whole path."""
    recording = write(folder / "path", channels, RECORDING_S)
    rows = []
    for speed in ("1", "max"):
        heard = replay([recording], folder, seconds, speed, SETTLED_S, settings)
        row = {"speed": speed, "channels": channels, "seconds": seconds, **figures(heard)}
        rows.append(row if speed == "1" else row | dict.fromkeys(("late_p50_ms", "late_p99_ms", "late_at_end_ms"), ""))
    return rows


def engines(folder: Path, seconds: float, settings: Sequence[str]) -> list[Row]:
    """Return a row per number of engines."""
    recordings = {channels: write(folder / f"e{channels}", channels, RECORDING_S) for _, channels in ENGINES}
    rows = []
    for n, channels in ENGINES:
        heard = replay([recordings[channels]] * n, folder, seconds, "1", SETTLED_S + n, settings)
        rows.append({"engines": n, "channels_each": channels, "seconds": seconds, **figures(heard)})
    return rows


def as_object(rows: list[Row]) -> dict[str, Any]:
    """Return what `--json` prints: all rows."""
    return {"scale": rows}


def run(arguments: list[str]) -> list[Row]:
    """Return the rows of the parts that are named; of all without a name."""
    parser = argparse.ArgumentParser(prog="python -m bench scale")
    parser.add_argument("--cost", action="store_true", help="the detector against channels, and against spikes")
    parser.add_argument("--path", action="store_true", help="the whole path, with logger and subscriber")
    parser.add_argument("--engines", action="store_true", help="several engines")
    parser.add_argument("--channels", type=int, help="of these parts only the row with so many")
    parser.add_argument("--path-seconds", type=float, default=60.0)
    parser.add_argument("--engine-seconds", type=float, default=20.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the engines")
    args = parser.parse_args(arguments)
    settings = [word for setting in args.set for word in ("--set", setting)]
    everything = not (args.cost or args.path or args.engines)
    rows: list[Row] = []
    if args.cost or everything:
        rows += [in_fresh_process(n, SPIKES_PER_S) for n in ([args.channels] if args.channels else CHANNELS)]
        rows += [in_fresh_process(args.channels or 1024, rate) for rate in RATES]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.path or everything:
            rows += path(folder, args.channels or PATH_CHANNELS, args.path_seconds, settings)
        if args.engines or everything:
            rows += engines(folder, args.engine_seconds, settings)
    return rows
