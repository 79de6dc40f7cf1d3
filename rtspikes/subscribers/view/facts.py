"""What stays the same while a session is looked at: channels, their rows in the raster, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.view.scene import COLUMN_S, KEPT_S, MOST_ROWS, MOST_SELECTED

Info = Mapping[str, Any]
"""The fields of an `info` message, or `info` of a log."""


FURTHEST = 2**53
"""Samples beyond are no whole numbers in a browser."""

LONGEST_SNIPPET = 2**20


def check(info: Info) -> None:
    """Raise KeyError, TypeError or ValueError where an engine says what no page could show."""
    n = info["n_channels"]
    columns = {**info["channels"], "enabled": info["enabled"]}
    for name in ("label", "kind", "enabled"):
        columns[name]  # must be there
    for name, column in columns.items():
        if not isinstance(column, list) or len(column) != n:
            raise ValueError(f"{name} must be a list of {n!r:.20}")
    if not {*map(type, info["enabled"])} <= {bool}:
        raise ValueError("enabled must be true or false for each channel")
    if not 0 < float(info["rate_hz"]) < 1e9 or not abs(int(info["first_sample"])) < FURTHEST:
        raise ValueError(f"rate_hz or first_sample: {info['rate_hz']!r:.40}, {info['first_sample']!r:.40}")
    before, after = info["snippet_samples"]
    if not 0 <= int(before) + int(after) <= LONGEST_SNIPPET:
        raise ValueError(f"snippet_samples: {info['snippet_samples']!r:.40}")


def rows_of(kinds: Sequence[str], wells: Sequence[str | None]) -> NDArray[np.int32]:
    """Return the raster's row of each channel (channels,), −1: none.

    Electrodes in the order of the stream, well by well; with more than MOST_ROWS of them as many share a row as must.
    """
    order = {well: i for i, well in enumerate(dict.fromkeys(wells))}
    electrodes = [c for c, kind in enumerate(kinds) if kind == "electrode"]
    electrodes.sort(key=lambda c: order[wells[c]])
    rows = np.full(len(kinds), -1, np.int32)
    rows[electrodes] = np.arange(len(electrodes)) // max(1, -(-len(electrodes) // MOST_ROWS))
    return rows


def column_samples(rate_hz: float) -> int:
    """Return the width of the raster's columns in samples."""
    return max(1, round(COLUMN_S * rate_hz))


def kept_columns(rate_hz: float) -> int:
    """Return how many columns are kept."""
    return max(1, round(KEPT_S * rate_hz / column_samples(rate_hz)))


def facts(
    info: Info, mode: str, read_only: bool, name: str | None = None, to_sample: int | None = None
) -> dict[str, Any]:
    """Return the `facts` message of a session; mode: "live" or "session"; name: of its log, where there is one."""
    channels, detect = info["channels"], info["detect"]
    rate_hz, n = float(info["rate_hz"]), int(info["n_channels"])
    nothing = [None] * n
    rows = rows_of(channels["kind"], channels.get("well", nothing))
    software = info.get("software", {})
    decides_on_signal = bool(info.get("compares_signal", detect.get("method", "threshold") == "threshold"))
    return {
        "t": "facts",
        "mode": mode,
        "read_only": read_only,
        "session": info["session"],
        "stream": info.get("stream", ""),
        "name": name,
        "keys": info.get("session_keys", {}),
        "source": info["source"]["uri"],
        "software": f"{software.get('name', 'rtspikes')} {software.get('version', '')}",
        "rate_hz": rate_hz,
        "first_sample": info["first_sample"],
        "to_sample": to_sample,
        "n": n,
        **{k: channels.get(k, nothing) for k in ("label", "kind", "well", "x_um", "y_um")},
        "enabled": info["enabled"],
        "row": rows.tolist(),
        "rows": int(rows.max(initial=-1)) + 1,
        "column_samples": column_samples(rate_hz),
        "keep_columns": kept_columns(rate_hz),
        "snippet": info["snippet_samples"],
        "method": detect.get("method", "threshold"),
        "polarity": detect.get("sign", "neg"),
        "compares_signal": decides_on_signal,
        "default_threshold": info.get("default_threshold"),
        "signals": info.get("trace_signals", []) if mode == "live" else [],
        "most_selected": MOST_SELECTED,
    }
