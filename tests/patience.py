"""How long a test waits: on a shared machine that may stand still for minutes, and go on as if nothing had been."""

from __future__ import annotations

import time

LONGEST_STEP_S = 0.5
"""Of the time between two looks, no more than this counts: the rest the test did not get to run in."""


class Patience:
    """A deadline, `seconds` of this process's own running ahead."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds
        self._looked_s = time.monotonic()

    def __bool__(self) -> bool:
        """Tell whether there is time left."""
        now = time.monotonic()
        self._left_s -= min(now - self._looked_s, LONGEST_STEP_S)
        self._looked_s = now
        return self._left_s > 0
