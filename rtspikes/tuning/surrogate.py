"""Gaussian noise with the spectrum and the noise level of real channels: what it gives, no neuron has done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.filter import design, filtered
from rtspikes.detect.noise_kernels import MAD_TO_SIGMA
from rtspikes.detect.settings import DetectSettings
from rtspikes.offline import MemoryRecording
from rtspikes.types import ChannelInfo, Samples, StreamInfo

SEGMENT_S = 0.1
"""Of a spectrum: 10 Hz apart."""

QUIET_PART = 0.5
"""Of the segments, the quieter ones are taken for noise."""


def surrogate(
    info: StreamInfo, samples: Samples, channels: list[int], sigma_uv: NDArray[np.float64], seconds: float,
    settings: DetectSettings, seed: int = 1,
) -> MemoryRecording:  # fmt: skip
    """Return Gaussian noise (float32, µV) that stands for some channels of `samples`.

    Its spectrum is that of each channel's quieter segments, its noise level behind the band-pass sigma_uv (channels,);
    0 for a channel that never moves.
    Phases are random: the same seed, the same noise.
    """
    rng = np.random.default_rng(seed)
    rate = info.rate_hz
    n = round(seconds * rate)
    length = round(SEGMENT_S * rate)
    sections = design(settings.filter, rate)
    out = np.empty((n, len(channels)), np.float32)
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    for i, c in enumerate(channels):
        uv = samples[:, c].astype(np.float64) * info.channels[c].gain_uv
        power = _quiet_spectrum(uv, length, sections)
        shape = np.sqrt(np.interp(frequencies, np.fft.rfftfreq(length, 1 / rate), power))
        shape[0] = 0
        noise = np.fft.irfft(shape * np.exp(2j * np.pi * rng.random(len(shape))), n)
        passed = filtered(sections, noise)[length:]
        level = np.median(np.abs(passed - np.median(passed))) * MAD_TO_SIGMA
        out[:, i] = noise * (sigma_uv[i] / level if level > 0 else 0)
    laid_out = tuple(ChannelInfo(str(i), i) for i in range(len(channels)))
    return MemoryRecording(StreamInfo("noise:", rate, "float32", laid_out, False, n), out)


def _quiet_spectrum(uv: NDArray[np.float64], length: int, sections: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power (length // 2 + 1,) of a signal's quieter segments of `length` samples."""
    passed = filtered(sections, uv - uv[0])
    n = len(uv) // length
    pieces = uv[: n * length].reshape(n, length)
    moving = np.ptp(pieces, axis=1) > 0  # what was held or blanked tells nothing
    if not moving.any():
        return np.zeros(length // 2 + 1)
    pieces = pieces[moving]
    loudest = np.abs(passed[: n * length].reshape(n, length)[moving]).max(axis=1)
    quiet = pieces[np.argsort(loudest)[: max(1, round(QUIET_PART * len(pieces)))]]
    window = np.hanning(length + 1)[:-1]
    spectra = np.abs(np.fft.rfft((quiet - quiet.mean(axis=1, keepdims=True)) * window, axis=1)) ** 2
    return np.asarray(spectra.mean(axis=0))
