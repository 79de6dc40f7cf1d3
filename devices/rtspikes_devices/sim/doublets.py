"""Doublets: spikes that the same neuron follows up at once, as bursting cells do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes_devices.sim.draws import mix_all
from rtspikes_devices.sim.kernels import FIRING_DTYPE

APART_MS = (2, 5)
"""Time from a spike to its second: shortest, longest."""

REST_MS = 10
"""Only a spike that the neuron does not follow up by itself for so long can have a second one."""

SMALLEST_SECOND = 0.7
"""Height of a second spike: SMALLEST_SECOND to 1 times the first's (cells in a burst fire ever smaller spikes)."""


def second_spikes(firings: NDArray[np.void], under: np.uint64, part: float, per_ms: int) -> NDArray[np.void]:
    """Return the second spikes (FIRING_DTYPE) of `part` of the `firings`, in no order.

    Certain for those whose REST_MS lies before the end of the stretch that `firings` were drawn for.
    """
    ordered = firings[np.lexsort((firings["sample"], firings["neuron"]))]
    following = np.append(ordered["sample"][1:], 0)
    alone = np.append(ordered["neuron"][1:], -1) != ordered["neuron"]
    alone |= following - ordered["sample"] > REST_MS * per_ms
    first = ordered[alone]
    bits = mix_all(under, first["neuron"] << 40 | first["sample"])
    chosen = (bits >> np.uint64(32)).astype(np.float64) < part * 2.0**32
    first, bits = first[chosen], bits[chosen]
    second = np.empty(len(first), FIRING_DTYPE)
    least, most = (ms * per_ms for ms in APART_MS)
    second["neuron"] = first["neuron"]
    second["sample"] = first["sample"] + least + (bits & np.uint64(0xFFFF)).astype(np.int64) % (most - least + 1)
    smaller = (bits >> np.uint64(16) & np.uint64(0xFFFF)).astype(np.int64) % 31
    second["scale"] = first["scale"] * (SMALLEST_SECOND + smaller / 100).astype(np.float32)
    return second
