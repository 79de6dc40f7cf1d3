"""What a person needs to see to choose a threshold; made by `tune`, drawn by `rtspikes.pictures`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Curve:
    """Events against threshold, of one channel or of several together.

    levels: (K,) ascending thresholds, in the unit of the tuning. rate_hz: (K,) events per second of observed time and
    channel. floor_hz: (K,) what Gaussian noise with the same spectrum and noise level gives; NaN where that is not
    known. noise_hz: (K,) the same for noise as much wider as `widening` says, which the plateau rests on. plateau: from
    where to where the estimated number of errors hardly depends on the threshold; None: there is none, because hardly
    any event stands out of the noise. suggestion: its middle; without one, the threshold that noise passes once a
    minute and channel; where noise is not known, what the settings say.
    """

    levels: NDArray[np.float64]
    rate_hz: NDArray[np.float64]
    floor_hz: NDArray[np.float64]
    noise_hz: NDArray[np.float64]
    widening: float
    plateau: tuple[float, float] | None
    suggestion: float

    @property
    def noise_known(self) -> bool:
        """Whether it is known what noise alone gives."""
        return not bool(np.isnan(self.floor_hz).any())


@dataclass(frozen=True, slots=True)
class Found:
    """What is found on one channel at one threshold.

    sample: (events,) their samples, absolute. amplitude_uv: (events,) signed. waveforms_uv: (events, samples), as
    `Tuning.snippet` says.
    """

    level: float
    sample: NDArray[np.int64]
    amplitude_uv: NDArray[np.float32]
    waveforms_uv: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """One channel.

    why: what it tells, in a few words. found: at each candidate. signal_uv: (samples,) the filtered, referenced signal
    from the absolute sample `first` on; NaN where it is not known. compared_uv: (samples,) what the method compares
    with its threshold, where that is not the signal. sigma_uv: σ of what is compared, there. lines_uv: for each
    candidate the thresholds (µV, signed) that `signal_uv`, or `compared_uv` where there is one, must pass.
    """

    position: int
    label: str
    why: str
    curve: Curve
    found: tuple[Found, ...]
    first: int
    signal_uv: NDArray[np.float32]
    compared_uv: NDArray[np.float32] | None
    sigma_uv: float
    lines_uv: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """Everything about a stretch of signal and a method.

    source: what was looked at. unit: of thresholds: "σ", "µV" or "units". candidates: three ascending thresholds.
    current: the threshold that the settings say, if they say one. curve: all electrodes together. rates_hz, sigma_uv:
    (channels,) at the suggestion; NaN where a channel is no electrode, or dead. places_um: (channels, 2), NaN where
    unknown. wells: (channels,) names or None. snippet: samples of a waveform before and from its event on. toml: lines
    to paste. notes: what is to be known of the material (losses, how much was used).
    """

    source: str
    method: str
    unit: str
    sign: str
    rate_hz: float
    seconds: float
    candidates: tuple[float, float, float]
    current: float | None
    curve: Curve
    views: tuple[View, ...]
    labels: tuple[str, ...]
    rates_hz: NDArray[np.float64]
    sigma_uv: NDArray[np.float64]
    places_um: NDArray[np.float64]
    wells: tuple[str | None, ...]
    snippet: tuple[int, int]
    toml: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain values, for `--json`."""

        def curve(of: Curve) -> dict[str, Any]:
            return {
                "suggestion": of.suggestion,
                "plateau": of.plateau,
                "noise_widening": of.widening,
                "threshold": of.levels.tolist(),
                "events_per_s_and_channel": of.rate_hz.tolist(),
                "noise_events_per_s_and_channel": [None if np.isnan(f) else f for f in of.floor_hz.tolist()],
            }

        return {
            "source": self.source,
            "method": self.method,
            "unit": self.unit,
            "seconds": self.seconds,
            "candidates": self.candidates,
            "toml": self.toml,
            "notes": self.notes,
            **curve(self.curve),
            "channels": [
                {"channel": view.position, "label": view.label, "why": view.why, "sigma_uv": view.sigma_uv}
                | curve(view.curve)
                for view in self.views
            ],
        }
