"""What a page gets, taken apart; and what an engine says, put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.batch import Batch

RATE_HZ = 1000.0
SNIPPET = [1, 2]


def info(n: int = 4, **about: Any) -> dict[str, Any]:
    """Return an `info` of n electrodes at RATE_HZ: the raster's columns are of 10 samples."""
    return {
        "session": "s1",
        "stream": "array",
        "rate_hz": RATE_HZ,
        "n_channels": n,
        "first_sample": 0,
        "enabled": [True] * n,
        "snippet_samples": SNIPPET,
        "channels": {
            "label": [f"E{i}" for i in range(n)],
            "kind": ["electrode"] * n,
            "well": [None] * n,
            "x_um": [0.0] * n,
            "y_um": [0.0] * n,
        },
        "source": {"uri": "test:"},
        "software": {"name": "rtspikes", "version": "0"},
        "detect": {"method": "threshold", "sign": "neg"},
        "gap_causes": {"1": "source", "2": "overrun"},
        "trace_signals": ["filtered", "raw"],
        "session_keys": {"culture": "<b>B7</b>"},
        **about,
    }


def spikes(at: Sequence[tuple[int, int]], to_sample: int, from_sample: int = 0, session: str = "s1") -> Batch:
    """Return spikes (sample, channel) whose waveform is their sample, its negative, NaN."""
    rows = np.zeros(len(at), SPIKE_DTYPE)
    for row, (sample, channel) in zip(rows, at, strict=True):
        row["sample"], row["crossing"], row["channel"], row["amplitude_uv"] = sample, sample, channel, -sample
    waveforms = np.array([[s, -s, np.nan] for s, _ in at], np.float32).reshape(len(at), 3)
    return Batch("spikes", session, from_sample, to_sample, spikes=rows, waveforms=waveforms)


def said(kind: str, session: str = "s1", **fields: Any) -> Batch:
    """Return a message without a table."""
    return Batch(kind, session, 0, 0, fields=fields)


def unpack(message: str | bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return head and arrays of a message, as a browser reads them."""
    if isinstance(message, str):
        return json.loads(message), {}
    size = int.from_bytes(message[:4], "little")
    head = json.loads(message[4 : 4 + size])
    start = -(-(4 + size) // 8) * 8
    arrays = {}
    for name, dtype, shape, offset in head["arrays"]:
        assert offset % 8 == 0
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(message, f"<{dtype}", count, start + offset).reshape(shape)
    return head, arrays


def by_kind(messages: Sequence[str | bytes]) -> dict[str, tuple[dict[str, Any], dict[str, NDArray[Any]]]]:
    """Return the last message of each kind."""
    return {found[0]["t"]: found for found in map(unpack, messages)}
