"""Windows of so many samples, one behind the other: a spike where the lowest is a cutoff away from the window's mean.

Of two that are less than 1 ms apart, as where a border cuts a spike, the one farther from its mean counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.by_hand.trace import DEAD_MS, Found, Trace

LENGTHS = (25, 50, 100)
CUTOFFS = (3.5, 4, 4.5, 5, 5.5, 6, 7)
"""In multiples of the noise level."""


def found(trace: Trace) -> Iterator[tuple[str, Found]]:
    """Return what each length of the windows and each cutoff finds."""
    for length in LENGTHS:
        n = trace.y.shape[1] // length
        windows = trace.y[:, : n * length].reshape(len(trace.y), n, length)
        at = windows.argmin(axis=2) + length * np.arange(n)
        far = (windows.mean(axis=2) - windows.min(axis=2)) / trace.sigma[:, None]
        for cutoff in CUTOFFS:
            channel, window = np.nonzero(far > cutoff)
            sample, height = at[channel, window], far[channel, window]
            close = (np.diff(sample) < trace.samples(DEAD_MS)) & (np.diff(channel) == 0)
            stands = np.ones(len(sample), bool)
            stands[:-1] &= ~close | (height[:-1] >= height[1:])
            stands[1:] &= ~close | (height[1:] > height[:-1])
            yield f"{length} samples, {cutoff:g} σ", (sample[stands], channel[stands])
