"""P4: the live loop neither compiles, nor allocates by the size of the data, nor keeps the GIL."""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from typing import Any

import numpy as np

from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import DetectSettings
from tests.simulated import simulate, stream_info
from tests.system.sources import ArraySource
from tests.system.test_engine import config, run

MODULES = [module for name, module in sys.modules.items() if name.startswith("rtspikes.detect.")]
DISPATCHERS: list[Any] = [
    kernel
    for kernel in {id(k): k for m in MODULES for k in vars(m).values() if hasattr(k, "signatures")}.values()
    if kernel.signatures
]
"""The kernels that Python calls; those that only kernels call have no signature of their own."""


def quiet_detector(n_channels: int, signal: np.ndarray) -> Detector:
    detector = Detector(stream_info(n_channels), DetectSettings(threshold=50))
    detector.learn([(signal[: detector.initial_samples], 0)])
    return detector


def test_all_that_is_compiled_is_compiled_before_ready() -> None:
    compiled = [list(d.signatures) for d in DISPATCHERS]
    assert all(compiled)
    for dtype in ("int16", "float32"):
        samples = simulate(n_channels=3, seconds=1.5)[0].astype(dtype)
        run(ArraySource(stream_info(3, dtype=dtype), samples, [1, 20, 700], {9000: 5}), config())
    assert [list(d.signatures) for d in DISPATCHERS] == compiled


def test_a_wrong_dtype_fails_at_once_instead_of_compiling() -> None:
    signal = np.zeros((20000, 2), np.int16)
    detector = quiet_detector(2, signal)
    try:
        detector.process(signal.astype(np.int64), 0)
    except TypeError:
        return
    raise AssertionError("an int64 block must be refused")


def test_what_a_call_allocates_does_not_grow_with_the_samples_in_it() -> None:
    rng = np.random.default_rng(1)
    signal = rng.integers(-50, 50, (64_000, 64)).astype(np.int16)
    detector = quiet_detector(64, signal)
    detector.process(signal[:20000], 0)
    peaks = []
    tracemalloc.start()
    try:
        at = 20000
        for n in (100, 2000):  # within one noise block, so that both do the same bookkeeping
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            detector.process(signal[at : at + n], at)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            at += n
    finally:
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 4096, (
        f"{peaks} bytes for 100 and 2000 samples of 64 channels (12,800 and 256,000 bytes)"
    )


def test_memory_is_steady_over_many_calls() -> None:
    rng = np.random.default_rng(1)
    signal = rng.integers(-50, 50, (20_000, 32)).astype(np.int16)
    detector = quiet_detector(32, signal)
    at = 0

    def passes(n: int) -> int:
        nonlocal at
        for _ in range(n):
            for i in range(0, len(signal), 500):
                detector.process(signal[i : i + 500], at)
                at += 500
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = passes(3)
        assert passes(12) < first + 20_000
    finally:
        tracemalloc.stop()


def test_other_threads_run_while_the_kernel_works() -> None:
    """A thread that only looks at the clock meets no pause as long as a good part of a long kernel call."""
    rng = np.random.default_rng(1)
    signal = rng.integers(-50, 50, (20_000, 512)).astype(np.int16)
    detector = quiet_detector(512, signal)
    stop, started = threading.Event(), threading.Event()
    looks: list[float] = []

    def look() -> None:
        started.set()
        while not stop.is_set():
            looks.append(time.perf_counter())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    watcher = threading.Thread(target=look)
    try:
        watcher.start()
        started.wait(10)
        best = 1.0
        for i in range(50):  # on a shared machine a pause may be the scheduler's: one call without one is enough
            begun = time.perf_counter()
            detector.process(signal, i * len(signal))
            took = time.perf_counter() - begun
            inside = np.array([begun, *(t for t in list(looks) if begun <= t <= begun + took), begun + took])
            best = min(best, float(np.diff(inside).max() / took))
            looks.clear()
            if best < 0.2:
                break
    finally:
        stop.set()
        watcher.join()
        sys.setswitchinterval(before)
    assert best < 0.2, f"the kernel call kept the GIL for {best:.0%} of its time"
