"""Facts of where a session comes from: software, source, channels, clock."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from rtspikes.subscribers.account.told import Told

SEPARATE = ("name", "version")
"""Entries of `info.software` that are rtspikes' own; all others are versions of what it uses."""


def origin_facts(log: Told, info: Told, electrodes: Electrodes) -> dict[str, Any]:
    """Return them, None where nothing is told."""
    software = info.tree("software")
    logged = info.tree("clock") or next(iter(log.any("clocks") or [{}]))
    clock = Told(logged, "session.json: clock")
    return {
        "session_id": info.text("session"),
        "log_format": log.whole("format"),
        "part": log.whole("part"),
        "follows": log.text("follows"),
        "rtspikes_version": info.text("software.version"),
        "libraries": {k: str(v) for k, v in software.items() if k not in SEPARATE},
        "logged_with": {k: str(v) for k, v in log.tree("written_by").items()},
        "began_utc": clock.text("utc"),
        "began_lsl_s": clock.number("lsl_s"),
        "session_keys": {k: v for k, v in info.tree("session_keys").items() if v is not None},
        **_source(info),
        **electrodes.facts(),
    }


class Electrodes:
    """The channels as `info` tells them; `enabled` are those that were searched for spikes."""

    def __init__(self, info: Told) -> None:
        channels = info.tree("channels")
        self.labels = [str(label) for label in channels["label"]]
        self.enabled = [bool(each) for each in info.any("enabled")]
        self.kinds: list[str] | None = channels.get("kind")
        self.wells: list[str | None] = channels.get("well") or [None] * len(self.labels)
        self.gains: list[float] = info.numbers("channels.gain_uv") or []

    def well_sizes(self) -> Counter[str | None]:
        """Return how many electrodes each well has; nothing where kinds are not told."""
        kinds = self.kinds or []
        return Counter(well for well, kind in zip(self.wells, kinds, strict=False) if kind == "electrode")

    def names(self, positions: Any) -> list[str]:
        """Return the labels of some channels."""
        return [self.labels[int(p)] for p in positions]

    def facts(self) -> dict[str, Any]:
        """Return how many channels there are, of what kinds, and which electrodes were not searched."""
        found: dict[str, Any] = {"channels": len(self.labels), "electrodes_enabled": sum(self.enabled)}
        if self.kinds is not None:
            kinds = Counter(self.kinds)
            of_electrodes = [kind == "electrode" for kind in self.kinds]
            disabled = [
                i for i, (is_one, on) in enumerate(zip(of_electrodes, self.enabled, strict=True)) if is_one > on
            ]
            found |= {
                "electrodes": kinds.pop("electrode", 0),
                "other_channels": dict(kinds),
                "electrodes_disabled": self.names(disabled),
                "wells": len([well for well in self.well_sizes() if well is not None]),
            }
        gains = {abs(gain) for gain in self.gains}
        found["uv_per_unit"] = gains.pop() if len(gains) == 1 else None
        return found


def _source(info: Told) -> dict[str, Any]:
    uri = info.text("source.uri") or ""
    scheme, _, address = uri.partition(":")
    name = PurePosixPath(PureWindowsPath(address).as_posix()).name if scheme == "file" else address
    return {
        "source_kind": scheme,
        "source_name": info.text("source.name") if scheme == "lsl" and info.text("source.name") else name,
        "source_live": info.flag("source.live"),
        "sampling_rate_hz": info.number("rate_hz"),
        "sample_type": info.text("source.dtype"),
    }
