"""What detection has come to, channel by channel, as `status` carries it: observed time, activity, storms."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import active, spread
from rtspikes.types import StreamInfo

MOST_IN_COLUMN = 32_768
"""Channels up to which `status` has a column for them, of 4 bytes each: a message must stay below 256 KiB."""

MOST_NAMED = 1024
"""Storming channels that `status` names."""


class Counting(Protocol):
    """What the detector counts, (channels,).

    Spikes, samples in which one could have been reported, who storms, and the triggers that storms suppressed.
    """

    @property
    def counts(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def observed(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def storming(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def suppressed(self) -> NDArray[np.int64]: ...  # noqa: D102


def channel_figures(detector: Counting, info: StreamInfo, enabled: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the channels' part of `status`; enabled: (channels,) where events are looked for."""
    observed_s = np.where(enabled, detector.observed / info.rate_hz, 0.0)
    storming = np.flatnonzero(detector.storming)
    figures: dict[str, Any] = {
        "observed_s": spread(observed_s[enabled]),
        "active_electrodes": int(active(detector.counts, observed_s).sum()),
        "suppressed": int(detector.suppressed.sum()),
        "storming": len(storming),
        "storming_channels": storming[:MOST_NAMED].tolist(),
    }
    if info.n_channels <= MOST_IN_COLUMN:
        figures["observed"] = observed_s.astype("<f4").tobytes()
    return figures


def since_freeze(ratios: NDArray[np.float32]) -> dict[str, float]:
    """Return how σ now compares with σ when it was frozen, from its ratios (channels,); empty: it is not frozen."""
    known = ratios[np.isfinite(ratios)]
    return {name: round(value, 4) for name, value in spread(known).items()} if len(known) else {}
