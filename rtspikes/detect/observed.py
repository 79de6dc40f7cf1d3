"""Observed time: how many samples of each channel a spike could have been reported in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Observed:
    """Counts samples; which channels report at all changes seldom."""

    def __init__(self, n_channels: int) -> None:
        self._samples = np.zeros(n_channels, np.int64)
        self._live = np.zeros(n_channels, bool)
        self._pending = 0

    def add(self, n: int, hidden: NDArray[np.int64] | None) -> None:
        """Count `n` samples, of which `hidden` (channels,) were hidden behind blankings."""
        self._pending += n
        if hidden is not None:
            self._samples -= hidden * self._live

    def let(self, live: NDArray[np.bool_]) -> None:
        """Count for the `live` channels (channels,) only, from here on."""
        self._settle()
        self._live = live

    @property
    def samples(self) -> NDArray[np.int64]:
        """Samples of each channel (channels,) so far."""
        self._settle()
        return self._samples.copy()

    def _settle(self) -> None:
        self._samples += self._pending * self._live
        self._pending = 0
