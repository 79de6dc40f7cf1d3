"""Feeds a detector block by block, however the blocks are cut."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.changes import Change
from rtspikes.detect.detector import Detector, Events
from rtspikes.detect.settings import ChannelRule, DetectSettings
from rtspikes.types import StreamInfo

Segments = list[tuple[int, NDArray[Any]]]


def cut(n: int, sizes: Iterable[int]) -> list[tuple[int, int]]:
    """Return (start, stop) pieces of [0, n) with the given sizes, the last size for the rest."""
    pieces, at, size = [], 0, n
    it = iter(sizes)
    while at < n:
        size = next(it, size)
        pieces.append((at, min(n, at + size)))
        at += size
    return pieces


def stream(
    segments: Segments,
    info: StreamInfo,
    settings: DetectSettings,
    sizes: Sequence[int],
    rules: Sequence[ChannelRule] = (),
    sigma_uv: NDArray[np.float32] | None = None,
    changes: Sequence[tuple[int, Change]] = (),
    late: bool = False,
) -> list[Events]:
    """Return what each call gave, in order; the last entry is `finish`.

    Changes are scheduled before the start, or `late`: just before the call that brings their sample.
    """
    begin = segments[0][0]
    detector = Detector(info, settings, rules, begin, sigma_uv)
    waiting = deque(sorted(changes, key=lambda change: change[0]))

    def schedule(end: float) -> None:
        while waiting and waiting[0][0] < end:
            sample, change = waiting.popleft()
            detector.schedule(change, sample)

    if not late:
        schedule(math.inf)
    limit = begin + detector.initial_samples
    if detector.initial_samples:
        held = [(np.ascontiguousarray(x[: limit - first]), first) for first, x in segments if first < limit]
        detector.learn(held, restarts=[first for first, _ in segments[1:]])
    results = []
    for i, (first, x) in enumerate(segments):
        for a, b in cut(len(x), sizes):
            schedule(first + b)
            results.append(detector.process(np.ascontiguousarray(x[a:b]), first + a, restart=i > 0 and a == 0))
    schedule(math.inf)
    return [*results, detector.finish()]


def joined(results: list[Events]) -> dict[str, Any]:
    """Return everything that was found as bytes (thresholds too), to be compared."""
    return {
        "crossings": np.concatenate([e.crossings for e in results]).tobytes(),
        "spikes": np.concatenate([e.spikes for e in results]).tobytes(),
        "waveforms": np.concatenate([e.waveforms for e in results]).tobytes(),
        "rejected": np.concatenate([e.rejected for e in results]).tobytes(),
        "thresholds": [
            (t.sample, t.sigma_uv.tobytes(), t.below_uv.tobytes(), t.above_uv.tobytes())
            for e in results
            for t in e.thresholds
        ],
    }
