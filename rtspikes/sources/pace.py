"""The pace of a source that makes its own time: a replayed file, a simulation."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError
from rtspikes.meters import Percentiles
from rtspikes.protocols import Anchor
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import StreamInfo

LONGEST_WAIT_S = 0.1
LARGEST_COPY = 8192
"""Samples per pull at speed max: enough to hide the cost of a pull, few enough to keep both threads busy."""


class Pace:
    """Absolute deadlines: sample n, counted from the first, is due n / (rate · speed) after `start`, chunk by chunk.

    A late pull hands on all the chunks that are due, so lateness does not add up; how late pulls were is in `status`.
    """

    def __init__(self, rate_hz: float, settings: SourceSettings, clock: Clock) -> None:
        speed = settings.speed
        if speed != "max" and not 0 < speed < 1e6:
            raise ConfigError(f'source.speed must be "max" or a number > 0 and < 1e6, got {speed:g}')
        self._rate_hz = rate_hz
        self._per_s = None if speed == "max" else rate_hz * speed
        self._chunk = max(1, round(settings.chunk_ms * 1e-3 * rate_hz))
        self._clock = clock
        self._cancelled = threading.Event()
        self._begun_s: float | None = None
        self._done = 0
        self._lateness = Percentiles()

    def start(self) -> None:
        """Make the first sample due now."""
        self._begun_s = self._clock.now()

    def cancel(self) -> None:
        """End a waiting `due` at once (called from another thread)."""
        self._cancelled.set()

    def due(self, left: int) -> int:
        """Return how many samples are due, to the end of a chunk or what is `left`, waiting for them; 0 after 0.1 s."""
        if self._begun_s is None:
            raise RuntimeError("start() comes before the first pull()")
        if self._per_s is None:
            return LARGEST_COPY
        most = min(self._chunk - self._done % self._chunk, left)
        deadline_s = self._begun_s + (self._done + most) / self._per_s
        now = self._clock.now()
        if now < deadline_s:
            self._clock.wait_until(min(deadline_s, now + LONGEST_WAIT_S), self._cancelled)
            now = self._clock.now()
        if now < deadline_s:
            return 0
        self._lateness.add(now - deadline_s)
        due = int((now - self._begun_s) * self._per_s)
        return max(most, due - due % self._chunk - self._done)

    def advance(self, n: int) -> tuple[Anchor, ...]:
        """Count `n` samples as handed on or lost; return the anchor of the first if they are the first of all."""
        first = self._done == 0
        self._done += n
        return (Anchor(0, self._begun_s, self._rate_hz),) if first and self._begun_s is not None else ()

    def status(self) -> dict[str, Any]:
        """Return, at a finite speed, how late (ms) chunks were handed on."""
        return {} if self._per_s is None else {"lateness_ms": self._lateness.summary_ms()}


class PacedSource:
    """What sources at a pace have in common: they set `_pace`, and count `_position`, the sample that comes next."""

    info: StreamInfo
    _pace: Pace
    _position: int

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close."""
        self.cancel()

    def start(self) -> None:
        """Make the first sample due now."""
        self._pace.start()

    def cancel(self) -> None:
        """End a waiting pull at once."""
        self._pace.cancel()

    def status(self) -> dict[str, Any]:
        """Return the position (s) and, at a finite speed, how late (ms) chunks were handed on."""
        return {"position_s": round(self._position / self.info.rate_hz, 3), **self._pace.status()}
