"""Min–max envelopes of single channels: what a plot shows of a signal.

    samples  12 13 14│15 16 17 18 19│20 21 (hole)│(hole)│30 31 …     bins of 5 samples
    bins         2   │      3       │   4        │      │  6

A bin holds the smallest and the largest of those of its samples that there are, whatever the cuts between calls; where
there are none there is no bin.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import float32, int16, int64, njit, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.detector import Detector
from rtspikes.detect.front import PHYSICAL_UV
from rtspikes.detect.lanes import f1, f2, f3, i1
from rtspikes.types import Samples

Watched = tuple[int, str]
"""A channel's position, and what of it: `raw`; `filtered`, and referenced; `compared`, what the method compares."""

_LIMIT = float32(PHYSICAL_UV)


@njit(nogil=True)
def _enter(least, most, number, slot, numbers, low, high, counts):  # type: ignore[no-untyped-def]
    """Let a bin of a slot hold these values too; without room for another bin they are left out."""
    last = counts[slot] - 1
    if last >= 0 and numbers[slot, last] == number:
        low[slot, last] = min(low[slot, last], least)
        high[slot, last] = max(high[slot, last], most)
    elif last + 1 < numbers.shape[1]:
        numbers[slot, last + 1], low[slot, last + 1], high[slot, last + 1] = number, least, most
        counts[slot] += 1


@kernel(void(f3, int64, int64, int64, int64, i1, i1, i1, int64[:, ::1], f2, f2, i1))
def _enter_history(  # type: ignore[no-untyped-def]
    history, first, stop, delay, size, slots, tiles, lanes, numbers, low, high, counts
):  # fmt: skip
    """Enter the rows [first, stop) of a history (tiles, depth, lanes); row n is of sample n − delay.

    Lane (tiles[k], lanes[k]) goes to slot slots[k], whose bins, of `size` samples, are (slots, room). One lane after
    the other: 64 of them side by side, a thousand rows long, took 80 ns for each value, which the processor then does
    not fetch ahead.
    """
    depth = history.shape[1]
    for k in range(len(slots)):
        tile, lane = tiles[k], lanes[k]
        n, at = first, first % depth
        while n < stop:
            number = (n - delay) // size
            end = min(stop, (number + 1) * size + delay)
            least = most = history[tile, at, lane]
            for _ in range(end - n):
                value = history[tile, at, lane]
                least, most = min(least, value), max(most, value)
                at = at + 1 if at + 1 < depth else 0
            _enter(least, most, number, slots[k], numbers, low, high, counts)
            n = end


_BEHIND_SAMPLES = int64, int64, i1, i1, f1, f1, int64[:, ::1], f2, f2, i1


@kernel([void(int16[:, ::1], *_BEHIND_SAMPLES), void(f2, *_BEHIND_SAMPLES)])
def _enter_raw(  # type: ignore[no-untyped-def]
    samples, first, size, slots, channels, gain, offset, numbers, low, high, counts
):  # fmt: skip
    """Enter raw samples (n, channels) in µV, the first of them with the index `first`; see `_enter_history`.

    gain, offset: of all channels (channels,). What is no voltage is left out.
    """
    stop = first + len(samples)
    for k in range(len(slots)):
        c = channels[k]
        n = first
        while n < stop:
            number = n // size
            end = min(stop, (number + 1) * size)
            least, most = float32(np.inf), float32(-np.inf)
            for i in range(n - first, end - first):
                value = float32(samples[i, c]) * gain[c] + offset[c]
                if abs(value) <= _LIMIT:
                    least, most = min(least, value), max(most, value)
            if least <= most:
                _enter(least, most, number, slots[k], numbers, low, high, counts)
            n = end


class Run(NamedTuple):
    """Bins without a hole between them: the first sample of the first one, and what each holds (bins,), µV."""

    sample: int
    low: NDArray[np.float32]
    high: NDArray[np.float32]


class _Lanes(NamedTuple):
    """Which lanes of a history are watched, and where their bins go."""

    history: NDArray[np.float32]
    slots: NDArray[np.int64]
    tiles: NDArray[np.int64]
    lanes: NDArray[np.int64]


