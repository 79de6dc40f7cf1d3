"""What is found in some of the lanes: a method looks at them, and its events wait there until they have ended."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.compiled import Arguments
from rtspikes.detect.front import Front
from rtspikes.detect.lanes import DONE_DTYPE, Lanes, Look, take_rows
from rtspikes.detect.methods import Method
from rtspikes.detect.noise import NoiseRows
from rtspikes.detect.rebound import Rebound
from rtspikes.detect.snippets import finish
from rtspikes.detect.tables import Found

MOST_ENDED = 16 * 1024 * 1024
"""Bytes of waveforms that are taken out of the kernel at a time."""


class Ending(NamedTuple):
    """How events end; in samples. nearest: (channels, K) whose signal goes with a spike, −1: none."""

    complete: int
    """From a crossing to the end of what its event needs."""
    before: int
    """Of the waveform, before the extremum."""
    snippet: int
    rebound: Rebound
    nearest: NDArray[np.int32]


class Search:
    """A method at work on some of the lanes. Searches of different lanes share nothing that they write."""

    def __init__(self, lanes: Lanes, whole: Lanes, method: Method, ending: Ending) -> None:
        """whole: all lanes, among which neighbours are."""
        self._lanes, self._whole, self._ending = lanes, whole, ending
        self.method = method
        method.bind(lanes)
        room = max(64, MOST_ENDED // (4 * max(1, ending.snippet)))
        self._done = np.zeros(room, DONE_DTYPE)
        self._waveforms = np.empty((room, ending.snippet), np.float32)
        self._near = np.empty((room, ending.nearest.shape[1]), np.float32)
        self._n_done = np.zeros(1, np.int64)
        self._ended: list[Found] = []

    @property
    def compares_signal(self) -> bool:
        """Whether the method compares the filtered signal itself."""
        return self.method.compared is self._lanes.trace

    def prepare(self, segment: int, first: int, stop: int, rows: NoiseRows | None) -> None:
        """Work out what is compared for the samples [first, stop); keep those for the noise level in `rows`."""
        self.method.prepare(segment, first, stop)
        if rows is not None:
            levelled = self.method.compared if self.method.own_level else self._lanes.trace
            take_rows(levelled, self._lanes.of(rows.rows), first, stop, rows.stride, rows.base)

    def look(self, look: Look) -> None:
        """Make events of what is in the look's samples, and end those that are complete behind it."""
        self.method.scan(look)
        if self._lanes.n_pending.any():
            self.end(look.segment, look.stop, drain=False)

    def end(self, segment: int, end: int, drain: bool) -> None:
        """End the events that are complete at `end`, or all (`drain`: the segment ends there)."""
        while not self._keep(bool(finish(*self._arguments(segment, end, drain)))):
            pass

    def _arguments(self, segment: int, end: int, drain: bool) -> Arguments:
        """Return what `finish` takes."""
        x, ending = self._lanes, self._ending
        return (
            x.trace, x.held, x.state, x.pending, x.n_pending, segment, end, drain, self.method.back,
            self.method.delay, ending.complete, ending.before, *ending.rebound, self.method.compared,
            *self.method.shadow, x.first_channel, self._whole.trace, ending.nearest, self._done, self._waveforms,
            self._near, self._n_done,
        )  # fmt: skip

    def _keep(self, whole: bool) -> bool:
        """Keep what the kernel has ended: as it is when that was the `whole`, which is returned."""
        if n := int(self._n_done[0]):
            done, waveforms, near = self._done[:n], self._waveforms[:n], self._near[:n]
            if not whole:
                done, waveforms, near = done.copy(), waveforms.copy(), near.copy()
            self._ended.append(Found(done, waveforms, near))
            self._n_done[0] = 0
        return whole

    def walk(self, front: Front, taken: Arguments, levels: Arguments, look: Look) -> bool:
        """Do all from raw samples (`taken` by the `front`) to ended events in one kernel; tell whether one was held.

        levels: the work for the noise level that is due.
        """
        from rtspikes.detect.walk import walk_of

        ending = self._arguments(look.segment, look.stop, False)
        held, whole = walk_of(*front.kind)(taken, levels, self.method.arguments(look), ending)
        if not self._keep(whole):
            self.end(look.segment, look.stop, drain=False)
        return bool(held)

    def cross(self, sample: int, sigma: NDArray[np.float32], frozen: bool) -> None:
        """Let the method pass its boundary; σ: (all tiles, lanes), see `Method.cross`."""
        self.method.cross(sample, self._lanes.of(sigma), frozen)

    def take_found(self) -> NDArray[np.void]:
        """Return the crossings found since this was last called (FOUND_DTYPE); good until more are found."""
        return self._lanes.take_found()

    def take(self) -> list[Found]:
        """Return what has ended since this was last called; good until more ends."""
        ended, self._ended = self._ended, []
        return ended
