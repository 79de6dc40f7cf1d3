"""The methods of detection: what of the signal is compared with what, and when that makes an event.

A method decides a crossing `delay` samples later, always the same, from the history of the filtered signal.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.compiled import Arguments
from rtspikes.detect.lanes import Lanes, Look
from rtspikes.detect.levels import ThresholdTable
from rtspikes.detect.settings import DetectSettings
from rtspikes.detect.shadow import Shadow


class Method(Protocol):
    """Makes events of a history."""

    @property
    def delay(self) -> int:
        """Samples from a crossing to the one at which it is decided."""

    @property
    def history(self) -> int:
        """Samples of history before the newest that decide a crossing."""

    @property
    def kept(self) -> int:
        """Samples of history before the newest that it looks at."""

    @property
    def back(self) -> int:
        """Samples before a crossing from which on the extremum is searched."""

    @property
    def finds_extremum(self) -> bool:
        """Whether a crossing is the event's extremum already."""

    @property
    def own_level(self) -> bool:
        """Whether σ is the noise level of what is compared, else of the filtered signal."""

    @property
    def lanes_are_apart(self) -> bool:
        """Whether what it does in one lane does not depend on others."""

    @property
    def widest_tile(self) -> int:
        """Lanes of a tile that it works best on."""

    @property
    def shadow(self) -> Shadow:
        """What large values of what is compared cast on later events."""

    @property
    def boundary(self) -> int:
        """The next sample at which it changes by itself."""

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes; called once."""

    @property
    def compared(self) -> NDArray[np.float32]:
        """The history (tiles, depth, lanes) of what is compared with thresholds."""

    def prepare(self, segment: int, first: int, stop: int) -> None:
        """Work out what is compared for the samples [first, stop)."""

    def scan(self, look: Look) -> None:
        """Make events."""

    @property
    def crosses_signal(self) -> bool:
        """Whether it makes events where the filtered signal itself passes a threshold, and nothing else."""

    def arguments(self, look: Look) -> Arguments:
        """Return what the kernel takes that does so; only of a method that `crosses_signal`."""

    def cross(self, sample: int, sigma: NDArray[np.float32], frozen: bool) -> None:
        """Pass `boundary`, or several up to `sample`, where σ (tiles, lanes), µV, counts; `frozen`: learn nothing."""


def make_method(settings: DetectSettings, rate_hz: float, table: ThresholdTable, search: int) -> Method:
    """Return the method that the settings name; raise ConfigError for settings of its own that do not fit.

    search: samples from a crossing to its extremum, at most. Only the method that is used is compiled.
    """
    match settings.method:
        case "threshold":
            from rtspikes.detect.methods.threshold import ThresholdMethod

            return ThresholdMethod()
        case "energy":
            from rtspikes.detect.methods.energy import EnergyMethod

            return EnergyMethod(rate_hz, settings.energy, table.signs, search)
        case "window":
            from rtspikes.detect.methods.window import WindowMethod

            return WindowMethod(settings.window, int(table.dead_samples.max()))
        case "hoop":
            from rtspikes.detect.methods.hoop import HoopMethod

            return HoopMethod(rate_hz, settings.hoop, max(1, round(settings.peak_ms * 1e-3 * rate_hz)))
        case "matched":
            from rtspikes.detect.methods.matched import MatchedMethod

            return MatchedMethod(rate_hz, settings.matched, table, search, settings.rebound.reject)
