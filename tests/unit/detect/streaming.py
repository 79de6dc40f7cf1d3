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
from rtspikes.protocols import Crew
from rtspikes.types import StreamInfo

Segments = list[tuple[int, NDArray[Any]]]


class Results(list[Events]):
    """What each call gave, and at the end `counts` and `observed` (channels,), the detector's own."""

    counts: NDArray[np.int64]
    observed: NDArray[np.int64]


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
    crew: Crew | None = None,
) -> Results:
    """Return what each call gave, in order; the last entry is `finish`.

    Changes are scheduled before the start, or `late`: just before the call that brings their sample.
    """
    begin = segments[0][0]
    detector = Detector(info, settings, rules, begin, sigma_uv, crew)
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
    results = Results()
    for i, (first, x) in enumerate(segments):
        for a, b in cut(len(x), sizes):
            schedule(first + b)
            results.append(detector.process(np.ascontiguousarray(x[a:b]), first + a, restart=i > 0 and a == 0))
    schedule(math.inf)
    results.append(detector.finish())
    results.counts, results.observed = detector.counts.copy(), detector.observed
    return results


def joined(results: Results) -> dict[str, Any]:
    """Return everything that was found as bytes (thresholds and findings too), to be compared."""
    columns = ("crossings", "spikes", "waveforms", "flags", "neighbours", "rejected", "unobserved")
    return {
        **{name: np.concatenate([getattr(e, name) for e in results]).tobytes() for name in columns},
        "thresholds": [
            (t.sample, t.sigma_uv.tobytes(), t.below_uv.tobytes(), t.above_uv.tobytes())
            for e in results
            for t in e.thresholds
        ],
        "findings": [(f.sample, f.cause, f.text, f.amount, dict(f.facts)) for e in results for f in e.findings],
        "counts": results.counts.tolist(),
        "observed": results.observed.tolist(),
    }
