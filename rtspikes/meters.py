"""Figures about a run: percentiles over the recent past, in constant memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Percentiles:
    """Keeps the newest `size` values (s) and tells their p50, p99 and the maximum ever seen."""

    def __init__(self, size: int = 4096) -> None:
        self._values = np.zeros(size)
        self._count = 0
        self._max = 0.0

    def add(self, value_s: float) -> None:
        """Take in one value."""
        self._values[self._count % len(self._values)] = value_s
        self._count += 1
        self._max = max(self._max, value_s)

    def extend(self, values_s: NDArray[np.float64]) -> None:
        """Take in many values (n,)."""
        at = (self._count + np.arange(len(values_s))) % len(self._values)
        self._values[at[-len(self._values) :]] = values_s[-len(self._values) :]
        self._count += len(values_s)
        self._max = max(self._max, float(values_s.max(initial=0.0)))

    def summary_ms(self) -> dict[str, float]:
        """Return {"p50", "p99", "max"} in milliseconds; empty before the first value."""
        if not self._count:
            return {}
        p50, p99 = np.percentile(self._values[: self._count], [50, 99])
        return {"p50": round(float(p50) * 1e3, 3), "p99": round(float(p99) * 1e3, 3), "max": round(self._max * 1e3, 3)}
