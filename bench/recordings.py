"""Synthetic recordings for the benchmarks: noise with spikes at known places, of any width."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 20000

SIGMA = 30
"""The noise level (counts)."""

GAIN_UV = 0.195

HEIGHTS = (8.0, 12.0)
"""Troughs, in multiples of the noise level, evenly between."""

_T_MS = np.arange(40) / RATE_HZ * 1e3

SHAPE = -np.exp(-(((_T_MS - 0.5) / 0.15) ** 2)) + 0.23 * np.exp(-(((_T_MS - 1.0) / 0.3) ** 2))
"""A biphasic spike of 2 ms with a trough of 1."""

TROUGH = int(SHAPE.argmin())

APART = 60
"""Samples from a channel's spike to its next at least: 3 ms."""

NOISE_ROWS = 2000
"""Samples of noise that are drawn at a time."""


class Planted(NamedTuple):
    """samples: int16 (n, channels). sample, channel: (spikes,) of the troughs, by channel, then time."""

    samples: NDArray[np.int16]
    sample: NDArray[np.int64]
    channel: NDArray[np.int64]


def planted(channels: int, seconds: float, spikes_per_s: float = 5.0, seed: int = 1) -> Planted:
    """Return noise with spikes at known places, `spikes_per_s` on each channel; none in the last 3 ms."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    samples = np.empty((n, channels), np.int16)
    for start in range(0, n, NOISE_ROWS):
        noise = rng.standard_normal((min(NOISE_ROWS, n - start), channels), np.float32)
        noise *= SIGMA
        samples[start : start + NOISE_ROWS] = noise
    counts = np.minimum(rng.poisson(spikes_per_s * seconds, channels), max(0, n // APART - 1))
    channel = np.repeat(np.arange(channels), counts)
    place = rng.random(len(channel)) * (n - APART * (counts + 1))[channel]
    nth = np.arange(len(channel)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = place[np.lexsort((place, channel))].astype(np.int64) + APART * nth
    heights = rng.uniform(*HEIGHTS, len(channel)) * SIGMA
    for k, part in enumerate(SHAPE):
        samples[start + k, channel] += np.rint(heights * part).astype(np.int16)
    return Planted(samples, start + TROUGH, channel)


def write(path: Path, channels: int, seconds: float, spikes_per_s: float = 5.0, seed: int = 1) -> Path:
    """Write PATH.raw + PATH.json: a signal as `planted` gives, a second at a time; return the .raw path."""
    n = round(seconds * RATE_HZ)
    with open(path.with_suffix(".raw"), "wb") as file:
        for nth, start in enumerate(range(0, n, RATE_HZ)):
            length_s = min(RATE_HZ, n - start) / RATE_HZ
            planted(channels, length_s, spikes_per_s, seed + nth).samples.astype("<i2", copy=False).tofile(file)
    meta = {
        "sampling_rate_hz": RATE_HZ,
        "n_channels": channels,
        "n_samples": n,
        "dtype": "int16",
        "gain_to_uv": GAIN_UV,
        "unit": "uV",
    }
    path.with_suffix(".json").write_text(json.dumps(meta))
    return path.with_suffix(".raw")
