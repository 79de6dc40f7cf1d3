"""What a matched filter makes of the neighbourhood of a large spike: ripples of its score, which are no spikes.

An event is in the shadow of another one when the score was 1 / 0.35 times as high within the 3 ms before its crossing
as it is at the event itself; and it is none at all when the signal at its extremum, whatever the score, is not beyond
0.52 of the threshold. (Without the rule the matched filter is worse than a threshold where spikes are very large.)
"""

from __future__ import annotations

from typing import NamedTuple

from numba import float32, njit

EARLIER_MS, OWN_MS = 3.0, 0.5
"""How long before the crossing a larger score counts; how long after it the event's own is at its largest."""

PART = 0.35
"""An event whose score is not such a part of the earlier one is a ripple."""

NEAR_MS = 1.1
"""So long before and after an event's highest score there is no higher one: it would be the same spike."""

LEAST = 0.52
"""The signal's extremum in parts of the threshold, at least: 2.5 σ at 4.8 σ."""


class Shadow(NamedTuple):
    """The rule for one score; in samples. Nothing earlier: no rule."""

    delay: int  # row n of the score is of sample n − delay
    earlier: int
    own: int
    near: int

    @property
    def history(self) -> int:
        """Samples before a crossing that are looked at."""
        return self.earlier

    @property
    def look_ahead(self) -> int:
        """Samples from a crossing on that are looked at."""
        return self.own + self.near + self.delay + 1 if self.earlier else 0


def no_shadow() -> Shadow:
    """Return the rule that rejects nothing."""
    return Shadow(0, 0, 0, 0)


def design_shadow(rate_hz: float, delay: int) -> Shadow:
    """Return the rule for a score that comes `delay` samples late."""
    earlier, own, near = (max(1, round(ms * 1e-3 * rate_hz)) for ms in (EARLIER_MS, OWN_MS, NEAR_MS))
    return Shadow(delay, earlier, own, near)


@njit(nogil=True)
def shadowed(  # type: ignore[no-untyped-def]
    score, lane, crossing, dead, side, amplitude, threshold, segment, end, delay, earlier, own, near
):  # fmt: skip
    """Tell whether the event is one only in the score. side: −1 falling, 1 rising; amplitude: the signal's, signed.

    What comes within the event's own dead time is itself; a higher score behind that has an event of its own.
    """
    if side * amplitude < float32(LEAST) * abs(threshold):
        return True
    depth = len(score)
    last = end - delay
    height = float32(0)
    peak = crossing
    for n in range(crossing, min(crossing + own + 1, last)):
        value = side * score[(n + delay) % depth, lane]
        if value > height:
            height, peak = value, n
    for n in range(max(crossing - earlier, segment), crossing):
        value = side * score[(n + delay) % depth, lane]
        if float32(PART) * value > height or (n >= peak - near and value >= height):
            return True
    for n in range(crossing + max(dead, own + 1), min(peak + near + 1, last)):
        if side * score[(n + delay) % depth, lane] > height:
            return True
    return False
