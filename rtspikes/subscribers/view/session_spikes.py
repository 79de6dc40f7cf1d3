"""Spikes of a session log at any place in it: found by bisection, counted from checkpoints, never all in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.view.activity_codes import activity_codes, smoothed_hz
from rtspikes.subscribers.view.facts import column_samples, rows_of
from rtspikes.subscribers.view.raster import MOST
from rtspikes.subscribers.view.tally import BYTES, Tally, empty_tally

BLOCK = 1 << 18
"""Spikes that are looked at together, and between two checkpoints where memory allows."""

CHECKPOINT_BYTES = 128 * 1024 * 1024

LOOKED_BACK_S = 4.0
"""How far back the map's activity is taken from."""

MOST_BLOCKS = 16
"""How far back the newest waveforms of a channel are looked for."""


class Rows(NamedTuple):
    """Some spikes: where they are in the log, (n,) each."""

    number: NDArray[np.int64]
    channel: NDArray[np.uint32]
    sample: NDArray[np.int64]


class SessionSpikes:
    """Reads a log's spikes, which are in the order of their triggers, by the samples of their peaks."""

    # trigger   ─────┬─────────┬── in order: found by bisection
    # peak      ─────┼──┬──────┼── at most `_reach` beside its trigger
    #              first       stop

    def __init__(self, session: Session) -> None:
        """Count all spikes once, for the checkpoints."""
        info = session.info
        self._spikes, self._waveforms = session.spikes, session.waveforms
        self._triggers = session.spikes["crossing"]
        self.rate_hz, self.first = float(info["rate_hz"]), int(info["first_sample"])
        self.n = len(info["enabled"])
        self._reach = int(info.get("latency_samples", 0)) + sum(info["snippet_samples"])
        channels = info["channels"]
        self._row = rows_of(channels["kind"], channels.get("well", [None] * self.n))
        self._rows = int(self._row.max(initial=-1)) + 1
        self.width = column_samples(self.rate_hz)
        unseen = np.array(session.unseen(), np.int64).reshape(-1)
        self._borders = np.unique(np.concatenate((session.gaps["sample"], unseen)))
        room = max(1, CHECKPOINT_BYTES // max(1, BYTES * self.n))
        blocks = -(-len(self._spikes) // BLOCK)
        self._step = BLOCK * max(1, -(-blocks // room))
        self._checkpoints: list[Tally] = []
        everyone = range(self.n)
        tally = empty_tally(self.n, self.rate_hz, self._borders)
        for start in range(0, len(self._spikes), BLOCK):
            if start % self._step == 0:
                self._checkpoints.append(tally.part(everyone))
            block = self._spikes[start : start + BLOCK]
            tally.add(block["channel"], block["sample"])
        self.counts = tally.counts.astype(np.int64)
        """Spikes of each channel in the whole log, (channels,)."""

    def _blocks(self, start: int, stop: int, below: int) -> Iterator[Rows]:
        """Yield the rows [start, stop) whose sample is below `below`, in blocks."""
        for a in range(start, stop, BLOCK):
            block = self._spikes[a : min(a + BLOCK, stop)]
            samples = block["sample"]
            inside = np.flatnonzero(samples < below)
            yield Rows(a + inside, block["channel"][inside], samples[inside])

    def _found(self, first: int, stop: int) -> Iterator[Rows]:
        """Yield the spikes in [first, stop), in blocks."""
        start, end = np.searchsorted(self._triggers, (first - self._reach, stop + self._reach))
        for rows in self._blocks(int(start), int(end), stop):
            inside = rows.sample >= first
            yield Rows(rows.number[inside], rows.channel[inside], rows.sample[inside])

    def per_step(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many spikes have their trigger between edges (samples, in order), (edges − 1,)."""
        return np.diff(np.searchsorted(self._triggers, edges)).astype(np.int64)

    def columns(self, first: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
        """Return the raster (k, rows) and its spikes (k,) from column `first` on, up to the sample `stop`."""
        k = max(0, -(-stop // self.width) - first)
        cells, rate = np.zeros(k * self._rows, np.uint32), np.zeros(k, np.uint32)
        for rows in self._found(first * self.width, stop) if k else ():
            if not len(rows.sample):
                continue
            column = rows.sample // self.width - first
            rate += np.bincount(column, minlength=k).astype(np.uint32)
            row = self._row[rows.channel]
            cell = (column * self._rows + row)[row >= 0]
            lowest = int(cell.min(initial=len(cells)))
            counts = np.bincount(cell - lowest)
            cells[lowest : lowest + len(counts)] += counts.astype(np.uint32)
        return np.minimum(cells, MOST).astype(np.uint8).reshape(k, self._rows), rate

    def activity(self, stop: int) -> NDArray[np.uint8]:
        """Return the codes of each channel's rate (channels,), smoothed, just before a sample."""
        rates = np.zeros(self.n)
        for rows in self._found(stop - round(LOOKED_BACK_S * self.rate_hz), stop):
            ages_s = (stop - rows.sample) / self.rate_hz
            rates += np.bincount(rows.channel, smoothed_hz(ages_s), self.n)
        return activity_codes(rates)

    def newest(self, channels: Sequence[int], first: int, stop: int, most: int) -> NDArray[np.int64]:
        """Return the rows of the `most` newest spikes of these channels in [first, stop), in order."""
        wanted = self._wanted(channels)
        rows = [each.number[wanted[each.channel]] for each in self._found(first, stop)]
        return np.concatenate([np.zeros(0, np.int64), *rows])[-most:]

    def spikes(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.float32]]:
        """Return spikes and their waveforms (n, samples) µV."""
        return np.asarray(self._spikes[rows]), np.asarray(self._waveforms[rows])

    def tally(self, channels: Sequence[int], stop: int) -> Tally:
        """Return what is counted of these channels before a sample."""
        end = int(np.searchsorted(self._triggers, stop + self._reach))
        number = int(np.searchsorted(self._triggers, stop - self._reach)) // self._step
        if number >= len(self._checkpoints):  # the log's last spike ends a step
            number = len(self._checkpoints) - 1
        if number < 0:
            return empty_tally(len(channels), self.rate_hz, self._borders)
        tally = self._checkpoints[number].part(channels)
        place = np.full(self.n, -1, np.int64)
        place[list(channels)] = np.arange(len(channels))
        for rows in self._blocks(number * self._step, end, stop):
            at = place[rows.channel]
            tally.add(at[at >= 0], rows.sample[at >= 0])
        return tally

    def waveforms(self, channels: Sequence[int], stop: int, most: int) -> list[NDArray[np.float32]]:
        """Return of each channel the newest waveforms (≤ most, samples) µV before a sample, the newest last.

        Of a channel that has become silent long ago there may be fewer than there were.
        """
        wanted = self._wanted(channels)
        found: dict[int, NDArray[np.int64]] = {c: np.zeros(0, np.int64) for c in channels}
        end = int(np.searchsorted(self._triggers, stop + self._reach))
        for b in range(MOST_BLOCKS):
            if end - b * BLOCK <= 0 or all(len(rows) >= most for rows in found.values()):
                break
            for rows in self._blocks(max(0, end - (b + 1) * BLOCK), end - b * BLOCK, stop):
                some = wanted[rows.channel]
                numbers, of = rows.number[some], rows.channel[some]
                for channel, later in found.items():
                    found[channel] = np.concatenate((numbers[of == channel], later))[-most:]
        return [np.asarray(self._waveforms[found[c]]) for c in channels]

    def _wanted(self, channels: Sequence[int]) -> NDArray[np.bool_]:
        wanted = np.zeros(self.n, bool)
        wanted[list(channels)] = True
        return wanted
