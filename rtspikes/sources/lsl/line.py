"""Stamps as a line over samples: a Kalman filter of the stamp and of the period between samples."""

from __future__ import annotations

import math
from typing import Any

WANDER_PPM = 0.02
"""How much a sampling clock wanders in the square root of a second."""

ROUNDING_S = 0.2e-6
"""Stamps are not better than this: double precision of seconds in UTC."""

FIRST_S, FIRST = 5e-6, 10
"""The deviation that is assumed before any was seen; the first ones count whole, whatever they are."""

UNKNOWN_S = 0.05e-3
"""The least noise that is reckoned with as long as it is unknown: what is taken for exact would bend the line."""

OUTLIER, CLIP = 10.0, 4.0
"""An error counts as so many mean deviations at most, in their mean and in the line: late pushes must not bend it."""

MOST_WRONG = 10.0
"""Whatever the stamps say, the period stays within this factor of the first."""

SLOWEST = 0.005
"""The weight of the newest error in the mean deviation."""


class Line:
    """A Kalman filter of (stamp at the sample `at`, period): stamps as a line over samples that may bend slowly."""

    def __init__(self, stamp: float, at: float, period_s: float, doubt_s: float, prior_ppm: float) -> None:
        self.stamp, self.at, self.period_s = stamp, at, period_s
        self._least_s, self._most_s = period_s / MOST_WRONG, period_s * MOST_WRONG
        self._pp = (prior_ppm * 1e-6 * period_s) ** 2
        self._tt, self._tp = doubt_s**2, 0.0
        self._scale_s, self._seen = FIRST_S, 0

    def restart(self, stamp: float, at: float, doubt_s: float) -> None:
        """Go on from another stamp, with the period that is known."""
        self.stamp, self.at = stamp, at
        self._tt, self._tp = doubt_s**2, 0.0

    def predict(self, at: Any) -> Any:
        """Return the stamp of a sample, or of several."""
        return self.stamp + (at - self.at) * self.period_s

    def doubt_s(self, at: float) -> float:
        """Return the standard deviation (s) of `predict(at)`."""
        n = at - self.at
        return math.sqrt(max(self._tt + 2 * n * self._tp + n * n * self._pp, 0.0))

    @property
    def rate_doubt_ppm(self) -> float:
        """The standard deviation of the period."""
        return math.sqrt(self._pp) / self.period_s * 1e6

    @property
    def noise_s(self) -> float:
        """The standard deviation (s) of a stamp, from the mean deviation as of a normal distribution."""
        return 1.2533 * self._scale_s

    def update(self, stamp: float, at: float, runs: int) -> None:
        """Take in the mean of the stamps of `runs` runs, at the mean of their samples."""
        n = at - self.at
        self.stamp = self.predict(at)
        self.at = at
        wander = (WANDER_PPM * 1e-6 * self.period_s) ** 2 * max(n * self.period_s, 0.0)
        self._tt += 2 * n * self._tp + n * n * self._pp
        self._tp += n * self._pp
        self._pp += wander
        error = stamp - self.stamp
        self._seen += 1
        gain = max(1 / (self._seen + 1), SLOWEST)
        most_s = OUTLIER * self._scale_s if self._seen > FIRST else math.inf
        self._scale_s += gain * (min(abs(error), most_s) - self._scale_s)
        largest_s = CLIP * max(self._scale_s, math.sqrt(self._tt))
        error = max(-largest_s, min(largest_s, error))
        noise_s = max(self.noise_s, ROUNDING_S) if self._seen > FIRST else max(self.noise_s, abs(error), UNKNOWN_S)
        total = self._tt + noise_s**2 / runs
        k_t, k_p = self._tt / total, self._tp / total
        self.stamp += k_t * error
        self.period_s = min(max(self.period_s + k_p * error, self._least_s), self._most_s)
        self._pp -= k_p * self._tp
        self._tp -= k_t * self._tp
        self._tt -= k_t * self._tt
