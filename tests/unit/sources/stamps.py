"""Streams of stamps as producers make them, without liblsl, and the samples and times that a timeline makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.clock import SampleClock
from rtspikes.protocols import Hole, Remark
from rtspikes.sources.lsl.offset import ClockOffset
from rtspikes.sources.lsl.timeline import Timeline

RATE = 20_000.0


class Push(NamedTuple):
    """What a producer pushes: the indices of its samples, their stamps, and when they arrive."""

    samples: NDArray[np.int64]
    stamps: NDArray[np.float64]
    arrived_s: float


def push(first: int, n: int, last_stamp: float, arrived_s: float, nominal_hz: float = RATE) -> Push:
    """Return a chunk as liblsl delivers it: the stamp of the last sample, the others derived at the nominal rate."""
    samples = np.arange(first, first + n)
    return Push(samples, last_stamp - (n - 1 - np.arange(n)) / nominal_hz, arrived_s)


def counted(
    seconds: float,
    *,
    chunk: int = 20,
    rate_hz: float = RATE,
    nominal_hz: float = RATE,
    start_s: float = 1000.0,
    lost: Callable[[int, int], bool] = lambda first, end: False,
    stamp: Callable[[float], float] = lambda t: t,
    delay_s: Callable[[float], float] = lambda t: 2e-4,
    first: int = 0,
) -> list[Push]:
    """Return chunks stamped by a sample counter: sample n at start + n / rate; those that are `lost` are not pushed."""
    pushes = []
    for at in range(first, first + round(seconds * rate_hz), chunk):
        if not lost(at, at + chunk):
            happened_s = start_s + (at + chunk - 1) / rate_hz
            pushes.append(push(at, chunk, stamp(happened_s), happened_s + delay_s(happened_s), nominal_hz))
    return pushes


def jittered(
    seconds: float,
    late_s: Callable[[np.random.Generator], float],
    *,
    chunk: int = 20,
    rate_hz: float = RATE,
    nominal_hz: float = RATE,
    start_s: float = 1000.0,
    lost: Callable[[int, int], bool] = lambda first, end: False,
    seed: int = 1,
) -> list[Push]:
    """Return chunks stamped when they are pushed, which comes late, but never before the push before."""
    rng = np.random.default_rng(seed)
    pushes: list[Push] = []
    pushed_s = -np.inf
    for at in range(0, round(seconds * rate_hz), chunk):
        pushed_s = max(pushed_s + 2e-6, start_s + (at + chunk) / rate_hz + late_s(rng))
        if not lost(at, at + chunk):
            pushes.append(push(at, chunk, pushed_s, pushed_s + 1e-4, nominal_hz))
    return pushes


def busy(rng: np.random.Generator) -> float:
    """Return how late (s) a push comes on a busy computer: 10 % by more than half a sample, some by 69 samples."""
    kind = rng.random()
    if kind < 0.001:
        return float(rng.uniform(1e-3, 69 / RATE))
    return float(rng.exponential(20e-6) + (rng.exponential(60e-6) if kind < 0.1 else 0.0))


class Heard(NamedTuple):
    """What a timeline made of pushes: for each row that came, its absolute sample, and the producer's index of it."""

    timeline: Timeline
    clock: SampleClock
    samples: NDArray[np.int64]
    produced: NDArray[np.int64]
    holes: list[tuple[int, Hole]]
    remarks: list[Remark]
    resets: list[int]

    @property
    def lost(self) -> int:
        """Samples lost, as told."""
        return sum(hole.lost for _, hole in self.holes)


def hear(
    pushes: Sequence[Push],
    *,
    timeline: Timeline | None = None,
    nominal_hz: float = RATE,
    offset: ClockOffset | None = None,
    buffer_s: float = 10.0,
    meanwhile: Callable[[float], None] = lambda arrived_s: None,
) -> Heard:
    """Give pushes to a timeline, one by one, as the source does: what it holds back comes again with what follows."""
    timeline = timeline or Timeline(nominal_hz, offset or ClockOffset(same_computer=True), buffer_s)
    clock = SampleClock(nominal_hz)
    samples: list[NDArray[np.int64]] = []
    produced: list[NDArray[np.int64]] = []
    holes: list[tuple[int, Hole]] = []
    remarks: list[Remark] = []
    resets: list[int] = []
    next_sample = 0
    stamps, indices = np.zeros(0), np.zeros(0, np.int64)
    for number, pushed in enumerate(pushes):
        meanwhile(pushed.arrived_s)
        stamps, indices = np.append(stamps, pushed.stamps), np.append(indices, pushed.samples)
        while len(stamps):
            verdict = timeline.take(stamps, pushed.arrived_s, final=number == len(pushes) - 1)
            judged = len(stamps) if verdict.held is None else verdict.held
            base = next_sample
            at = np.zeros(judged, np.int64)
            for hole in verdict.holes:
                assert hole.offset <= judged
                at[hole.offset :] += hole.lost
            of_row = np.append(base + np.arange(judged) + at, 0)
            for anchor in verdict.anchors:
                before = sum(h.lost for h in verdict.holes if h.offset <= anchor.offset)
                sample = base + anchor.offset + (before if anchor.offset >= 0 else 0)
                clock.anchor(sample, anchor.time_s, anchor.rate_hz)
                if anchor.reset:
                    resets.append(sample)
            for hole in verdict.holes:
                holes.append(
                    (int(base + hole.offset + sum(h.lost for h in verdict.holes if h.offset < hole.offset)), hole)
                )
            remarks += verdict.remarks
            samples.append(of_row[:judged])
            produced.append(indices[:judged])
            next_sample = base + judged + sum(h.lost for h in verdict.holes)
            stamps, indices = stamps[judged:], indices[judged:]
            if verdict.held is not None:
                break
    return Heard(timeline, clock, np.concatenate(samples), np.concatenate(produced), holes, remarks, resets)
