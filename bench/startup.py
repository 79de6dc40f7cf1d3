"""How long does a replay take from the command to its first sample, with kernels cached and without?

60 channels; from the process's start until the engine's first sample is due, logger included. The target is 3 s warm
and 30 s cold (kernels compiling).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.recordings import write


def first_sample_s(recording: Path, log: Path, cache: Path) -> tuple[float, bool]:
    """Return the seconds to the first sample, and whether slowness was announced."""
    import rtspikes
    from rtspikes.clock import LslClock

    begun = LslClock().now()
    process = subprocess.run(
        [sys.executable, "-m", "rtspikes", "replay", str(recording), "--stop", "0.2", "--log", str(log)]
        + ["--publish", "tcp://127.0.0.1:0"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    spikes = rtspikes.read_session(log.with_suffix(".rtspikes")).spikes
    first_s = float(spikes["time"][0]) - int(spikes["sample"][0]) / 20000
    return first_s - begun, "compiling" in process.stderr


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row for the cold start and one for the median warm start."""
    parser = argparse.ArgumentParser(prog="python -m bench startup")
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args(arguments).times
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = write(folder / "s", 60, 1.0, spikes_per_s=50)
        cold, told = first_sample_s(recording, folder / "cold", folder / "cache")
        warm = sorted(first_sample_s(recording, folder / f"w{i}", folder / "cache")[0] for i in range(times))
    return [
        {"start": "cold", "first_sample_s": round(cold, 2), "announced": told, "target_s": 30},
        {"start": "warm", "first_sample_s": round(warm[times // 2], 2), "announced": "", "target_s": 3},
    ]
