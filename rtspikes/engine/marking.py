"""Marking: the markers of other streams, whose times are known, put where they belong among the samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rtspikes.clock import SampleClock
from rtspikes.protocols import Remark
from rtspikes.types import MARK_DTYPE
from rtspikes.wire.codec import MOST_TEXT

MOST_AT_ONCE = 256
"""Markers taken between two blocks."""

MOST_WAITING = 4096
"""Markers that may wait for the signal's clock to be known."""

_VALUES = np.iinfo(MARK_DTYPE["value"])


class Incoming(Protocol):
    """A marker: when it was (LSL s), of which of the streams (1: the first), and what it says."""

    @property
    def time_s(self) -> float: ...  # noqa: D102
    @property
    def line(self) -> int: ...  # noqa: D102
    @property
    def value(self) -> int: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102


class Markers(Protocol):
    """The marker streams of a run (sources/lsl/markers.py)."""

    def __enter__(self) -> Self:
        """Begin to look for the streams."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Let go of them."""

    def take(self, most: int) -> Sequence[Incoming]:
        """Return up to `most` markers that have come, and forget them."""

    def remarks(self) -> Sequence[Remark]:
        """Return what happened to the streams since this was last asked."""

    def status(self) -> dict[str, Any]:
        """Return figures about the streams."""

    def lines(self) -> list[dict[str, Any]]:
        """Return which line of the marks is which stream."""


class Says(Protocol):
    """Takes marks that are not in the signal: Commands, which also blanks; Announcer, where nothing more comes."""

    def marks(self, table: NDArray[np.void], texts: Sequence[str]) -> None:
        """Say where marks are: MARK_DTYPE and their texts."""


class Marking:
    """Takes markers and says them as marks, over all sessions of a run; belongs to the processing thread."""

    def __init__(self, markers: Markers) -> None:
        self._markers = markers
        self._waiting: deque[Incoming] = deque()
        self.dropped = 0
        """Markers that found no room while the signal's clock was not known."""

    def handle(self, sample_clock: SampleClock, out: Says) -> None:
        """Say where the markers are that have come; keep them as long as the signal's clock is not known."""
        for marker in self._markers.take(MOST_AT_ONCE):
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(marker)
            else:
                self.dropped += 1
        if self._waiting and sample_clock.sample(self._waiting[0].time_s) is not None:
            self._say([sample_clock.sample(marker.time_s) or 0 for marker in self._waiting], out)

    def finish(self, sample_clock: SampleClock, out: Says, last: int) -> None:
        """Say what is left, at the sample `last` where the signal's clock never became known."""
        self.handle(sample_clock, out)
        self._say([last] * len(self._waiting), out)

    def _say(self, samples: Sequence[int], out: Says) -> None:
        if not self._waiting:
            return
        table = np.zeros(len(self._waiting), MARK_DTYPE)
        for row, sample, marker in zip(table, samples, self._waiting, strict=True):
            value = min(max(marker.value, int(_VALUES.min)), int(_VALUES.max))
            row["sample"], row["time"], row["line"], row["value"] = sample, marker.time_s, marker.line, value
        out.marks(table, [marker.text[:MOST_TEXT] for marker in self._waiting])
        self._waiting.clear()
