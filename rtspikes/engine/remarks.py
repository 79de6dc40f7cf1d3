"""Remarks of sources on their way to the notices: let through at a bounded rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtspikes.clock import Clock
from rtspikes.protocols import Remark

MOST_WAITING = 1024
"""Remarks that may wait to be taken."""

MOST_PER_S = 20
"""Remarks of one cause that are told in a second."""

WINDOW_S = 1.0


@dataclass(slots=True)
class _Cause:
    """What was told of a cause since `begun_s`, and what is held back."""

    begun_s: float
    told: int = 0
    amount: int = 0
    last: tuple[int, Remark] | None = None


class Bursts:
    """Lets MOST_PER_S remarks of a cause through in a second; the amounts of the others go to the next one's."""

    def __init__(self, tell: Callable[[int, Remark], None], clock: Clock) -> None:
        """tell: takes a remark and its sample."""
        self._tell = tell
        self._clock = clock
        self._causes: dict[str, _Cause] = {}

    def say(self, sample: int, remark: Remark) -> None:
        """Tell a remark, or hold it back."""
        now = self._clock.now()
        cause = self._causes.setdefault(remark.cause, _Cause(now))
        cause.amount += remark.amount
        cause.last = (sample, remark)
        if now - cause.begun_s >= WINDOW_S:
            cause.begun_s, cause.told = now, 0
        if cause.told < MOST_PER_S:
            self._let_through(cause)

    def look(self) -> None:
        """Tell what was held back for long enough."""
        now = self._clock.now()
        for cause in self._causes.values():
            if cause.last is not None and now - cause.begun_s >= WINDOW_S:
                cause.begun_s, cause.told = now, 0
                self._let_through(cause)

    def finish(self) -> None:
        """Tell all that is held back."""
        for cause in self._causes.values():
            self._let_through(cause)

    def _let_through(self, cause: _Cause) -> None:
        if cause.last is not None:
            sample, remark = cause.last
            self._tell(sample, remark._replace(amount=cause.amount))
            cause.told, cause.amount, cause.last = cause.told + 1, 0, None
