"""Session logs in memory, as `read_session` would return them, and labels for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.subscribers.labelled import Labelled
from rtspikes.subscribers.log.reader import Session
from rtspikes.types import GAP_DTYPE, MARK_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, THRESHOLD_DTYPE, UNOBSERVED_DTYPE

RATE_HZ = 4000.0
SETTLING = 6
THRESHOLD_UV = -20.0


def session(
    events: Iterable[tuple[int, int]] = (),  # (sample, channel)
    *,
    end: int = 4000,
    first: int = 0,
    joined: int | None = None,  # the logger's first sample
    enabled: Sequence[bool] = (True, True, True),
    gaps: Iterable[tuple[int, int]] = (),  # (sample, lost)
    unobserved: Iterable[tuple[int, int, int]] = (),  # (sample, stop, channel)
    rejected: Iterable[tuple[int, int, int]] = (),  # (crossing, channel, reason)
    mutings: Iterable[tuple[int, str, int]] = (),  # (sample, "mute" or "unmute", channel)
    labels: Sequence[str] | None = None,
    heights: Sequence[float] | None = None,  # of the events, in multiples of the threshold
    **about: Any,
) -> Session:
    """Return a log of RATE_HZ, ordered as an engine writes it; waveforms have a trough at their event."""
    n = len(enabled)
    events = sorted(events)
    spikes = np.zeros(len(events), SPIKE_DTYPE)
    for i, (spike, (sample, channel)) in enumerate(zip(spikes, events, strict=True)):
        height = 1.5 if heights is None else heights[i]
        spike["sample"], spike["crossing"], spike["channel"] = sample, sample - 1, channel
        spike["threshold_uv"], spike["amplitude_uv"] = THRESHOLD_UV, THRESHOLD_UV * height
    shape = -np.exp(-(((np.arange(12) - 4) / 1.5) ** 2)).astype(np.float32)
    thresholds = np.array([(0, c, 4.0, THRESHOLD_UV, np.nan) for c in range(n)], THRESHOLD_DTYPE)
    info = {
        "session": "0123456789abcdef",
        "source": {"uri": "array:"},
        "rate_hz": RATE_HZ,
        "n_channels": n,
        "first_sample": first,
        "settling_samples": SETTLING,
        "snippet_samples": [4, 8],
        "enabled": list(enabled),
        "dead_time_samples": [12] * n,
        "channels": {"label": list(labels or [f"E{i + 1}" for i in range(n)]), "kind": ["electrode"] * n},
        "reject_reasons": {"2": "rebound", "3": "coincidence"},
        "detect": {"method": "threshold"},
        **about,
    }
    controls = [
        {"cause": "control", "sample": sample, "change": {"change": change, "select": channel}}
        for sample, change, channel in mutings
    ]
    return Session(
        path=Path("a.rtspikes"),
        info=info,
        facts={"from_sample": first if joined is None else joined, "ended": {"how": "end"}},
        spikes=spikes,
        waveforms=shape * np.abs(spikes["amplitude_uv"])[:, None],
        flags=np.zeros(len(spikes), np.uint8),
        neighbours=np.zeros((len(spikes), 0), np.float32),
        rejected=np.array([(i, *row[:1], 0.0, *row[1:], -20.0) for i, row in enumerate(rejected)], REJECTED_DTYPE),
        unobserved=np.array([(*row, 1) for row in unobserved], UNOBSERVED_DTYPE),
        gaps=np.array([(*row, 0.0, 1, 0) for row in gaps], GAP_DTYPE),
        thresholds=thresholds,
        marks=np.zeros(0, MARK_DTYPE),
        mark_texts=[],
        notices=controls,
        to_sample=end,
        torn_bytes=0,
    )


def labelled(
    rows: Iterable[tuple[int, int]],
    snr: Sequence[float] | None = None,
    unit: Sequence[str] | None = None,
    kind: str = "",
) -> Labelled:
    """Return labels from (sample, channel)."""
    places = np.array(list(rows), np.int64).reshape(-1, 2)
    heights = np.full(len(places), np.nan) if snr is None else np.array(snr, float)
    return Labelled(kind, places[:, 0], places[:, 1], [""] * len(places) if unit is None else unit, heights)