class Envelopes:
    """Follows the watched signals of one detector while it is its `tap`. All memory is taken at the start."""

    def __init__(self, detector: Detector, bin_samples: int, room: int, most: int) -> None:
        """room: bins that wait to be taken, of each of at most `most` signals."""
        self.bin_samples = bin_samples
        self._detector = detector
        self._numbers = np.zeros((most, room), np.int64)
        self._low, self._high = np.zeros((most, room), np.float32), np.zeros((most, room), np.float32)
        self._counts = np.zeros(most, np.int64)
        self._slots: dict[Watched, int] = {}
        channels = detector.info.channels
        self._gain = np.array([c.gain_uv for c in channels], np.float32)
        self._offset = np.array([c.offset_uv for c in channels], np.float32)
        self._delay = 0 if detector.compares_signal else detector.method.delay
        self._next = 0
        self.watch(())

    def watch(self, wanted: Iterable[Watched]) -> None:
        """Follow these signals from the next slice on, and no others; at most as many as there is memory for."""
        wanted = set(wanted)
        self._slots = {key: slot for key, slot in self._slots.items() if key in wanted}
        free = [slot for slot in range(len(self._counts)) if slot not in self._slots.values()]
        self._counts[free] = 0
        self._slots |= zip(sorted(wanted - self._slots.keys()), free, strict=False)
        self._filtered = self._lanes_of("filtered", [self._detector.trace])
        self._compared = self._lanes_of("compared", self._detector.scores)
        self._raw_channels, self._raw_slots = self._channels_of("raw")
        self._detector.tap = self._tap if self._slots else None

    def _channels_of(self, what: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the channels of which this is watched, and their slots."""
        found = sorted((channel, slot) for (channel, of), slot in self._slots.items() if of == what)
        columns = np.array(found, np.int64).reshape(-1, 2)
        return columns[:, 0].copy(), columns[:, 1].copy()

    def _lanes_of(self, what: str, histories: list[NDArray[np.float32]]) -> list[_Lanes]:
        """Return what of the histories, whose tiles follow each other, is watched as this."""
        channels, slots = self._channels_of(what)
        found, before = [], 0
        for history in histories:
            tiles, lanes = np.divmod(channels, history.shape[2])
            here = (before <= tiles) & (tiles < before + len(history))
            if here.any():
                found.append(_Lanes(history, slots[here], tiles[here] - before, lanes[here]))
            before += len(history)
        return found

    def _tap(self, samples: Samples, first: int, segment: int) -> None:
        """Enter a slice that the detector has filtered."""
        stop, size = first + len(samples), self.bin_samples
        bins = self._numbers, self._low, self._high, self._counts
        if len(self._raw_slots):
            _enter_raw(samples, first, size, self._raw_slots, self._raw_channels, self._gain, self._offset, *bins)
        for history, slots, tiles, lanes in self._filtered:
            _enter_history(history, first, stop, 0, size, slots, tiles, lanes, *bins)
        begun = max(first, segment + self._delay)  # before that a method has not seen enough to say anything
        for history, slots, tiles, lanes in self._compared:
            _enter_history(history, begun, stop, self._delay, size, slots, tiles, lanes, *bins)
        self._next = stop

    def short_of(self, bins: int) -> list[Watched]:
        """Return the signals that have no room for so many bins more."""
        if self._counts.max() + bins <= self._numbers.shape[1]:
            return []
        return [key for key, slot in self._slots.items() if self._counts[slot] + bins > self._numbers.shape[1]]

    def take(self, key: Watched, ended: bool = False) -> list[Run]:
        """Return the bins of a signal that have come; `ended`: also the last one, which is not complete."""
        slot = self._slots[key]
        n = int(self._counts[slot])
        numbers, low, high = self._numbers[slot, :n], self._low[slot, :n], self._high[slot, :n]
        reached = self._next - (self._delay if key[1] == "compared" else 0)
        is_open = bool(n) and not ended and (int(numbers[-1]) + 1) * self.bin_samples > reached
        n -= is_open
        whole = n and int(numbers[n - 1]) - int(numbers[0]) == n - 1
        borders = () if whole else (np.flatnonzero(np.diff(numbers[:n]) != 1) + 1).tolist()
        runs = [
            Run(int(numbers[a]) * self.bin_samples, low[a:b].copy(), high[a:b].copy())
            for a, b in pairwise((0, *borders, n))
            if b > a
        ]
        if is_open:
            numbers[0], low[0], high[0] = numbers[n], low[n], high[n]
        self._counts[slot] = int(is_open)
        return runs
