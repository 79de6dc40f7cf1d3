"""What a person wants to see of a running engine, kept up to date from its messages."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import active
from rtspikes.meters import Percentiles
from rtspikes.subscribers.electrodes import electrodes, median_sigma_uv
from rtspikes.wire.batch import Batch

WATCHED_KINDS = ("spikes", "crossings", "thresholds", "gaps", "notices", "status")

RECENT_S = 1.0
"""Span over which rates are taken."""

BIN_S, BINS = 0.2, 64
"""The course of the activity: spikes of all electrodes per bin, for so many bins back."""


class Watch:
    """Takes the batches of one session in order; another one needs another Watch.

    `now_s` is the LSL clock when a batch was received.
    """

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.rate_hz = float(info["rate_hz"])
        self.first = self.to_sample = int(info["first_sample"])
        self.electrodes = electrodes(info)
        self.counts = np.zeros(info["n_channels"], np.int64)
        self.sigma_uv: NDArray[np.float32] = np.zeros(info["n_channels"], np.float32)
        self.latency = Percentiles(65536)
        self.status: dict[str, Any] = {}
        self.missed = 0
        self.lost = 0
        self._recent: deque[tuple[int, NDArray[np.void]]] = deque()
        self._course = np.zeros(BINS, np.int64)
        self._course_bin = 0

    def add(self, batch: Batch, now_s: float) -> None:
        """Take one batch."""
        self.missed += sum(m.count for m in batch.missed)
        self.lost += int(batch.gaps["lost"].sum())
        if batch.kind == "status":
            self.status = batch.fields
        elif batch.kind == "thresholds" and batch.thresholds is not None:
            first = int(batch.fields["first_channel"])
            self.sigma_uv[first : first + len(batch.thresholds)] = batch.thresholds["sigma_uv"]
        elif batch.kind == "crossings":
            live = batch.crossings["crossing"] >= self.first + self.rate_hz  # before, the start was held
            self.latency.extend(now_s - batch.crossings["time"][live])
        elif batch.kind == "spikes":
            self.to_sample = batch.to_sample
            if len(batch.spikes):
                np.add.at(self.counts, batch.spikes["channel"], 1)
                self._add_to_course(batch.spikes["sample"])
                self._recent.append((batch.to_sample, batch.spikes))
            while self._recent and self._recent[0][0] < self.to_sample - RECENT_S * self.rate_hz:
                self._recent.popleft()

    def _add_to_course(self, samples: NDArray[np.int64]) -> None:
        bins = ((samples - self.first) // round(BIN_S * self.rate_hz)).astype(np.int64)
        self._course_to(int(bins.max()))
        bins = bins[bins > self._course_bin - BINS]
        np.add.at(self._course, bins % BINS, 1)

    def _course_to(self, newest: int) -> None:
        for b in range(max(self._course_bin, newest - BINS) + 1, newest + 1):
            self._course[b % BINS] = 0
        self._course_bin = max(self._course_bin, newest)

    def course(self, bins: int) -> NDArray[np.int64]:
        """Return the spikes of all electrodes in the last `bins` (≤ BINS) bins, the oldest first."""
        self._course_to(int((self.to_sample - self.first) // round(BIN_S * self.rate_hz)))
        at = np.arange(self._course_bin - bins + 1, self._course_bin + 1)
        return np.where(at >= 0, self._course[at % BINS], 0)

    @property
    def seconds(self) -> float:
        """Signal (s) whose spikes are all here."""
        return (self.to_sample - self.first) / self.rate_hz

    def recent(self) -> NDArray[np.int64]:
        """Return the spikes per channel (channels,) of the last second."""
        counts = np.zeros(len(self.counts), np.int64)
        for _, spikes in self._recent:
            fresh = spikes["sample"] >= self.to_sample - RECENT_S * self.rate_hz
            np.add.at(counts, spikes["channel"][fresh], 1)
        return counts

    @property
    def active(self) -> int:
        """Electrodes that are active, taking all the time so far as observed."""
        return int(active(self.counts[self.electrodes], self.seconds).sum())

    @property
    def median_sigma_uv(self) -> float:
        """Median noise level (µV) of the electrodes that have one; NaN before the first."""
        return median_sigma_uv(self.sigma_uv, self.electrodes)
