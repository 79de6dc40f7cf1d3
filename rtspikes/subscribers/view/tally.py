"""Spikes counted channel by channel, with the intervals between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ISI_EDGES_MS = np.round(np.geomspace(1.0, 10_000.0, 41), 4)
"""Edges (ms) of the intervals' histogram, ten to a decade; what is below or beyond counts at the ends."""

BINS = len(ISI_EDGES_MS) - 1
NEVER = np.iinfo(np.int64).min

BYTES = 4 + 8 + 4 * BINS
"""Of a channel."""


def bins_of(interval_ms: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the histogram's bin of each interval."""
    found = np.searchsorted(ISI_EDGES_MS, interval_ms, side="right") - 1
    return np.clip(found, 0, len(ISI_EDGES_MS) - 2)


@dataclass(slots=True)
class Tally:
    """Takes spikes in their order, a few or many at a time.

    counts: (channels,) spikes. isi: (channels, BINS) intervals between ISI_EDGES_MS. last: (channels,) samples of the
    last spikes. borders: samples, in order, across which no interval goes.
    """

    rate_hz: float
    borders: NDArray[np.int64]
    counts: NDArray[np.uint32]
    isi: NDArray[np.uint32]
    last: NDArray[np.int64]

    def part(self, channels: Sequence[int]) -> Tally:
        """Return a tally of some channels that goes on from here on its own."""
        some = np.array(channels, np.int64)
        return Tally(self.rate_hz, self.borders, self.counts[some], self.isi[some], self.last[some])

    def add(self, channels: NDArray[np.integer], samples: NDArray[np.int64]) -> None:
        """Take spikes (n,), of each channel in order."""
        if not len(channels):
            return
        n = len(self.counts)
        small = channels.astype(np.uint16) if n <= 1 << 16 else channels  # numpy sorts these five times as fast
        order = np.argsort(small, kind="stable")
        of, at = channels[order].astype(np.int64), samples[order]
        begins = np.ones(len(of), bool)
        begins[1:] = of[1:] != of[:-1]
        before = np.empty_like(at)
        before[1:] = at[:-1]
        before[begins] = self.last[of[begins]]
        ends = np.append(begins[1:], True)
        self.last[of[ends]] = at[ends]
        known = before != NEVER
        if len(self.borders):
            known &= np.searchsorted(self.borders, before, "right") == np.searchsorted(self.borders, at, "right")
        bins = bins_of((at[known] - before[known]) * (1e3 / self.rate_hz))
        np.add.at(self.isi.reshape(-1), of[known] * BINS + bins, 1)
        self.counts += np.bincount(of, minlength=n).astype(np.uint32)


def empty_tally(n_channels: int, rate_hz: float, borders: NDArray[np.int64]) -> Tally:
    """Return the tally of so many channels before their first spike."""
    counts, isi = np.zeros(n_channels, np.uint32), np.zeros((n_channels, BINS), np.uint32)
    return Tally(rate_hz, borders, counts, isi, np.full(n_channels, NEVER, np.int64))
