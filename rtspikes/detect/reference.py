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
from rtspikes.detect.noise_kernels import ABREAST, select
from rtspikes.detect.settings import ReferenceSettings
from rtspikes.detect.vectors import WIDTH, filled, store
from rtspikes.errors import ConfigError
from rtspikes.selectors import electrodes_by_well
from rtspikes.selectors import select as select_channels
from rtspikes.types import StreamInfo


@njit(nogil=True)
def _middle(values, n, k, lower, middle, upper):  # type: ignore[no-untyped-def]
    """Put the k // 2-th smallest (from 0) of each lane's first `k` of `n` values, and its neighbours, where they go."""
    for out, rank in ((lower, max(k // 2 - 1, 0)), (middle, k // 2), (upper, min(k // 2 + 1, k - 1))):
        store(out, 0, select(values, n, filled(float32(rank))))


@njit(nogil=True)
def _without_own(x, k, lower, middle, upper):  # type: ignore[no-untyped-def]
    """Return the median of k values without `x`, one of them."""
    half = float32(0.5)
    if k % 2 == 0:
        return middle if x < middle else lower
    if x < middle:
        return half * (middle + upper)
    return half * (lower + middle) if x > middle else half * (lower + upper)


@kernel(void(f3, int64, int64, int32[:, ::1], i1, i1, int32[:, ::1], i1, uint8[::1], boolean))
def _subtract(  # type: ignore[no-untyped-def]
    trace, first, stop, counted, counted_starts, sizes, all_of, starts, counts, median
):  # fmt: skip
    """Take the groups' common signal off the samples [first, stop) of `trace`, in place.

    counted[counted_starts[g] : + sizes[g]] are the channels of group g that say what is common (none: nothing is
    taken off), as (tile, lane); all_of[starts[g] : starts[g + 1]] those that it is taken off. counts: (all_of,) whether
    it is one of the former. 16 samples are worked on at a time, each a lane of a vector.
    """
    depth = trace.shape[1]
    values = np.zeros((len(counted) + ABREAST, WIDTH), np.float32)
    totals = np.empty(WIDTH, np.float64)
    lower, middle = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    upper, common = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    start = first
    while start < stop:
        end = min(stop, (start // WIDTH + 1) * WIDTH)
        n, at = end - start, start % depth
        for g in range(len(sizes)):
            k = sizes[g]
            if k == 0:
                continue
            totals[:] = 0
            for i in range(k):
                tile, lane = counted[counted_starts[g] + i]
                row = values[i]
                for s in range(n):
                    row[s] = trace[tile, at + s, lane]
                for s in range(WIDTH):
                    totals[s] += row[s]
            if median:
                padded = -(-k // ABREAST) * ABREAST
                values[k:padded] = np.nan
                _middle(values, padded, k, lower, middle, upper)
            for s in range(n):
                common[s] = float32(totals[s] / k)
                if median:
                    common[s] = middle[s] if k % 2 else float32(0.5) * (lower[s] + middle[s])
            for i in range(starts[g], starts[g + 1]):
                tile, lane = all_of[i]
                for s in range(n):
                    x = trace[tile, at + s, lane]
                    rest = common[s]
                    if median and counts[i]:
                        rest = _without_own(x, k, lower[s], middle[s], upper[s])
                    trace[tile, at + s, lane] = x - rest
        start = end


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
            groups = [[p for p in select_channels(s, info.channels) if p in set(electrodes)] for s in settings.groups]
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
        self._all = self._places(taken_off)
        self._starts = np.cumsum([0, *map(len, taken_off)]).astype(np.int64)
        self._counted = self._places(counted)
        self._sizes = np.array([len(group) for group in counted], np.int64)
        self._counted_starts = np.cumsum([0, *self._sizes[:-1]]).astype(np.int64)
        own = {p for group in counted for p in group}
        self._counts = np.array([p in own for group in taken_off for p in group] or [False], np.uint8)

    def _places(self, groups: list[list[int]]) -> NDArray[np.int32]:
        """Return (tile, lane) of the groups' channels, one group after the other."""
        positions = np.array([p for group in groups for p in group] or [0], np.int32)
        return np.stack(np.divmod(positions, np.int32(self._lanes.shape[1])), axis=1)

    def run(self, first: int, stop: int) -> None:
        """Take it off the samples [first, stop) of the history."""
        _subtract(
            self._lanes.trace, first, stop, self._counted, self._counted_starts, self._sizes, self._all, self._starts,
            self._counts, self._median,
        )  # fmt: skip
