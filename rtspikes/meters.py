"""Figures about a run: percentiles over the recent past, in constant memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PERCENTS = (50, 99)


class Percentiles:
    """Keeps the newest `size` values (s) and tells their p50, p99 and the maximum ever seen."""

    def __init__(self, size: int = 4096) -> None:
        self._values = np.zeros(size)
        self._size = size
        self._count = 0
        self._max = 0.0

    def add(self, value_s: float) -> None:
        """Take in one value."""
        self._values[self._count % self._size] = value_s
        self._count += 1
        if value_s > self._max:
            self._max = value_s

    def extend(self, values_s: NDArray[np.float64]) -> None:
        """Take in many values (n,)."""
        at = (self._count + np.arange(len(values_s))) % self._size
        self._values[at[-self._size :]] = values_s[-self._size :]
        self._count += len(values_s)
        self._max = max(self._max, float(values_s.max(initial=0.0)))

    def summary_ms(self) -> dict[str, float]:
        """Return {"p50", "p99", "max"} in milliseconds; empty before the first value."""
        if not self._count:
            return {}
        values = np.sort(self._values[: self._count])  # np.percentile takes five times as long
        figures = {f"p{percent}": _between(values, (len(values) - 1) * percent / 100) for percent in PERCENTS}
        return {name: round(value * 1e3, 3) for name, value in {**figures, "max": self._max}.items()}


def _between(values: NDArray[np.float64], at: float) -> float:
    """Return the value at a place in sorted values, between two of them where `at` is."""
    below, part = int(at), at % 1
    return float(values[below] + part * (values[min(below + 1, len(values) - 1)] - values[below]))
