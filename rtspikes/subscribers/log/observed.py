"""Observed time: for how long a spike of each channel could have come into a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import UNOBSERVED_DTYPE

Muting = tuple[int, Sequence[int], bool]
"""From this sample on, these channels are muted (True) or heard again."""

Stretches = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Channels, starts and stops of stretches [start, stop) of samples, of any channel, in any order."""

NOTHING_UNOBSERVED = np.zeros(0, UNOBSERVED_DTYPE)


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
    first: int,
    end: int,
    unseen: Sequence[tuple[int, int]],
    n_channels: int,
    mutings: Iterable[Muting],
    unobserved: NDArray[np.void] = NOTHING_UNOBSERVED,
) -> NDArray[np.int64]:
    """Return how many samples of [first, end) each channel (channels,) was neither unseen, muted nor unobserved.

    unseen: as `joined` returns it. mutings: in the order of their samples. unobserved: UNOBSERVED_DTYPE, in any order,
    overlapping as it may.
    """
    # What is unseen is so on every channel: it is cut out of the time axis first, and the channels' own stretches are
    # measured on what is left, so that the cost does not grow with gaps × channels.
    #
    #   samples    first ──────╴unseen╶───────────╴unseen╶──── end
    #   left over  0 ──────────┤├─────────────────┤├────────── total
    starts, stops = np.array(unseen, np.int64).reshape(-1, 2).T
    cut = np.concatenate(([0], np.cumsum(stops - starts)))

    def left_over(samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many samples of [first, sample) are not unseen."""
        at = np.clip(samples, first, end)
        begun = np.searchsorted(starts, at, "right")
        inside = np.zeros(len(at), np.int64)
        some = begun > 0
        inside[some] = np.maximum(stops[begun[some] - 1] - at[some], 0)
        return np.asarray(at - first - (cut[begun] - inside), np.int64)

    muted = muted_stretches(mutings, n_channels, end)
    own = (unobserved["channel"].astype(np.int64), unobserved["sample"], unobserved["stop"])
    channels, a, b = (np.concatenate(pair) for pair in zip(muted, own, strict=True))
    total = int(left_over(np.array([end], np.int64))[0])
    return np.asarray(total - _covered((channels, left_over(a), left_over(b)), n_channels), np.int64)


def muted_stretches(mutings: Iterable[Muting], n_channels: int, end: int) -> Stretches:
    """Return the stretches in which channels were muted."""
    since = np.zeros(n_channels, np.int64)
    muted = np.zeros(n_channels, bool)
    found: list[Stretches] = [(np.zeros(0, np.int64),) * 3]
    for sample, channels, mute in (*mutings, (end, range(n_channels), False)):
        changed = np.zeros(n_channels, bool)
        changed[list(channels)] = True
        changed &= muted != mute
        which = np.flatnonzero(changed)
        if mute:
            since[which] = sample
        else:
            found.append((which, since[which], np.full(len(which), sample, np.int64)))
        muted[which] = mute
    channels_of, starts, stops = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return channels_of, starts, stops


def _covered(stretches: Stretches, n_channels: int) -> NDArray[np.int64]:
    """Return how many samples of each channel (channels,) lie in at least one of its stretches."""
    covered = np.zeros(n_channels, np.int64)
    channels, starts, stops = (values[stretches[1] < stretches[2]] for values in stretches)
    if not len(channels):
        return covered
    order = np.lexsort((starts, channels))
    channels, starts, stops = channels[order], starts[order], stops[order]
    # Ranks instead of samples, channel after channel on one axis: no product of the two overflows, and how far a
    # channel is covered before each of its stretches is one running maximum.
    values, ranks = np.unique(np.concatenate((starts, stops)), return_inverse=True)
    base = channels * len(values)
    begins, ends = base + ranks[: len(starts)], base + ranks[len(starts) :]
    reached = np.concatenate(([0], np.maximum.accumulate(ends)[:-1]))
    fresh = np.maximum(begins, reached)
    np.add.at(covered, channels, np.maximum(stops - values[fresh - base], 0))
    return covered
