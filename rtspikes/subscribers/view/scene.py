"""What the server asks of whatever the page shows: a running engine, or a finished session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Message = str | bytes
"""What goes to a page: JSON, or what `pack` made."""

VERSION = 1
"""Of the messages between server and page; they come from one installation, and change together."""

FRAMES_PER_S = 30

MOST_SELECTED = 16
"""Electrodes that one page shows in detail."""

COLUMN_S = 0.01
"""Width (s) of a column of the raster, about: a whole number of samples."""

KEPT_S = 120.0
"""How far back (s) the raster goes."""

MOST_ROWS = 512
"""Rows of the raster; of more channels several share a row."""

SIGNALS = ("filtered", "raw", "compared")
"""What of a selected electrode can be looked at."""


class Viewer(Protocol):
    """What one page looks at. Belongs to the thread of the server."""

    @property
    def sent(self) -> int:
        """The number `n` of the newest frame that was made; the first is 1."""

    @property
    def session(self) -> str:
        """The session that the page was told of last; "" before the first."""

    def messages(self, now_s: float) -> list[Message]:
        """Return what is new for this page at the time `now_s` (monotonic): a whole picture at the first call."""

    def select(self, channels: Sequence[int], of: str) -> None:
        """Show these channels in detail, `of` SIGNALS; channels that do not exist are left out."""

    def seek(self, sample: int, window_s: float) -> None:
        """Of a finished session: go to an absolute sample, with so much (s) before it."""

    def play(self, speed: float) -> None:
        """Of a finished session: go on by itself, at a multiple of real speed; 0: stay."""

    def close(self) -> None:
        """Let go: the page is gone."""


class Scene(Protocol):
    """Something to look at, by any number of pages."""

    def viewer(self) -> Viewer:
        """Return what a new page looks at."""

    def check(self) -> None:
        """Raise what has gone wrong in a thread of the scene's own."""
