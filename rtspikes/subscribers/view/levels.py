"""The `levels` message, alike for a running and a finished session: thresholds, rates, and what is wrong with whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import rates_hz
from rtspikes.subscribers.view.pack import pack

MUTED, STORMING = 1, 2
HEALTH_FLAGS = {"dead": 4, "noisy": 8, "saturated": 16, "drifting": 32}
"""Bits of `flags`; those of the notices of health by their causes."""


def positions(listed: Any, n: int) -> NDArray[np.int64]:
    """Return the positions, of n channels, that a message lists and that exist."""
    listed = listed if isinstance(listed, list) else []
    return np.array([c for c in listed if type(c) is int and 0 <= c < n], np.int64)


def levels_message(
    levels: NDArray[np.void],
    counts: NDArray[np.integer[Any]],
    observed_s: NDArray[np.float64],
    electrodes: NDArray[np.bool_],
    flags: NDArray[np.uint8],
) -> bytes:
    """Return the message; levels: sigma_uv, negative_uv, positive_uv (µV, NaN: none); all of them (channels,).

    flags: all but MUTED, which an electrode is that has a noise level and no threshold.
    """
    sigma, negative, positive = (levels[name] for name in ("sigma_uv", "negative_uv", "positive_uv"))
    muted = electrodes & (sigma > 0) & np.isnan(negative) & np.isnan(positive)
    arrays = {
        "sigma": sigma,
        "negative": negative,
        "positive": positive,
        "rate": rates_hz(counts, observed_s).astype(np.float32),
        "observed_s": observed_s.astype(np.float32),
        "count": counts.astype(np.uint32),
        "flags": np.where(muted, flags | MUTED, flags).astype(np.uint8),
    }
    return pack({"t": "levels"}, arrays)
