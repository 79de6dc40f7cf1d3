"""Rows that are held back until it is known what the step before them is, and handed on once it is."""

from __future__ import annotations

import numpy as np

from rtspikes.protocols import Pull
from rtspikes.sources.lsl.timeline import Stamps, Verdict
from rtspikes.types import Samples, StreamInfo

HOLD_S = 2.0
MOST_BYTES = 256 * 1024 * 1024
"""So much signal is held back at most; the least is LEAST_ROWS."""

LEAST_ROWS = 4096


class Hold:
    """A buffer: decided rows, which wait to be handed on, then undecided ones.

        rows   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░░░░░░·········
               │             │            │
             begin        decided        end

    Its memory is taken when it is first needed.
    """

    def __init__(self, info: StreamInfo) -> None:
        frame = np.dtype(info.dtype).itemsize * info.n_channels
        self._shape = (max(LEAST_ROWS, min(int(HOLD_S * info.rate_hz), MOST_BYTES // frame)), info.n_channels)
        self._dtype = info.dtype
        self._rows: Samples | None = None
        self._stamps: Stamps = np.zeros(0)
        self._begin = self._decided = self._end = 0
        self._verdict = Verdict()

    @property
    def capacity(self) -> int:
        """Rows that can be held back."""
        return self._shape[0]

    @property
    def undecided(self) -> bool:
        """Whether rows wait for a decision."""
        return self._end > self._decided

    @property
    def decided(self) -> bool:
        """Whether rows, or what was said of them, wait to be handed on."""
        return self._decided > self._begin or any(self._verdict[:3])

    @property
    def room(self) -> Samples:
        """Where further rows go."""
        if self._rows is None:
            self._rows = np.empty(self._shape, self._dtype)
        return self._rows[self._end :]

    @property
    def stamps(self) -> Stamps:
        """Stamps of the undecided rows."""
        return self._stamps

    def keep(self, rows: Samples, stamps: Stamps) -> None:
        """Hold back rows of somebody else's memory."""
        self.room[: len(rows)] = rows
        self.add(stamps)

    def add(self, stamps: Stamps) -> None:
        """Hold back rows that were written to the start of `room`."""
        self._stamps = np.concatenate((self._stamps, stamps))
        self._end += len(stamps)

    def decide(self, verdict: Verdict) -> None:
        """Take the verdict on the undecided rows; nothing decided may be left."""
        n = self._end - self._decided if verdict.held is None else verdict.held
        self._decided += n
        self._stamps = self._stamps[n:]
        self._verdict = verdict

    def hand_on(self, destination: Samples) -> Pull:
        """Copy decided rows into `destination`, with what was said of them."""
        n = min(len(destination), self._decided - self._begin)
        last = self._begin + n == self._decided
        if n and self._rows is not None:
            destination[:n] = self._rows[self._begin : self._begin + n]
        holes, anchors, remarks, _ = self._verdict
        border = n if last else n - 1  # what stands behind the last decided row comes with it
        pull = Pull(
            n,
            tuple(h for h in holes if h.offset <= border),
            tuple(a for a in anchors if a.offset <= border),
            tuple(r for r in remarks if r.offset <= border),
        )
        self._verdict = Verdict(
            tuple(h._replace(offset=h.offset - n) for h in holes if h.offset > border),
            tuple(a._replace(offset=a.offset - n) for a in anchors if a.offset > border),
            tuple(r._replace(offset=r.offset - n) for r in remarks if r.offset > border),
        )
        self._begin += n
        if last and self._rows is not None:
            left = self._end - self._decided
            if left and self._begin:
                self._rows[:left] = self._rows[self._begin : self._end]
            self._begin, self._decided, self._end = 0, 0, left
        return pull
