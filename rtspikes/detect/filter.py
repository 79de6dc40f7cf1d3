"""Design of the causal band-pass: second-order sections and the time that they need to settle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rtspikes.detect.settings import FilterSettings
from rtspikes.errors import ConfigError

SETTLED = 1e-3
"""A transient counts as decayed when less than this part of a step is left (−60 dB)."""


def design(settings: FilterSettings, rate_hz: float) -> NDArray[np.float32]:
    """Return the sections, float32 (sections, 5): b0 b1 b2 a1 a2 with a0 = 1; 0 sections for kind "none".

    A Butterworth high-pass and a Butterworth low-pass in a row, paired into second-order sections, with their −3 dB
    points at `band_hz`. SciPy's `butter(N, band, "bandpass")` is another, narrower filter: its order 1 has its poles at
    389 and 2311 Hz for 300–3000 Hz, and on a locust tetrode at 4 σ let 198 instead of 169 false events through.
    """
    if settings.kind == "none":
        return np.zeros((0, 5), np.float32)
    low, high = settings.band_hz
    if not 0 < low < high < rate_hz / 2:
        raise ConfigError(
            f"detect.filter.band_hz must rise and lie between 0 and half the sampling rate ({rate_hz / 2:g} Hz), "
            f"got [{low:g}, {high:g}]"
        )
    ends = ((settings.highpass_order, low, "highpass"), (settings.lowpass_order, high, "lowpass"))
    orders = [(settings.order if order is None else order, corner, kind) for order, corner, kind in ends]
    parts = [signal.butter(n, corner, kind, fs=rate_hz, output="zpk") for n, corner, kind in orders if n]
    if not parts:
        raise ConfigError('detect.filter: both orders are 0; say kind = "none" for no filter')
    zeros = np.concatenate([z for z, _, _ in parts])
    poles = np.concatenate([p for _, p, _ in parts])
    sos = signal.zpk2sos(zeros, poles, np.prod([k for _, _, k in parts]))
    return np.ascontiguousarray(sos[:, [0, 1, 2, 4, 5]], np.float32)


def settling_samples(sections: NDArray[np.float32]) -> int:
    """Return how many samples pass until a step has decayed to `SETTLED` of its height."""
    if not len(sections):
        return 0
    sos = np.insert(sections.astype(np.float64), 3, 1.0, axis=1)
    _, poles, _ = signal.sos2zpk(sos)
    slowest = np.abs(poles).max()
    length = int(np.ceil(np.log(SETTLED * 1e-2) / np.log(slowest))) + 2
    response = np.asarray(signal.sosfilt(sos, np.ones(length)))
    away = np.flatnonzero(np.abs(response - response[-1]) > SETTLED)
    return int(away[-1]) + 1 if len(away) else 0
