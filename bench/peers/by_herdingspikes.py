"""HerdingSpikes' detection (extra `bench`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from herdingspikes.detection_lightning.detect import HSDetectionLightning
from numpy.typing import NDArray

from bench.peers.tools import Found, Pass
from bench.recordings import RATE_HZ

PITCH_UM = 200.0
"""Electrodes too far apart to share spikes."""

FASTEST = {"lowpass": False, "common_reference": "none", "localize": False, "save_shape": False, "verbose": False}

THINNED = 50
"""One sample in so many of those it asks for is enough to learn the scale of a channel, from some 4000."""


class Signal:
    """A signal in memory, as it wants recordings."""

    def __init__(self, samples: NDArray[np.int16]) -> None:
        self._samples = samples
        self.step = THINNED

    def get_num_segments(self) -> int:
        return 1

    def get_num_samples(self, segment: int | None = None) -> int:
        return len(self._samples)

    def get_sampling_frequency(self) -> float:
        return float(RATE_HZ)

    def get_num_channels(self) -> int:
        return int(self._samples.shape[1])

    def get_channel_ids(self) -> range:
        return range(self.get_num_channels())

    def get_channel_property(self, channel: int, name: str) -> tuple[float, float]:
        return PITCH_UM * channel, 0.0

    def get_traces(self, segment_index: int, start_frame: int, end_frame: int, **_: Any) -> NDArray[np.int16]:
        return self._samples[start_frame : end_frame : self.step]


def prepare(samples: NDArray[np.int16], chunk_ms: float) -> Pass:
    """Let it learn the scale of each channel, which it does when it is made."""
    signal = Signal(samples)
    settings = {**HSDetectionLightning.DEFAULT_PARAMS, **FASTEST, "chunk_size": round(chunk_ms * 1e-3 * RATE_HZ)}
    detection = HSDetectionLightning(signal, settings)
    signal.step = 1

    def run() -> Found:
        found = detection.detect()[0]
        return Found(found["sample_index"].astype(np.int64), found["channel_index"].astype(np.int64))

    run()
    return run
