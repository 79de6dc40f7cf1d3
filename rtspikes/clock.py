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
    """Converts absolute sample indices to LSL seconds, one anchor per clock segment.

    Within a segment time = anchor time + (sample − anchor sample) / rate, so it is exact for files and simulations.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.anchors: tuple[tuple[int, float], ...] = ()
        """(sample, LSL seconds) pairs, ascending; replaced, never changed, so that another thread may read it."""

    def anchor(self, sample: int, time_s: float) -> None:
        """Start a clock segment: `sample` happened at `time_s`. Anchors come in rising sample order."""
        if self.anchors and sample <= self.anchors[-1][0]:
            raise ValueError(f"clock anchors must rise, got sample {sample} after {self.anchors[-1][0]}")
        self.anchors = (*self.anchors, (int(sample), float(time_s)))

    def times(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the LSL seconds, float64, of absolute indices (n,); NaN before the first anchor is known."""
        anchors = self.anchors
        if not anchors:
            return np.full(np.shape(samples), np.nan)
        starts = np.array([s for s, _ in anchors], np.int64)
        seconds = np.array([t for _, t in anchors])
        segment = np.maximum(np.searchsorted(starts, samples, side="right") - 1, 0)
        return np.asarray(seconds[segment] + (samples - starts[segment]) / self.rate_hz)

    def time(self, sample: int) -> float:
        """Return the LSL seconds of one absolute index."""
        return float(self.times(np.array([sample], np.int64))[0])
