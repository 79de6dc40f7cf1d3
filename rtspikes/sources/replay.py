"""The `file:` source: a recording handed on at real speed, at a multiple of it, or as fast as its readers take it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError
from rtspikes.meters import Percentiles
from rtspikes.protocols import Hole, Pull
from rtspikes.sources.formats import Recording
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import GapCause, Samples, StreamInfo

LONGEST_WAIT_S = 0.1
LARGEST_COPY = 8192
"""Samples per pull at speed max: enough to hide the cost of a pull, few enough to keep both threads busy."""


class FileSource:
    """Replays a recording on absolute deadlines: sample n is due (n − first) / (rate · speed) after `start`.

    A late pull hands on all that is due, so lateness does not add up; how late pulls were is in `status`.
    """

    def __init__(self, recording: Recording, settings: SourceSettings, clock: Clock) -> None:
        self._recording = recording
        self.info: StreamInfo = recording.info
        rate, total = self.info.rate_hz, self.info.n_samples or 0
        start, stop = settings.start_s, settings.stop_s
        self.first_sample = round(start * rate)
        self._stop = total if stop is None else round(stop * rate)
        if not self.first_sample < self._stop <= total:
            raise ConfigError(
                f"source: start_s < stop_s ≤ {total / rate:g} s (the file's length) must hold, "
                f"got start_s = {start:g}, stop_s = {'the end' if stop is None else format(stop, 'g')}"
            )
        if settings.speed != "max" and not 0 < settings.speed < 1e6:
            raise ConfigError(f'source.speed must be "max" or a number > 0, got {settings.speed:g}')
        self._per_s = None if settings.speed == "max" else rate * settings.speed
        self._loop = settings.loop
        self._chunk = max(1, round(settings.chunk_ms * 1e-3 * rate))
        self._clock = clock
        self._cancelled = threading.Event()
        self._position = self.first_sample
        self._done = 0
        self._begun_s: float | None = None
        self._lateness = Percentiles()

    def __enter__(self) -> Self:
        """Return the source; the file was opened with it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close."""
        self.cancel()

    def start(self) -> None:
        """Make the first sample due now."""
        self._begun_s = self._clock.now()

    def cancel(self) -> None:
        """End a waiting pull at once."""
        self._cancelled.set()

    def pull(self, destination: Samples) -> Pull:
        """Write the samples that are due into `destination`; wait up to 0.1 s for the next chunk's deadline."""
        if self._begun_s is None:
            raise RuntimeError("start() comes before the first pull()")
        left = self._stop - self._position
        if not left and not self._loop:
            return Pull(0, ended=True)
        if not left:
            self._position = self.first_sample
            return Pull(0, holes=(Hole(0, 0, GapCause.SEAM),))
        n = min(left, len(destination), self._due(left))
        if n <= 0:
            return Pull(0)
        self._recording.read(self._position, destination[:n])
        time_s = self._begun_s if self._done == 0 else None
        self._position += n
        self._done += n
        return Pull(n, time_s)

    def _due(self, left: int) -> int:
        """Return how many samples are due, at least a chunk or what is `left`, waiting for them; 0 after 0.1 s."""
        if self._per_s is None:
            return LARGEST_COPY
        assert self._begun_s is not None
        deadline_s = self._begun_s + (self._done + min(self._chunk, left)) / self._per_s
        now = self._clock.now()
        if now < deadline_s:
            self._clock.wait_until(min(deadline_s, now + LONGEST_WAIT_S), self._cancelled)
            now = self._clock.now()
        if now < deadline_s:
            return 0
        self._lateness.add(now - deadline_s)
        return max(min(self._chunk, left), int((now - self._begun_s) * self._per_s) - self._done)

    def status(self) -> dict[str, Any]:
        """Return the position (s in the file) and, at a finite speed, how late (ms) chunks were handed on."""
        figures: dict[str, Any] = {"position_s": round(self._position / self.info.rate_hz, 3)}
        if self._per_s is not None:
            figures["lateness_ms"] = self._lateness.summary_ms()
        return figures
