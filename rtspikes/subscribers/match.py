"""Pairs the spikes of two trains that belong together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE_S = 1e-3
"""An event and a true spike of its electrode belong together within ± 1 ms, one to one."""


def pair_up(
    truth: NDArray[np.int64], found: NDArray[np.int64], tolerance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices, in `truth` and in `found`, of a largest one-to-one matching of two ascending trains.

    Samples within ± `tolerance` may be a pair. All such intervals being equally long, giving each spike in its order
    the first one that is free leaves none unpaired that could have been.
    """
    mine: list[int] = []
    theirs: list[int] = []
    a, b = truth.tolist(), found.tolist()
    i = j = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= tolerance:
            mine.append(i)
            theirs.append(j)
            i, j = i + 1, j + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return np.array(mine, np.int64), np.array(theirs, np.int64)
