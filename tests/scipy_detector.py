"""The detector that an electrophysiologist writes in ten lines of SciPy: what ours is measured against.

Causal Butterworth band-pass 300–3000 Hz, noise level of the whole file, negative peaks at least 1 ms apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from tests.recorded import Hybrid, Score

ORDERS, MULTIPLES = (1, 2, 3), (4, 4.5, 5, 5.5, 6)


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
