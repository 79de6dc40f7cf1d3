"""The detector that an electrophysiologist writes in ten lines of SciPy: what ours is measured against.

Causal Butterworth band-pass 300–3000 Hz, noise level of the whole file, negative peaks at least 1 ms apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.by_hand import threshold
from bench.by_hand.trace import BandPass, filtered
from bench.scoring import Score
from tests.recorded import HYBRIDS, Hybrid, make_hybrid

ORDERS, MULTIPLES = (1, 2, 3), (4, 4.5, 5, 5.5, 6)


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
            rivals[name] = Rival(hybrid, *max(tried(hybrid), key=lambda each: each[0].f1))
    return rivals


def tried(hybrid: Hybrid) -> Iterator[tuple[Score, int, float]]:
    """Return the score of each order and multiple of the noise level."""
    meta = json.loads(hybrid.raw.with_suffix(".json").read_text())
    raw = np.fromfile(hybrid.raw, "<i2").reshape(-1, meta["n_channels"])
    for order in ORDERS:
        trace = filtered(raw, meta["gain_to_uv"], meta["sampling_rate_hz"], "neg", BandPass(order))
        for k, (_, spikes) in zip(MULTIPLES, threshold.found(trace, MULTIPLES), strict=True):
            yield hybrid.score(*spikes), order, k
