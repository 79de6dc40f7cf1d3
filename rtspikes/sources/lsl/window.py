"""Jittered stamps: the earliest pushes of a while against those of the while before, which late pushes do not move."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

WINDOW_S, WINDOW_RUNS = 0.5, 10
"""A window has so much signal, and so many runs, at least."""


class Window:
    """Compares windows of runs: a loss shifts even the earliest push of two in a row.

    stamps against the base      · ·
                      ·         ·   · ·· ·
        ·  · ·  ·  · ·  · · · ·
       └──────────┴──────────┴──────────┴ windows
         base       least: 0   least: 0   least: the shift
    """

    def __init__(self) -> None:
        self._jitters: deque[float] = deque(maxlen=3)  # as each window ended
        self.forget()

    def forget(self) -> None:
        """Begin anew, behind a step."""
        self._base: tuple[float, float] | None = None
        self._has_base = False
        self._before_s: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._least_s, self._least_at, self._least_stamp = math.inf, 0.0, 0.0
        self._most_s = -math.inf
        self._runs = 0
        self._from = 0.0

    def add_run(self, stamp: float, at: float, period_s: float) -> None:
        """Take in one run: the stamp of its last sample, number `at`."""
        if self._base is None:
            self._base = (at, stamp)
        behind = stamp - self._base[1] - (at - self._base[0]) * period_s
        if not self._runs:
            self._from = at
        self._runs += 1
        if behind < self._least_s:
            self._least_s, self._least_at, self._least_stamp = behind, at, stamp
        if behind > self._most_s:
            self._most_s = behind

    def add(self, stamps: NDArray[np.float64], at: NDArray[np.intp], period_s: float) -> None:
        """Take in many runs."""
        if self._base is None:
            self._base = (float(at[0]), float(stamps[0]))
        behind = stamps - self._base[1] - (at - self._base[0]) * period_s
        self._from = self._from if self._runs else float(at[0])
        self._runs += len(at) - 2
        for i in (int(np.argmin(behind)), int(np.argmax(behind))):
            self.add_run(float(stamps[i]), float(at[i]), period_s)

    def lasting_shift_s(self, jitter_s: float, least_s: float, samples: float, now: int) -> tuple[float, float] | None:
        """Return the shift (s) that the last two windows have in common against those before, ± how much; or None.

        It counts above `least_s` and the jitter as it was before them.
        """
        if self._runs < WINDOW_RUNS or now - self._from < samples or self._base is None:
            return None
        shift_s, most_s = self._least_s, self._most_s
        at, stamp = self._least_at, self._least_stamp
        known = len(self._jitters) == self._jitters.maxlen
        limit_s = max(least_s, self._jitters[0]) if known else math.inf
        self._jitters.append(jitter_s)
        self._clear()
        if not self._has_base:
            self._base, self._has_base = (at, stamp), True
            return None
        suspicious = shift_s > limit_s or most_s < -limit_s
        before_s, self._before_s = self._before_s, shift_s if suspicious else None
        if suspicious and before_s is not None and (before_s > 0) == (shift_s > 0):
            return min(before_s, shift_s, key=abs), limit_s
        if not suspicious:
            self._base = (at, stamp - 0.7 * shift_s)
        return None
