"""The noise level σ of every channel, learnt from the start and then followed block by block.

Time is cut into blocks of `block_s` at multiples of their length, counted from absolute sample 0. A block's value is
the MAD of its filtered samples, taken at about 1 kHz (a prime stride, so that no 1 kHz or mains interference is met
always at the same phase). σ is a low quantile of the values of the last `window_s`, so that a minority of blocks
with bursts or artifacts hardly moves it. Block k's work is spread over block k + 1 and takes effect at a fixed sample:

    block        k              k + 1                    k + 2
             collect │ compute, some tiles a call │ σ in force from its first sample on

Hence σ depends on absolute sample indices alone, and no call pays for all channels at once. Values are taken while σ
is frozen too, so that what follows again follows the present.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.noise_kernels import column_quantiles, mad_sigma
from rtspikes.detect.settings import NoiseSettings

ROW_RATE_HZ = 1000.0
"""Rate of the running estimate's samples: at 300–3000 Hz, neighbours 1 ms apart are nearly independent."""

INITIAL_ROW_RATE_HZ = 4000.0
"""The same for the initial stretch, which is short and has to stand alone."""

QUIET_QUANTILE = 0.4
"""Which of the block values is σ: below the median, because activity only ever raises a block's value.

In pure noise this is 1.3 % low (a block's MAD of 500 values scatters by 5.2 %, the quantile lies 0.25 of that below the
median); when bursts fill 30 % of the blocks it is 1 % high, where the median is 3 % high. On a locust tetrode at 4 σ it
found 756 of 877 reference events with 188 false ones, the median 747 with 169.
"""


def prime_stride(rate_hz: float, row_rate_hz: float) -> int:
    """Return the largest prime ≤ rate / row rate, at least 1."""
    for n in range(int(rate_hz / row_rate_hz), 1, -1):
        if all(n % d for d in range(2, int(n**0.5) + 1)):
            return n
    return 1


class NoiseRows:
    """Filtered samples kept for an estimate: row r holds index (base + r) · stride of every channel."""

    def __init__(self, tiles: int, rows: int, lanes: int, stride: int) -> None:
        self.stride = stride
        self.base = 0
        self.rows = np.zeros((tiles, rows, lanes), np.float32)
        self.valid = np.zeros(rows, np.uint8)

    def begin(self, base: int) -> None:
        """Empty the buffer for rows from `base` on."""
        self.base = base
        self.valid[:] = 0

    def mark(self, first: int, stop: int) -> None:
        """Tell that the samples [first, stop) were stored and count."""
        a = -(-first // self.stride) - self.base
        b = -(-stop // self.stride) - self.base
        if b > a:
            self.valid[a:b] = 1

    def sigma(self, tile: int, out: NDArray[np.float32]) -> None:
        """Put the tile's σ (lanes,) in µV into `out`."""
        mad_sigma(self.rows[tile], self.valid, out)


class NoiseTracker:
    """Follows σ (tiles, lanes), µV, from block to block; 0: unknown, the channel has been dead so far."""

    def __init__(
        self, settings: NoiseSettings, rate_hz: float, floor_uv: NDArray[np.float32], first_sample: int
    ) -> None:
        """floor_uv: (tiles, lanes); a value below it is that of a dead channel and does not count."""
        tiles, lanes = floor_uv.shape
        self._floor = floor_uv
        self.stride = prime_stride(rate_hz, ROW_RATE_HZ)
        per_block = max(1, round(settings.block_s * rate_hz / self.stride))
        self.block = self.stride * per_block
        self._keep = max(1, round(settings.window_s * rate_hz / self.block))
        self._window = round(settings.window_s * rate_hz)
        self._frozen_from = (
            first_sample + round(settings.freeze_after_s * rate_hz) if settings.mode == "freeze" else None
        )
        self.following = settings.mode != "file"
        self.sigma = np.zeros((tiles, lanes), np.float32)
        self._next = np.zeros((tiles, lanes), np.float32)
        shape = (tiles, per_block, lanes) if self.following else (tiles, 1, lanes)
        self._buffers = [NoiseRows(shape[0], shape[1], shape[2], self.stride) for _ in range(2)]
        self._values = np.zeros((tiles, self._keep, lanes), np.float32)
        self._n_values = 0
        self._at = first_sample // self.block
        self._oldest = self._at
        self._job: int | None = None
        self._tiles_done = 0
        self.rows.begin(self._at * per_block)

    @property
    def rows(self) -> NoiseRows:
        """Where the current block's samples go."""
        return self._buffers[self._at % 2]

    @property
    def boundary(self) -> int:
        """Absolute index of the next block's first sample."""
        return (self._at + 1) * self.block

    def learn(self, sigma: NDArray[np.float32]) -> None:
        """Take the first σ (tiles, lanes), µV."""
        self.sigma[:] = sigma
        self._values[:, 0] = sigma
        self._n_values = 1

    def frozen(self, sample: int) -> bool:
        """Tell whether σ at `sample` stays as it was."""
        return not self.following or (self._frozen_from is not None and sample >= self._frozen_from)

    def freeze(self, sample: int) -> None:
        """Keep σ from `sample` on."""
        self._frozen_from = sample

    def follow(self) -> None:
        """Let σ follow the signal for good."""
        self._frozen_from = None

    def recalibrate(self, sample: int) -> None:
        """Forget all values: only blocks that begin at or after `sample` count. A freeze waits for them."""
        self._oldest = -(-sample // self.block)
        self._n_values = 0
        self._job = None
        if self._frozen_from is not None:
            first_in_force = (self._oldest + 2) * self.block
            self._frozen_from = max(self._frozen_from, sample + self._window, first_in_force + 1)

    def work(self, sample: int) -> None:
        """Do the part of the last block's work that is due at `sample`."""
        if self._job is None:
            return
        tiles = len(self.sigma)
        part = (sample - self._at * self.block) / self.block
        due = min(tiles, int(np.ceil(part * tiles)))
        slot = self._n_values % self._keep
        count = min(self._n_values + 1, self._keep)
        buffer = self._buffers[self._job % 2]
        for tile in range(self._tiles_done, due):
            buffer.sigma(tile, self._values[tile, slot])
            column_quantiles(self._values[tile], count, self._floor[tile], QUIET_QUANTILE, self._next[tile])
        self._tiles_done = max(self._tiles_done, due)

    def cross(self, sample: int) -> int | None:
        """Pass every block boundary up to and including `sample`; return the one where σ changed last, if it did."""
        changed = None
        while self.following and self.boundary <= sample:
            boundary = self.boundary
            self.work(boundary)
            if self._job is not None:
                self._n_values += 1
                if not self.frozen(boundary):
                    self.sigma[:] = self._next
                    changed = boundary
            enough = self._at >= self._oldest and 2 * int(self.rows.valid.sum()) >= len(self.rows.valid)
            self._job = self._at if enough else None
            self._tiles_done = 0
            self._at += 1
            if self._job is None and self.boundary <= sample:  # a gap: nothing came of the blocks in it
                self._at += (sample - self.boundary) // self.block + 1
            self.rows.begin(self._at * len(self.rows.valid))
        return changed
