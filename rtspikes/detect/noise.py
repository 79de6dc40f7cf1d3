"""The noise level σ of every channel, learnt from the start and then followed block by block.

Time is cut into blocks of `block_s` at multiples of their length, counted from absolute sample 0, and each block into
pieces of about 60 ms. A piece's value is the MAD of its filtered samples, taken at about 2 kHz (a prime stride, so that
no 1 kHz or mains interference is met always at the same phase). Bursts and artifacts only ever raise a value; so σ is
where the quiet ones among the values of the last `window_s` have their centre, worked out from a low quantile of them
(`noise_kernels.quiet_levels`). Block k's work is spread over block k + 1 and takes effect at a fixed sample:

    block        k              k + 1                    k + 2
             collect │ compute, some tiles a call │ σ in force from its first sample on

Hence σ depends on absolute sample indices alone, and no call pays for all channels at once. Values are taken while σ
is frozen or read from a file too: what follows again follows the present, and σ can be compared with it.

Pieces, because most of a block of 0.5 s holds a burst if bursts are short and many; of 60 ms, because shorter ones
scatter too much. A window of 4 s, because then all values are new 5 s after a step. Measured with the default filter,
on white and on coloured noise (`tests/unit/detect/test_noise.py`; seeds of its own), in % of σ:

    pieces, rows a second, quantile      bursts: 300 spikes/s | Gaussian, 10 σ   artifact   σ scatters by
    0.5 s, 1 kHz, 0.4 (window 8 s)                   + 14           + 50            0.6         1.7
    0.1 s, 1 kHz, 0.2                                +  5           +  6            0.9         3.3
    62 ms, 1.8 kHz, 0.2                              +  4           +  4            0.6         2.3
    62 ms, 2.9 kHz, 0.2 (this)                       +  3           +  3            0.5         1.8

(Bursts of 0.1–1 s fill 30 % of the time, the worst length is shown; artifacts of 200 ms come every 3 s.)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.compiled import Arguments
from rtspikes.detect.noise_kernels import follow, mad_sigma
from rtspikes.detect.settings import NoiseSettings

ROW_RATE_HZ = 2000.0
"""Rate of the running estimate's samples: at 300–3000 Hz, neighbours 0.5 ms apart are nearly independent."""

INITIAL_ROW_RATE_HZ = 4000.0
"""The same for the initial stretch, which is short and has to stand alone."""

PIECE_S = 0.0625
"""Length (s) of a block's pieces, about."""

FEWEST_ROWS = 16
"""Rows of a piece, at least (unless the whole block has fewer)."""

QUIET_QUANTILE = 0.2
"""The quantile of the values from which σ is worked out: higher ones move more with activity, lower ones scatter."""

