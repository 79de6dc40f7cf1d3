"""Prints what arrives: a line per spike for people, JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from rtspikes.subscribers.plain import plain
from rtspikes.wire.subscribe import Batch

TABLE_FIELDS: dict[str, Callable[[Batch], Any]] = {
    "spikes": lambda b: b.spikes,
    "crossings": lambda b: b.crossings,
    "rejected": lambda b: b.rejected,
    "gaps": lambda b: b.gaps,
}


def lines(batch: Batch, info: dict[str, Any], as_json: bool) -> Iterator[str]:
    """Yield the lines of one batch: one per event, or one per message for kinds without a table."""
    labels = info.get("channels", {}).get("label", [])
    if batch.kind not in TABLE_FIELDS:
        fields = {k: plain(v) for k, v in batch.fields.items() if k not in ("columns", "dtypes", "waveforms")}
        if batch.thresholds is not None:
            fields |= {name: plain(batch.thresholds[name].tolist()) for name in batch.thresholds.dtype.names or ()}
        yield json.dumps({"kind": batch.kind, **fields}, ensure_ascii=False) if as_json else _text(batch.kind, fields)
        return
    table = TABLE_FIELDS[batch.kind](batch)
    names = table.dtype.names or ()
    for row in table.tolist():
        event = dict(zip(names, row, strict=True))
        if "channel" in event:
            event["label"] = labels[event["channel"]] if event["channel"] < len(labels) else str(event["channel"])
        if as_json:
            yield json.dumps({"kind": batch.kind, **{k: plain(v) for k, v in event.items()}}, ensure_ascii=False)
        else:
            yield _event_text(batch.kind, event, float(info["rate_hz"]))


def truth_lines(false: list[tuple[int, int]], missed: Any, info: dict[str, Any], as_json: bool) -> Iterator[str]:
    """Yield a line per event that matches no true spike (sample, channel), and per true spike missed (TRUTH_DTYPE)."""
    labels, rate_hz = info["channels"]["label"], float(info["rate_hz"])
    found = [(sample, channel, "false", "no true spike within 1 ms") for sample, channel in false]
    found += [
        (int(row["sample"]), int(row["channel"]), "missed", f"{row['amplitude_uv']:.0f} µV, raw") for row in missed
    ]
    for sample, channel, kind, text in sorted(found):
        if as_json:
            yield json.dumps({"kind": kind, "sample": sample, "channel": channel, "label": labels[channel]})
        else:
            yield f"{sample / rate_hz:12.4f} s  {labels[channel]:>8}  {kind.upper()}: {text}"


def _event_text(kind: str, event: dict[str, Any], rate_hz: float) -> str:
    if kind == "spikes":
        at = f"{event['sample'] / rate_hz:12.4f} s"
        return f"{at}  {event['label']:>8}  {event['amplitude_uv']:9.1f} µV  (threshold {event['threshold_uv']:.1f} µV)"
    if kind == "crossings":
        at = f"{event['crossing'] / rate_hz:12.4f} s"
        return f"{at}  {event['label']:>8}  crossed {event['threshold_uv']:.1f} µV"
    return _text(kind, event)


def _text(kind: str, fields: dict[str, Any]) -> str:
    return kind + "  " + "  ".join(f"{k}={v}" for k, v in fields.items() if k not in ("v", "session"))
