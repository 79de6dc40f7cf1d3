"""From statistics to filters: f = M⁻¹ t.

t is the channel's mean spike, mixed with that of all channels as if they had 3 spikes of this one. M is the noise's
autocovariance, mixed likewise, plus 0.05 of its variance (regularisation), plus 30 times it on the mean of the window:
without this, whitening undoes the high-pass, and slow field potentials make events.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float64, int32, int64, njit, uint8, void

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import f3, i1

FADE = 0.99
"""Weight of all earlier quiet windows when those of another block come."""

MOST_SPIKES = 300.0
"""Spikes from which on those before count half."""

ENOUGH_SPIKES = MOST_SHARED = 20.0
"""Spikes of all channels from which on there are filters; spikes of one channel that count among them, at most."""

ENOUGH_OWN, ENOUGH_QUIET = 500.0, 5000.0
"""Quiet samples without which a channel has no filter, its own or all channels'."""

PRIOR_QUIET, PRIOR_SPIKES = 4000.0, 3.0
"""What all channels' mean counts beside the channel's own: quiet samples, spikes."""

RIDGE, LEVEL = 0.05, 30.0
"""Added to the covariance, in parts of the variance: to its diagonal, and to all of it."""

d1, d2, d3, d4 = float64[::1], float64[:, ::1], float64[:, :, ::1], float64[:, :, :, ::1]


@kernel(
    void(int64, uint8[:, ::1], d3, d2, d4, d3, d3, d3, d2, d4, d3, d3, d2, d1, d2, d2)
)  # fmt: skip
def merge(  # type: ignore[no-untyped-def]
    tile, counted, noise, n_noise, spikes, n_spikes, heights, more_noise, more_n, more_spikes, more_n_spikes,
    more_heights, shared_spikes, shared_noise, shared_n, shared_heights,
):  # fmt: skip
    """Put a block's statistics of one tile to the earlier ones, empty them, and sum up over channels in their order.

    shared_spikes: (sides, taps); shared_noise: (taps,); shared_n: (sides + 1, 1) spikes a side, then quiet samples;
    shared_heights: (sides, 1).
    """
    n_sides, _, taps, lanes = spikes.shape
    for j in range(taps):
        for lane in range(lanes):
            noise[tile, j, lane] = FADE * noise[tile, j, lane] + more_noise[tile, j, lane]
            more_noise[tile, j, lane] = 0
    for lane in range(lanes):
        n_noise[tile, lane] = FADE * n_noise[tile, lane] + more_n[tile, lane]
        more_n[tile, lane] = 0
    for s in range(n_sides):
        for lane in range(lanes):
            keep = 0.5 if n_spikes[s, tile, lane] > MOST_SPIKES else 1.0
            n_spikes[s, tile, lane] = keep * n_spikes[s, tile, lane] + more_n_spikes[s, tile, lane]
            heights[s, tile, lane] = keep * heights[s, tile, lane] + more_heights[s, tile, lane]
            if keep < 1 or more_n_spikes[s, tile, lane] > 0:
                for j in range(taps):
                    spikes[s, tile, j, lane] = keep * spikes[s, tile, j, lane] + more_spikes[s, tile, j, lane]
                    more_spikes[s, tile, j, lane] = 0
            more_n_spikes[s, tile, lane] = more_heights[s, tile, lane] = 0
    for lane in range(lanes):
        if not counted[tile, lane]:
            continue
        if noise[tile, 0, lane] > 0:
            part = n_noise[tile, lane] / noise[tile, 0, lane]
            for j in range(taps):
                shared_noise[j] += part * noise[tile, j, lane]
            shared_n[n_sides, 0] += n_noise[tile, lane]
        for s in range(n_sides):
            n = n_spikes[s, tile, lane]
            if n > 0:
                part = min(n, MOST_SHARED) / n
                for j in range(taps):
                    shared_spikes[s, j] += part * spikes[s, tile, j, lane]
                shared_n[s, 0] += min(n, MOST_SHARED)
                shared_heights[s, 0] += part * heights[s, tile, lane]


