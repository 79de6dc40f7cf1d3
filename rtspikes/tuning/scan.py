"""Detects the same signal at many thresholds: what a live run would find at each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtspikes.config import Config
from rtspikes.detect.events import ThresholdUpdate
from rtspikes.offline import Passage
from rtspikes.sources.formats import Recording
from rtspikes.tuning.axis import Axis
from rtspikes.tuning.findings import Found

SHORT_MS = (0.0, 0.1)
"""A waveform for runs that only count: no event depends on it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of every channel at every level.

    levels: (K,). events: (K, channels). seconds: (K, channels) in which an event could have been found.
    """

    levels: NDArray[np.float64]
    events: NDArray[np.int64]
    seconds: NDArray[np.float64]

    def of(self, channels: Sequence[int]) -> Counts:
        """Return the counts of some channels."""
        return Counts(self.levels, self.events[:, channels], self.seconds[:, channels])

    def rate_hz(self, channels: Sequence[int]) -> NDArray[np.float64]:
        """Return events per second and channel of some channels together, (K,)."""
        seconds = self.seconds[:, channels].sum(axis=1)
        return np.asarray(self.events[:, channels].sum(axis=1) / np.maximum(seconds, 1e-9))


def count(
    recording: Recording, config: Config, axis: Axis, levels: NDArray[np.float64],
    progress: Callable[[], None] = lambda: None,
) -> Counts:  # fmt: skip
    """Return how many events each threshold gives; `progress` is called after each.

    Runs beside each other on the computer's cores: kernels leave Python's lock.
    """

    def one(level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        passage = Passage(recording, axis.at(config, level, snippet_ms=SHORT_MS))
        for _ in passage:
            pass
        progress()
        return passage.detector.counts, passage.detector.observed

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = list(pool.map(one, levels.tolist()))
    seconds = np.array([observed for _, observed in results]) / recording.info.rate_hz
    return Counts(levels, np.array([counts for counts, _ in results]), seconds)


@dataclass(frozen=True, slots=True)
class Pass:
    """One whole detection.

    found: by channel. counts, seconds: (channels,) events, and time in which one could have been found. updates: σ and
    thresholds, in the order in which they came into force. compares_signal: whether the filtered signal is what the
    threshold is of; else σ is that of something else, too, where `own_level`.
    """

    level: float
    found: dict[int, Found]
    counts: NDArray[np.int64]
    seconds: NDArray[np.float64]
    updates: list[ThresholdUpdate]
    snippet: tuple[int, int]
    compares_signal: bool
    own_level: bool

    @property
    def sigma_uv(self) -> NDArray[np.float32]:
        """σ (channels,) at the end; 0: dead."""
        return self.updates[-1].sigma_uv

    def lines_uv(self, channel: int, sample: int) -> tuple[float, ...]:
        """Return the thresholds of a channel (µV, signed) at a sample."""
        update = next((u for u in reversed(self.updates) if u.sample <= sample), self.updates[0])
        both = float(update.below_uv[channel]), float(update.above_uv[channel])
        return tuple(line for line in both if np.isfinite(line))


def detect_at(recording: Recording, config: Config, axis: Axis, level: float, channels: Sequence[int]) -> Pass:
    """Detect at one threshold; keep the events of some channels."""
    passage = Passage(recording, axis.at(config, level))
    events = list(passage)
    spikes = np.concatenate([e.spikes for e in events])
    waveforms = np.concatenate([e.waveforms for e in events])
    found = {}
    for c in channels:
        mine = spikes["channel"] == c
        found[c] = Found(level, spikes["sample"][mine], spikes["amplitude_uv"][mine], waveforms[mine])
    detector = passage.detector
    return Pass(
        level=level,
        found=found,
        counts=detector.counts,
        seconds=detector.observed / recording.info.rate_hz,
        updates=[update for e in events for update in e.thresholds],
        snippet=(detector.pre, detector.post),
        compares_signal=detector.compares_signal,
        own_level=detector.method.own_level,
    )
