"""Small simulated recordings with known spikes: the twin of every test that uses a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import ChannelInfo, StreamInfo

RATE_HZ = 20000.0
GAIN_UV = 0.195


def wire_info() -> dict[str, Any]:
    """Return the least that an `info` message says: one channel, waveforms of three samples."""
    return {
        "n_channels": 1,
        "channels": {"label": ["E1"]},
        "snippet_samples": [1, 2],
        "first_sample": 0,
        "rate_hz": RATE_HZ,
    }


def spike_shape(rate_hz: float = RATE_HZ) -> NDArray[np.float64]:
    """Return a biphasic spike of unit trough, 2 ms long, its trough 0.5 ms after its start."""
    t = np.arange(round(2e-3 * rate_hz)) / rate_hz * 1e3
    shape: NDArray[np.float64] = -np.exp(-(((t - 0.5) / 0.15) ** 2)) + 0.25 * np.exp(-(((t - 1.0) / 0.3) ** 2))
    return shape


def simulate(
    n_channels: int = 4,
    seconds: float = 2.0,
    rate_hz: float = RATE_HZ,
    seed: int = 1,
    spikes_per_s: float = 10.0,
    noise_uv: float = 6.0,
    height_uv: float = 100.0,
) -> tuple[NDArray[np.int16], list[tuple[int, int]]]:
    """Return int16 samples (time, channels), GAIN_UV µV per unit, and the truth: (trough sample, channel), sorted."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    uv = rng.normal(0, noise_uv, (n, n_channels)) + 200.0 * np.sin(np.arange(n)[:, None] / rate_hz * 2 * np.pi * 2)
    shape = spike_shape(rate_hz)
    trough = int(shape.argmin())
    truth = []
    for channel in range(n_channels):
        at = 0.0
        while True:
            at += rng.exponential(1 / spikes_per_s) + 5e-3
            start = round(at * rate_hz)
            if start + len(shape) >= n:
                break
            uv[start : start + len(shape), channel] += height_uv * rng.uniform(0.8, 1.5) * shape
            truth.append((start + trough, channel))
    return np.clip(np.round(uv / GAIN_UV), -32768, 32767).astype(np.int16), sorted(truth)


def stream_info(
    n_channels: int,
    rate_hz: float = RATE_HZ,
    dtype: str = "int16",
    live: bool = False,
    gain_uv: float = GAIN_UV,
    n_samples: int | None = None,
) -> StreamInfo:
    """Return a stream of plain electrodes labelled E1, E2 and so on."""
    channels = tuple(ChannelInfo(f"E{i + 1}", i, gain_uv=gain_uv) for i in range(n_channels))
    return StreamInfo("test:", rate_hz, dtype, channels, live, n_samples)  # type: ignore[arg-type]


def write_recording(path: Path, samples: NDArray[Any], rate_hz: float = RATE_HZ, **sidecar: Any) -> Path:
    """Write `samples` (time, channels) as PATH.raw with its sidecar; return the .raw path."""
    samples.astype(samples.dtype.newbyteorder("<")).tofile(path.with_suffix(".raw"))
    meta = {
        "sampling_rate_hz": rate_hz,
        "n_channels": samples.shape[1],
        "n_samples": len(samples),
        "dtype": samples.dtype.name,
        "byte_order": "little",
        "gain_to_uv": GAIN_UV,
        "offset_to_uv": 0.0,
        "unit": "uV",
        "channel_ids": [f"E{i + 1}" for i in range(samples.shape[1])],
    } | sidecar
    path.with_suffix(".json").write_text(json.dumps({k: v for k, v in meta.items() if v is not None}))
    return path.with_suffix(".raw")
