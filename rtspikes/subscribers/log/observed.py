"""Observed time: for how long a spike of each channel could have come into a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Muting = tuple[int, Sequence[int], bool]
"""From this sample on, these channels are muted (True) or heard again."""


def joined(stretches: Iterable[tuple[int, int]], first: int, end: int) -> list[tuple[int, int]]:
    """Return stretches [start, stop) of samples within [first, end), in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted((max(a, first), min(b, end)) for a, b in stretches):
        if start >= stop:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found


def observed_samples(
    first: int, end: int, unseen: Sequence[tuple[int, int]], n_channels: int, mutings: Iterable[Muting]
) -> NDArray[np.int64]:
    """Return how many samples of [first, end) each channel (channels,) was neither unseen nor muted.

    unseen: as `joined` returns it. mutings: in the order of their samples.
    """
    starts, stops = np.array(unseen, np.int64).reshape(-1, 2).T
    observed = np.zeros(n_channels, np.int64)
    muted = np.zeros(n_channels, bool)
    seen = 0
    for sample, channels, mute in (*mutings, (end, (), False)):
        until = min(max(sample, first), end)
        before, seen = seen, until - first - int(np.clip(until - starts, 0, stops - starts).sum())
        observed[~muted] += seen - before
        muted[list(channels)] = mute
    return observed
