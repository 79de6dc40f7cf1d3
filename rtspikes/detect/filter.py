"""Design of the causal band-pass: second-order sections and the time that they need to settle.

Importing SciPy's signal package takes a third of an engine's start: only what it designs asks for it.
"""

from __future__ import annotations

import numpy as np
from numba import float64, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.settings import FilterSettings
from rtspikes.errors import ConfigError

SETTLED = 1e-3
"""A transient counts as decayed when less than this part of a step is left (−60 dB)."""


SPIKE_HIGHPASS_HZ, SPIKE_LOWPASS_HZ, SPIKE_LOWPASS_PART = 350.0, 6000.0, 0.42
"""Corners of the filter "spike"; the low-pass at this part of the sampling rate at most."""

MAINS_ZERO_HZ, MAINS_POLE_HZ, MAINS_POLE_Q = 54.72, 40.56, 1.03
"""Its section against mains: zeros between 50 and 60 Hz, and poles broad enough to reach both."""


LARGEST_POLE = 1 - 1e-5
"""Poles nearer to the unit circle are not where they should be in float32, or beyond it."""


def design(settings: FilterSettings, rate_hz: float) -> NDArray[np.float32]:
    """Return the sections, float32 (sections, 5): b0 b1 b2 a1 a2 with a0 = 1; 0 sections for kind "none".

    spike: a first-order high-pass, which hardly swings back after a spike, a section that takes 50 and 60 Hz out, which
    it would let through, and a Butterworth low-pass of order 2 (bench/accuracy.py compares it with others).

    butterworth: a high-pass and a low-pass in a row, paired into second-order sections, with their −3 dB
    points at `band_hz`. SciPy's `butter(N, band, "bandpass")` is another, narrower filter: its order 1 has its poles at
    389 and 2311 Hz for 300–3000 Hz, and on a locust tetrode at 4 σ let 198 instead of 169 false events through.
    """
    kind = settings.resolved_kind
    if kind == "none":
        return np.zeros((0, 5), np.float32)
    if kind == "spike":
        if settings.has_band:
            raise ConfigError('detect.filter: kind = "spike" has its own band and orders; say kind = "butterworth"')
        return _spike(rate_hz)
    low, high = settings.band_hz or (300.0, 3000.0)
    order = settings.order or 1
    if not 0 < low < high < rate_hz / 2:
        raise ConfigError(
            f"detect.filter.band_hz must rise and lie between 0 and half the sampling rate ({rate_hz / 2:g} Hz), "
            f"got [{low:g}, {high:g}]"
        )
    ends = ((settings.highpass_order, low, "highpass"), (settings.lowpass_order, high, "lowpass"))
    orders = [(order if own is None else own, corner, side) for own, corner, side in ends]
    from scipy import signal

    parts = [signal.butter(n, corner, side, fs=rate_hz, output="zpk") for n, corner, side in orders if n]
    if not parts:
        raise ConfigError('detect.filter: both orders are 0; say kind = "none" for no filter')
    zeros = np.concatenate([z for z, _, _ in parts])
    poles = np.concatenate([p for _, p, _ in parts])
    sos = signal.zpk2sos(zeros, poles, np.prod([k for _, _, k in parts]))
    sections = np.ascontiguousarray(sos[:, [0, 1, 2, 4, 5]], np.float32)
    if _farthest_pole(sections) > LARGEST_POLE:
        raise ConfigError(
            f"detect.filter: a corner of {low:g} Hz with order {max(n for n, *_ in orders)} at {rate_hz:g} Hz is more "
            f"than float32 can hold; raise the corner, or lower the order"
        )
    return sections


@kernel(void(float64[:, ::1], float64[:, ::1]))
def _run(sections, rows):  # type: ignore[no-untyped-def]
    """Put every row through the sections, in place; transposed direct form II."""
    for row in rows:
        for b0, b1, b2, a1, a2 in sections:
            z0 = z1 = 0.0
            for i in range(len(row)):
                x = row[i]
                y = b0 * x + z0
                z0 = b1 * x - a1 * y + z1
                z1 = b2 * x - a2 * y
                row[i] = y


def filtered(sections: NDArray[np.float32], signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return signals (samples,) or (n, samples) behind the sections, which begin at rest, in float64."""
    rows = np.array(signals, np.float64, ndmin=2)
    _run(sections.astype(np.float64), rows)
    return rows.reshape(signals.shape)


def _farthest_pole(sections: NDArray[np.float32]) -> float:
    """Return how far from 0 a pole lies at most, as the float32 coefficients have it."""
    a1, a2 = sections[:, 3:].astype(complex).T
    root = np.sqrt(a1**2 / 4 - a2)
    return float(np.abs([-a1 / 2 + root, -a1 / 2 - root]).max())


def passes_dc(sections: NDArray[np.float32]) -> bool:
    """Tell whether a constant passes: whether there is no high-pass."""
    numerator, denominator = sections[:, :3].sum(axis=1, dtype=float), 1 + sections[:, 3:].sum(axis=1, dtype=float)
    return bool(abs(np.prod(numerator / denominator)) > 1e-3)


def _spike(rate_hz: float) -> NDArray[np.float32]:
    """Return the filter "spike": bilinear, with its frequencies where they are said to be."""
    high = min(SPIKE_LOWPASS_HZ, SPIKE_LOWPASS_PART * rate_hz)
    if high < 2 * SPIKE_HIGHPASS_HZ:
        raise ConfigError(
            f'detect.filter: kind "spike" needs a rate of 1700 Hz or more, got {rate_hz:g} Hz; say kind = "none"'
        )
    t = np.tan(np.pi * SPIKE_HIGHPASS_HZ / rate_hz)
    g = 1 / (1 + t)
    zero, pole = (np.tan(np.pi * f / rate_hz) for f in (MAINS_ZERO_HZ, MAINS_POLE_HZ))
    a = 1 + pole / MAINS_POLE_Q + pole**2
    b = (1 + zero**2) / a
    w = np.tan(np.pi * high / rate_hz)
    c = 1 + np.sqrt(2) * w + w**2
    sections = [
        [g, -g, 0, (t - 1) / (t + 1), 0],
        [b, 2 * (zero**2 - 1) / a, b, 2 * (pole**2 - 1) / a, (1 - pole / MAINS_POLE_Q + pole**2) / a],
        [w**2 / c, 2 * w**2 / c, w**2 / c, 2 * (w**2 - 1) / c, (1 - np.sqrt(2) * w + w**2) / c],  # Butterworth
    ]
    return np.array(sections, np.float32)


def settling_samples(sections: NDArray[np.float32]) -> int:
    """Return how many samples pass until a step has decayed to `SETTLED` of its height."""
    if not len(sections):
        return 0
    length = int(np.ceil(np.log(SETTLED * 1e-2) / np.log(_farthest_pole(sections)))) + 2
    response = filtered(sections, np.ones(length))
    away = np.flatnonzero(np.abs(response - response[-1]) > SETTLED)
    return int(away[-1]) + 1 if len(away) else 0
