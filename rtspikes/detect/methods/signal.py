"""What methods have in common that compare the filtered signal itself; others depart from it where they differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.compiled import Arguments
from rtspikes.detect.lanes import NEVER, WIDE_TILE, Lanes, Look
from rtspikes.detect.shadow import no_shadow


class SignalMethod:
    """Compares the filtered signal as it is, decides at once, and never changes by itself (see `Method`)."""

    shadow = no_shadow()
    finds_extremum = own_level = crosses_signal = False
    lanes_are_apart = True
    widest_tile = WIDE_TILE
    delay = history = kept = back = 0

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        self._lanes = lanes

    @property
    def boundary(self) -> int:
        """The next sample at which it changes by itself."""
        return NEVER

    @property
    def compared(self) -> NDArray[np.float32]:
        """The history of what is compared with thresholds."""
        return self._lanes.trace

    def prepare(self, segment: int, first: int, stop: int) -> None:
        """Nothing is to be prepared."""

    def arguments(self, look: Look) -> Arguments:
        """Raise: there is no such kernel."""
        raise NotImplementedError

    def cross(self, sample: int, sigma: NDArray[np.float32], frozen: bool) -> None:
        """There is no boundary to pass."""
