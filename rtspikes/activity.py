"""What counts as an active electrode: one definition for `status`, `info` and exports."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ACTIVE_PER_MIN = 5.0
"""Spikes per minute of observed time from which on an electrode is active: the criterion that the software of
multi-well arrays begins with (Axion BioSystems, AxIS Navigator and Neural Metric Tool), so that counts compare."""


def active(spikes: ArrayLike, observed_s: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each channel is an active electrode: at least ACTIVE_PER_MIN spikes per minute of observed time.

    spikes: how many (channels,), rejected events left out. observed_s: (channels,) s in which one could have been
    reported, or one value for all; 0 for channels that are not detected, which are never active.
    """
    n, seconds = np.asarray(spikes, np.int64), np.asarray(observed_s, np.float64)
    return np.asarray((n > 0) & (seconds > 0) & (n * 60.0 >= ACTIVE_PER_MIN * seconds))


def rates_hz(spikes: ArrayLike, observed_s: ArrayLike) -> NDArray[np.float64]:
    """Return spikes per second of observed time, (channels,); NaN where nothing was observed."""
    n, seconds = np.asarray(spikes, np.float64), np.asarray(observed_s, np.float64)
    rates = np.full(np.broadcast(n, seconds).shape, np.nan)
    np.divide(n, seconds, out=rates, where=seconds > 0)
    return rates


def spread(observed_s: NDArray[Any]) -> dict[str, float]:
    """Return minimum, median and maximum of the channels' observed time (s, to the µs); zeros where there are none."""
    if not len(observed_s):
        return {"min": 0.0, "median": 0.0, "max": 0.0}
    figures = {"min": observed_s.min(), "median": np.median(observed_s), "max": observed_s.max()}
    return {name: round(float(value), 6) for name, value in figures.items()}
