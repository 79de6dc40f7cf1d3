"""Rates of channels as one byte each, for the map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, PER_OCTAVE = 0.1, 16.0
"""Codes: 0: none, v: LOWEST_HZ · 2^((v − 1) / PER_OCTAVE), up to 6 kHz at 255."""


SMOOTHED_S = 1.0
"""Time constant of the rates."""


def smoothed_hz(ages_s: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return what each spike (n,) adds to its channel's smoothed rate (1/s) when it is so old."""
    return np.asarray(np.exp(-ages_s / SMOOTHED_S) / SMOOTHED_S)


def activity_codes(rates_hz: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the code of each rate (channels,)."""
    octaves = np.log2(np.maximum(rates_hz, 1e-9) / LOWEST_HZ)
    codes = np.clip(np.rint(1 + PER_OCTAVE * octaves), 0, 255)
    return np.where(octaves < 0, 0, codes).astype(np.uint8)
