"""How fast is the detector alone, on one core, beside a copy of the same bytes?

int16 noise with 5 spikes/s/channel, band-pass of order 1, σ, threshold, peak, snippet; signal already in memory.
`ratio` is the detector's samples per second over those of a pre-faulted 1 GiB `numpy.copyto` in the same run.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from bench.recordings import RATE_HZ

COPY_BYTES = 1 << 30


def copy_msamples_per_s() -> float:
    """Return the speed of copying 1 GiB of int16, the median of five, in Msamples/s."""
    source, target = np.ones(COPY_BYTES // 2, np.int16), np.ones(COPY_BYTES // 2, np.int16)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - begun)
    return COPY_BYTES / 2 / float(np.median(times)) / 1e6


def detector_msamples_per_s(channels: int, chunk: int, dead: int, order: int) -> float:
    """Return the detector's speed, the median of several passes, in Msamples/s; `dead`: one channel in so many is 0."""
    from rtspikes.detect.detector import Detector
    from rtspikes.detect.settings import DetectSettings, FilterSettings
    from rtspikes.types import ChannelInfo, StreamInfo

    rng = np.random.default_rng(1)
    n = max(RATE_HZ, chunk)
    signal = (rng.standard_normal((n, channels), np.float32) * 30).astype(np.int16)
    for at, c in zip(rng.integers(0, n - 40, 5 * channels), rng.integers(0, channels, 5 * channels), strict=True):
        signal[at : at + 6, c] -= 300
    if dead:
        signal[:, ::dead] = 0
    info = StreamInfo(
        "bench:", RATE_HZ, "int16", tuple(ChannelInfo(str(i), i, gain_uv=0.195) for i in range(channels)), False
    )
    detector = Detector(info, DetectSettings(filter=FilterSettings(order=order)))
    detector.learn([(signal[: detector.initial_samples], 0)])
    at, speeds = 0, []
    for _ in range(6):
        begun = time.perf_counter()
        for i in range(0, n - chunk + 1, chunk):
            detector.process(signal[i : i + chunk], at)
            at += chunk
        speeds.append((n // chunk) * chunk * channels / (time.perf_counter() - begun) / 1e6)
    return float(np.median(speeds[1:]))


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per set-up."""
    parser = argparse.ArgumentParser(prog="python -m bench detector")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--chunk-ms", type=float)
    parser.add_argument("--order", type=int, default=1)
    args = parser.parse_args(arguments)
    copy = copy_msamples_per_s()
    rows = []
    for channels in [args.channels] if args.channels else [64, 256, 1024, 4096]:
        for chunk_ms in [args.chunk_ms] if args.chunk_ms else [1, 20, 1000]:
            for dead in (0, 16):
                chunk = max(1, round(chunk_ms * 1e-3 * RATE_HZ))
                speed = detector_msamples_per_s(channels, chunk, dead, args.order)
                rows.append(
                    {
                        "channels": channels,
                        "chunk_ms": chunk_ms,
                        "dead": f"1 in {dead}" if dead else "none",
                        "msamples_per_s": round(speed),
                        "copy_msamples_per_s": round(copy),
                        "ratio": round(speed / copy, 3),
                        "channels_at_20khz": round(speed * 1e6 / RATE_HZ),
                        "us_per_call": round(chunk * channels / speed, 1),
                    }
                )
    return rows
