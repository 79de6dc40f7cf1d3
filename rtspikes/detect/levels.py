"""Which height what a method compares must pass on each channel, in σ or µV, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from rtspikes.detect.changes import is_level
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


DEFAULT_THRESHOLD = {"threshold": 4.65, "energy": 8.0, "window": 5.0, "hoop": 4.65, "matched": 4.8}
"""In σ of what the method compares; bench/methods.py shows what others would find."""

UNSIGNED = ("energy",)
"""Methods that compare something without a sign: their thresholds are above 0 whatever the sign of the spikes."""


class ThresholdTable:
    """Per-channel settings as arrays (channels,): who is detected, how high, which way, with what dead time.

    A channel's thresholds are a multiple of σ in its own directions, or fixed in µV.
    """

    def __init__(self, info: StreamInfo, settings: DetectSettings, rules: Sequence[ChannelRule]) -> None:
        n = info.n_channels
        self._labels = info.labels
        self.enabled = np.array([c.kind == "electrode" for c in info.channels], bool)
        self.muted = np.zeros(n, bool)
        multiple = DEFAULT_THRESHOLD[settings.method] if settings.threshold is None else settings.threshold
        self._multiple = np.full(n, multiple, float)
        self._fixed_below = np.full(n, np.nan, np.float32)
        self._fixed_above = np.full(n, np.nan, np.float32)
        self.signs: list[Sign] = [settings.sign] * n
        self.dead_samples = np.zeros(n, np.int64)
        self._unsigned = settings.method in UNSIGNED
        heights: list[float | None] = [settings.threshold_uv] * n
        if settings.method == "window" and settings.window.cutoff_units is not None:
            heights = [settings.window.cutoff_units * abs(c.gain_uv) for c in info.channels]
        dead_ms = [settings.dead_time_ms] * n
        for rule in rules:
            for c in select(rule.select, info.channels):
                if rule.threshold is not UNSET:
                    self._multiple[c], heights[c] = rule.threshold, None
                if rule.threshold_uv is not UNSET:
                    heights[c] = rule.threshold_uv
                if rule.sign is not UNSET:
                    self.signs[c] = rule.sign
                if rule.dead_time_ms is not UNSET:
                    dead_ms[c] = rule.dead_time_ms
                if rule.enabled is not UNSET:
                    self.enabled[c] &= rule.enabled
        self._falling = np.array([sign in ("neg", "both") for sign in self.signs])
        self._rising = np.array([sign in ("pos", "both") for sign in self.signs])
        for c, height in enumerate(heights):
            self.dead_samples[c] = max(SHORTEST_DEAD_TIME, round(dead_ms[c] * 1e-3 * info.rate_hz))
            if height is not None:
                self.fix([c], *self.heights(height, [c]))
        gains = np.array([abs(c.gain_uv) for c in info.channels])
        self.floor_uv = gains * DEAD_CHANNEL_LSB if info.dtype == "int16" else np.full(n, DEAD_CHANNEL_UV)

    def heights(self, height_uv: float, channels: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (falling, rising) thresholds of some channels, in their own directions, from a height in µV.

        Raises ConfigError where the height does not fit the channel's sign.
        """
        level = is_level(height_uv)
        wrong = [c for c in channels if not level or (height_uv < 0 and self.signs[c] != "neg")]
        if wrong:
            raise ConfigError(
                f'threshold_uv must be a height other than 0 (negative only with sign = "neg"), '
                f"got {height_uv:g} with sign = {self.signs[wrong[0]]!r} for channel {self._labels[wrong[0]]!r}"
            )
        below = np.where(self._falling[channels], -abs(height_uv), -np.inf).astype(np.float32)
        above = np.where(self._rising[channels], abs(height_uv), np.inf).astype(np.float32)
        return below, above

    def scale(self, channels: Sequence[int], multiple: float) -> None:
        """Give channels a threshold of `multiple` σ."""
        self._multiple[channels] = multiple
        self._fixed_below[channels] = self._fixed_above[channels] = np.nan

    def fix(self, channels: Sequence[int], below: NDArray[np.float32], above: NDArray[np.float32]) -> None:
        """Give channels fixed thresholds, signed µV; ∓inf: no such crossing."""
        self._fixed_below[channels] = below
        self._fixed_above[channels] = above

    def mute(self, channels: Sequence[int], muted: bool) -> None:
        """Take the thresholds of channels away, or give them back."""
        self.muted[channels] = muted

    def levels(
        self, sigma_uv: NDArray[np.float32], unmuted: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the (falling, rising) thresholds (channels,), signed µV, for σ (channels,); ∓inf: no such crossing.

        unmuted: as if no channel were muted.
        """
        own = np.where(sigma_uv >= self.floor_uv, self._multiple * sigma_uv, np.inf)
        below = np.where(np.isnan(self._fixed_below), np.where(self._falling, -own, -np.inf), self._fixed_below)
        above = np.where(np.isnan(self._fixed_above), np.where(self._rising, own, np.inf), self._fixed_above)
        silent = ~self.enabled if unmuted else self.muted | ~self.enabled
        below[silent], above[silent] = -np.inf, np.inf
        if self._unsigned:
            below, above = np.full_like(below, -np.inf), np.minimum(above, -below)
        return below.astype(np.float32), above.astype(np.float32)
