"""The changes that are to come, checked against the stream when they are scheduled and applied at their samples."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.artifacts import Blanking
from rtspikes.detect.changes import (
    Blank,
    Change,
    Follow,
    Freeze,
    Levels,
    Mute,
    Recalibrate,
    Select,
    Threshold,
    TooLate,
    Unmute,
    check,
)
from rtspikes.detect.lanes import NEVER
from rtspikes.detect.levels import ThresholdTable
from rtspikes.detect.noise import NoiseTracker
from rtspikes.errors import ConfigError
from rtspikes.selectors import select
from rtspikes.types import StreamInfo


class Schedule:
    """Keeps changes by sample and, within one, in the order in which they came."""

    def __init__(self, info: StreamInfo, table: ThresholdTable, noise: NoiseTracker, blanking: Blanking) -> None:
        self._info = info
        self._blanking = blanking
        self._known: dict[Select, list[int]] = {}
        self._table = table
        self._noise = noise
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._added = 0
        self.next_sample = NEVER

    def add(self, change: Change, sample: int, earliest: int) -> None:
        """Enter a change for `sample`; raise TooLate before `earliest`, ConfigError for what does not fit the stream.

        Selectors and labels are looked up here, so that applying costs no more than a new σ.
        """
        if sample < earliest:
            raise TooLate(f"a change must be for sample {earliest} or a later one, got {sample}; ask for a later one")
        if sample >= NEVER:
            raise ConfigError(f"the sample of a change must be < {NEVER}, got {sample}")
        check(change)
        heapq.heappush(self._due, (sample, self._added, self._prepared(change, sample)))
        self._added += 1
        self.next_sample = self._due[0][0]

    def apply_next(self) -> None:
        """Apply the next change."""
        heapq.heappop(self._due)[2]()
        self.next_sample = self._due[0][0] if self._due else NEVER

    def _prepared(self, change: Change, sample: int) -> Callable[[], None]:
        table, noise = self._table, self._noise
        match change:
            case Threshold():
                channels = select(change.select, self._info.channels)
                if change.threshold is not None:
                    return partial(table.scale, channels, change.threshold)
                assert change.threshold_uv is not None  # `check` saw to it
                return partial(table.fix, channels, *table.heights(change.threshold_uv, channels))
            case Levels():
                return partial(table.fix, *self._levels(change))
            case Freeze():
                return partial(noise.freeze, sample)
            case Follow():
                self._check_followed("follow")
                return noise.follow
            case Recalibrate():
                self._check_followed("recalibrate")
                return partial(noise.recalibrate, sample)
            case Mute():
                return partial(table.mute, select(change.select, self._info.channels), True)
            case Unmute():
                return partial(table.mute, self._enabled(change), False)
            case Blank():
                channels = self._blanked(change.select)
                until = sample + max(1, round(change.ms * 1e-3 * self._info.rate_hz))
                return partial(self._blanking.blank, channels, until)

    def _blanked(self, selector: Select) -> list[int]:
        """Return the channels to blank, looked up once: a stimulator's marks are many."""
        if selector not in self._known:
            self._known[selector] = select(selector, self._info.channels)
        return self._known[selector]

    def _check_followed(self, name: str) -> None:
        if not self._noise.following:
            raise ConfigError(
                f'{name} needs a noise level that is learnt from the signal, but detect.noise.mode = "file" reads it'
            )

    def _enabled(self, change: Unmute) -> list[int]:
        """Return the channels to unmute: every selector must name at least one that the settings do not disable."""
        for selector in [change.select] if isinstance(change.select, str | int) else change.select:
            found = select(selector, self._info.channels)
            if not self._table.enabled[found].any():
                label = self._info.channels[found[0]].label
                raise ConfigError(
                    f"unmute must name channels that are detected, but channel {label!r} is disabled by the settings"
                )
        return select(change.select, self._info.channels)

    def _levels(self, change: Levels) -> tuple[list[int], NDArray[np.float32], NDArray[np.float32]]:
        """Return positions and (falling, rising) thresholds of all electrodes; ∓inf: no such crossing."""
        positions = {c.label: c.position for c in self._info.channels if c.kind == "electrode"}
        given: set[str] = set()
        for label in change.labels:
            if label not in positions or label in given:
                what = "appears twice" if label in given else "is none of them"
                raise ConfigError(f"levels must name each electrode of the stream exactly once, but {label!r} {what}")
            given.add(label)
        for label in positions:
            if label not in given:
                raise ConfigError(
                    f"levels must name each electrode of the stream exactly once, but {label!r} is missing"
                )
        return (
            [positions[label] for label in change.labels],
            np.array([-np.inf if uv is None else uv for uv in change.negative_uv], np.float32),
            np.array([np.inf if uv is None else uv for uv in change.positive_uv], np.float32),
        )
