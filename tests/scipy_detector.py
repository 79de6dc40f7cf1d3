"""The detector that an electrophysiologist writes in ten lines of SciPy: what ours is measured against.

Causal Butterworth band-pass 300–3000 Hz, noise level of the whole file, negative peaks at least 1 ms apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from tests.recorded import Hybrid, Score, make_hybrid

ORDERS, MULTIPLES = (1, 2, 3), (4, 4.5, 5, 5.5, 6)
HYBRIDS = {"seed 1": (1, 100), "seed 2": (2, 300)}
"""Hybrids that are looked at: seed, and second of the spike trains at which they start."""


class Rival(NamedTuple):
    """A hybrid, and the best that SciPy reaches on it."""

    hybrid: Hybrid
    best: Score
    order: int
    k: float

    def margin(self, score: Score) -> tuple[float, str]:
        """Return by how much an F1 is above SciPy's best, and that in words."""
        margin = score.f1 - self.best.f1
        return margin, f"F1 {score.f1:.4f}, {margin:+.4f} beside SciPy's best (order {self.order}, {self.k} σ)"


def make_rivals(recordings: Path, folder: Path) -> dict[str, Rival]:
    """Make the hybrids in a folder; none where their tool is not beside the recordings."""
    rivals = {}
    for name, (seed, start_s) in HYBRIDS.items():
        hybrid = make_hybrid(recordings, folder / f"hybrid_{seed}", seed, start_s)
        if hybrid is not None:
            rivals[name] = Rival(hybrid, *best(hybrid))
    return rivals


def detections(hybrid: Hybrid) -> Iterator[tuple[int, float, NDArray[np.int64], NDArray[np.int64]]]:
    """Return (order, k, sample, channel) of each order and multiple of the noise level."""
    meta = json.loads(hybrid.raw.with_suffix(".json").read_text())
    rate = meta["sampling_rate_hz"]
    raw = np.fromfile(hybrid.raw, "<i2").reshape(-1, meta["n_channels"]).astype(np.float32) * meta["gain_to_uv"]
    for order in ORDERS:
        sos = signal.butter(order, [300, 3000], "bandpass", fs=rate, output="sos")
        filtered = np.ascontiguousarray(signal.sosfilt(sos, raw, axis=0).T)
        sigma = [np.median(np.abs(y - np.median(y))) / 0.67448975 for y in filtered]
        for k in MULTIPLES:
            peaks = [
                signal.find_peaks(-y, height=k * s, distance=round(1e-3 * rate))[0]
                for y, s in zip(filtered, sigma, strict=True)
            ]
            channels = np.repeat(np.arange(len(peaks)), [len(p) for p in peaks])
            yield order, k, np.concatenate(peaks), channels


def best(hybrid: Hybrid) -> tuple[Score, int, float]:
    """Return the best score by F1, and the order and multiple that reach it."""
    scores = [(hybrid.score(sample, channel), order, k) for order, k, sample, channel in detections(hybrid)]
    return max(scores, key=lambda each: each[0].f1)
