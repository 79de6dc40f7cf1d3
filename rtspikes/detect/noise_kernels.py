"""Exact medians of many channels: the loops behind the noise level.

The k-th smallest of a column is found bit by bit, from the top of its float32 pattern, by counting how many values lie
below a trial value: a reduction that stays in vector registers, without branches and without moving data, and whose
result is the order statistic itself. Measured on 500 values (AVX-512): 2.1 µs per channel for both medians of the
MAD, against 3.2 µs for counting across channels row by row.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, uint8, void

MAD_TO_SIGMA = np.float32(1 / 0.67448975)
"""σ of a Gaussian from its median absolute deviation (0.67448975: its third quartile)."""


@njit(nogil=True)
def _select(values, rank, trial):  # type: ignore[no-untyped-def]
    """Return the `rank`-th smallest (from 0) of `values`, all finite; `trial` (1,) float32 is scratch.

    `bits` sorts as the floats do: the pattern with its sign bit flipped (positive) or all bits flipped (negative).
    """
    pattern = trial.view(np.uint32)
    bits = int64(0)
    for b in range(31, -1, -1):
        candidate = bits | (int64(1) << b)
        flip = 0x80000000 if candidate & 0x80000000 else 0xFFFFFFFF
        pattern[0] = np.uint32(candidate ^ flip)
        bound = trial[0]
        if np.isnan(bound):
            continue
        below = int32(0)
        for i in range(len(values)):
            below = int32(below + int32(values[i] < bound))
        if below <= rank:
            bits = candidate
    pattern[0] = np.uint32(bits ^ (0x80000000 if bits & 0x80000000 else 0xFFFFFFFF))
    return trial[0]


@njit(void(float32[:, ::1], uint8[::1], float32[::1]), nogil=True, cache=True)
def mad_sigma(rows, valid, sigma):  # type: ignore[no-untyped-def]
    """Put median(|x − median x|) / 0.67448975 of each column of `rows` (n, lanes) into `sigma` (lanes,).

    Only rows with a non-zero `valid` (n,) count, and of those not what is NaN; 0 where that leaves less than half.
    """
    trial = np.zeros(1, np.float32)
    values = np.empty(len(rows), np.float32)
    for c in range(rows.shape[1]):
        n = 0
        n_valid = 0
        for r in range(len(rows)):
            if valid[r]:
                n_valid += 1
                if not np.isnan(rows[r, c]):
                    values[n] = rows[r, c]
                    n += 1
        if n == 0 or 2 * n < n_valid:
            sigma[c] = 0
            continue
        column = values[:n]
        centre = _select(column, (n - 1) // 2, trial)
        for i in range(n):
            column[i] = abs(column[i] - centre)
        sigma[c] = _select(column, (n - 1) // 2, trial) * MAD_TO_SIGMA


@njit(void(float32[:, ::1], int64, float32[::1], float64, float32[::1]), nogil=True, cache=True)
def column_quantiles(values, n, floor, quantile, result):  # type: ignore[no-untyped-def]
    """Put a quantile, between values linear, of the first `n` rows of each column into `result` (lanes,).

    values: (rows, lanes), rows ≥ n. Values below `floor` (lanes,) do not count; 0 where none does.
    """
    trial = np.zeros(1, np.float32)
    kept = np.empty(n, np.float32)
    for c in range(values.shape[1]):
        m = 0
        for i in range(n):
            if values[i, c] >= floor[c]:
                kept[m] = values[i, c]
                m += 1
        if m == 0:
            result[c] = 0
            continue
        at = quantile * (m - 1)
        rank = int64(at)
        low = _select(kept[:m], rank, trial)
        high = _select(kept[:m], min(rank + 1, m - 1), trial)
        result[c] = low + float32(at - rank) * (high - low)
