"""The storm breaker: a channel with more triggers than a neuron has is limited, and let go when it has calmed down.

Triggers are counted in bins of a tenth of a second, at multiples of their length from absolute sample 0. At the end of
each, a channel with more than `cap_per_s` triggers in the last second storms: from there on its triggers are
suppressed and counted, until a whole second had no more than the cap again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.events import Finding
from rtspikes.detect.lanes import NEVER, Lanes
from rtspikes.types import UNOBSERVED_DTYPE, UnobservedReason

BINS = 10
BIN_S = 0.1
LABELS_TOLD = 8
"""Channels that a finding names in its text."""


class StormBreaker:
    """Counts triggers, and says which channels storm."""

    def __init__(self, cap_per_s: float, rate_hz: float, lanes: Lanes, labels: Sequence[str], first: int) -> None:
        self._lanes = lanes
        self._labels = labels
        self._bin = max(1, round(BIN_S * rate_hz))
        self._most = cap_per_s * BINS * self._bin / rate_hz
        self.boundary = (first // self._bin + 1) * self._bin if cap_per_s else NEVER
        """The absolute sample at which the next bin begins."""
        self._counts = np.zeros((BINS + 1, lanes.n_channels), np.int64)  # at the last boundaries, a ring
        self._at = 0
        self._since = np.full(lanes.n_channels, -1, np.int64)
        self._told = np.zeros(lanes.n_channels, np.int64)  # suppressed triggers told so far

    @property
    def storming(self) -> NDArray[np.bool_]:
        """Which channels (channels,) storm."""
        return self._since >= 0

    def _cross(self, sample: int) -> tuple[list[Finding], NDArray[np.void]]:
        """Pass the boundary at `sample`."""
        findings: list[Finding] = []
        state = self._lanes.channels(self._lanes.state)
        self._at = (self._at + 1) % (BINS + 1)
        self._counts[self._at] = state["triggers"]
        recent = state["triggers"] - self._counts[(self._at + 1) % (BINS + 1)]
        self.boundary = sample + self._bin
        before = self.storming
        now = recent > self._most
        whole_second = sample // self._bin % BINS == 0
        ended = before & (~now | whole_second)
        intervals = self._intervals(ended, sample)
        self._since[before & now & whole_second] = sample
        begun, over = np.flatnonzero(now & ~before), np.flatnonzero(before & ~now)
        if len(begun):
            self._since[begun] = sample
            findings.append(self._finding(sample, "storm", begun, int(recent[begun].sum())))
        if len(over):
            self._since[over] = -1
            suppressed = state["suppressed"][over] - self._told[over]
            self._told[over] = state["suppressed"][over]
            findings.append(self._finding(sample, "storm_over", over, int(suppressed.sum())))
        if len(begun) or len(over):
            self._lanes.state["storming"] = self._lanes.tiled(self.storming.astype(np.int64), 0)
        return findings, intervals

    def pass_to(self, sample: int) -> tuple[list[Finding], NDArray[np.void]]:
        """Pass all boundaries up to `sample`: several lie in a gap, and a second without triggers ends every storm.

        Return what is to be told, and intervals that ended (UNOBSERVED_DTYPE).
        """
        findings: list[Finding] = []
        intervals = []
        for _ in range(BINS + 1):
            if self.boundary > sample:
                break
            told, ended = self._cross(self.boundary)
            findings += told
            intervals.append(ended)
        if self.boundary <= sample:
            self.boundary = (sample // self._bin + 1) * self._bin
        return findings, np.concatenate(intervals) if intervals else np.zeros(0, UNOBSERVED_DTYPE)

    def cut(self, stop: int) -> NDArray[np.void]:
        """Return the intervals of storms up to `stop`, where the segment ends; they go on from there."""
        intervals = self._intervals(self.storming, stop)
        self._since[self.storming] = stop
        return intervals

    def _intervals(self, ended: NDArray[np.bool_], stop: int) -> NDArray[np.void]:
        channels = np.flatnonzero(ended & (self._since < stop))
        out = np.zeros(len(channels), UNOBSERVED_DTYPE)
        out["sample"], out["stop"] = self._since[channels], stop
        out["channel"], out["reason"] = channels, UnobservedReason.STORM
        return out

    def _finding(self, sample: int, cause: str, channels: NDArray[np.intp], count: int) -> Finding:
        labels = ", ".join(self._labels[c] for c in channels[:LABELS_TOLD])
        who = f"{len(channels)} channels ({labels}{' …' if len(channels) > LABELS_TOLD else ''})"
        if cause == "storm":
            text = f"{who} storm: {count} triggers in the last second; suppressed until they calm down"
        else:
            text = f"{who} have calmed down: {count} triggers were suppressed"
        return Finding(sample, cause, text, count, {"channels": channels[:1024].tolist()})
