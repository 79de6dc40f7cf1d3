"""The ring: received samples in one block of memory, one writer, many readers, absolute sample indices.

Slots hold received samples only; a segment table maps slots to absolute samples:

    received (slots)    0 ············ 99 | 100 ·········· 249 | 250 ···
    absolute samples    0 ············ 99 | 120 ·········· 269 | 270 ···
    segments            (0, 0)            | (100, 120, lost 20)| (250, 270, seam)

Slot s lives in row s % capacity. The leased reader's position is the oldest slot that the writer must not touch;
the other readers check, after reading, that they were not overrun. Positions are plain ints that only their owner
writes, the table is replaced and never changed in place, so that one writer and several readers need no lock; who waits
for whom is the engine's business.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtspikes.errors import ConfigError
from rtspikes.types import GapCause, Samples


class Segment(NamedTuple):
    """Slots from `slot` on hold the absolute samples from `sample` on; `lost` ± `uncertain` are missing before them."""

    slot: int
    sample: int
    lost: int
    cause: GapCause | None
    uncertain: int = 0


class Block(NamedTuple):
    """Samples in ring memory, without a hole: `samples[i]` has the absolute index `first + i`.

    `gaps` are the table's entries that end just before the block, oldest first; none within a segment.
    """

    samples: Samples
    first: int
    gaps: tuple[Segment, ...]


class Ring:
    """Memory for the newest `capacity` samples of every channel."""

    def __init__(self, n_channels: int, dtype: str, capacity: int, first_sample: int = 0) -> None:
        if capacity < 1:
            raise ConfigError(f"ring: capacity must be >= 1 sample, got {capacity}; raise ring.max_mib")
        self.capacity = capacity
        self.memory: Samples = np.empty((capacity, n_channels), dtype)
        self.memory.fill(0)  # has the system give every page now: a live source would wait for each
        self.written = 0
        self.reserved = 0
        self.leased = 0
        self.segments: tuple[Segment, ...] = (Segment(0, first_sample, 0, None),)

    @property
    def next_sample(self) -> int:
        """Absolute index that the next committed sample gets."""
        last = self.segments[-1]
        return last.sample + self.written - last.slot

    @property
    def fill(self) -> float:
        """Part of the ring that waits for the leased reader, 0 … 1."""
        return (self.written - self.leased) / self.capacity

    def reserve(self, most: int) -> Samples:
        """Return writable rows (n ≤ most, channels), contiguous; 0 rows when the lease leaves no room."""
        row = self.written % self.capacity
        n = min(most, self.capacity - (self.written - self.leased), self.capacity - row)
        self.reserved = self.written + n
        return self.memory[row : row + n]

    def commit(self, n: int) -> None:
        """Make the next `n` reserved rows readable."""
        if n < 0 or self.written + n > self.reserved:
            raise ValueError(f"commit must stay within the {self.reserved - self.written} reserved rows, got {n}")
        self.written += n

    def skip(self, lost: int, cause: GapCause, uncertain: int = 0) -> None:
        """Tell that `lost` samples, known to ± `uncertain`, are missing before the next one; 0 marks a seam."""
        table = self.segments
        same = [i for i, s in enumerate(table) if s.slot == self.written and s.cause == cause and s.lost]
        if same and lost:  # no sample lies between: grow the entry, and move those behind it
            at = same[-1]
            old = table[at]
            grown = Segment(old.slot, old.sample + lost, old.lost + lost, cause, old.uncertain + uncertain)
            later = (s._replace(sample=s.sample + lost) for s in table[at + 1 :])
            self.segments = (*table[:at], grown, *later)
            return
        kept = self._table_from(min(self.leased, self.written - self.capacity))
        self.segments = (*kept, Segment(self.written, self.next_sample + lost, lost, cause, uncertain))

    def _table_from(self, slot: int) -> tuple[Segment, ...]:
        """Return the table without the segments that ended before `slot`."""
        table = self.segments
        first = 0
        while first + 1 < len(table) and table[first].slot < slot and table[first + 1].slot <= slot:
            first += 1
        return table[first:]

    def gaps_at(self, slot: int) -> tuple[Segment, ...]:
        """Return the gaps that end just before `slot`, oldest first."""
        return tuple(s for s in self.segments if s.slot == slot and s.cause is not None)

    def block(self, slot: int, most: int) -> Block | None:
        """Return up to `most` samples from `slot` on, within one segment and without a wrap; None when none came."""
        written, table = self.written, self.segments
        if slot >= written:
            return None
        at = len(table) - 1
        while at > 0 and table[at].slot > slot:
            at -= 1
        segment = table[at]
        stop = min(written, slot + most, slot - slot % self.capacity + self.capacity)
        if at + 1 < len(table):
            stop = min(stop, table[at + 1].slot)
        row = slot % self.capacity
        gaps = self.gaps_at(slot) if slot == segment.slot else ()
        return Block(self.memory[row : row + stop - slot], segment.sample + slot - segment.slot, gaps)


class LeasedReader:
    """The reader that the writer never overtakes: blocks stay valid until `release`."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.slot = ring.leased

    def next(self, most: int) -> Block | None:
        """Return the next block without releasing it, and move past it; None when nothing has come."""
        block = self._ring.block(self.slot, most)
        if block is not None:
            self.slot += len(block.samples)
        return block

    def rewind(self) -> None:
        """Go back to the oldest sample that is still leased."""
        self.slot = self._ring.leased

    def release(self) -> None:
        """Give everything that was read back to the writer."""
        self._ring.leased = self.slot


class FreeReader:
    """A reader that may be overrun: it copies, then checks, and counts what it missed."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.slot = ring.written
        self.missed = 0

    def read(self, most: int) -> Block | None:
        """Return a copy of the next block; None when nothing has come. What was overwritten goes to `missed`."""
        while True:
            oldest = self._ring.reserved - self._ring.capacity
            if self.slot < oldest:
                self.missed += oldest - self.slot
                self.slot = oldest
            block = self._ring.block(self.slot, most)
            if block is None:
                return None
            copy = block.samples.copy()
            if self.slot >= self._ring.reserved - self._ring.capacity:
                self.slot += len(copy)
                return Block(copy, block.first, block.gaps)
