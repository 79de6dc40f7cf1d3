"""Common reference: what the electrodes of a group have in common at a sample is taken off each of them.

Sums run over the channels in their order, in double precision; a median is the order statistic itself.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int32, int64, njit, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import Lanes, f3, i1
from rtspikes.detect.settings import ReferenceSettings
from rtspikes.errors import ConfigError
from rtspikes.selectors import select
from rtspikes.types import StreamInfo

ZEROS = 0.9
"""The MAD behind a common median is low by this part of 1 / electrodes (simulated: 0.87 of σ with 8, 0.985 with 59)."""


@njit(nogil=True)
def _smallest(values, n, rank):  # type: ignore[no-untyped-def]
    """Put the `rank`-th smallest (from 0) of the first `n` values in its place, no larger one before it."""
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        a, b, c = values[low], values[middle], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            return values[rank]
    return values[rank]


@njit(nogil=True)
def _median(values, n):  # type: ignore[no-untyped-def]
    """Return the median of the first `n` values, the mean of the middle two where `n` is even; reorders them."""
    upper = _smallest(values, n, n // 2)
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, n // 2):
        lower = max(lower, values[i])
    return float32(0.5) * (lower + upper)


@kernel(void(f3, int64, int64, int32[::1], i1, i1, int32[::1], i1, boolean))
def _subtract(trace, first, stop, counted, counted_starts, sizes, all_of, starts, median):  # type: ignore[no-untyped-def]
    """Take the groups' common signal off the samples [first, stop) of `trace`, in place.

    counted[counted_starts[g] : + sizes[g]] are the channels of group g that say what is common (none: nothing is
    taken off); all_of[starts[g] : starts[g + 1]] are those that it is taken off.
    """
    _, depth, lanes = trace.shape
    values = np.empty(len(counted) + 1, np.float32)
    for n in range(first, stop):
        row = n % depth
        for g in range(len(sizes)):
            k = sizes[g]
            if k == 0:
                continue
            begin = counted_starts[g]
            if median:
                for i in range(k):
                    c = counted[begin + i]
                    values[i] = trace[c // lanes, row, c % lanes]
                common = _median(values, k)
            else:
                total = 0.0
                for i in range(k):
                    c = counted[begin + i]
                    total += trace[c // lanes, row, c % lanes]
                common = float32(total / k)
            for i in range(starts[g], starts[g + 1]):
                c = all_of[i]
                trace[c // lanes, row, c % lanes] -= common


class Reference:
    """Takes the common signal off; which channels say what is common may change from one slice to the next."""

    def __init__(self, info: StreamInfo, settings: ReferenceSettings, lanes: Lanes) -> None:
        self._lanes = lanes
        self._median = settings.kind == "median"
        electrodes = [c.position for c in info.channels if c.kind == "electrode"]
        groups: list[list[int]]
        if settings.groups == "all":
            groups = [electrodes]
        elif settings.groups == "well":
            wells = {c.well for c in info.channels if c.kind == "electrode"}
            groups = [[p for p in electrodes if info.channels[p].well == well] for well in sorted(wells, key=str)]
        else:
            groups = [[p for p in select(s, info.channels) if p in set(electrodes)] for s in settings.groups]
            seen: set[int] = set()
            for selector, group in zip(settings.groups, groups, strict=True):
                if not group or seen & set(group):
                    what = "names no electrode" if not group else "names an electrode of another group too"
                    raise ConfigError(f"detect.reference.groups: each electrode in one group, but {selector!r} {what}")
                seen |= set(group)
        self._groups = groups
        self.sigma_factor = np.ones(info.n_channels, np.float32)
        """By what each channel's MAD (channels,) is too small: behind a median the one in the middle is exactly 0."""
        if self._median:
            for group in groups:
                self.sigma_factor[group] = 1 / (1 - ZEROS / max(len(group), 2))
        self._all = np.array([p for group in groups for p in group], np.int32)
        self._starts = np.cumsum([0, *map(len, groups)]).astype(np.int64)
        self.use(np.ones(info.n_channels, bool))

    def use(self, usable: NDArray[np.bool_]) -> None:
        """Let only channels that are `usable` (channels,) say what is common."""
        counted = [[p for p in group if usable[p]] for group in self._groups]
        self._counted = np.array([p for group in counted for p in group] or [0], np.int32)
        self._sizes = np.array([len(group) for group in counted], np.int64)
        self._counted_starts = np.cumsum([0, *self._sizes[:-1]]).astype(np.int64)

    def run(self, first: int, stop: int) -> None:
        """Take it off the samples [first, stop) of the history."""
        _subtract(
            self._lanes.trace, first, stop, self._counted, self._counted_starts, self._sizes, self._all, self._starts,
            self._median,
        )  # fmt: skip
