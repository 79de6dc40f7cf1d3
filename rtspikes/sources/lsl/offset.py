"""The offset between two computers' clocks: measured with noise now and then, wanted smooth and always."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

SAME_CLOCK_S = 1e-3
"""On the same computer a smaller measured offset is noise of the measurement: there is one clock."""

JUMP_S = 0.02
"""An offset that changes by more at once was reset: clocks wander by some 50 µs a second at most."""


class Offset(NamedTuple):
    """A measurement at `at_s` on the producer's clock: this computer's LSL clock minus it, ± `uncertain_s`."""

    at_s: float
    offset_s: float
    uncertain_s: float


class ClockOffset:
    """Smooths measured offsets: a line through the last ones, begun anew when they jump."""

    KEPT = 64
    SLOPE_SPAN_S = 30.0

    def __init__(self, same_computer: bool) -> None:
        self._same = same_computer
        self._measured: deque[Offset] = deque(maxlen=self.KEPT)
        self.line = (0.0, 0.0, 0.0)
        """(producer's time, offset there, slope); replaced, never changed."""

    def add(self, measured: Offset) -> bool:
        """Take in a measurement; tell whether it is a jump: one of the clocks was reset."""
        if not all(map(math.isfinite, measured)):
            return False
        at_s, offset_s, uncertain_s = measured
        if self._same and abs(offset_s) <= max(SAME_CLOCK_S, 2 * uncertain_s):
            measured, offset_s = Offset(at_s, 0.0, uncertain_s), 0.0
        jump = False
        if self._measured:
            expected = self.at(at_s)
            jump = abs(offset_s - expected) > max(JUMP_S, 5 * (uncertain_s + self._measured[-1].uncertain_s))
            if jump:
                self._measured.clear()
        self._measured.append(measured)
        times, offsets, doubts = (np.array(column) for column in zip(*self._measured, strict=True))
        weights = 1 / np.maximum(doubts, 1e-5) ** 2
        middle = float(np.average(times, weights=weights))
        mean = float(np.average(offsets, weights=weights))
        slope = 0.0
        if times[-1] - times[0] >= self.SLOPE_SPAN_S and np.any(offsets):
            spread = times - middle
            slope = float((weights * spread * (offsets - mean)).sum() / (weights * spread**2).sum())
        self.line = (middle, mean, slope)
        return jump

    def at(self, time_s: float) -> float:
        """Return the offset (s) at a time of the producer's clock."""
        middle, mean, slope = self.line
        return mean + slope * (time_s - middle)
