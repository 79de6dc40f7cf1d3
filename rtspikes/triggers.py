"""Marks inside the signal: every change of the value of a channel of kind `trigger`, a TTL or a digital word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.lines import FIRST_TRIGGER, trigger_channels
from rtspikes.types import MARK_DTYPE, Samples, StreamInfo

_VALUES = np.iinfo(MARK_DTYPE["value"])


class TriggerEdges:
    """Finds the changes in one stream, however it is cut.

    A channel's first value is its initial state and no mark. After a gap, a value that is not the last one before it is
    a mark at the first sample behind it. Float channels have the nearest whole number; what is no number changes
    nothing.
    """

    def __init__(self, info: StreamInfo) -> None:
        channels = trigger_channels(info)
        self._positions = np.array([c.position for c in channels], np.intp)
        self._offset = int(info.facts.get("stored_offset", 0))
        self._float = info.dtype == "float32"
        self._last = np.full(len(channels), np.nan)  # NaN: not known yet
        self._next: int | None = None

    def find(self, samples: Samples, first: int) -> NDArray[np.void]:
        """Return the marks (MARK_DTYPE without times, by sample and line) in raw rows (n, channels) from `first` on.

        Rows that were looked at before are passed over.
        """
        seen = 0 if self._next is None else max(0, self._next - first)
        if not len(self._positions) or seen >= len(samples):
            return np.zeros(0, MARK_DTYPE)
        self._next = first + len(samples)
        words = self._words(samples[seen:])
        before = np.empty_like(words)
        before[0], before[1:] = self._last, words[:-1]
        self._last = words[-1].copy()
        row, at = np.nonzero((words != before) & ~np.isnan(before))
        marks = np.zeros(len(row), MARK_DTYPE)
        marks["sample"] = first + seen + row
        marks["line"] = FIRST_TRIGGER + at
        marks["value"] = words[row, at]
        return marks

    def _words(self, samples: Samples) -> NDArray[np.float64]:
        """Return the channels' values (n, channels): whole numbers that int32 holds; NaN before the first."""
        words = samples[:, self._positions].astype(np.float64)
        if not self._float:
            return words + self._offset
        number = np.isfinite(words)
        words = np.clip(np.rint(words), _VALUES.min, _VALUES.max)
        if number.all():
            return words
        row = np.where(number, np.arange(len(words))[:, None], -1)
        row = np.maximum.accumulate(row, axis=0)
        held = np.take_along_axis(words, np.maximum(row, 0), axis=0)
        return np.where(row >= 0, held, self._last)
