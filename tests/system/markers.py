"""Marker streams that a test fills by hand."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, NamedTuple, Self

from rtspikes.protocols import Remark


class Marker(NamedTuple):
    """As rtspikes/sources/lsl/markers.py hands them out."""

    time_s: float
    line: int
    value: int
    text: str


class FakeMarkers:
    """Stands in for MarkerStreams."""

    def __init__(self) -> None:
        self.waiting: deque[Marker] = deque()
        self.told: deque[Remark] = deque()
        self.entered = self.left = 0

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.left += 1

    def add(self, *markers: Marker) -> None:
        """Let markers have come."""
        self.waiting.extend(markers)

    def take(self, most: int) -> list[Marker]:
        """Hand out what has come."""
        return [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]

    def remarks(self) -> list[Remark]:
        """Hand out what was remarked."""
        return [self.told.popleft() for _ in range(len(self.told))]

    def status(self) -> dict[str, Any]:
        """Return figures."""
        return {"streams": [{"line": 1}]}

    def lines(self) -> list[dict[str, Any]]:
        """Return the one stream."""
        return [{"line": 1, "uri": "lsl:type=Markers"}]
