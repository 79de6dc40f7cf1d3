"""Feeds a noise tracker, or a health watch, with what a filter would give, without a detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rtspikes.detect.filter import design
from rtspikes.detect.noise import NoiseTracker
from rtspikes.detect.settings import FilterSettings, NoiseSettings
from tests.simulated import RATE_HZ, spike_shape

FLOOR_UV = 0.02
DEFAULT = NoiseSettings(block_s=0.5, window_s=4.0)
"""What the figures were measured with."""


def band_passed(uv: NDArray[np.float64], settings: FilterSettings = FilterSettings()) -> NDArray[np.float64]:  # noqa: B008
    """Filter (time, channels) as the detector does."""
    sos = np.insert(design(settings, RATE_HZ).astype(float), 3, 1.0, axis=1)
    return np.asarray(signal.sosfilt(np.ascontiguousarray(sos), uv, axis=0))


def white(seconds: float, channels: int, seed: int, uv: float = 10) -> NDArray[np.float64]:
    """Return white noise (time, channels)."""
    return np.random.default_rng(seed).normal(0, uv, (round(seconds * RATE_HZ), channels))


def coloured(seconds: float, channels: int, seed: int, uv: float = 10) -> NDArray[np.float64]:
    """Return an amplifier's white noise and, three times as strong, a tissue's, which falls from 300 Hz on."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    tissue = signal.lfilter([1], [1, -0.9], rng.normal(0, 3 * uv, (n, channels)), axis=0)
    return np.asarray(tissue + rng.normal(0, uv, (n, channels)))


def bursts(seconds: float, length_s: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return when (time,) it bursts: 30 % of the time, with pauses that vary."""
    active = np.zeros(round(seconds * RATE_HZ), bool)
    at = rng.uniform(0, length_s)
    while at < seconds:
        active[round(at * RATE_HZ) : round((at + length_s) * RATE_HZ)] = True
        at += length_s + length_s * 7 / 3 * rng.uniform(0.5, 1.5)
    return active


def firing(
    active: NDArray[np.bool_], channels: int, per_s: float, heights_uv: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return superposed spikes (time, channels): at random, `per_s` while it is active."""
    impulses = np.where(rng.random((len(active), channels)) < per_s / RATE_HZ, 1.0, 0.0) * active[:, None]
    impulses *= rng.uniform(*heights_uv, impulses.shape)
    return np.asarray(signal.fftconvolve(impulses, spike_shape()[:, None], axes=0)[: len(active)])


def tracker(channels: int, settings: NoiseSettings = DEFAULT, first_sample: int = 0) -> NoiseTracker:
    return NoiseTracker(settings, RATE_HZ, np.full((1, channels), FLOOR_UV, np.float32), first_sample)


def feed(noise: NoiseTracker, filtered: NDArray[np.floating], first: int = 0) -> list[tuple[int, NDArray[np.float32]]]:
    """Give a tracker the filtered signal (time, channels) from sample `first` on.

    Return `now` at every boundary at which it was measured.
    """
    found = []
    stop = first + len(filtered)
    noise.cross(first)
    at = first
    while at < stop:
        end = min(stop, noise.boundary)
        rows = noise.rows
        for n in range(-(-at // rows.stride) * rows.stride, end, rows.stride):
            rows.rows[0, n // rows.stride - rows.base] = filtered[n - first]
        rows.mark(at, end)
        noise.work(end, 0)
        before = noise.measured
        noise.cross(end)
        if noise.measured != before:
            found.append((end, noise.now[0].copy()))
        at = end
    return found


def sigmas(filtered: NDArray[np.floating], settings: NoiseSettings = DEFAULT) -> NDArray[np.float32]:
    """Return σ (boundaries, channels) once the window holds nothing of the start."""
    noise = tracker(filtered.shape[1], settings)
    return np.array([s for at, s in feed(noise, filtered) if at > (settings.window_s + 1) * RATE_HZ])
