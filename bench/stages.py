"""Where does the detector's time go, and what bounds it?

Default settings, calls of 20 ms, 5 spikes/s/channel, one core. `ms_per_s`: of each stage in a second of signal, by
timers around them (which cost some 0.3 µs each); `msamples_per_s`: as if it were alone. `rest` is Python between them.

The bound: the filter's sections alone, as the front runs them, on 32 samples of 32 channels that never leave the
first-level cache. Each sample takes 29 floating-point operations of 16 lanes, two of which begin in a cycle; nothing
that keeps every bit (no fused multiply-add, no fastmath) can do with fewer for this filter, and `of_copy`, its part of
a 1 GiB copy in the same run, is what a detector that did nothing else could reach.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
from numba import float32, int16, int64, njit, void

from bench.detector import Copy, Runner, Signals
from bench.pinned import one_core
from bench.recordings import RATE_HZ
from rtspikes.detect.cascade import cascade, kinds_of
from rtspikes.detect.events import Register
from rtspikes.detect.filter import design
from rtspikes.detect.front import Front
from rtspikes.detect.methods.threshold import ThresholdMethod
from rtspikes.detect.noise import NoiseTracker
from rtspikes.detect.search import Search
from rtspikes.detect.settings import FilterSettings
from rtspikes.detect.vectors import WIDTH, filled, load, minimum, store
from rtspikes.detect.vetoes import Vetoes

Row = dict[str, Any]

STAGES: dict[str, tuple[type, str]] = {
    "front: scale, hold, filter, first look": (Front, "run"),
    "noise level": (NoiseTracker, "work"),
    "crossings": (ThresholdMethod, "scan"),
    "peaks, waveforms, rebound": (Search, "end"),
    "vetoes, order": (Vetoes, "judge"),
    "tables, ids": (Register, "enter"),
}

CHUNK_MS = 20

ROUNDS = 2000
"""Times that the sections run over the samples in the cache."""


def timed(function: Callable[..., Any], name: str, took_s: Counter[str]) -> Callable[..., Any]:
    """Return the function with its time added up under `name`."""

    def call(*args: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        result = function(*args, **options)
        took_s[name] += time.perf_counter() - begun
        return result

    return call


def by_stage(channels: int, signals: Signals) -> list[Row]:
    """Return a row per stage, of the middle one of three passes."""
    runner = Runner(*signals.get(channels), CHUNK_MS)
    passes = sorted((_pass(runner) for _ in range(3)), key=lambda each: each["whole"])
    return [
        {
            "channels": channels,
            "stage": name,
            "ms_per_s": round(1e3 * passes[1][name] * channels * RATE_HZ, 2),
            "msamples_per_s": round(1e-6 / passes[1][name]),
        }
        for name in (*STAGES, "rest", "whole")
    ]


def _pass(runner: Runner) -> dict[str, float]:
    """Return how long (s) each stage takes for a sample of one channel, in a pass through the signal."""
    took_s: Counter[str] = Counter()
    with ExitStack() as stack:
        for name, (owner, method) in STAGES.items():
            stack.enter_context(mock.patch.object(owner, method, timed(getattr(owner, method), name, took_s)))
        begun = time.perf_counter()
        speed = runner.msamples_per_s()
        whole_s = time.perf_counter() - begun
    took_s["rest"] = whole_s - took_s.total()
    took_s["whole"] = whole_s
    return {name: s / (speed * 1e6 * whole_s) for name, s in took_s.items()}


def sections_alone() -> float:
    """Return the speed (Msamples/s) of the filter's sections, scale and first look on samples in the cache."""
    sections = design(FilterSettings(), RATE_HZ)
    coefficients, restored, kept, step = cascade(kinds_of(sections))

    @njit(void(int16[:, ::1], float32[:, ::1], float32[:, :, :, ::1], float32[:, ::1], int64), nogil=True)
    def run(raw, sections, states, out, rounds):  # type: ignore[no-untyped-def]
        filters, gain, offset = coefficients(sections), filled(float32(0.195)), filled(float32(0))
        a, b = restored(states, 0, 0), restored(states, 0, WIDTH)
        low_a = low_b = filled(float32(0))
        for _ in range(rounds):
            for i in range(len(raw)):
                y, a = step(load(raw, (i, 0)) * gain + offset, a, filters)
                z, b = step(load(raw, (i, WIDTH)) * gain + offset, b, filters)
                store(out, (i, 0), y)
                store(out, (i, WIDTH), z)
                low_a, low_b = minimum(y, low_a), minimum(z, low_b)
        kept(states, 0, 0, a)
        kept(states, 0, WIDTH, b)
        store(out, (0, 0), low_a)
        store(out, (0, WIDTH), low_b)

    raw = np.random.default_rng(1).integers(-100, 100, (32, 2 * WIDTH)).astype(np.int16)
    states, out = np.zeros((1, len(sections), 2, 2 * WIDTH), np.float32), np.zeros((32, 2 * WIDTH), np.float32)
    speeds = []
    for _ in range(7):
        begun = time.perf_counter()
        run(raw, sections, states, out, ROUNDS)
        speeds.append(ROUNDS * raw.size / (time.perf_counter() - begun) / 1e6)
    return float(np.median(speeds))


def run(arguments: list[str]) -> list[Row]:
    """Return the rows of both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench stages")
    parser.add_argument("--channels", type=int)
    args = parser.parse_args(arguments)
    signals = Signals()
    with one_core():
        copied, bound = Copy().msamples_per_s(), sections_alone()
        rows = [
            row
            for channels in ([args.channels] if args.channels else [64, 1024, 4096])
            for row in by_stage(channels, signals)
        ]
    return [
        *rows,
        {"bound": "sections alone, in the cache", "msamples_per_s": round(bound), "of_copy": round(bound / copied, 2)},
        {"bound": "copy of 1 GiB", "msamples_per_s": round(copied), "of_copy": 1.0},
    ]
