"""The filtered signal beyond k times its noise level (Quiroga 2004): its lowest samples, 1 ms apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.by_hand.trace import DEAD_MS, Found, Trace, once, peaks

MULTIPLES = (3.5, 4, 4.25, 4.5, 4.75, 5, 5.5, 6, 7, 8)


def found(trace: Trace, multiples: Sequence[float] = MULTIPLES) -> Iterator[tuple[str, Found]]:
    """Return what each multiple of the noise level finds."""
    every = peaks(-trace.y, trace.sigma, min(multiples), trace.samples(DEAD_MS))
    for k in multiples:
        yield f"{k:g} σ", once(every.only(every.height >= k))
