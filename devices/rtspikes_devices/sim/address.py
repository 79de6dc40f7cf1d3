"""The address of a simulation: `LAYOUT?key=value&…`, for example `60?seed=2&scenario=bicuculline`."""

from __future__ import annotations

import re
import reprlib
import urllib.parse
from dataclasses import dataclass

from rtspikes.errors import ConfigError, nearest
from rtspikes_devices.sim.layouts import MOST_CHANNELS
from rtspikes_devices.sim.scenarios import SCENARIOS


@dataclass(frozen=True, slots=True)
class Simulation:
    """Everything that decides a simulation's samples: the same values give the same samples for ever."""

    layout: str = "60"
    rate: float = 20000.0
    """Sampling rate (Hz), a multiple of 1000: the culture lives in steps of 1 ms."""
    seed: int = 1
    scenario: str = "baseline"
    onset: float = 0.0
    """When (s) the scenario begins; it is `baseline` before."""
    seconds: float | None = None
    """Length (s); without end if None."""
    pitch: float | None = None
    """Distance (µm) between neighbouring electrodes; the layout's own if None."""
    noise: float = 5.0
    """Broadband noise (µV RMS) of an electrode."""
    gaps: float = 0.0
    """Holes of 5 to 50 ms per minute, as a failing connection makes them."""
    live: bool = False
    """Behave as a device that does not wait: what finds no room in the ring is lost, and told."""
    hum: float | None = None
    """Hum (µV, peak), a pure tone and the same on every electrode; 2 to 8 µV with overtones if None."""
    hum_hz: float = 50.0
    """Frequency (Hz) of the mains: 50 or 60."""
    fields: float = 0.0
    """Peak (µV, signed) of field deflections that come once a second; 0: none."""
    doublets: float = 0.0
    """Part of the spikes that a second one of the same neuron follows 2 to 5 ms later; of those that it would not
    follow up within 10 ms by itself."""
    storms: int | None = None
    """How many electrodes storm at once, where a scenario has storms; about one in eight if None."""
    storm_s: float = 1.0
    """Length (s) of a storm."""
    artifact_ms: float = 20.0
    """How long (ms) a stimulus artifact lasts: it falls to 1/e in a tenth of that."""

    def __post_init__(self) -> None:
        """Refuse values outside what the simulation can do."""
        whole_ms = 0 <= self.onset <= 1e6 and abs(self.onset_ms - self.onset * 1000) < 1e-6
        rules = (
            ("rate", 1000 <= self.rate <= 100_000 and self.rate % 1000 == 0, "a multiple of 1000, 1000 … 100000 (Hz)"),
            ("seed", 0 <= self.seed < 2**32, "a whole number 0 … 4294967295"),
            ("scenario", self.scenario in SCENARIOS, f"one of {', '.join(SCENARIOS)}"),
            ("onset", whole_ms, "0 … 1e6 (s), in whole ms"),
            ("seconds", self.seconds is None or 0.001 <= self.seconds <= 1e6, "0.001 … 1e6 (s)"),
            ("pitch", self.pitch is None or 5 <= self.pitch <= 2000, "5 … 2000 (µm)"),
            ("noise", 0 <= self.noise <= 100, "0 … 100 (µV)"),
            ("gaps", 0 <= self.gaps <= 600, "0 … 600 (per minute)"),
            ("hum", self.hum is None or 0 <= self.hum <= 5000, "0 … 5000 (µV)"),
            ("hum_hz", self.hum_hz in (50, 60), "50 or 60 (Hz)"),
            ("fields", -5000 <= self.fields <= 5000, "-5000 … 5000 (µV)"),
            ("doublets", 0 <= self.doublets <= 1, "0 … 1 (part of the spikes)"),
            ("storms", self.storms is None or self.storms <= MOST_CHANNELS, f"0 … {MOST_CHANNELS} (electrodes)"),
            ("storm_s", 0.01 <= self.storm_s <= 4, "0.01 … 4 (s)"),
            ("artifact_ms", 1 <= self.artifact_ms <= 1000, "1 … 1000 (ms)"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ConfigError(f"sim: {name} must be {rule}, got {reprlib.repr(getattr(self, name))}")

    @property
    def onset_ms(self) -> int:
        """When the scenario begins, in whole ms."""
        return round(self.onset * 1000)

    @property
    def onset_sample(self) -> int:
        """Absolute index of the scenario's first sample."""
        return self.onset_ms * round(self.rate) // 1000


def parse_address(address: str) -> Simulation:
    """Return the simulation that an address names; raise ConfigError for unknown keys and impossible values."""
    layout, _, query = address.partition("?")
    values: dict[str, object] = {"layout": layout or "60"}
    readers = {f: _READERS.get(f, _number) for f in Simulation.__dataclass_fields__ if f != "layout"}
    for part in filter(None, query.split("&")):
        name, _, text = part.partition("=")
        if name not in readers:
            raise ConfigError(f"sim: unknown parameter {reprlib.repr(name)}; {nearest(name, readers)}")
        if name in values:
            raise ConfigError(f"sim: {name} must be given once, got it again in {reprlib.repr(part)}")
        values[name] = readers[name](name, urllib.parse.unquote(text))
    return Simulation(**values)  # type: ignore[arg-type]


def _number(name: str, text: str) -> float:
    if len(text) > 64 or not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        raise ConfigError(f"sim: {name} must be a number, got {reprlib.repr(text)}")
    return float(text)


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,32}", text):
        most = MOST_CHANNELS if name == "storms" else 4294967295
        raise ConfigError(f"sim: {name} must be a whole number 0 … {most}, got {reprlib.repr(text)}")
    return int(text)


def _text(name: str, text: str) -> str:
    return text


def _switch(name: str, text: str) -> bool:
    if text not in ("0", "1", "true", "false", ""):
        raise ConfigError(f"sim: {name} must be 1 or 0, got {reprlib.repr(text)}")
    return text not in ("0", "false")


_READERS = {"seed": _whole, "scenario": _text, "live": _switch, "storms": _whole}
