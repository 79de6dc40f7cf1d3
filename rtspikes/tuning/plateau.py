"""From events against threshold to a threshold.

With N(k) events at the threshold k, of which noise makes F(k), and S true spikes, N − F are found and S − (N − F) are
missed. S is not known, but it does not depend on k: errors, missed and false together, are fewest where N − 2F is
largest, that is where of the events that a lower threshold would add noise makes one half. The plateau is where it is
within TOLERANCE of that, and its middle is the suggestion.

Real noise is wider than a Gaussian with its σ: electrodes far away, and a level that moves. So what is found at the
lowest threshold beyond what is found at the suggestion is taken for noise as far as it may be: F is that of Gaussian
noise at k divided by a widening of WIDEST at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from rtspikes.tuning.findings import Curve

TOLERANCE = 0.02
"""Errors more than at the best threshold, as a part of the spikes found there, that a plateau may have."""

LEAST_EVENTS = 20
"""True events by the estimate below which nothing is said of a plateau."""

ALONE_HZ = 1 / 60
"""Without spikes: noise may give so many events a second and channel."""

ENOUGH = 10
"""Events of noise at a threshold from which on their number is used."""

WIDEST = 1.3
ROUNDS = 8
FINE = 2000


def noise_floor(
    levels: NDArray[np.float64], events: NDArray[np.int64], seconds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return events per second that noise gives at each level, from how many it gave in `seconds`, all (K,).

    Where there were few, ln rate = a − b · level², the tail of Gaussian noise and of what methods make of it, fitted to
    the levels with more. NaN where there are none to fit it to.
    """
    rate = events / np.maximum(seconds, 1e-9)
    many = events >= ENOUGH
    tail = many & (rate < 0.5 * max(rate.max(initial=0.0), 1e-9))
    if tail.sum() < 3:
        tail = many
    if tail.sum() < 3:
        return np.full(len(levels), np.nan)
    slope, at_zero = np.polyfit(levels[tail] ** 2, np.log(rate[tail]), 1, w=np.sqrt(events[tail]))
    if slope * (levels[-1] ** 2 - levels[0] ** 2) > -1:  # that is no tail
        return np.full(len(levels), np.nan)
    fitted = np.exp(at_zero + slope * levels**2)
    return np.where(many, rate, np.minimum(fitted, rate[many].min()))


def judge(
    levels: NDArray[np.float64],
    rate_hz: NDArray[np.float64],
    floor_hz: NDArray[np.float64],
    seconds: float,
    otherwise: float,
) -> Curve:
    """Return the curve with its plateau and suggestion.

    rate_hz, floor_hz: (K,) per channel. seconds: of all channels together. otherwise: what to suggest where the noise
    is not known.
    """
    fine = np.geomspace(levels[0], levels[-1], FINE)
    if np.isnan(floor_hz).any():
        return Curve(levels, rate_hz, floor_hz, floor_hz, 1.0, None, otherwise)
    events = np.exp(PchipInterpolator(levels**2, np.log(rate_hz * seconds + 0.1))(fine**2))
    best, widening = 0, WIDEST
    for _ in range(ROUNDS):
        noise = _widened(levels, floor_hz, fine, widening) * seconds
        best = int((events - 2 * noise).argmax())
        extra = events[0] - (events[best] - noise[best])
        wider = _widening(levels, floor_hz * seconds, extra)
        if abs(wider - widening) < 0.005:
            break
        widening = wider
    noise_hz = _widened(levels, floor_hz, levels, widening)
    gain = events - 2 * noise
    true = events[best] - noise[best]
    if true < LEAST_EVENTS:
        quiet = np.flatnonzero(noise <= ALONE_HZ * seconds)
        alone = float(fine[quiet[0]] if len(quiet) else fine[-1])
        return Curve(levels, rate_hz, floor_hz, noise_hz, widening, None, alone)
    inside = gain >= gain[best] - TOLERANCE * true
    low, high = best, best
    while low > 0 and inside[low - 1]:
        low -= 1
    while high < FINE - 1 and inside[high + 1]:
        high += 1
    plateau = float(fine[low]), float(fine[high])
    return Curve(levels, rate_hz, floor_hz, noise_hz, widening, plateau, float(np.sqrt(plateau[0] * plateau[1])))


def _widened(
    levels: NDArray[np.float64], floor_hz: NDArray[np.float64], at: NDArray[np.float64], widening: float
) -> NDArray[np.float64]:
    """Return the rate of widened noise at thresholds; ln rate goes on straight against level² below the lowest."""
    square, log = levels**2, np.log(floor_hz + 1e-12)
    x = (at / widening) ** 2
    slope = min(0.0, (log[2] - log[0]) / (square[2] - square[0]))
    below = np.minimum(square[0] - x, square[0])
    return np.exp(np.where(x < square[0], log[0] - slope * below, np.interp(x, square, log)))


def _widening(levels: NDArray[np.float64], floor: NDArray[np.float64], extra: float) -> float:
    """Return the widening with which noise makes `extra` events at the lowest threshold."""
    tried = np.linspace(1.0, WIDEST, 61)
    made = np.array([_widened(levels, floor, levels[:1], w)[0] for w in tried])
    return float(tried[min(int(np.searchsorted(made, extra)), len(tried) - 1)])
