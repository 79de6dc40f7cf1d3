"""Synthetic recordings for the benchmarks: noise with spikes, of any width."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

RATE_HZ = 20000


def write(path: Path, channels: int, seconds: float, spikes_per_s: float = 5.0, seed: int = 1) -> Path:
    """Write PATH.raw + PATH.json: int16 noise (σ 30 counts) with biphasic spikes (300 counts); return the .raw path."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    t = np.arange(40) / RATE_HZ * 1e3
    shape = (-300 * np.exp(-(((t - 0.5) / 0.15) ** 2)) + 70 * np.exp(-(((t - 1.0) / 0.3) ** 2))).astype(np.int16)
    with open(path.with_suffix(".raw"), "wb") as file:
        for start in range(0, n, RATE_HZ):
            rows = min(RATE_HZ, n - start)
            block = (rng.standard_normal((rows, channels), np.float32) * 30).astype("<i2")
            count = rng.poisson(spikes_per_s * channels * rows / RATE_HZ)
            for at, c in zip(rng.integers(0, max(1, rows - 40), count), rng.integers(0, channels, count), strict=True):
                block[at : at + 40, c] += shape[: rows - at]
            block.tofile(file)
    meta = {
        "sampling_rate_hz": RATE_HZ,
        "n_channels": channels,
        "n_samples": n,
        "dtype": "int16",
        "gain_to_uv": 0.195,
        "unit": "uV",
    }
    path.with_suffix(".json").write_text(json.dumps(meta))
    return path.with_suffix(".raw")
