"""A threshold, and a largest amplitude: what is higher is an artifact, or another cell's."""

from __future__ import annotations

from collections.abc import Iterator

from bench.by_hand.threshold import MULTIPLES
from bench.by_hand.trace import DEAD_MS, Found, Trace, once, peaks

LARGEST = (10, 20, 40, 80)
"""In multiples of the noise level."""


def found(trace: Trace) -> Iterator[tuple[str, Found]]:
    """Return what each pair of threshold and largest amplitude finds."""
    every = peaks(-trace.y, trace.sigma, MULTIPLES[0], trace.samples(DEAD_MS))
    for k in MULTIPLES:
        for largest in LARGEST:
            yield f"{k:g} to {largest} σ", once(every.only((every.height >= k) & (every.height <= largest)))
