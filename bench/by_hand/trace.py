"""A whole recording behind a band-pass, as it is done by hand: what all methods by hand look at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rtspikes.detect.settings import Sign
from rtspikes.types import Samples

Found = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Samples and channels of events."""

DEAD_MS = 1.0
"""Events of a channel are so far apart."""


class Trace(NamedTuple):
    """A filtered recording with its spikes downwards. y: float32 (channels, time), µV; sigma: (channels,), by MAD."""

    y: NDArray[np.float32]
    sigma: NDArray[np.float64]
    rate_hz: float

    def samples(self, ms: float) -> int:
        """Return how many samples, at least 1, a time is."""
        return max(1, round(ms * 1e-3 * self.rate_hz))


class Peaks(NamedTuple):
    """Local maxima; `height` is in multiples of their channel's level."""

    sample: NDArray[np.int64]
    channel: NDArray[np.int64]
    height: NDArray[np.float64]

    def only(self, rows: NDArray[np.bool_]) -> Peaks:
        """Return some of them."""
        return Peaks(*(column[rows] for column in self))


class BandPass(NamedTuple):
    """A Butterworth band-pass. It goes over the file once (causal), or forth and back, which leaves no phase."""

    order: int
    band_hz: tuple[float, float] = (300, 3000)
    zero_phase: bool = False


FILTERS = {
    "causal, order 1": BandPass(1),
    "causal, order 1 to 6 kHz": BandPass(1, (300, 6000)),
    "causal, order 2": BandPass(2),
    "causal, order 3": BandPass(3),
    "zero-phase, order 1": BandPass(1, zero_phase=True),
    "zero-phase, order 1 to 6 kHz": BandPass(1, (300, 6000), zero_phase=True),
}


def filtered(samples: Samples, gain_uv: float, rate_hz: float, sign: Sign, band_pass: BandPass) -> Trace:
    """Return a recording (time, channels) behind a band-pass; sign: which way its spikes go, pos or neg."""
    low, high = band_pass.band_hz
    sos = signal.butter(band_pass.order, [low, min(high, 0.42 * rate_hz)], "bandpass", fs=rate_hz, output="sos")
    run = signal.sosfiltfilt if band_pass.zero_phase else signal.sosfilt
    scale = gain_uv if sign == "neg" else -gain_uv
    y = np.array([run(sos, x.astype(float) * scale) for x in samples.T], np.float32)
    return Trace(y, noise_level(y), rate_hz)


def noise_level(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return σ by the median absolute deviation of each row; infinite where there is no signal."""
    mad = np.array([np.median(np.abs(row - np.median(row))) for row in x], float)
    return np.where(mad > 0, mad / 0.67448975, np.inf)


def peaks(score: NDArray[np.floating], level: NDArray[np.float64], least: float, apart: int) -> Peaks:
    """Return the local maxima of each row from `least` times its level on, at least `apart` samples apart.

    The higher ones stand, so that those that reach more than `least` are what would be found from there on.
    """
    rows = [signal.find_peaks(x, height=least * s, distance=apart)[0] for x, s in zip(score, level, strict=True)]
    channel = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    sample = np.concatenate(rows).astype(np.int64)
    return Peaks(sample, channel, score[channel, sample] / level[channel])


def to_troughs(y: NDArray[np.floating], near: Peaks, reach: int) -> Peaks:
    """Move peaks of something else to the lowest of `y` within ± `reach` samples."""
    around = np.clip(near.sample[:, None] + np.arange(-reach, reach + 1), 0, y.shape[1] - 1)
    lowest = y[near.channel[:, None], around].argmin(axis=1)
    return near._replace(sample=around[np.arange(len(around)), lowest])


def once(events: Peaks) -> Found:
    """Return the events without doubles: two peaks may have had the same trough."""
    channel, sample = np.unique(np.stack([events.channel, events.sample]), axis=1)
    return sample, channel