@njit(nogil=True)
def _solve(template, noise, matrix, f):  # type: ignore[no-untyped-def]
    """Put the filter of a template (taps,) in noise of an autocovariance (taps,) into `f`; tell whether there is one.

    Scaled so that the noise behind the filter has the noise's variance. matrix: (taps, taps + 1), scratch: the
    covariance's upper half beside the template becomes D·Lᵀ beside L⁻¹ t, row by row, so that inner loops are vectors.
    """
    taps = len(f)
    for i in range(taps):
        for j in range(i, taps):
            matrix[i, j] = noise[j - i] + LEVEL * noise[0]
        matrix[i, i] += RIDGE * noise[0]
        matrix[i, taps] = template[i]
    for k in range(taps):
        if not matrix[k, k] > 0:
            return False
        pivot = matrix[k]
        for i in range(k + 1, taps):
            part = pivot[i] / pivot[k]
            row = matrix[i]
            for j in range(i, taps + 1):
                row[j] -= part * pivot[j]
    for i in range(taps - 1, -1, -1):
        total = matrix[i, taps]
        for k in range(i + 1, taps):
            total -= matrix[i, k] * f[k]
        f[i] = total / matrix[i, i]
    power = 0.0
    for lag in range(taps):
        total = 0.0
        for i in range(taps - lag):
            total += f[i] * f[i + lag]
        power += (2.0 if lag else 1.0) * noise[lag] * total
    if not power > 0:
        return False
    scale = np.sqrt(noise[0] / power)
    for i in range(taps):
        f[i] *= scale
    return True


@kernel(
    void(
        int64, int64, boolean, uint8[:, ::1], int32[:, ::1], i1, d3, d2, d4, d3, d3, d2, d1, d2, d2, f3, uint8[:, ::1],
        f3, uint8[:, ::1],
    )
)  # fmt: skip
def solve_all(  # type: ignore[no-untyped-def]
    first, last, own, counted, polarity, sides, noise, n_noise, spikes, n_spikes, heights, shared_spikes,
    shared_noise, shared_n, shared_heights, weights, learnt, next_weights, next_learnt,
):  # fmt: skip
    """Work out the next filters of the channels [first, last). own: each its own, else all the shared one.

    What has none to come keeps the one it has. polarity: (tiles, lanes) −1, 1, or 0: the side with the higher spikes.
    """
    n_sides, _, taps, lanes = spikes.shape
    matrix = np.empty((taps, taps + 1))
    template, r, f = np.empty(taps), np.empty(taps), np.empty(taps)
    all_quiet = shared_n[n_sides, 0]
    for channel in range(first, last):
        tile, lane = channel // lanes, channel % lanes
        for j in range(taps):
            next_weights[tile, j, lane] = weights[tile, j, lane]
        next_learnt[tile, lane] = learnt[tile, lane]
        if not counted[tile, lane]:
            continue
        quiet = n_noise[tile, lane]
        if (quiet < ENOUGH_OWN and all_quiet < ENOUGH_QUIET) or all_quiet <= 0 or not noise[tile, 0, lane] > 0:
            continue
        side, highest = -1, 0.0
        for s in range(n_sides):
            if polarity[tile, lane] and polarity[tile, lane] != sides[s]:
                continue
            if shared_n[s, 0] < ENOUGH_SPIKES:
                continue
            mean = shared_heights[s, 0] / shared_n[s, 0]
            if own:
                mean = (heights[s, tile, lane] + PRIOR_SPIKES * mean) / (n_spikes[s, tile, lane] + PRIOR_SPIKES)
            if mean > highest:
                side, highest = s, mean
        if side < 0:
            continue
        n = n_spikes[side, tile, lane] if own else 0.0
        prior = PRIOR_QUIET * noise[tile, 0, lane] / quiet / all_quiet
        for j in range(taps):
            r[j] = shared_noise[j] / all_quiet
            template[j] = shared_spikes[side, j] / shared_n[side, 0]
            if own:
                r[j] = (noise[tile, j, lane] + prior * shared_noise[j]) / (quiet + PRIOR_QUIET)
                template[j] = (spikes[side, tile, j, lane] + PRIOR_SPIKES * template[j]) / (n + PRIOR_SPIKES)
        if _solve(template, r, matrix, f):
            for j in range(taps):
                next_weights[tile, j, lane] = f[j]
            next_learnt[tile, lane] = 1
