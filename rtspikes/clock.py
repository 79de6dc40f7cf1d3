"""Time: the LSL clock, waiting on it, and the one place where a sample index becomes seconds."""

from __future__ import annotations

import sys
import threading
import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


def _lsl_clock() -> float:
    """Return seconds on the clock that liblsl's `local_clock` reads (`std::chrono::steady_clock`), without liblsl."""
    if sys.platform == "win32":
        return time.perf_counter()
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    return time.monotonic()


MOST_PIECES = 1024
"""Anchors that are kept: a source that learns its rate sets one a second."""


class Clock(Protocol):
    """A clock that can be waited on; tests pass one that they move by hand."""

    def now(self) -> float:
        """Return seconds."""

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        """Wait until the deadline; return True at once when `stop` is set before it."""


class LslClock:
    """The LSL clock of this computer."""

    def now(self) -> float:
        """Return seconds on the LSL clock."""
        return _lsl_clock()

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        """Wait until the deadline; return True at once when `stop` is set before it."""
        return stop.wait(max(0.0, deadline_s - self.now()))


class SampleClock:
    """Converts absolute sample indices to LSL seconds, and back, by the newest MOST_PIECES anchors.

    From an anchor on time = its time + (sample − its sample) / its rate, so it is exact for files and simulations.
    Written by one thread; `times` and `sample` may be called by others.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._pieces = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))  # replaced, never changed
        self._newest: tuple[int, float, float] | None = None  # the last piece: all that most calls need

    def anchor(self, sample: int, time_s: float, rate_hz: float | None = None) -> None:
        """Let `sample` have happened at `time_s`; from it on samples come at `rate_hz` (default: the nominal rate).

        An anchor at the sample of the last one replaces it; ValueError for one before it.
        """
        samples, times, rates = self._pieces
        if len(samples) and sample < samples[-1]:
            raise ValueError(f"clock anchors must rise, got sample {sample} after {samples[-1]}")
        kept = slice(
            max(0, len(samples) + 1 - MOST_PIECES), len(samples) - bool(len(samples) and samples[-1] == sample)
        )
        self._pieces = (
            np.append(samples[kept], np.int64(sample)),
            np.append(times[kept], float(time_s)),
            np.append(rates[kept], float(rate_hz or self.rate_hz)),
        )
        self._newest = int(sample), float(time_s), float(rate_hz or self.rate_hz)

    def times(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the LSL seconds, float64, of absolute indices (n,); NaN before the first anchor is known."""
        newest = self._newest
        if newest is not None and np.size(samples) and samples.min() >= newest[0]:
            return np.asarray(newest[1] + (samples - newest[0]) / newest[2])
        starts, times, rates = self._pieces
        if not len(starts):
            return np.full(np.shape(samples), np.nan)
        piece = np.maximum(np.searchsorted(starts, samples, side="right") - 1, 0)
        return np.asarray(times[piece] + (samples - starts[piece]) / rates[piece])

    def time(self, sample: int) -> float:
        """Return the LSL seconds of one absolute index."""
        newest = self._newest
        if newest is not None and sample >= newest[0]:
            return newest[1] + (sample - newest[0]) / newest[2]
        return float(self.times(np.array([sample], np.int64))[0])

    def sample(self, time_s: float) -> int | None:
        """Return the absolute index nearest to an LSL time, by the newest anchor before it; None without one."""
        starts, times, rates = self._pieces
        if not len(starts):
            return None
        behind = np.flatnonzero(times <= time_s)
        piece = int(behind[-1]) if len(behind) else 0
        return round(int(starts[piece]) + (time_s - float(times[piece])) * float(rates[piece]))
