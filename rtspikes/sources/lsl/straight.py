"""Whether the newest runs lie on a straight line, whatever was thought of the stamps before: a sample counter."""

from __future__ import annotations

from collections import deque

import numpy as np

LEAST_RUNS, MOST_RUNS = 16, 256


class Straight:
    """The last stamps of the newest runs; samples that are known to be lost between them are counted."""

    def __init__(self) -> None:
        self._runs: deque[tuple[int, float]] = deque(maxlen=MOST_RUNS)
        self._looked = 0

    def forget(self) -> None:
        """Begin anew, behind a step of unknown size."""
        self._runs.clear()

    def add(self, at: int, stamp: float) -> None:
        """Take in the stamp of a run's last sample, number `at`."""
        self._runs.append((at, stamp))

    def line(self, within_s: float, samples: float) -> tuple[float, int] | None:
        """Return the period (s) of the line that all runs are `within_s` of, and the samples that they span.

        None without one, or when they span less than `samples`; looks once in so many samples.
        """
        if len(self._runs) < LEAST_RUNS:
            return None
        (first, begin_s), (last, _) = self._runs[0], self._runs[-1]
        if min(last - first, last - self._looked) < samples:
            return None
        self._looked = last
        runs = np.array(self._runs)
        at, stamps = runs[:, 0] - first, runs[:, 1] - begin_s
        period_s, offset_s = np.polyfit(at, stamps, 1)
        off_s = np.abs(stamps - offset_s - at * period_s)
        return (float(period_s), last - first) if off_s.max() <= within_s else None
