"""Exact medians of many channels: the loops behind the noise level.

The k-th smallest value of a lane is found bit by bit, from the top of its float32 pattern, by counting how many values
lie below a trial value: for 16 lanes at a time, without branches and without moving data, and the result is the order
statistic itself.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, uint8, void

from rtspikes.detect.compiled import kernel
from rtspikes.detect.vectors import (
    WIDTH,
    counted,
    filled,
    load,
    magnitude,
    of_order,
    store,
    where_less,
    with_bit,
    with_bit_unless_zero,
)

MAD_TO_SIGMA = np.float32(1 / 0.67448975)
"""σ of a Gaussian from its median absolute deviation (0.67448975: its third quartile)."""

COARSE = 15
"""Mantissa bits (of 23) that a piece's MAD goes without: 16 steps instead of 31, at most 0.2 % off."""

ROUNDS = 2
"""Counts of the quiet share: bursts in 30 % of the time move σ by 3 % with one, by 2.5 % with two, by 2 % with five.

Each makes σ scatter a little more: 1.8, 1.9, 2.3 %.
"""

FEWEST = 4
"""One value in so many must count: of a channel that dies, a piece half dead is left at last, with any MAD."""

ABREAST = 4
"""Counts that are kept side by side: one alone waits four cycles for each of its additions."""


@njit(nogil=True)
def _below(values, n, bound):  # type: ignore[no-untyped-def]
    """Return how many of each lane's first `n` values, a multiple of ABREAST, are below `bound`; NaN is not."""
    a = b = c = d = filled(float32(0))
    for i in range(0, n, ABREAST):
        a = counted(a, load(values, (i, 0)), bound)
        b = counted(b, load(values, (i + 1, 0)), bound)
        c = counted(c, load(values, (i + 2, 0)), bound)
        d = counted(d, load(values, (i + 3, 0)), bound)
    return (a + b) + (c + d)


@njit(nogil=True)
def select(values, n, rank):  # type: ignore[no-untyped-def]
    """Return the `rank`-th smallest (from 0) of each lane's first `n` values; NaN counts as the largest."""
    bits = filled(float32(0))
    for b in range(31, -1, -1):
        candidate = with_bit(bits, b)
        bits = where_less(rank, _below(values, n, of_order(candidate)), bits, candidate)
    return of_order(bits)


@njit(nogil=True)
def _select_positive(values, n, rank, last):  # type: ignore[no-untyped-def]
    """Return the same of values ≥ 0.

    Only the bits from `last` on are found; the others are put in the middle of what they can be, but for 0.
    """
    bits = filled(float32(0))
    for b in range(30, last - 1, -1):
        candidate = with_bit(bits, b)
        bits = where_less(rank, _below(values, n, candidate), bits, candidate)
    return with_bit_unless_zero(bits, last - 1) if last else bits


