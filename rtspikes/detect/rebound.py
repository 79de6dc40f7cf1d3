"""The band-pass's own after-swing: which events a larger deflection just before, or a slow one beneath, explains.

A causal high-pass swings back after whatever passes it, and what a spike or a slow field potential leaves behind can
cross the threshold. An event is under suspicion when its last 4 ms held an extremum 1.5 times as large to the
same side, or when the signal around it is not flat. Then the spike in it is measured: g·y over 2.5 ms before to 1.5 ms
after the extremum is the amplitude of a spike by generalised least squares, given what else may be there (noise through
the filter, the tail of an earlier spike of any usual shape, the filter's answer to a ramp). Below 0.70 of the threshold
it is none. g comes from the filter's coefficients alone.

Measured on 20 s of noise with spikes, pulses and doublets: see bench/accuracy.py.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import float32, njit
from numpy.typing import NDArray

from rtspikes.detect.filter import filtered, passes_dc

BEFORE_MS, AFTER_MS = 2.5, 1.5
"""The window of g around the extremum."""

LARGER, LARGER_MS = 1.5, (4.0, 0.6)
"""Suspicion: a deflection so many times as large, so long before."""

SLOPED, EARLY_MS, LATE_MS = 0.3, (3.0, 1.0), (1.0, 2.0)
"""Suspicion: the mean before or after the extremum is this part of it, on its own side."""

LEAST = 0.70
"""A suspect is a spike when what g measures is this part of the threshold."""

SPIKE_SIGMA, TAIL_SIGMA, RAMP_SIGMA = 5.0, 20.0, 20.0
"""In multiples of the noise: the spike whose shape is uncertain; the earlier spike; the ramp, per ms."""

TAIL_WEIGHT, RAMP_WEIGHT = 8.0, 10.0


class Rebound(NamedTuple):
    """The rule for one filter and rate; all in samples. No weights: no rule."""

    weights: NDArray[np.float32]
    before: int
    spans: NDArray[np.int64]  # where the larger one is, from and to; the early mean; the late mean

    @property
    def history(self) -> int:
        """Samples before an extremum that are looked at."""
        return 0 if not len(self.weights) else int(max(self.before, self.spans[:4].max()))

    @property
    def look_ahead(self) -> int:
        """Samples behind an extremum that are looked at."""
        return 0 if not len(self.weights) else int(max(len(self.weights) - self.before, self.spans[5] + 1))


def no_rule() -> Rebound:
    """Return the rule that rejects nothing."""
    return Rebound(np.zeros(0, np.float32), 0, np.zeros(6, np.int64))


def _spikes(rate_hz: float) -> NDArray[np.float64]:
    """Return biphasic spikes (72, samples), trough −1 about 1 ms from the start: widths and humps as in real ones."""
    ms = (np.arange(round(6e-3 * rate_hz)) / rate_hz - 1e-3) * 1e3
    rows = []
    for width in (0.10, 0.15, 0.20, 0.25):
        for late in (0.42, 0.62, 0.82):
            for broad in (0.3, 0.45):
                for i, hump in enumerate((0.02, 0.2, 0.38)):
                    y = -np.exp(-((ms / width) ** 2)) + hump * np.exp(-(((ms - late) / broad) ** 2))
                    if i == 0:
                        y += 0.08 * np.exp(-(((ms + 0.35) / 0.12) ** 2))
                    rows.append(y / -y.min())
    return np.array(rows)


def design_rebound(sections: NDArray[np.float32], rate_hz: float) -> Rebound:
    """Return the rule for second-order sections (n, 5); none without a high-pass, which alone swings back."""
    return _design(sections.tobytes(), rate_hz)


@cache
def _design(coefficients: bytes, rate_hz: float) -> Rebound:
    sections = np.frombuffer(coefficients, np.float32).reshape(-1, 5)

    def samples(ms: float) -> int:
        return round(ms * 1e-3 * rate_hz)

    if not len(sections) or passes_dc(sections):
        return no_rule()
    before, after = samples(BEFORE_MS), samples(AFTER_MS)
    n = before + after + 1
    lead = samples(12.0)
    spikes = filtered(sections, np.pad(_spikes(rate_hz), ((0, 0), (lead, samples(10.0)))))
    near = lead + samples(1.0) - samples(0.25)
    peaks = near + spikes[:, near : near + samples(1.0)].argmin(axis=1)
    spikes /= -spikes[np.arange(len(spikes)), peaks][:, None]

    def windows(shift: int) -> NDArray[np.float64]:
        """Return what a window sees whose centre lies `shift` behind the spikes' extrema."""
        return np.array([y[p + shift - before : p + shift + after + 1] for y, p in zip(spikes, peaks, strict=True)])

    own = windows(0)
    covariance = SPIKE_SIGMA**2 * np.cov(own.T, bias=True) + 1e-3 * np.eye(n)
    impulse = filtered(sections, np.eye(1, samples(200.0))[0])
    noise = np.correlate(impulse, impulse, "full")[len(impulse) - 1 : len(impulse) - 1 + n]
    covariance += (noise / noise[0])[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))]
    lags = np.arange(samples(0.8), samples(BEFORE_MS + 1.5), max(1, samples(0.05)))
    for lag in lags:
        tails = windows(int(lag))
        covariance += TAIL_SIGMA**2 * TAIL_WEIGHT / len(lags) * (tails.T @ tails) / len(tails)
    ramp = np.zeros(samples(30.0))
    begin = samples(5.0)
    ramp[begin:] = np.arange(len(ramp) - begin) / rate_hz * 1e3
    answer = np.concatenate([np.zeros(n), filtered(sections, ramp)[begin:]])
    kinks = np.array([answer[n + o : 2 * n + o] for o in range(4 - n, samples(10.0), 2)])
    covariance += RAMP_SIGMA**2 * RAMP_WEIGHT * kinks.T @ kinks / len(kinks)
    weights = np.linalg.solve(covariance, own.mean(axis=0))
    weights /= own.mean(axis=0) @ weights
    spans = [*map(samples, LARGER_MS), *map(samples, EARLY_MS), *map(samples, LATE_MS)]
    return Rebound(np.round(weights, 4).astype(np.float32), before, np.array(spans, np.int64))


@njit(nogil=True)
def explained(signal, first, stop, peak, threshold, weights, before, spans):  # type: ignore[no-untyped-def]
    """Tell whether the filter's after-swing explains the extremum at `peak`.

    signal: the lane's samples [first, stop); others count as 0. threshold: the height that was crossed, > 0.
    """
    side = -1.0 if signal[peak - first] < 0 else 1.0
    height = side * signal[peak - first]
    suspect = False
    for n in range(max(peak - spans[0], first), peak - spans[1]):
        suspect |= side * signal[n - first] >= float32(LARGER) * height
    if not suspect:
        for early, late in ((peak - spans[2], peak - spans[3]), (peak + spans[4], peak + spans[5])):
            total = 0.0
            for n in range(max(early, first), min(late, stop)):
                total += side * signal[n - first]
            suspect |= total >= float32(SLOPED) * height * float32(late - early)
    if not suspect:
        return False
    spike = float32(0)
    for i in range(len(weights)):
        n = peak - before + i
        if first <= n < stop:
            spike += weights[i] * signal[n - first]
    return float32(-side) * spike < float32(LEAST) * threshold