SCATTER = 1.2
"""A piece of n rows gives σ with a standard deviation of SCATTER / √n · σ.

1.17 for independent rows (a MAD has 37 % of the standard deviation's efficiency); 1.20–1.23 was measured behind the
default band-pass. At most 0.3 is believed: a few rows do not scatter normally.
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
    """Follows σ (tiles, lanes), µV, from block to block; 0: unknown, the channel has been dead so far.

    `now` (tiles, lanes) is σ as the last blocks alone give it, also while σ in force stays: 0 where there was nothing
    to measure in the whole window, because the channel is dead, or sits at a rail. There σ stays what it was.
    """

    def __init__(
        self,
        settings: NoiseSettings,
        rate_hz: float,
        floor_uv: NDArray[np.float32],
        first_sample: int,
        parts: Sequence[int] | None = None,
    ) -> None:
        """floor_uv: (tiles, lanes); a value below it is that of a dead channel and does not count.

        parts: how many tiles each part of the work has, that `work` is called for; default: one part.
        """
        tiles, lanes = floor_uv.shape
        self._floor = floor_uv
        self.stride = prime_stride(rate_hz, ROW_RATE_HZ)
        rows = max(1, round(settings.block_s * rate_hz / self.stride))
        self._pieces = max(1, min(round(settings.block_s / PIECE_S), rows // FEWEST_ROWS))
        self._per_piece = rows // self._pieces
        self._scatter = min(0.3, SCATTER / self._per_piece**0.5)
        self._rows = self._pieces * self._per_piece
        self.block = self.stride * self._rows
        self._keep = max(1, round(settings.window_s * rate_hz / self.block))
        self._initial = min(self._keep, max(1, round(settings.initial_s * rate_hz / self.block)))
        self._window = round(settings.window_s * rate_hz)
        self._frozen_from = (
            first_sample + round(settings.freeze_after_s * rate_hz) if settings.mode == "freeze" else None
        )
        self.following = settings.mode != "file"
        self.sigma = np.zeros((tiles, lanes), np.float32)
        self.now = np.zeros((tiles, lanes), np.float32)
        self.measured: int | None = None
        """The sample at which `now` changed last."""
        self._next = np.zeros((tiles, lanes), np.float32)
        self._buffers = [NoiseRows(tiles, self._rows, lanes, self.stride) for _ in range(2)]
        self._values = np.zeros((tiles, self._keep * self._pieces, lanes), np.float32)
        self._n_blocks = 0
        self._at = first_sample // self.block
        self._oldest = self._at
        self._job: int | None = None
        self._parts = list(parts or [tiles])
        self._tiles_done = [0] * len(self._parts)
        self.rows.begin(self._at * self._rows)

    @property
    def rows(self) -> NoiseRows:
        """Where the current block's samples go."""
        return self._buffers[self._at % 2]

    @property
    def boundary(self) -> int:
        """Absolute index of the next block's first sample."""
        return (self._at + 1) * self.block

    def learn(self, sigma: NDArray[np.float32]) -> None:
        """Take the first σ (tiles, lanes), µV.

        One that is followed counts as if its stretch had been measured in pieces, which scatter as they should.
        """
        self.sigma[:] = sigma
        if self.following:
            n = self._initial * self._pieces
            for i, z in enumerate(normal_places(n)):
                self._values[:, i] = sigma * np.float32(1 + self._scatter * z)
            self._n_blocks = self._initial

    def frozen(self, sample: int) -> bool:
        """Tell whether σ at `sample` stays as it was."""
        return not self.following or (self._frozen_from is not None and sample >= self._frozen_from)

    @property
    def since_freeze(self) -> NDArray[np.float32]:
        """σ as it is now, in parts of the σ that was kept (tiles, lanes); NaN where nothing is kept or measured."""
        ratio = np.full(self.sigma.shape, np.nan, np.float32)
        if self.measured is not None and self.frozen(self.measured):
            np.divide(self.now, self.sigma, out=ratio, where=(self.now > 0) & (self.sigma > 0))
        return ratio

    def freeze(self, sample: int) -> None:
        """Keep σ from `sample` on."""
        self._frozen_from = sample

    def follow(self) -> None:
        """Let σ follow the signal for good."""
        self._frozen_from = None

    def recalibrate(self, sample: int) -> None:
        """Forget all values: only blocks that begin at or after `sample` count. A freeze waits for them."""
        self._oldest = -(-sample // self.block)
        self._n_blocks = 0
        self._job = None
        if self._frozen_from is not None:
            first_in_force = (self._oldest + 2) * self.block
            self._frozen_from = max(self._frozen_from, sample + self._window, first_in_force + 1)

    def work(self, sample: int, part: int) -> None:
        """Do what of a part of the last block's work is due at `sample`; parts may be worked on at the same time."""
        if self._due(sample, part) > self._tiles_done[part]:
            follow(*self.task(sample, part))

    def _due(self, sample: int, part: int) -> int:
        """Return how many of a part's tiles are to be done at `sample`."""
        if self._job is None:
            return 0
        tiles = int(self._parts[part])
        return min(tiles, ceil((sample - self._at * self.block) / self.block * tiles))

    def task(self, sample: int, part: int) -> Arguments:
        """Return what `follow` is to be called with for that work, which then counts as done."""
        done = self._tiles_done[part]
        due = self._tiles_done[part] = max(done, self._due(sample, part))
        slot = self._n_blocks % self._keep * self._pieces
        count = min(self._n_blocks + 1, self._keep) * self._pieces
        buffer = self._buffers[(self._job or 0) % 2]
        before = sum(self._parts[:part])
        return (
            buffer.rows, buffer.valid, self._per_piece, self._values, slot, count, self._floor, QUIET_QUANTILE,
            self._scatter, self._next, before + done, before + due,
        )  # fmt: skip

    def cross(self, sample: int) -> int | None:
        """Pass every block boundary up to and including `sample`; return the one where σ changed last, if it did."""
        changed = None
        while self.boundary <= sample:
            boundary = self.boundary
            for part in range(len(self._parts)):
                self.work(boundary, part)
            if self._job is not None:
                self._n_blocks += 1
                self.now[:] = self._next
                self.measured = boundary
                if not self.frozen(boundary):
                    np.copyto(self.sigma, self.now, where=self.now > 0)
                    changed = boundary
            enough = self._at >= self._oldest and 2 * int(self.rows.valid.sum()) >= self._rows
            self._job = self._at if enough else None
            self._tiles_done = [0] * len(self._parts)
            self._at += 1
            if self._job is None and self.boundary <= sample:  # a gap: nothing came of the blocks in it
                self._at += (sample - self.boundary) // self.block + 1
            self.rows.begin(self._at * self._rows)
        return changed


def normal_places(n: int) -> list[float]:
    """Return where `n` values of a standard normal distribution are expected, ascending (Blom 1958)."""
    return [NormalDist().inv_cdf((i + 0.625) / (n + 0.25)) for i in range(n)]
