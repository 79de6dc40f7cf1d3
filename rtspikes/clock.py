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
        self._samples: list[int] = []
        self._times: list[float] = []

    def anchor(self, sample: int, time_s: float) -> None:
        """Start a clock segment: `sample` happened at `time_s`. Anchors come in rising sample order."""
        if self._samples and sample <= self._samples[-1]:
            raise ValueError(f"clock anchors must rise, got sample {sample} after {self._samples[-1]}")
        self._samples.append(int(sample))
        self._times.append(float(time_s))

    @property
    def anchors(self) -> list[tuple[int, float]]:
        """The (sample, LSL seconds) pairs so far."""
        return list(zip(self._samples, self._times, strict=True))

    def times(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the LSL seconds, float64, of absolute indices of any shape."""
        if not self._samples:
            return np.full(np.shape(samples), np.nan)
        if len(self._samples) == 1:
            return self._times[0] + (samples - self._samples[0]) / self.rate_hz
        segment = np.maximum(np.searchsorted(self._samples, samples, side="right") - 1, 0)
        start = np.asarray(self._samples)[segment]
        return np.asarray(self._times)[segment] + (samples - start) / self.rate_hz

    def time(self, sample: int) -> float:
        """Return the LSL seconds of one absolute index."""
        return float(self.times(np.int64(sample)))  # type: ignore[arg-type]
