"""Common reference: what the electrodes of a group have in common at a sample is taken off each of them.

Sums run over the channels in their order, in double precision. A median is that of the other electrodes: with its own
value among them, one electrode in the middle would be exactly 0 at every sample, and its noise level too low.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int32, int64, njit, uint8, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import Lanes, f3, i1
from rtspikes.detect.settings import ReferenceSettings
from rtspikes.errors import ConfigError
from rtspikes.selectors import electrodes_by_well, select
from rtspikes.types import StreamInfo


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


@kernel(void(f3, int64, int64, int32[::1], i1, i1, int32[::1], i1, uint8[::1], boolean))
def _subtract(  # type: ignore[no-untyped-def]
    trace, first, stop, counted, counted_starts, sizes, all_of, starts, counts, median
):  # fmt: skip
    """Take the groups' common signal off the samples [first, stop) of `trace`, in place.

    counted[counted_starts[g] : + sizes[g]] are the channels of group g that say what is common (none: nothing is
    taken off); all_of[starts[g] : starts[g + 1]] are those that it is taken off. counts: (channels,) whether it is one
    of the former.
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
            total = 0.0
            for i in range(k):
                c = counted[begin + i]
                values[i] = trace[c // lanes, row, c % lanes]
                total += values[i]
            common = float32(total / k)
            lower = middle = upper = common
            if median:
                middle = _smallest(values, k, k // 2)
                lower, upper = values[0], middle
                for i in range(1, k // 2):
                    lower = max(lower, values[i])
                if k % 2 and k > 1:
                    upper = values[k // 2 + 1]
                    for i in range(k // 2 + 2, k):
                        upper = min(upper, values[i])
                common = middle if k % 2 else float32(0.5) * (lower + middle)
            for i in range(starts[g], starts[g + 1]):
                c = all_of[i]
                x = trace[c // lanes, row, c % lanes]
                rest = common
                if median and counts[c]:
                    if k % 2 == 0:
                        rest = middle if x < middle else lower
                    elif x < middle:
                        rest = float32(0.5) * (middle + upper)
                    elif x > middle:
                        rest = float32(0.5) * (lower + middle)
                    else:
                        rest = float32(0.5) * (lower + upper)
                trace[c // lanes, row, c % lanes] = x - rest


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
            groups = list(electrodes_by_well(info.channels).values())
        else:
            if not settings.groups:
                raise ConfigError("detect.reference.groups must name at least one group, got an empty list")
            groups = [[p for p in select(s, info.channels) if p in set(electrodes)] for s in settings.groups]
            seen: set[int] = set()
            for selector, group in zip(settings.groups, groups, strict=True):
                if not group or seen & set(group):
                    what = "names no electrode" if not group else "names an electrode of another group too"
                    raise ConfigError(f"detect.reference.groups: each electrode in one group, but {selector!r} {what}")
                seen |= set(group)
        self._groups = groups
        self._used: bytes | None = None
        self.use(np.ones(info.n_channels, bool), np.zeros(info.n_channels, bool))

    def use(self, usable: NDArray[np.bool_], silent: NDArray[np.bool_]) -> None:
        """Let only channels that are `usable` (channels,) say what is common, and leave `silent` ones as they are.

        One electrode alone has nothing in common with others.
        """
        used = usable.tobytes() + silent.tobytes()
        if used == self._used:
            return
        self._used = used
        counted = [[p for p in group if usable[p]] for group in self._groups]
        counted = [group if len(group) > 1 else [] for group in counted]
        taken_off = [[p for p in group if not silent[p]] for group in self._groups]
        self._all = np.array([p for group in taken_off for p in group] or [0], np.int32)
        self._starts = np.cumsum([0, *map(len, taken_off)]).astype(np.int64)
        self._counted = np.array([p for group in counted for p in group] or [0], np.int32)
        self._sizes = np.array([len(group) for group in counted], np.int64)
        self._counted_starts = np.cumsum([0, *self._sizes[:-1]]).astype(np.int64)
        self._counts = np.zeros(len(usable), np.uint8)
        self._counts[[p for group in counted for p in group]] = 1

    def run(self, first: int, stop: int) -> None:
        """Take it off the samples [first, stop) of the history."""
        _subtract(
            self._lanes.trace, first, stop, self._counted, self._counted_starts, self._sizes, self._all, self._starts,
            self._counts, self._median,
        )  # fmt: skip
