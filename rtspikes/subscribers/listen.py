"""Prints what arrives: a line per spike for people, JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rtspikes.subscribers.names import flag_names, reason_name
from rtspikes.subscribers.plain import plain, with_lists
from rtspikes.wire.batch import Batch

TABLE_FIELDS: dict[str, Callable[[Batch], Any]] = {
    "spikes": lambda b: b.spikes,
    "crossings": lambda b: b.crossings,
    "rejected": lambda b: b.rejected,
    "gaps": lambda b: b.gaps,
    "marks": lambda b: b.marks,
    "unobserved": lambda b: b.unobserved,
}


def lines(batch: Batch, info: dict[str, Any], as_json: bool) -> Iterator[str]:
    """Yield the lines of one batch: one per event, or one per message for kinds without a table."""
    for event in _events(batch, info):
        if as_json:
            yield json.dumps({"kind": batch.kind, **{k: plain(v) for k, v in event.items()}}, ensure_ascii=False)
        else:
            yield _printable(_event_text(batch.kind, event, info))


def _events(batch: Batch, info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a batch says, by event or as one."""
    if batch.kind not in TABLE_FIELDS:
        fields = {k: v for k, v in batch.fields.items() if k not in ("columns", "dtypes", "waveforms")}
        if batch.kind == "status":
            fields = with_lists(fields)
        if batch.thresholds is not None:
            fields |= {name: batch.thresholds[name].tolist() for name in batch.thresholds.dtype.names or ()}
        yield fields
        return
    labels = info.get("channels", {}).get("label", [])
    table = TABLE_FIELDS[batch.kind](batch)
    for i, row in enumerate(table.tolist()):
        event = dict(zip(table.dtype.names or (), row, strict=True))
        if "channel" in event:
            event["label"] = labels[event["channel"]] if event["channel"] < len(labels) else str(event["channel"])
        if batch.kind == "marks":
            event["text"] = batch.texts[i]
        if batch.kind == "spikes" and len(batch.flags):
            event["flags"] = int(batch.flags[i])
        if batch.kind == "spikes" and batch.neighbours.size:
            event["neighbours"] = batch.neighbours[i].tolist()
        yield event


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


def _event_text(kind: str, event: dict[str, Any], info: Mapping[str, Any]) -> str:
    rate_hz = float(info["rate_hz"])
    if kind == "spikes":
        at = f"{event['sample'] / rate_hz:12.4f} s"
        flags = "".join(f"  {name}" for name in flag_names(info, event.get("flags", 0)))
        height = f"{event['amplitude_uv']:9.1f} µV  (threshold {event['threshold_uv']:.1f} µV)"
        return f"{at}  {event['label']:>8}  {height}{flags}"
    if kind == "crossings":
        at = f"{event['crossing'] / rate_hz:12.4f} s"
        return f"{at}  {event['label']:>8}  crossed {event['threshold_uv']:.1f} µV"
    if kind == "rejected":
        at, why = f"{event['crossing'] / rate_hz:12.4f} s", reason_name(info, "reject_reasons", event["reason"])
        return f"{at}  {event['label']:>8}  rejected: {why}  (threshold {event['threshold_uv']:.1f} µV)"
    if kind == "unobserved":
        at, why = f"{event['sample'] / rate_hz:12.4f} s", reason_name(info, "unobserved_reasons", event["reason"])
        return f"{at}  {event['label']:>8}  not observed for {(event['stop'] - event['sample']) / rate_hz:.4f} s: {why}"
    if kind == "marks":
        at, signal = f"{event['sample'] / rate_hz:12.4f} s", f"line {event['line']} = {event['value']}"
        of_signal = event["line"] or event["value"]
        text = f"{event['text']}  ({signal})" if event["text"] and of_signal else event["text"] or signal
        return f"{at}      mark  {text}"
    if kind == "notices" and event.get("cause") == "control" and isinstance(event.get("sample"), int):
        return f"{event['sample'] / rate_hz:12.4f} s   control  {event.get('text')}  (by {event.get('by')})"
    return kind + "  " + "  ".join(f"{k}={plain(v)}" for k, v in event.items() if k not in ("v", "session", "observed"))


def _printable(line: str) -> str:
    """Return a line with what would move a terminal's cursor, or worse, as its escape: texts come from anywhere."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