@njit(nogil=True)
def _gathered(rows, valid, start, stop, step, lane, values):  # type: ignore[no-untyped-def]
    """Copy 16 lanes of the valid ones of rows start, start + step … to `values`; return how many, with NaN behind them
    up to a multiple of ABREAST.
    """  # noqa: D205
    width = min(WIDTH, rows.shape[1] - lane)
    n = 0
    for r in range(start, stop, step):
        if not valid[r]:
            continue
        if width == WIDTH:
            store(values, (n, 0), load(rows, (r, lane)))
        else:
            values[n, :width] = rows[r, lane:]
            values[n, width:] = np.nan
        n += 1
    padded = -(-n // ABREAST) * ABREAST
    values[n:padded] = np.nan
    return padded


@njit(nogil=True)
def _counts(values, n, counts):  # type: ignore[no-untyped-def]
    """Put how many of each lane's `n` values are numbers into `counts`; return the rank of their median."""
    store(counts, 0, _below(values, n, filled(float32(np.inf))))
    ranks = np.empty(WIDTH, np.float32)
    for c in range(WIDTH):
        ranks[c] = (int64(counts[c]) - 1) // 2
    return load(ranks, 0)


@njit(nogil=True)
def _deviations(values, n, centre):  # type: ignore[no-untyped-def]
    """Put |value − centre| in place of each value."""
    for i in range(n):
        store(values, (i, 0), magnitude(load(values, (i, 0)) - centre))


@njit(nogil=True)
def _room(rows):  # type: ignore[no-untyped-def]
    """Return scratch for so many rows."""
    return np.empty((rows + ABREAST, WIDTH), np.float32)


@kernel(void(float32[:, ::1], uint8[::1], float32[::1]))
def mad_sigma(rows, valid, sigma):  # type: ignore[no-untyped-def]
    """Put median(|x − median x|) / 0.67448975 of each column of `rows` (n, lanes) into `sigma` (lanes,).

    Only rows with a non-zero `valid` (n,) count, and of those not what is NaN; 0 where that leaves less than half.
    """
    values, counts, found = _room(len(rows)), np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    n_valid = 0
    for r in range(len(rows)):
        n_valid += valid[r] != 0
    for lane in range(0, len(sigma), WIDTH):
        n = _gathered(rows, valid, 0, len(rows), 1, lane, values)
        rank = _counts(values, n, counts)
        _deviations(values, n, select(values, n, rank))
        store(found, 0, _select_positive(values, n, rank, 0))
        for c in range(min(WIDTH, len(sigma) - lane)):
            enough = counts[c] > 0 and 2 * counts[c] >= n_valid
            sigma[lane + c] = found[c] * MAD_TO_SIGMA if enough else float32(0)


@kernel(void(float32[:, ::1], uint8[::1], int64, float32[:, ::1]))
def piece_sigmas(rows, valid, per_piece, values):  # type: ignore[no-untyped-def]
    """Put the σ of every piece of `per_piece` rows of each column of `rows` (n, lanes) into `values` (pieces, lanes).

    As `mad_sigma`, but to 0.2 %, and around one median of the whole column, from as many rows of it as a
    piece has: that is at most 10 % of σ off, which raises a MAD by half a per cent. 0 where less than half a piece's
    rows are valid and not NaN.
    """
    pieces, lanes = values.shape
    used = pieces * per_piece
    step = pieces + (pieces % 2 == 0)  # odd, so that a regular signal is not met at one phase
    part = _room(used // step + 1 if pieces > 1 else used)
    piece = _room(per_piece)
    counts, found = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    for lane in range(0, lanes, WIDTH):
        n = _gathered(rows, valid, 0, used, step, lane, part)
        zero = filled(float32(0))
        centre = select(part, n, _counts(part, n, counts))
        centre = where_less(zero, load(counts, 0), centre, zero)
        for p in range(pieces):
            n = _gathered(rows, valid, p * per_piece, (p + 1) * per_piece, 1, lane, piece)
            rank = _counts(piece, n, counts)
            _deviations(piece, n, centre)
            store(found, 0, _select_positive(piece, n, rank, COARSE))
            for c in range(min(WIDTH, lanes - lane)):
                enough = 2 * counts[c] >= per_piece
                values[p, lane + c] = found[c] * MAD_TO_SIGMA if enough else float32(0)


@njit(nogil=True)
def _normal_quantile(p):  # type: ignore[no-untyped-def]
    """Return z with Φ(z) = p for p near ½: the first terms of its Taylor series (0.003 off at 0.15)."""
    u = p - 0.5
    square = 2 * np.pi * u * u
    return np.sqrt(2 * np.pi) * u * (
        1 + square * (1 / 6 + square * (7 / 120 + square * (127 / 5040 + square * (4369 / 362880))))
    )  # fmt: skip


@kernel(void(float32[:, ::1], int64, float32[::1], float64, float64, float32[::1]))
def quiet_levels(values, n, floor, quantile, scatter, result):  # type: ignore[no-untyped-def]
    """Put the centre of the quiet ones among the first `n` rows of each column into `result` (lanes,).

    values: (rows, lanes), rows ≥ n, the σ of pieces; those below `floor` (lanes,) do not count; 0 where less than a
    quarter does. Quiet pieces scatter normally around σ, by `scatter` · σ; active ones lie above, anywhere. So the
    `quantile` of all lies a known distance below σ once one knows which share of the pieces is quiet: twice that which
    lies below σ. A first guess of σ takes it as 1, and each round counts it with the last one's σ.
    """
    kept, all_rows = _room(n), np.ones(n, np.uint8)
    low, rank, place = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float64)
    counts, level = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    for lane in range(0, values.shape[1], WIDTH):
        width = min(WIDTH, values.shape[1] - lane)
        padded = _gathered(values, all_rows, 0, n, 1, lane, kept)
        for c in range(width):
            m = 0
            for i in range(n):
                if kept[i, c] >= floor[lane + c]:
                    m += 1
                else:
                    kept[i, c] = np.nan
            counts[c] = m
            rank[c] = int64(quantile * (m - 1) + 0.5)
        store(low, 0, _select_positive(kept, padded, load(rank, 0), 0))
        for c in range(width):
            place[c] = (int64(rank[c]) + 0.625) / (int64(counts[c]) + 0.25)  # Blom 1958: where it is expected
            level[c] = float32(low[c] / (1 + scatter * _normal_quantile(min(0.5, place[c]))))
        for _ in range(ROUNDS):
            store(rank, 0, _below(kept, padded, load(level, 0)))
            for c in range(width):
                quiet = min(1.0, max(2 * int64(rank[c]) / max(1, int64(counts[c])), 2 * place[c]))
                level[c] = float32(low[c] / (1 + scatter * _normal_quantile(min(0.5, place[c] / quiet))))
        for c in range(width):
            result[lane + c] = level[c] if counts[c] and FEWEST * counts[c] >= n else float32(0)


FOLLOW_ARGUMENTS = (
    float32[:, :, ::1], uint8[::1], int64, float32[:, :, ::1], int64, int64, float32[:, ::1], float64, float64,
    float32[:, ::1], int64, int64,
)  # fmt: skip
"""Types of what `follow` takes."""


@kernel(void(*FOLLOW_ARGUMENTS))
def follow(  # type: ignore[no-untyped-def]
    rows, valid, per_piece, values, slot, n, floor, quantile, scatter, result, first, stop
):  # fmt: skip
    """Put a block's pieces of the tiles [first, stop) into `values` from row `slot` on, and the level of n rows into
    `result` (tiles, lanes). See `piece_sigmas`, `quiet_levels`.
    """  # noqa: D205
    pieces = len(valid) // per_piece
    for tile in range(first, stop):
        piece_sigmas(rows[tile], valid, per_piece, values[tile, slot : slot + pieces])
        quiet_levels(values[tile], n, floor[tile], quantile, scatter, result[tile])
