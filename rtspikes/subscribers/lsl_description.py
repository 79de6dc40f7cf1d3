"""What the outlets of spikes and of their markers say of themselves, so that a recording explains itself."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from typing import Any

from rtspikes import lsl
from rtspikes.lsl.text import shown
from rtspikes.subscribers.plain import plain
from rtspikes.version import __version__

SPIKE_TYPE, MARKER_TYPE = "Spikes", "Events"
"""LSL's content types. Not `Markers`: an engine whose `[[markers]]` asks for that type must not get its own spikes."""

CHANNELS = {
    "channel": ("", "position of the spike's channel in the stream, from 0; its label is in source_channels"),
    "amplitude_uv": ("microvolts", "filtered signal at the spike's sample, signed"),
    "unit": ("", "-1: unsorted"),
    "threshold_uv": ("microvolts", "threshold that was crossed, signed"),
    "sample": ("samples", "absolute index of the peak, which the time stamp belongs to"),
    "crossing": ("samples", "absolute index of the crossing"),
    "id": ("", "from 0 in each session; ids of events that were rejected are left out"),
}
"""Channel of the spike stream, named as the column of SPIKE_DTYPE → its unit and meaning."""

LONGEST, LONGEST_NAME = 4000, 200
"""Characters of a text that comes from the engine, and of a stream's name."""


def layout_digest(info: Mapping[str, Any], endpoint: str) -> str:
    """Return 16 hexadecimal digits that are the same for the same channels of the same stream at the same address."""
    said = [platform.node(), endpoint, info.get("stream"), info["rate_hz"], plain(info["channels"])]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:16]


def default_name(info: Mapping[str, Any]) -> str:
    """Return the name of the spikes' stream: after the stream that they come from, where that has one."""
    name = _entries(info, "source").get("name") or info.get("stream") or "array"
    return f"{shown(str(name), LONGEST_NAME)}-spikes"


def describe_spikes(info: Mapping[str, Any], endpoint: str, name: str) -> Any:
    """Return the pylsl.StreamInfo of the spikes of a session: irregular, double64, a channel for each of CHANNELS."""
    pylsl = lsl.load()
    source_id = f"rtspikes-spikes-{layout_digest(info, endpoint)}"
    described = pylsl.StreamInfo(name, SPIKE_TYPE, len(CHANNELS), pylsl.IRREGULAR_RATE, pylsl.cf_double64, source_id)
    channels = described.desc().append_child("channels")
    for label, (unit, meaning) in CHANNELS.items():
        _append(channels, "channel", {"label": label, "unit": unit, "type": SPIKE_TYPE, "description": meaning})
    _append_origin(described, info, endpoint)
    labels = described.desc().append_child("source_channels")
    for label in info["channels"]["label"]:
        _append(labels, "channel", {"label": label})
    return described


def describe_markers(info: Mapping[str, Any], endpoint: str, name: str) -> Any:
    """Return the pylsl.StreamInfo of the markers of a session: irregular, one string."""
    pylsl = lsl.load()
    source_id = f"rtspikes-markers-{layout_digest(info, endpoint)}"
    described = pylsl.StreamInfo(name, MARKER_TYPE, 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, source_id)
    channels = described.desc().append_child("channels")
    _append(channels, "channel", {"label": "event", "type": MARKER_TYPE})
    _append_origin(described, info, endpoint)
    return described


def _append_origin(described: Any, info: Mapping[str, Any], endpoint: str) -> None:
    """Append where the spikes come from, and how they were found."""
    source = _entries(info, "source")
    keys = ("uri", "name", "type", "source_id", "hostname", "uid", "session_id")
    facts = {key: source[key] for key in keys if key in source}
    _append(described.desc(), "source", facts | {"rate_hz": info["rate_hz"], "n_channels": info["n_channels"]})
    _append(
        described.desc(),
        "engine",
        {
            "software": "rtspikes",
            "version": _entries(info, "software").get("version", ""),
            "outlet_version": __version__,
            "endpoint": endpoint,
            "stream": info.get("stream", ""),
            "session": info.get("session", ""),
            "detect": json.dumps(plain(info.get("detect", {}))),
            "channel_rules": json.dumps(plain(info.get("channel_rules", []))),
            "noise_estimator": info.get("noise_estimator", ""),
        },
    )


def _append(parent: Any, name: str, entries: Mapping[str, Any]) -> None:
    """Append an element with a child for each entry that says something."""
    element = parent.append_child(name)
    for key, value in entries.items():
        if text := _text(value):
            element.append_child_value(key, text)


def _text(value: Any) -> str:
    """Return a value as text that XML can hold."""
    return shown(repr(value) if isinstance(value, float) else str(value), LONGEST)


def _entries(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = info.get(key)
    return found if isinstance(found, Mapping) else {}
