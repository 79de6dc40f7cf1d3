"""The start of a stream: held until the first noise level is known, then detected like all the rest."""

from __future__ import annotations

from collections.abc import Callable

from rtspikes.detect.detector import Detector
from rtspikes.engine.intake import LARGEST_BLOCK
from rtspikes.ring import LeasedReader, Ring
from rtspikes.types import Samples

FEW_ROWS = 100
"""A first noise level that rests on fewer values (± 12 %) is told to be weak."""


class Start:
    """Learns the first noise level, once, from the samples that the reader has leased."""

    def __init__(
        self,
        ring: Ring,
        reader: LeasedReader,
        detector: Detector,
        first_sample: int,
        weak: Callable[[int], None],
        look: Callable[[Samples, int], None],
    ) -> None:
        """weak: told when the noise level rests on few samples, and on how many. look: gets what is learnt from."""
        self._ring = ring
        self._reader = reader
        self._detector = detector
        self._until = first_sample + detector.initial_samples
        self._weak = weak
        self._look = look
        self.learned = detector.initial_samples == 0

    def look(self, ended: bool) -> bool:
        """Learn if enough has come, or all there is; tell whether the noise level is known."""
        self.learned = self.learned or self._learn(ended)
        return self.learned

    def _learn(self, ended: bool) -> bool:
        if self._ring.next_sample < self._until and not ended:
            return False
        blocks, restarts = [], []
        while (block := self._reader.next(LARGEST_BLOCK)) is not None and block.first < self._until:
            blocks.append((block.samples[: self._until - block.first], block.first))
            if block.gaps:
                restarts.append(block.first)
        self._reader.rewind()
        if blocks:
            for samples, first in blocks:
                self._look(samples, first)
            rows = self._detector.learn(blocks, restarts)
            if rows < FEW_ROWS:
                self._weak(sum(len(samples) for samples, _ in blocks))
            return True
        if block is not None:  # a gap swallowed the start: learn from what follows it
            self._until = block.first + self._detector.initial_samples
            return self._learn(ended)
        return False
