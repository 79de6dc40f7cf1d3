"""Which channels, and which stretch of each, tell a person most about a threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BUSIEST = "most events"
UNDECIDED = "the threshold matters most"
USUAL = "median of the active"
QUIETEST = "fewest events"
CHOSEN = "chosen"
ONLY = "the only electrode"

VIEWS = 4
"""Channels that are shown at most."""

STRETCH_S = 0.2

WORTH = 3
"""Events of one kind in a stretch beyond which more tell nothing."""


def choose(counts: Sequence[NDArray[np.int64]], among: Sequence[int], asked: bool) -> list[tuple[int, str]]:
    """Return the channels that are shown, and why; asked: a person has named those to choose `among`.

    counts: events (channels,) at each of three ascending thresholds.
    """
    if len(among) == 1 or (asked and len(among) <= VIEWS):
        return [(channel, CHOSEN if asked else ONLY) for channel in among]
    return telling(counts, among, VIEWS)


def telling(counts: Sequence[NDArray[np.int64]], among: Sequence[int], most: int) -> list[tuple[int, str]]:
    """Return up to `most` channels and why, in the order of the stream.

    counts: events (channels,) at each of three ascending thresholds. among: the channels to choose from.
    """
    low, middle, high = (c[list(among)] for c in counts)
    active = np.flatnonzero(middle > 0)
    order = [
        (np.argsort(-middle, kind="stable"), BUSIEST),
        (np.argsort(-(low - high), kind="stable"), UNDECIDED),
        (np.argsort(np.abs(middle - np.median(middle[active])) if len(active) else low, kind="stable"), USUAL),
        (np.argsort(middle + low * 1e-6, kind="stable"), QUIETEST),
    ]
    chosen: dict[int, str] = {}
    for ranks, why in order[:most] if len(among) > most else order:
        chosen |= next(({among[i]: why} for i in ranks.tolist() if among[i] not in chosen), {})
    return sorted(chosen.items())


def stretch(trains: Sequence[NDArray[np.int64]], total: int, length: int) -> int:
    """Return where a stretch of `length` samples begins that shows what distinguishes three ascending thresholds.

    trains: samples of the events at each. total: samples there are.
    """
    starts = np.arange(0, max(1, total - length + 1), max(1, length // 4))
    inside = [
        np.searchsorted(train, starts + length * 0.95) - np.searchsorted(train, starts + length * 0.05)
        for train in trains
    ]
    low, middle, high = (np.asarray(n) for n in inside)
    kinds = (high, middle - high, low - middle)
    worth = sum(np.clip(kind, 0, WORTH) * weight for kind, weight in zip(kinds, (1.0, 1.5, 1.0), strict=True))
    return int(starts[np.argmax(np.asarray(worth) - 0.05 * low)])
