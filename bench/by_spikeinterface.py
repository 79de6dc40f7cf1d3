"""SpikeInterface's detectors (extra `bench`), behind its own band-pass."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.truths import Recording

DEFAULT_THRESHOLD = 5
THRESHOLDS = (4, 4.5, 5, 5.5, 6, 7)
OF_ITS_FILTER = (4, 4.5, 5, 5.5)
"""Thresholds of `matched_filtering`, which takes its time."""

BAND_HZ = (300.0, 6000.0)
"""Its default."""

JOB = {"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False}


def is_installed() -> bool:
    """Tell whether it can be imported."""
    return importlib.util.find_spec("spikeinterface") is not None


def found(recording: Recording) -> Iterator[tuple[str, float, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Return (method, threshold, what it finds), samples and channels, of each method and threshold."""
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    filtered, noise_levels = _filtered(recording)
    methods: dict[str, dict[str, Any]] = {
        "by_channel": {"noise_levels": noise_levels},
        "locally_exclusive": {"noise_levels": noise_levels},
    }
    prototype = _prototype(filtered, noise_levels, recording.sign)
    if prototype is not None:
        methods["matched_filtering"] = {"prototype": prototype, "ms_before": 0.5, "random_chunk_kwargs": {"seed": 0}}
    for method, more in methods.items():
        for threshold in OF_ITS_FILTER if method == "matched_filtering" else THRESHOLDS:
            settings = {**more, "peak_sign": recording.sign, "detect_threshold": threshold}
            peaks = detect_peaks(filtered, method=method, method_kwargs=settings, job_kwargs=JOB)
            yield method, threshold, (peaks["sample_index"].astype(np.int64), peaks["channel_index"].astype(np.int64))


def _filtered(recording: Recording) -> tuple[Any, NDArray[np.float64]]:
    """Return the recording behind the band-pass, in memory, and the noise levels of its channels."""
    import spikeinterface
    from spikeinterface.preprocessing import bandpass_filter

    raw = spikeinterface.NumpyRecording([recording.samples.astype(np.float32)], recording.rate_hz)
    highest = min(BAND_HZ[1], 0.45 * recording.rate_hz)
    band = bandpass_filter(raw, freq_min=BAND_HZ[0], freq_max=highest, dtype="float32")
    filtered = spikeinterface.NumpyRecording([band.get_traces()], recording.rate_hz)
    positions = recording.positions_um
    if positions is None:
        positions = np.stack([200.0 * np.arange(recording.samples.shape[1]), np.zeros(recording.samples.shape[1])], 1)
    filtered.set_dummy_probe_from_locations(positions)
    noise = spikeinterface.get_noise_levels(filtered, return_in_uV=False, random_slices_kwargs={"seed": 0}, **JOB)
    return filtered, noise


def _prototype(filtered: Any, noise_levels: NDArray[np.float64], sign: str) -> NDArray[np.float64] | None:
    """Return the median spike of those that are found at the default threshold; None where there is none."""
    from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_recording

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prototype, _, peaks = get_prototype_and_waveforms_from_recording(
            filtered, seed=0, job_kwargs=JOB, noise_levels=noise_levels, peak_sign=sign
        )
    return prototype if len(peaks) and np.isfinite(prototype).all() else None
