"""Along what thresholds are scanned: multiples of σ, heights in µV, or the window method's cutoff in stream units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from rtspikes.config import Config
from rtspikes.detect.levels import DEFAULT_THRESHOLD
from rtspikes.detect.settings import DetectSettings

Unit = Literal["σ", "µV", "units"]

LOWEST, HIGHEST = 0.65, 2.6
"""The scan goes from LOWEST to HIGHEST times the method's default threshold."""

STEPS = 24


@dataclass(frozen=True, slots=True)
class Axis:
    """Which setting is scanned.

    method: of detection. unit: of the setting's values. current: its value in the settings; the method's default if
    none is said. uv_per_unit: of the stream, where `unit` is "units".
    """

    method: str
    unit: Unit
    current: float
    said: bool
    uv_per_unit: float = 1.0

    @classmethod
    def of(cls, settings: DetectSettings, uv_per_unit: float) -> Axis:
        """Return the axis that the settings have chosen."""
        if settings.method == "window" and settings.window.cutoff_units is not None:
            return cls(settings.method, "units", settings.window.cutoff_units, True, uv_per_unit)
        if settings.threshold_uv is not None:
            return cls(settings.method, "µV", abs(settings.threshold_uv), True)
        said = settings.threshold
        return cls(settings.method, "σ", DEFAULT_THRESHOLD[settings.method] if said is None else said, said is not None)

    def grid(self, sigma_uv: float, highest: float = 0.0) -> NDArray[np.float64]:
        """Return the thresholds of a scan, ascending; sigma_uv: a usual σ of what is compared.

        highest: one that it reaches, if that is not beyond all reason.
        """
        usual = (
            DEFAULT_THRESHOLD[self.method] * {"σ": 1.0, "µV": sigma_uv, "units": sigma_uv / self.uv_per_unit}[self.unit]
        )
        low, high = min(LOWEST * usual, self.current), max(HIGHEST * usual, self.current)
        return np.geomspace(low, high, STEPS + round(20 * np.log(high / low / (HIGHEST / LOWEST))))

    def height_uv(self, level: float, sigma_uv: float) -> float:
        """Return a threshold in µV where σ is `sigma_uv`."""
        return level * {"σ": sigma_uv, "µV": 1.0, "units": self.uv_per_unit}[self.unit]

    def at(self, config: Config, level: float, **changed: Any) -> Config:
        """Return the settings with this threshold on every channel, and other changes of `detect`."""
        detect = config.detect
        if self.unit == "units":
            window = msgspec.structs.replace(detect.window, cutoff_units=level)
            detect = msgspec.structs.replace(detect, threshold=None, threshold_uv=None, window=window)
        elif self.unit == "µV":
            negative = detect.threshold_uv is not None and detect.threshold_uv < 0
            detect = msgspec.structs.replace(detect, threshold=None, threshold_uv=-level if negative else level)
        else:
            detect = msgspec.structs.replace(detect, threshold=level, threshold_uv=None)
        rules = tuple(msgspec.structs.replace(r, threshold=UNSET, threshold_uv=UNSET) for r in config.channels)
        return msgspec.structs.replace(config, detect=msgspec.structs.replace(detect, **changed), channels=rules)

    def toml(self, level: float, negative: bool, channels: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return lines of a configuration: this threshold for what `channels` (selectors) name, or for all."""
        value = f"{-level if negative else level:g}"
        key = {"σ": "threshold", "µV": "threshold_uv", "units": "window.cutoff_units"}[self.unit]
        method = () if self.method == "threshold" else (f'detect.method = "{self.method}"',)
        if channels is None or self.unit == "units":
            return *method, f"detect.{key} = {value}"
        names = ", ".join(json.dumps(selector, ensure_ascii=False) for selector in channels)
        return *method, f"channels = [{{ select = [{names}], {key} = {value} }}]"


def rounded(level: float) -> float:
    """Return a threshold to three digits, the last a 0 or a 5: what a person would type."""
    step = 10.0 ** np.floor(np.log10(level)) / 20
    return float(f"{round(level / step) * step:.4g}")
