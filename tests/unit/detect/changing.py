"""A short recording, quick noise blocks, and what runs with changes gave."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.changes import Change
from rtspikes.detect.detector import Events, ThresholdUpdate
from rtspikes.detect.settings import DetectSettings, NoiseSettings, ReboundSettings
from tests.simulated import simulate, stream_info
from tests.unit.detect.streaming import Segments, stream

SAMPLES, _ = simulate(n_channels=3, seconds=3.0)
WHOLE: Segments = [(0, SAMPLES)]
BLOCK = 7 * 286
"""Samples of a noise block of 0.1 s at 20 kHz."""
RAW = ReboundSettings(reject=False)
QUICK = DetectSettings(threshold=4, rebound=RAW, noise=NoiseSettings(initial_s=0.1, block_s=0.1, window_s=0.5))
FROZEN = DetectSettings(
    threshold=4, rebound=RAW, noise=NoiseSettings(mode="freeze", initial_s=0.1, block_s=0.1, window_s=0.5)
)


def run(changes: list[tuple[int, Change]], settings_: DetectSettings = QUICK, segments: Segments = WHOLE,
        **more: Any) -> list[Events]:  # fmt: skip
    return stream(segments, stream_info(segments[0][1].shape[1]), settings_, [1000], changes=changes, **more)


def spikes(results: list[Events]) -> NDArray[np.void]:
    return np.concatenate([e.spikes for e in results])


def updates(results: list[Events]) -> list[ThresholdUpdate]:
    return [u for e in results for u in e.thresholds]


def sigma_from(results: list[Events]) -> dict[int, NDArray[np.float32]]:
    """Return σ by the sample from which it was in force, for every one that differs from the one before."""
    found: dict[int, NDArray[np.float32]] = {}
    for u in updates(results):
        if not found or not np.array_equal(u.sigma_uv, list(found.values())[-1]):
            found[u.sample] = u.sigma_uv
    return found
