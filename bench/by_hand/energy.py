"""The energy operator ψ[n] = x[n]² − x[n−k]·x[n+k] (k-NEO), smoothed by a Hamming window of 4k + 1 samples.

Its threshold is C times its mean, as its authors have it (Mukhopadhyay and Ray 1998), or its median, which bursts move
less; the event is the trough near by.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from bench.by_hand.trace import DEAD_MS, Found, Trace, once, peaks, to_troughs

K_MS = (0.1, 0.15, 0.25)
MULTIPLES = {"mean": (4, 6, 8, 12, 16, 24), "median": (12, 16, 24, 32, 48, 64)}
_LEVELS = {"mean": np.mean, "median": np.median}


def found(trace: Trace) -> Iterator[tuple[str, Found]]:
    """Return what each k and each multiple of the mean and of the median finds."""
    for k in dict.fromkeys(trace.samples(ms) for ms in K_MS):
        psi = trace.y**2
        psi[:, k:-k] -= trace.y[:, : -2 * k] * trace.y[:, 2 * k :]
        psi[:, :k] = psi[:, -k:] = 0
        window = np.hamming(4 * k + 1)
        smooth = ndimage.convolve1d(psi, window / window.sum(), axis=1)
        for scale, multiples in MULTIPLES.items():
            level = np.array([_LEVELS[scale](row) for row in smooth])
            level[level <= 0] = np.inf
            every = peaks(smooth, level, multiples[0], trace.samples(DEAD_MS))
            every = to_troughs(trace.y, every, 2 * k)
            for c in multiples:
                yield f"k={k}, {c} × {scale}", once(every.only(every.height >= c))
