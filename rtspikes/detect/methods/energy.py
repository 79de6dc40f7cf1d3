"""The energy operator: steep and large deflections stand out, slow ones do not (Mukhopadhyay and Ray 1998, k-NEO).

ψ[n] = x[n]² − x[n−k]·x[n+k], smoothed by a Hamming window of 4k + 1 samples (Choi, Jung and Kim 2006). What is compared
is its square root, in µV; its noise level is that of the square root too, and, being a median, is not moved by bursts.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import WIDE_TILE, Lanes, f1, f3
from rtspikes.detect.methods.threshold import ThresholdMethod
from rtspikes.detect.settings import EnergySettings, Sign

K_MS = 0.15
"""k if none is given: a quarter of the width of a usual spike."""

_POLARITY: dict[Sign, int] = {"neg": -1, "pos": 1, "both": 0}


@kernel(void(f3, f3, f3, int64, int64, int64, int64, f1))
def _score(trace, psi, score, segment, first, stop, k, window):  # type: ignore[no-untyped-def]
    """Work out ψ and its smoothed root for [first, stop): row n belongs to sample n − 3k; 0 before it is complete."""
    n_tiles, depth, lanes = trace.shape
    for tile in range(n_tiles):
        for n in range(first, stop):
            at = n % depth
            raw = psi[tile, at]
            out = score[tile, at]
            if n - 2 * k < segment:
                raw[:] = float32(0)
                out[:] = float32(0)
                continue
            x0, x1, x2 = trace[tile, at], trace[tile, (n - k) % depth], trace[tile, (n - 2 * k) % depth]
            for c in range(lanes):
                raw[c] = x1[c] * x1[c] - x0[c] * x2[c]
            out[:] = float32(0)
            for j in range(min(len(window), n - segment + 1)):
                source = psi[tile, (n - j) % depth]
                weight = window[j]
                for c in range(lanes):
                    out[c] += weight * source[c]
            for c in range(lanes):
                out[c] = np.sqrt(max(out[c], float32(0)))


class EnergyMethod(ThresholdMethod):
    """The smoothed energy operator is compared with the threshold."""

    crosses_signal = False
    own_level = True
    widest_tile = WIDE_TILE

    def __init__(self, rate_hz: float, settings: EnergySettings, signs: list[Sign], search: int) -> None:
        """signs: of each channel's spikes. search: samples from a crossing to its extremum, at most."""
        self._k = settings.k or max(1, round(K_MS * 1e-3 * rate_hz))
        window = np.hamming(4 * self._k + 1)
        self._window = (window / window.sum()).astype(np.float32)
        self._signs = signs
        self.delay = 3 * self._k
        self.back = 2 * self._k if search else 0
        self.history = self.kept = 6 * self._k + 1

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        super().bind(lanes)
        self._psi, self._roots = np.zeros_like(lanes.trace), np.zeros_like(lanes.trace)
        self._polarity = lanes.tiled(np.array([_POLARITY[sign] for sign in self._signs], np.int32), 0)

    @property
    def compared(self) -> NDArray[np.float32]:
        """The history of the smoothed root of ψ."""
        return self._roots

    def prepare(self, segment: int, first: int, stop: int) -> None:
        """Work out the score of the samples [first, stop)."""
        _score(self._lanes.trace, self._psi, self._roots, segment, first, stop, self._k, self._window)
