"""What a page shows of a running session, kept up to date from its messages.

Belongs to whoever holds the scene's lock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.electrodes import electrodes, median_sigma_uv, observed_s
from rtspikes.subscribers.names import reason_name
from rtspikes.subscribers.view.activity_codes import SMOOTHED_S, activity_codes, smoothed_hz
from rtspikes.subscribers.view.facts import Info, column_samples, kept_columns, rows_of
from rtspikes.subscribers.view.happenings import Happenings, mark_entry
from rtspikes.subscribers.view.levels import HEALTH_FLAGS, STORMING, levels_message, positions
from rtspikes.subscribers.view.raster import Raster
from rtspikes.subscribers.view.shapes import Shapes
from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.batch import Batch
from rtspikes.wire.codec import LEVELS_DTYPE

KEPT_S, MOST_BYTES = 8.0, 64 * 1024 * 1024
"""How far back, and how many, spikes are kept with their waveforms, for pages that show them one by one."""


class Passage(NamedTuple):
    """Spikes (SPIKE_DTYPE) that came together, and their waveforms (n, samples) µV."""

    number: int
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]


class Course:
    """Takes the batches of one session in order; another session needs another Course."""

    def __init__(self, info: Info) -> None:
        self.info = info
        self.rate_hz = float(info["rate_hz"])
        self.first_sample = int(info["first_sample"])
        self.n = int(info["n_channels"])
        self.now = self.first_sample
        """All spikes with a trigger before it are here."""
        channels = info["channels"]
        self.row = rows_of(channels["kind"], channels.get("well", [None] * self.n))
        width = column_samples(self.rate_hz)
        self.raster = Raster(self.row, width, kept_columns(self.rate_hz), self.first_sample)
        self.shapes = Shapes(self.n, sum(info["snippet_samples"]), self.rate_hz)
        self.happenings = Happenings()
        self.status: dict[str, Any] = {}
        self.status_count = 0
        self.missed = self.lost = 0
        """Messages that did not come here; samples that the engine did not get."""
        self._electrodes = electrodes(info)
        self._thresholds = np.zeros(self.n, LEVELS_DTYPE)
        self._thresholds["negative_uv"] = self._thresholds["positive_uv"] = np.nan
        self._states = {name: np.zeros(0, np.int64) for name in HEALTH_FLAGS}
        self._storming = np.zeros(0, np.int64)
        self._counts_before = np.zeros(self.n, np.uint32)
        self._observed = np.zeros(self.n)
        self._observed_before: NDArray[np.float64] | None = None
        self._activity = np.zeros(self.n, np.float32)
        self._activity_codes: NDArray[np.uint8] | None = None
        self._begun = False
        self._unseen = 0
        """Samples whose spikes did not come here."""
        self._coming: list[Batch] = []
        self._passages: deque[Passage] = deque()
        self._kept_bytes = 0
        self.passages = 0
        self.levels_version = 0
        self._levels: tuple[int, bytes] = -1, b""

    def add(self, batch: Batch) -> None:
        """Take one batch; spikes show once they are `settled`."""
        if batch.missed:
            self._take_missed(batch)
        if batch.kind == "spikes":
            if not self._begun:
                self._begin(batch.from_sample)
            self._coming.append(batch)
            return
        self.settle()
        if batch.kind == "status":
            self._take_status(batch.fields)
        elif batch.kind == "thresholds" and batch.thresholds is not None:
            self._take_thresholds(int(batch.fields["first_channel"]), batch.thresholds)
        elif batch.kind == "gaps":
            self._take_gaps(batch.gaps)
        elif batch.kind == "marks":
            for mark, text in zip(batch.marks, batch.texts, strict=True):
                self.happenings.add("marks", **mark_entry(mark, text))
        elif batch.kind == "notices":
            self._take_notice(batch.fields)

    def _begin(self, sample: int) -> None:
        """Begin with the first spikes' interval, from `sample` on: at the session's start, or later."""
        self._begun = True
        if sample <= self.first_sample:
            self._observed_before = np.zeros(self.n)
            return
        self.now = sample
        self.raster.begin(sample)
        self._tell_gap(self.first_sample, sample, "before this viewer came")

    def _take_missed(self, batch: Batch) -> None:
        """Take in what did not come before `batch`: where spikes may be missing is a gap, and no time observed."""
        for missed in batch.missed:
            self.missed += missed.count
            if missed.kind != "spikes" or missed.from_sample is None:
                continue
            self.settle()
            self.shapes.interrupt()
            stop = self.now if missed.to_sample is None else missed.to_sample
            if stop > missed.from_sample:
                self._tell_gap(missed.from_sample, stop, "missed here")
                self._unseen += stop - missed.from_sample

    def _tell_gap(self, sample: int, stop: int, cause: str, uncertain: int = 0) -> None:
        self.happenings.add("gaps", sample=sample, lost=stop - sample, cause=cause, uncertain=uncertain)

    def settle(self) -> None:
        """Work in the spikes that have come."""
        coming, self._coming = self._coming, []
        if not coming:
            return
        spikes = np.concatenate([batch.spikes for batch in coming])
        now = max(self.now, coming[-1].to_sample)
        elapsed_s, self.now = (now - self.now) / self.rate_hz, now
        newest = int(spikes["sample"].max(initial=0)) + 1
        self.raster.reach(max(now, newest))
        self._activity *= np.float32(math.exp(-elapsed_s / SMOOTHED_S))
        self._activity_codes = None
        if len(spikes):
            waveforms = np.concatenate([batch.waveforms for batch in coming if len(batch.spikes)])
            self.raster.add(spikes["channel"], spikes["sample"])
            self.shapes.add(spikes, waveforms)
            fresh = smoothed_hz(np.maximum(now - spikes["sample"], 0) / self.rate_hz)
            self._activity += np.bincount(spikes["channel"], fresh, self.n).astype(np.float32)
            self._passages.append(Passage(self.passages, spikes, waveforms))
            self.passages += 1
            self._kept_bytes += spikes.nbytes + waveforms.nbytes
        while self._passages and (
            self._kept_bytes > MOST_BYTES or int(self._passages[0].spikes["sample"][-1]) < now - KEPT_S * self.rate_hz
        ):
            passed = self._passages.popleft()
            self._kept_bytes -= passed.spikes.nbytes + passed.waveforms.nbytes

    def _take_status(self, status: dict[str, Any]) -> None:
        self.status = status
        self.status_count += 1
        self._storming = positions(status.get("storming_channels"), self.n)
        self._observed = observed_s(status, self._electrodes)
        if self._observed_before is None:
            self._observed_before = self._observed
            self._counts_before = self.shapes.counts.copy()
        self.levels_version += 1

    def _take_thresholds(self, first: int, levels: NDArray[np.void]) -> None:
        self._thresholds[first : first + len(levels)] = levels
        self.levels_version += 1

    def _take_gaps(self, gaps: NDArray[np.void]) -> None:
        for gap in gaps:
            sample, lost = int(gap["sample"]), int(gap["lost"])
            self.lost += lost
            cause = reason_name(dict(self.info), "gap_causes", int(gap["cause"]))
            self._tell_gap(sample, sample + lost, cause, int(gap["uncertain"]))
        self.shapes.interrupt()

    def _take_notice(self, notice: dict[str, Any]) -> None:
        cause = str(notice.get("cause"))
        sample = notice.get("sample")
        if cause in HEALTH_FLAGS:
            self._states[cause] = positions(notice.get("all"), self.n)
            self.levels_version += 1
        self.happenings.add(
            "notices", sample=sample if isinstance(sample, int) else self.now, cause=cause, text=str(notice.get("text"))
        )

    @property
    def sigma_uv(self) -> float:
        """Median noise level (µV) of the electrodes that have one; NaN before the first."""
        return median_sigma_uv(self._thresholds["sigma_uv"], self._electrodes)

    def activity(self) -> NDArray[np.uint8]:
        """Return the codes of each channel's smoothed rate (channels,)."""
        if self._activity_codes is None:
            self._activity_codes = activity_codes(self._activity)
        return self._activity_codes

    def levels(self) -> bytes:
        """Return the `levels` message."""
        if self._levels[0] != self.levels_version:
            self._levels = self.levels_version, self._pack_levels()
        return self._levels[1]

    def _pack_levels(self) -> bytes:
        before = self._observed if self._observed_before is None else self._observed_before
        seen_s = np.maximum(0.0, self._observed - before - self._unseen / self.rate_hz)
        counts = self.shapes.counts - self._counts_before
        flags = np.zeros(self.n, np.uint8)
        flags[self._storming] |= STORMING
        for name, bit in HEALTH_FLAGS.items():
            flags[self._states[name]] |= bit
        return levels_message(self._thresholds, counts, seen_s, self._electrodes, flags)

    def newest(self, channels: Sequence[int], since: int, most: int) -> tuple[NDArray[np.void], NDArray[np.float32]]:
        """Return the `most` newest spikes of these channels that came with passage `since` or later; and waveforms."""
        spikes, waveforms, n = [], [], 0
        for passage in reversed(self._passages):
            if passage.number < since or n >= most:
                break
            at = np.flatnonzero(np.isin(passage.spikes["channel"], channels))[-(most - n) :]
            spikes.append(passage.spikes[at])
            waveforms.append(passage.waveforms[at])
            n += len(at)
        none = np.zeros(0, SPIKE_DTYPE), np.zeros((0, sum(self.info["snippet_samples"])), np.float32)
        return np.concatenate([none[0], *spikes[::-1]]), np.concatenate([none[1], *waveforms[::-1]])
