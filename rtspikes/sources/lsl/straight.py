"""Whether the newest runs lie on a straight line, whatever was thought of the stamps before: then samples are counted."""

from __future__ import annotations

from collections import deque

import numpy as np

LEAST_RUNS, MOST_RUNS = 16, 256


class Straight:
    """The last stamps of the newest runs without a step between them."""

    def __init__(self) -> None:
        self._runs: deque[tuple[int, float]] = deque(maxlen=MOST_RUNS)
        self._looked = 0

    def forget(self) -> None:
        """Begin anew, behind a step."""
        self._runs.clear()

    def add(self, at: int, stamp: float) -> None:
        """Take in the stamp of a run's last sample, number `at`."""
        self._runs.append((at, stamp))

    def period_s(self, within_s: float, samples: float) -> float | None:
        """Return the period of the line that all runs are `within_s` of, when they span so many samples.

        None without one; looks once in so many samples.
        """
        if not self._runs or self._runs[-1][0] - self._looked < samples:
            return None
        if len(self._runs) < LEAST_RUNS or self._runs[-1][0] - self._runs[0][0] < samples:
            return None
        self._looked = self._runs[-1][0]
        runs = np.array(self._runs)
        at, stamps = runs[:, 0] - runs[0, 0], runs[:, 1] - runs[0, 1]
        period_s, begin_s = np.polyfit(at, stamps, 1)
        off_s = np.abs(stamps - begin_s - at * period_s)
        return float(period_s) if off_s.max() <= within_s else None
