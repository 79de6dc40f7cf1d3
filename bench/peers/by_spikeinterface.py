"""SpikeInterface's band-pass and peak detection (extra `bench`)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import spikeinterface
from numpy.typing import NDArray
from spikeinterface.preprocessing import bandpass_filter
from spikeinterface.sortingcomponents.peak_detection import detect_peaks

from bench.by_spikeinterface import BAND_HZ, DEFAULT_THRESHOLD
from bench.peers.tools import Found, Pass
from bench.recordings import RATE_HZ

PITCH_UM = 200.0
"""Electrodes too far apart to share spikes."""


def prepare(
    samples: NDArray[np.int16],
    chunk_ms: float,
    method: str = "by_channel",
    filtered: bool = False,
    **band_pass: Any,
) -> Pass:
    """Give it the noise levels of the first half second (its own took 88 s of 4096 channels).

    filtered: it is given the filtered signal, in memory; band_pass: of its filter, instead of its defaults.
    """
    warnings.simplefilter("ignore")
    whole = _recording(samples)
    band = bandpass_filter(whole, freq_min=BAND_HZ[0], freq_max=BAND_HZ[1], dtype="float32", **band_pass)
    if filtered:
        whole = band = _recording(band.get_traces())
    start = band.get_traces(start_frame=0, end_frame=RATE_HZ // 2)
    levels = np.median(np.abs(start - np.median(start, axis=0)), axis=0) / 0.67448975
    settings = {"noise_levels": levels, "peak_sign": "neg", "detect_threshold": DEFAULT_THRESHOLD}
    job = {"n_jobs": 1, "chunk_duration": f"{chunk_ms:g}ms", "progress_bar": False}

    def run(recording: Any = band) -> Found:
        peaks = detect_peaks(recording, method=method, method_kwargs=settings, job_kwargs=job)
        return Found(peaks["sample_index"].astype(np.int64), peaks["channel_index"].astype(np.int64))

    run(band.frame_slice(0, RATE_HZ // 5))
    return run


def _recording(samples: NDArray[Any]) -> Any:
    recording = spikeinterface.NumpyRecording([samples], RATE_HZ)
    positions = np.zeros((samples.shape[1], 2))
    positions[:, 0] = PITCH_UM * np.arange(samples.shape[1])
    recording.set_dummy_probe_from_locations(positions)
    return recording
