"""The raster as a bitmap: spikes per row and column of time, for as long as is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 255
"""Spikes that a row has in a column at most; what is more is drawn no brighter."""


class Raster:
    """The newest columns, by absolute index (sample // samples of a column)."""

    def __init__(self, row: NDArray[np.int32], column_samples: int, kept: int, first_sample: int) -> None:
        """row: (channels,) of each channel, −1: none. kept: how many columns."""
        self._row = row
        self._rows = int(row.max(initial=-1)) + 1
        self._width, self._kept = column_samples, kept
        self._columns = np.zeros((kept, self._rows), np.uint8)
        self._rate = np.zeros(kept, np.uint32)
        self.first = first_sample // column_samples
        """The first column there ever was."""
        self.stop = self.first
        """The column behind the newest one."""

    def begin(self, sample: int) -> None:
        """Let the raster, empty so far, begin at an absolute sample: nothing is known of what was before."""
        self.first = self.stop = sample // self._width

    @property
    def oldest(self) -> int:
        """The oldest column that is kept."""
        return max(self.first, self.stop - self._kept)

    def reach(self, sample: int) -> None:
        """Let the raster go as far as an absolute sample: columns up to it are there, empty so far."""
        stop = -(-sample // self._width)
        if stop <= self.stop:
            return
        new = np.arange(max(self.stop, stop - self._kept), stop) % self._kept
        self._columns[new] = 0
        self._rate[new] = 0
        self.stop = stop

    def add(self, channels: NDArray[np.uint32], samples: NDArray[np.int64]) -> None:
        """Add spikes, all before what was reached; those of columns that are kept no more are left out."""
        column = samples // self._width
        inside = (column >= self.oldest) & (column < self.stop)
        column, row = column[inside] % self._kept, self._row[channels[inside]]
        np.add.at(self._rate, column, 1)
        shown = row >= 0
        cell, counts = np.unique(column[shown] * self._rows + row[shown], return_counts=True)
        flat = self._columns.reshape(-1)
        flat[cell] = np.minimum(flat[cell] + counts, MOST)

    def columns(self, first: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint32]]:
        """Return (first, columns (k, rows), spikes per column (k,)) from a column on, or from the oldest kept."""
        first = max(first, self.oldest)
        at = np.arange(first, max(first, self.stop)) % self._kept
        return first, self._columns[at], self._rate[at]
