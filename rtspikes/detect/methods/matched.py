"""A whitened matched filter: the score is what is left when noise of the channel's own colour is averaged out.

    score z[m] = Σ f[j] · y[m − pre + j]        f = M⁻¹ t, t the mean spike, M the covariance of the noise around it

y is the filtered signal, and z is scaled to the same noise level: where y was compared with k·σ, z is. Filters are
learnt while it runs (`learning`), every channel's from its own spikes and quiet stretches and, while it has few, from
everybody's. Until there is one, z = y: the method is then `threshold`, decided a little later.

The event's extremum is that of y. A filter answers a large spike with ripples: see `detect.shadow`.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import BLOCK, WIDE_TILE, Lanes, Look, f3
from rtspikes.detect.levels import ThresholdTable
from rtspikes.detect.methods.correlate import WIDTH, correlate
from rtspikes.detect.methods.gather import Spans
from rtspikes.detect.methods.learning import Learning
from rtspikes.detect.methods.threshold import ThresholdMethod
from rtspikes.detect.settings import MatchedSettings
from rtspikes.detect.shadow import design_shadow, no_shadow

BACK_MS = 0.3
"""The extremum of y lies at most so long before the score's crossing."""


@kernel(void(f3, f3, f3, int64, int64, int64))
def _score(trace, weights, score, segment, first, stop):  # type: ignore[no-untyped-def]
    """Work out rows [first, stop) of `score` from `weights` (tiles, taps, lanes), oldest tap first.

    Samples before `segment` count as 0. The number of taps is a multiple of 4.
    """
    n_tiles, depth, lanes = trace.shape
    taps = weights.shape[1]
    x = np.zeros((BLOCK + taps) * WIDTH, np.float32)
    w = np.zeros(taps * WIDTH, np.float32)
    out = np.empty(BLOCK * WIDTH, np.float32)
    for tile in range(n_tiles):
        for column in range(0, lanes, WIDTH):
            width = min(WIDTH, lanes - column)
            for j in range(taps):
                source = weights[tile, j]
                for c in range(width):
                    w[j * WIDTH + c] = source[column + c]
            for start in range(first, stop, BLOCK):
                n = min(stop - start, BLOCK)
                oldest = start - taps + 1
                for i in range(n + taps - 1):
                    at = i * WIDTH
                    if oldest + i < segment:
                        x[at : at + width] = float32(0)
                        continue
                    source = trace[tile, (oldest + i) % depth]
                    for c in range(width):
                        x[at + c] = source[column + c]
                correlate(out, x, w, -(-n // 4) * 4, taps, width)
                for i in range(n):
                    target = score[tile, (start + i) % depth]
                    for c in range(width):
                        target[column + c] = out[i * WIDTH + c]


class MatchedMethod(ThresholdMethod):
    """The score of a matched filter is compared with the threshold."""

    crosses_signal = lanes_are_apart = False
    widest_tile = WIDE_TILE

    def __init__(
        self, rate_hz: float, settings: MatchedSettings, table: ThresholdTable, search: int, reject: bool
    ) -> None:
        """search: samples from a crossing to its extremum, at most. reject: ripples of large spikes are no events."""
        self._table = table
        self._shared = settings.scope == "shared"
        self.spans = Spans.at(rate_hz)
        self.delay = self.spans.delay
        self.shadow = design_shadow(rate_hz, self.delay) if reject else no_shadow()
        self.back = round(BACK_MS * 1e-3 * rate_hz) if search else 0
        self.history = self.spans.taps
        self.kept = self.spans.kept

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        super().bind(lanes)
        self._scores = np.zeros_like(lanes.trace)
        self.learning = Learning(self.spans, self._shared, self._table, lanes)

    @property
    def compared(self) -> NDArray[np.float32]:
        """The history of the score."""
        return self._scores

    @property
    def boundary(self) -> int:
        """The next sample at which it changes by itself."""
        return self.learning.boundary

    def prepare(self, segment: int, first: int, stop: int) -> None:
        """Work out the score that is complete at the samples [first, stop)."""
        _score(self._lanes.trace, self.learning.weights, self._scores, segment, first, stop)

    def scan(self, look: Look) -> None:
        """Make events of the crossings, and learn."""
        super().scan(look)
        self.learning.see(self.compared, look)

    def cross(self, sample: int, sigma: NDArray[np.float32], frozen: bool) -> None:
        """Pass `boundary`: other filters may come into force there; σ is what the next block is learnt with."""
        self.learning.cross(sample, sigma, frozen)
