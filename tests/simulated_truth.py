"""What offline detection finds in a simulation (`sim:`), compared with its truth."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rtspikes
from rtspikes.subscribers.score import Score, Scorer
from rtspikes.types import Samples, StreamInfo
from rtspikes.wire.batch import Batch
from tests.unit.devices.simulations import opened, pulled, true_spikes, truth_of


@functools.lru_cache(maxsize=16)
def simulated(address: str) -> tuple[Samples, StreamInfo]:
    """Return all samples of a simulation that ends, and what they are."""
    return pulled(address)[0], opened(address).info


def found_in(address: str, detect: Mapping[str, Any]) -> NDArray[np.void]:
    """Return the spikes of the electrodes of a simulation that ends; detect: the settings' table of that name."""
    samples, info = simulated(address)
    spikes, _ = rtspikes.detect(samples, {"detect": detect}, rate_hz=info.rate_hz, uv_per_unit=info.channels[0].gain_uv)
    is_electrode = np.array([c.kind == "electrode" for c in info.channels])
    return spikes[is_electrode[spikes["channel"]]]


def score_simulation(address: str, detect: Mapping[str, Any]) -> Score:
    """Return how a simulation that ends is detected, from its first sample on."""
    info, spikes = simulated(address)[1], found_in(address, detect)
    kinds = [c.kind for c in info.channels]
    enabled = [kind == "electrode" for kind in kinds]
    stream = {"rate_hz": info.rate_hz, "enabled": enabled, "channels": {"kind": kinds}}
    scorer = Scorer(truth_of(address), stream | {"settling_samples": 0, "first_sample": 0})
    end, second = info.n_samples or 0, round(info.rate_hz)
    for start in range(0, end, second):
        part = spikes[slice(*np.searchsorted(spikes["crossing"], (start, start + second)))]
        scorer.add(Batch("spikes", "", start, min(start + second, end), part))
    scorer.finish(end)
    return scorer.score


@functools.lru_cache(maxsize=4)
def second_spikes(address: str, least_uv: float) -> NDArray[np.void]:
    """Return the second spikes of `LAYOUT?seconds=…&doublets=…` that are large enough: what it has beyond LAYOUT."""
    layout, _, query = address.partition("?")
    seconds = float(query.partition("seconds=")[2].partition("&")[0])
    second = np.setdiff1d(true_spikes(address, 0.5, seconds - 0.1), true_spikes(layout, 0.5, seconds - 0.1))
    return second[second["amplitude_uv"] >= least_uv]


def has_event(spikes: NDArray[np.void], events: NDArray[np.void], within: int) -> NDArray[np.bool_]:
    """Tell for each true spike whether its channel has an event within so many samples."""
    apart = 1 << 40
    keys = np.sort(events["channel"].astype(np.int64) * apart + events["sample"])
    keys = np.concatenate([[-apart], keys, [1 << 62]])
    wanted = spikes["channel"].astype(np.int64) * apart + spikes["sample"]
    at = np.searchsorted(keys, wanted)
    return np.minimum(keys[at] - wanted, wanted - keys[at - 1]) <= within
