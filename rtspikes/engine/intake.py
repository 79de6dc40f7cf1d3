"""The intake: what pulls bring, entered into a session's ring, sample clock, remarks and marks.

Belongs to the acquiring thread, but for `arrival`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from rtspikes.clock import Clock, SampleClock
from rtspikes.engine import remarks, stream_marks
from rtspikes.engine.waiting import Waiting
from rtspikes.protocols import Mark, Pull, Remark, Source
from rtspikes.ring import Ring
from rtspikes.types import GapCause, StreamInfo

LARGEST_BLOCK, LARGEST_BYTES = 4096, 16 * 2**20
"""Samples, and their bytes, that are detected and published at a time: bounds latency while a backlog is caught up."""

LEAST_BLOCK = 64
"""However many channels there are: for fewer samples a block's own cost would count."""

MOST_STAMPS = 4096
"""Pulls whose time of arrival is kept."""


def largest_block(info: StreamInfo) -> int:
    """Return how many samples are detected at a time, at most."""
    frame = np.dtype(info.dtype).itemsize * info.n_channels
    return max(LEAST_BLOCK, min(LARGEST_BLOCK, LARGEST_BYTES // frame))


class Intake:
    """Pulls from a source into memory that is free, or, live, into none when there is none."""

    def __init__(self, info: StreamInfo, ring: Ring, sample_clock: SampleClock, clock: Clock) -> None:
        self.remarks = Waiting[Remark](remarks.MOST_WAITING)
        self.marks = Waiting[Mark](stream_marks.MOST_WAITING)
        self._live = info.live
        self._ring = ring
        self._sample_clock = sample_clock
        self._clock = clock
        self._stamps: deque[tuple[int, float]] = deque(maxlen=MOST_STAMPS)
        block = largest_block(info)
        # What is reserved is lost to readers without a lease; of what comes in pieces, one is detected meanwhile.
        self._most = block if block < LARGEST_BLOCK else max(block, ring.capacity // 8)
        self._spare = np.empty((block, info.n_channels), info.dtype)

    def pull(self, source: Source) -> Pull | None:
        """Pull once and enter what came; None when there is no room and a paced source must wait for it."""
        room = self._ring.reserve(self._most)
        if len(room):
            pull = source.pull(room)
            self._enter(pull, self._ring.commit)
            if pull.n:
                self._stamps.append((self._ring.next_sample, self._clock.now()))
        elif self._live:
            pull = source.pull(self._spare)
            self._enter(pull, self._discard)
        else:
            return None
        return pull

    def _enter(self, pull: Pull, take: Callable[[int], None]) -> None:
        """Enter a pull piece by piece; `take(n)` says what becomes of its next n rows."""
        if not (pull.holes or pull.anchors or pull.remarks or pull.marks):
            take(pull.n)
            return
        begun = self._ring.next_sample
        for anchor in pull.anchors:
            if anchor.offset < 0:
                self._sample_clock.anchor(begun + anchor.offset, anchor.time_s, anchor.rate_hz)
        marks: dict[int, list[Mark]] = {}
        for mark in pull.marks:
            if mark.offset < 0:
                self.marks.put(begun + mark.offset, mark)
            else:
                marks.setdefault(mark.offset, []).append(mark)
        at = 0
        offsets = {entry.offset for entries in (pull.holes, pull.anchors, pull.remarks) for entry in entries}
        offsets |= marks.keys()
        for offset in sorted(o for o in offsets if o >= 0):
            take(offset - at)
            at = offset
            for hole in pull.holes:
                if hole.offset == offset:
                    self._ring.skip(hole.lost, hole.cause, hole.uncertain)
            for anchor in pull.anchors:
                if anchor.offset == offset:
                    self._sample_clock.anchor(self._ring.next_sample, anchor.time_s, anchor.rate_hz)
            for remark in pull.remarks:
                if remark.offset == offset:
                    self.remarks.put(self._ring.next_sample, remark)
            for mark in marks.get(offset, ()):  # before its row is committed: who gets the row finds the mark
                self.marks.put(self._ring.next_sample, mark)
        take(pull.n - at)

    def _discard(self, n: int) -> None:
        """Tell the ring of samples that found no room."""
        if n:
            self._ring.skip(n, GapCause.OVERRUN)

    def arrival(self, sample: int) -> tuple[int, float]:
        """Return the end of the pull that brought `sample`, and when (LSL s) it came in.

        Forgets the pulls before it (processing thread).
        """
        while self._stamps:
            if self._stamps[0][0] > sample:
                return self._stamps[0]
            self._stamps.popleft()
        return sample + 1, self._clock.now()
