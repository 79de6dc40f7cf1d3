"""Batches as an engine's subscriber gets them, and a clock that is moved by hand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.subscribers.log.writer import LogWriter
from rtspikes.types import GAP_DTYPE, MARK_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, UNOBSERVED_DTYPE
from rtspikes.wire.batch import Batch
from rtspikes.wire.codec import LEVELS_DTYPE

INFO: dict[str, Any] = {
    "session": "s1",
    "first_sample": 0,
    "settling_samples": 100,
    "enabled": [True, True, True],
    "source": {"uri": "test:"},
    "rate_hz": 1000.0,
    "snippet_samples": [1, 2],
    "channels": {"label": ["E1", "E2", "µ3"]},
    "session_keys": {"culture": "A12"},
    "reject_reasons": {"1": "cut", "2": "rebound"},
    "unobserved_reasons": {"1": "blanked", "2": "storm"},
    "spike_flags": {"1": "coincident"},
}


class HandClock:
    time_s = 10.0

    def now(self) -> float:
        return self.time_s

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        raise AssertionError("a log does not wait")


def spikes(first: int, n: int, **about: Any) -> Batch:
    """Return `n` spikes, their triggers from sample `first` on; waveforms and flags say which spike they belong to."""
    rows = np.zeros(n, SPIKE_DTYPE)
    rows["id"] = rows["crossing"] = first + np.arange(n)
    rows["sample"] = rows["crossing"] + 1
    rows["time"] = rows["sample"] / 3
    rows["channel"] = np.arange(n) % 3
    rows["unit"] = -1
    rows["amplitude_uv"] = -50 - np.arange(n) / 7
    rows["threshold_uv"] = -30.1
    waveforms = rows["id"][:, None].astype(np.float32) + np.float32([0, 0.1, np.nan])
    flags = (rows["id"] % 2).astype(np.uint8)
    return Batch("spikes", "s1", first, first + n, **{"spikes": rows, "waveforms": waveforms, "flags": flags} | about)


def rejected(sample: int) -> Batch:
    rows = np.array([(7, sample, 0.5, 1, 1, -30)], REJECTED_DTYPE)
    return Batch("rejected", "s1", 0, 0, rejected=rows)


def unobserved(*rows: tuple[int, int, int, int]) -> Batch:
    """Return intervals: (sample, stop, channel, reason)."""
    return Batch("unobserved", "s1", 0, 0, unobserved=np.array(list(rows), UNOBSERVED_DTYPE))


def gap(sample: int, lost: int, cause: int = 2, uncertain: int = 0) -> Batch:
    return Batch("gaps", "s1", 0, 0, gaps=np.array([(sample, lost, 0.5, cause, uncertain)], GAP_DTYPE))


def thresholds(sample: int, first_channel: int = 0) -> Batch:
    levels = np.array([(6, -30, np.nan), (7, -35, np.nan)], LEVELS_DTYPE)
    fields = {"v": 1, "session": "s1", "seq": 0, "sample": sample, "first_channel": first_channel, "n_channels": 3}
    return Batch("thresholds", "s1", 0, 0, thresholds=levels, fields=fields)


def notice(**fields: Any) -> Batch:
    return Batch("notices", "s1", 0, 0, fields={"v": 1, "session": "s1", "seq": 0, **fields})


def marks(sample: int, *texts: str) -> Batch:
    """Return marks at successive samples from `sample` on."""
    rows = np.array([(sample + i, 0.5, 0, i) for i in range(len(texts))], MARK_DTYPE)
    return Batch("marks", "s1", 0, 0, marks=rows, texts=texts)


def control(sample: int, **change: Any) -> Batch:
    """Return the notice of a control change that is in force from `sample` on."""
    return notice(cause="control", sample=sample, change=change, by="local", count=1, text=f"{change['change']}!")


def flushed(path: Path, clock: HandClock, flushes: int = 3) -> LogWriter:
    """Return a writer that is still open; in each of its flushes ten spikes, and one of each of all else."""
    writer = LogWriter(path, INFO, clock)
    for i in range(flushes):
        for batch in (spikes(10 * i, 10), gap(10 * i, i), notice(cause="test", i=i), marks(10 * i, f"µ\n{i}")):
            writer.add(batch)
        writer.add(unobserved((10 * i, 10 * i + 1, 0, 1)))
        writer.flush()
    return writer
