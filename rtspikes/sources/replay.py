"""The `file:` source: a recording handed on at real speed, at a multiple of it, or as fast as its readers take it."""

from __future__ import annotations

from typing import Self

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError
from rtspikes.protocols import Hole, Pull
from rtspikes.sources.formats import Recording
from rtspikes.sources.pace import Pace, PacedSource
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import GapCause, Samples, StreamInfo


class FileSource(PacedSource):
    """Replays a recording: sample n is due (n − first) / (rate · speed) after `start` (see Pace)."""

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
        self._pace = Pace(rate, settings, clock)
        self._loop = settings.loop
        self._position = self.first_sample

    def __enter__(self) -> Self:
        """Return the source; the file was opened with it."""
        return self

    def pull(self, destination: Samples) -> Pull:
        """Write the samples that are due into `destination`; wait up to 0.1 s for the next chunk's deadline."""
        left = self._stop - self._position
        if not left and not self._loop:
            return Pull(0, ended=True)
        if not left:
            self._position = self.first_sample
            return Pull(0, holes=(Hole(0, 0, GapCause.SEAM),))
        n = min(left, len(destination), self._pace.due(left))
        if n <= 0:
            return Pull(0)
        self._recording.read(self._position, destination[:n])
        self._position += n
        return Pull(n, anchors=self._pace.advance(n))
