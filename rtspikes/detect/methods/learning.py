"""How the matched filters are learnt while the signal runs.

Time is cut into blocks of 0.25 s at multiples of their length. What is seen in a block is merged with what was before,
and its filters are solved while the next one lasts, some channels a call; they are in force from the one after that on:

    block        b            b + 1                       b + 2
              collect │ merge, solve some a call │ in force from its first sample on

so that filters depend on absolute sample indices alone. From a freeze on, the filters in force stay; the block in which
it comes is still collected, and waits.

A channel with both signs collects falling and rising spikes apart, and has the filter of those whose mean score is
higher; the score keeps its sign either way, so that thresholds of both signs make sense.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.lanes import Lanes, Look
from rtspikes.detect.levels import ThresholdTable
from rtspikes.detect.methods.gather import FIRST_SPIKE, SPIKE, Spans, Statistics, collect
from rtspikes.detect.methods.solve import merge, solve_all
from rtspikes.detect.settings import Sign

_SIDES: dict[Sign, tuple[int, ...]] = {"neg": (-1,), "pos": (1,), "both": (-1, 1)}


class Learning:
    """The filters in force, and those to come."""

    def __init__(self, spans: Spans, shared: bool, table: ThresholdTable, lanes: Lanes) -> None:
        """shared: one filter for all channels. Channels that `table` does not enable, or mutes, take no part."""
        self._spans = spans
        self._own = not shared
        self._table = table
        self._lanes = lanes
        self._numbers = np.array(spans, np.int64)
        sides = {side for sign in table.signs for side in _SIDES[sign]}
        self._sides = np.array(sorted(sides), np.int64)
        polarity = [sum(_SIDES[sign]) for sign in table.signs]
        self._polarity = lanes.tiled(np.array(polarity, np.int32), 0)
        self._floor = lanes.tiled(table.floor_uv.astype(np.float32), np.inf)
        n, taps = len(sides), spans.taps
        self.weights = np.zeros((lanes.shape[0], taps, lanes.shape[1]), np.float32)
        """(tiles, taps, lanes), oldest sample first."""
        self.weights[:, spans.before] = 1
        self.learnt = np.zeros(lanes.shape, np.uint8)
        """Whether a lane has a filter of its own or of all."""
        self._next_weights, self._next_learnt = np.zeros_like(self.weights), np.zeros_like(self.learnt)
        self._all = Statistics.none(n, taps, *lanes.shape)
        self._blocks = [Statistics.none(n, taps, *lanes.shape) for _ in range(2)]
        self._shared = np.zeros((n, taps)), np.zeros(taps), np.zeros((n + 1, 1)), np.zeros((n, 1))
        self._sigma, self._fall, self._rise = (np.zeros(lanes.shape, np.float32) for _ in range(3))
        self._counted = np.zeros(lanes.shape, np.uint8)
        self._job_counted = np.zeros(lanes.shape, np.uint8)
        self._clear = np.zeros(lanes.shape, np.int64)
        self._at = -1
        self._learns = self._seen = self._busy = False
        self._done = 0

    @property
    def seen_spikes(self) -> NDArray[np.float64]:
        """How many spikes each lane has been learnt from (tiles, lanes), as they count, the current block's too."""
        return np.asarray((self._all.n_spikes + self._blocks[0].n_spikes + self._blocks[1].n_spikes).sum(axis=0))

    @property
    def quiet_samples(self) -> NDArray[np.float64]:
        """How many quiet samples, likewise."""
        return self._all.n_noise + self._blocks[0].n_noise + self._blocks[1].n_noise

    @property
    def boundary(self) -> int:
        """The sample at which the next block begins."""
        return (self._at + 1) * self._spans.block

    def see(self, score: NDArray[np.float32], look: Look) -> None:
        """Learn from what is known at the look's samples, and do the part of the last block's work that is due."""
        x = self._lanes
        if self._learns:
            self._seen = True
            collect(
                x.trace, score, x.held, x.state, max(look.segment, look.armed), look.first, look.stop, self._sigma,
                self._fall, self._rise, self._clear, self._numbers, self._sides, look.hold_off, *self._blocks[0],
            )  # fmt: skip
        if self._busy:
            self._work((look.stop - self._at * self._spans.block) / self._spans.block)

    def _work(self, part: float) -> None:
        """Do the last block's work up to a part of all: first every tile is merged, then every channel solved."""
        tiles, lanes = self._lanes.shape
        due = min(tiles + tiles * lanes, int(np.ceil(part * (tiles + tiles * lanes))))
        for tile in range(self._done, min(due, tiles)):
            merge(tile, self._job_counted, *self._all, *self._blocks[1], *self._shared)
        if due > tiles:
            solve_all(
                max(self._done, tiles) - tiles, due - tiles, self._own, self._job_counted, self._polarity, self._sides,
                *self._all, *self._shared, self.weights, self.learnt, self._next_weights, self._next_learnt,
            )  # fmt: skip
        self._done = max(self._done, due)

    def cross(self, sample: int, sigma: NDArray[np.float32], frozen: bool) -> None:
        """Pass the next boundary, or those up to `sample` at which nothing happens; σ (tiles, lanes) is of `sample`."""
        if self._busy:
            self._work(1.0)
            self._busy = False
            if not frozen:
                self.weights, self._next_weights = self._next_weights, self.weights
                self.learnt, self._next_learnt = self._next_learnt, self.learnt
        if self._seen and not frozen:
            self._blocks.reverse()
            for total in self._shared:
                total[:] = 0
            self._job_counted[:] = self._counted
            self._busy, self._done = True, 0
        self._at = self._at + 1 if self._busy else sample // self._spans.block
        self._seen = self._seen and frozen
        self._learns = not frozen
        self._prepare(sigma)

    def _prepare(self, sigma: NDArray[np.float32]) -> None:
        """Take down who takes part in the block that begins, and which scores are those of spikes."""
        takes_part = self._lanes.tiled(self._table.enabled & ~self._table.muted, False)
        takes_part &= (sigma > 0) & (sigma >= self._floor)
        self._counted[:] = takes_part
        self._sigma[:] = np.where(takes_part, sigma, 0)
        height = np.where(self.learnt, np.float32(SPIKE), np.float32(FIRST_SPIKE)) * sigma
        self._fall[:] = np.where(takes_part & (self._polarity <= 0), -height, -np.inf)
        self._rise[:] = np.where(takes_part & (self._polarity >= 0), height, np.inf)
