"""A slow matched filter in plain NumPy: score, learning, and when it comes into force. Falling spikes, one σ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TAPS, BEFORE, DELAY = 28, 12, 15
GRID, ALONE, NEAR = 100, 24, 16
"""At 20 kHz."""

Floats = NDArray[np.float64]


def solved(template: Floats, r: Floats) -> Floats:
    """Return the filter of a template in noise of an autocovariance."""
    lags = np.abs(np.subtract.outer(np.arange(TAPS), np.arange(TAPS)))
    noise = r[lags]
    f: Floats = np.linalg.solve(noise + 0.05 * r[0] * np.eye(TAPS) + 30 * r[0], template)
    return f * np.sqrt(r[0] / (f @ noise @ f))


class Reference:
    """Learns from a signal y (time, channels), µV, that begins at 0; NaN: nothing, as in a gap."""

    def __init__(self, y: NDArray[np.float32], sigma: float, block: int, lag: int, shared: bool = False) -> None:
        self.y, self.sigma, self.block, self.lag, self.shared = y, sigma, block, lag, shared
        n, channels = y.shape
        self.score = np.zeros((n, channels))
        """Row n: of sample n − DELAY."""
        self.filters: list[Floats | None] = [None] * channels
        self.by_block: list[list[Floats | None]] = []
        """Filters in force in each block."""
        self.noise, self.n_noise = np.zeros((channels, TAPS)), np.zeros(channels)
        self.spikes, self.n_spikes = np.zeros((channels, TAPS)), np.zeros(channels)
        self._next: list[list[Floats | None]] = [self.filters, self.filters]
        for b in range(n // block):
            self.filters = self._next.pop(0)
            self.by_block.append(self.filters)
            self._filter(b * block, (b + 1) * block)
            self._collect(b * block - lag, (b + 1) * block - lag)
            self._next.append(self._solve(self._next[-1]))

    def _filter(self, first: int, stop: int) -> None:
        for n in range(first, stop):
            window = self.y[max(0, n - TAPS + 1) : n + 1]
            window = np.concatenate([np.zeros((TAPS - len(window), self.y.shape[1])), window])
            begin = TAPS - 1 - next((i for i, row in enumerate(window[::-1]) if np.isnan(row).any()), TAPS)
            window[: begin + 1] = 0
            for c, f in enumerate(self.filters):
                self.score[n, c] = window[BEFORE, c] if f is None else f @ window[:, c]

    def _whole(self, first: int, stop: int, c: int) -> bool:
        """Tell whether nothing of [first, stop), nor anything up to `lag` behind the position, is missing."""
        return first >= 0 and not np.isnan(self.y[first:stop, c]).any()

    def _collect(self, first: int, stop: int) -> None:
        self.noise *= 0.99
        self.n_noise *= 0.99
        self.spikes *= np.where(self.n_spikes > 300, 0.5, 1)[:, None]
        self.n_spikes *= np.where(self.n_spikes > 300, 0.5, 1)
        for c, f in enumerate(self.filters):
            for g in range(max(0, -(-first // GRID) * GRID), stop, GRID):
                w = self.y[g : g + 2 * TAPS, c].astype(float) / self.sigma
                if self._whole(g, g + self.lag + 1, c) and np.abs(w).max() < 4:
                    self.noise[c] += [w[:TAPS] @ w[lag : lag + TAPS] for lag in range(TAPS)]
                    self.n_noise[c] += TAPS
            height = (5.0 if f is None else 4.7) * self.sigma
            for m in range(max(first, ALONE + BEFORE), stop):
                z = -self.score[m + DELAY - ALONE : m + DELAY + ALONE + 1, c]
                if not z[ALONE] > height or not self._whole(m - ALONE - BEFORE, m + self.lag + 1, c):
                    continue
                far = np.abs(np.arange(-ALONE, ALONE + 1)) > NEAR
                if z[:ALONE].max() < z[ALONE] >= z[ALONE:].max() and not (z[far] > height).any():
                    self.spikes[c] += self.y[m - BEFORE : m - BEFORE + TAPS, c] / -z[ALONE]
                    self.n_spikes[c] += 1

    def _solve(self, before: list[Floats | None]) -> list[Floats | None]:
        seen = np.minimum(self.n_spikes, 20)
        quiet = self.n_noise.sum()
        if seen.sum() < 20:
            return before
        own = [s / n if n else s for s, n in zip(self.spikes, self.n_spikes, strict=True)]
        template = seen @ np.array(own) / seen.sum()
        r = self.n_noise @ (self.noise / np.maximum(self.noise[:, :1], 1e-30)) / quiet
        found = list(before)
        for c in range(len(found)):
            if (self.n_noise[c] < 500 and quiet < 5000) or not self.noise[c, 0] > 0:
                continue
            if self.shared:
                found[c] = solved(template, r)
                continue
            r0 = self.noise[c, 0] / self.n_noise[c]
            mine = (self.spikes[c] + 3 * template) / (self.n_spikes[c] + 3)
            found[c] = solved(mine, (self.noise[c] + 4000 * r * r0) / (self.n_noise[c] + 4000))
        return found
