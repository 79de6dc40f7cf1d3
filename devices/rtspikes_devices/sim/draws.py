"""Random numbers that depend on nothing but their key: the same on every computer, for ever, in any order.

A draw is a hash of (seed, purpose, index …) in 64-bit integer arithmetic: SplitMix64's finalizer (Steele et al. 2014,
"Fast splittable pseudorandom number generators"). Library generators are fast too, but promise no stable distributions.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numba import int64, njit, uint64
from numpy.typing import NDArray

_GOLDEN, _MIX1, _MIX2 = uint64(0x9E3779B97F4A7C15), uint64(0xBF58476D1CE4E5B9), uint64(0x94D049BB133111EB)

QUANTILES = 2048


@njit(uint64(uint64, uint64), nogil=True, inline="always")
def mix(key, index):  # type: ignore[no-untyped-def]
    """Return 64 random bits for an index under a key; the result may be a key again."""
    x = uint64(key + (index + uint64(1)) * _GOLDEN)
    x = uint64((x ^ (x >> uint64(30))) * _MIX1)
    x = uint64((x ^ (x >> uint64(27))) * _MIX2)
    return uint64(x ^ (x >> uint64(31)))


@njit(uint64[::1](uint64, int64[::1]), nogil=True, cache=True)
def mix_all(under, indices):  # type: ignore[no-untyped-def]
    """Return uint64 (n,), `mix` of every index (n,) under a key."""
    bits = np.empty(len(indices), np.uint64)
    for i in range(len(indices)):
        bits[i] = mix(under, uint64(indices[i]))
    return bits


def key(seed: int, *path: int) -> np.uint64:
    """Return the key of a purpose below a seed."""
    at = np.uint64(seed)
    for step in path:
        at = np.uint64(mix(at, np.uint64(step)))
    return at


def uniform(under: np.uint64, index: int) -> float:
    """Return a number in [0, 1) for an index under a key."""
    return (int(mix(under, np.uint64(index))) >> 11) / 2**53


def normal_quantiles() -> NDArray[np.float32]:
    """Return float32 (QUANTILES,) standard normal values of equal probability, in rising order, to 1/4096.

    Rounded, so that the last bit of a computer's logarithm does not matter.
    """
    values = [NormalDist().inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES)]
    return quantised(np.array(values))


def quantised(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values to 1/4096, float32."""
    return (np.floor(values * 4096 + 0.5) / 4096).astype(np.float32)


def lognormal(under: np.uint64, index: int, median: float, spread: float) -> float:
    """Return a log-normal number for an index under a key, to six digits."""
    z = NormalDist().inv_cdf((int(uniform(under, index) * QUANTILES) + 0.5) / QUANTILES)
    return float(f"{median * math.exp(spread * z):.6g}")
