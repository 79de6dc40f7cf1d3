"""How late crossings reach a subscriber, and where the time goes, from the times that their messages carry.

    sample's time ─chunk─▶ its chunk is whole ─arrive─▶ in the ring ─wait─▶ detection begins ─detect─▶ has found
                                                  ─publish─▶ message is made ─transport─▶ in the subscriber's hands

The subscriber must be on the engine's computer: all times are of its clock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.wire.batch import Batch

STAGES = ("chunk", "arrive", "wait", "detect", "publish", "transport")

TOTALS = ("ring_to_program", "sample_to_program")

PERCENTS = (50.0, 90.0, 99.0, 99.9)

OFF_BEAT = 0.1
"""What lies so much of a period beside the others is none of the regular pulses."""

ROW = np.dtype(
    [
        ("crossing", "<i8"),
        ("channel", "<u4"),
        ("time", "<f8"),
        ("acquired", "<f8"),
        ("begun", "<f8"),
        ("detected", "<f8"),
        ("sent", "<f8"),
        ("received", "<f8"),
    ]
)
"""A crossing, and when (LSL s) it passed each stage."""


class Arrivals:
    """Keeps every crossing that arrives, with its times."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.void]] = []

    def add(self, batch: Batch, now_s: float) -> None:
        """Take in a batch that came at `now_s` (LSL s)."""
        if len(batch.crossings):
            rows = np.empty(len(batch.crossings), ROW)
            for name in ("crossing", "channel", "time"):
                rows[name] = batch.crossings[name]
            for name in ("acquired", "begun", "detected", "sent"):
                rows[name] = batch.fields[f"t_{name}"]
            rows["received"] = now_s
            self._parts.append(rows)

    def rows(self, after: int) -> NDArray[np.void]:
        """Return those at or after an absolute sample, as ROW."""
        rows = np.concatenate([np.empty(0, ROW), *self._parts])
        return rows[rows["crossing"] >= after]


def stages_s(
    rows: NDArray[np.void], rate_hz: float, first_sample: int, chunk: int | None
) -> dict[str, NDArray[np.float64]]:
    """Return how long (s) each crossing (n,) was in each of STAGES, and the TOTALS.

    chunk: samples that come at a time, from `first_sample` on; None: not known, `chunk` is then part of `arrive`.
    """
    stages: dict[str, NDArray[np.float64]] = {}
    whole_s = rows["time"]
    if chunk is not None:
        stages["chunk"] = (chunk - (rows["crossing"] - first_sample) % chunk) / rate_hz
        whole_s = whole_s + stages["chunk"]
    stages["arrive"] = rows["acquired"] - whole_s
    passed = [rows[name] for name in ("acquired", "begun", "detected", "sent", "received")]
    for stage, begin, end in zip(STAGES[2:], passed, passed[1:], strict=False):
        stages[stage] = end - begin
    stages["ring_to_program"] = rows["received"] - rows["acquired"]
    stages["sample_to_program"] = rows["received"] - rows["time"]
    return stages


def percentiles_ms(values_s: NDArray[np.float64]) -> dict[str, float | None]:
    """Return {"p50", "p90", "p99", "p99.9", "max"} in ms; None where there are too few values to tell."""
    n = len(values_s)
    figures: dict[str, float | None] = dict.fromkeys((*(f"p{p:g}" for p in PERCENTS), "max"))
    for p in PERCENTS:
        if n * (100 - p) >= 100:
            figures[f"p{p:g}"] = round(float(np.percentile(values_s, p)) * 1e3, 3)
    if n:
        figures["max"] = round(float(values_s.max()) * 1e3, 3)
    return figures


def summary_ms(stages: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, float | None]]:
    """Return the percentiles of every stage and total."""
    return {name: percentiles_ms(values) for name, values in stages.items()}


def after_marks_s(
    crossings: NDArray[np.void], marks: NDArray[np.void], most_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much the first crossing after each mark came later: by its sample's time, and until received.

    crossings: ROW of one channel. marks: MARK_DTYPE, in order. A mark without a crossing within `most_s` (s), and
    before the next mark, has none.
    """
    times = marks["time"]
    until = np.minimum(np.append(times[1:], np.inf), times + most_s)
    at = np.searchsorted(crossings["time"], times)
    has = at < len(crossings)
    at, times, until = at[has], times[has], until[has]
    near = crossings["time"][at] < until
    found = crossings[at[near]]
    return found["time"] - times[near], found["received"] - times[near]


def behind_period_s(crossings: NDArray[np.void]) -> tuple[float, NDArray[np.float64]]:
    """Return the period (s) of regular pulses by their samples, and how much later than the fastest each was received.

    crossings: ROW of one channel, two at least. Those that do not fit in, of noise, and those after a pulse's first are
    left out. What all have in common, the fastest's own delay, cannot be known.
    """
    times = crossings["time"] - crossings["time"][0]
    steps = np.diff(times)
    number = np.append(0, np.cumsum(np.round(steps / np.median(steps))))
    period_s = float(np.polyfit(number, times, 1)[0])
    off = times - number * period_s
    fits = np.flatnonzero(np.abs(off - np.median(off)) < OFF_BEAT * period_s)
    fits = fits[np.unique(number[fits], return_index=True)[1]]
    period_s = float(np.polyfit(number[fits], times[fits], 1)[0])
    late = crossings["received"][fits] - number[fits] * period_s
    return period_s, np.asarray(late - late.min())


def as_facts(behind: NDArray[np.float64]) -> dict[str, Any]:
    """Return how many values there are, and their percentiles."""
    return {"n": len(behind), **percentiles_ms(behind)}
