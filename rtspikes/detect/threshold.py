"""The threshold method: which height each channel's signal must pass, in σ or µV, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from rtspikes.detect.settings import ChannelRule, DetectSettings, Sign
from rtspikes.errors import ConfigError
from rtspikes.selectors import select
from rtspikes.types import StreamInfo

SHORTEST_DEAD_TIME = 2
"""Samples; the kernel's result buffers rely on it."""

DEAD_CHANNEL_LSB = 0.1
"""A channel whose σ is below this part of one converter step is dead and has no threshold in σ: any would be too low.

Rounding alone gives a live channel 0.15 steps in 300–3000 Hz at 20 kHz (1/√12 over the whole band).
"""

DEAD_CHANNEL_UV = 1e-6
"""The same for float32 samples, whose step is unknown (µV)."""


class ThresholdTable:
    """Per-channel settings as arrays (channels,): who is detected, how high, which way, with what dead time."""

    def __init__(self, info: StreamInfo, settings: DetectSettings, rules: Sequence[ChannelRule]) -> None:
        n = info.n_channels
        self.enabled = np.array([c.kind == "electrode" for c in info.channels], bool)
        self.multiple = np.full(n, settings.threshold)
        self.height_uv = np.full(n, np.nan)
        self.falling = np.zeros(n, bool)
        self.rising = np.zeros(n, bool)
        self.dead_samples = np.zeros(n, np.int64)
        signs: list[Sign] = [settings.sign] * n
        heights: list[float | None] = [settings.threshold_uv] * n
        dead_ms = [settings.dead_time_ms] * n
        for rule in rules:
            for c in select(rule.select, info.channels):
                if rule.threshold is not UNSET:
                    self.multiple[c], heights[c] = rule.threshold, None
                if rule.threshold_uv is not UNSET:
                    heights[c] = rule.threshold_uv
                if rule.sign is not UNSET:
                    signs[c] = rule.sign
                if rule.dead_time_ms is not UNSET:
                    dead_ms[c] = rule.dead_time_ms
                if rule.enabled is not UNSET:
                    self.enabled[c] &= rule.enabled
        for c in range(n):
            self.falling[c] = self.enabled[c] and signs[c] in ("neg", "both")
            self.rising[c] = self.enabled[c] and signs[c] in ("pos", "both")
            self.dead_samples[c] = max(SHORTEST_DEAD_TIME, round(dead_ms[c] * 1e-3 * info.rate_hz))
            height = heights[c]
            if height is not None:
                self.height_uv[c] = self._height(height, signs[c], info.channels[c].label)
        gains = np.array([abs(c.gain_uv) for c in info.channels])
        self.floor_uv = gains * DEAD_CHANNEL_LSB if info.dtype == "int16" else np.full(n, DEAD_CHANNEL_UV)

    @staticmethod
    def _height(height: float, sign: Sign, label: str) -> float:
        if height == 0 or not np.isfinite(height) or (height < 0 and sign != "neg"):
            raise ConfigError(
                f'threshold_uv must be a height other than 0 (negative only with sign = "neg"), '
                f"got {height:g} with sign = {sign!r} for channel {label!r}"
            )
        return abs(height)

    def levels(self, sigma_uv: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the (falling, rising) thresholds (channels,), signed µV, for σ (channels,); ∓inf: no such crossing."""
        own = np.where(sigma_uv >= self.floor_uv, self.multiple * sigma_uv, np.inf)
        height = np.where(np.isnan(self.height_uv), own, self.height_uv)
        below = np.where(self.falling, -height, -np.inf)
        above = np.where(self.rising, height, np.inf)
        return below.astype(np.float32), above.astype(np.float32)
