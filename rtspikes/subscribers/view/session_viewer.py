"""What one page looks at of a session log: a place in it, and how fast it moves on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rtspikes.subscribers.view.details import detail, shapes
from rtspikes.subscribers.view.due import Due
from rtspikes.subscribers.view.pack import pack
from rtspikes.subscribers.view.scene import FRAMES_PER_S, KEPT_S, MOST_SELECTED, Message
from rtspikes.subscribers.view.shapes import KEPT

if TYPE_CHECKING:
    from rtspikes.subscribers.view.session import SessionScene

ACTIVITY_S, SHAPES_S, LEVELS_S = 0.1, 0.5, 0.5
"""How often, at most, a page is sent each of them."""

WINDOW_S = 10.0
"""What a page sees before it has asked for something else."""

DETAIL_S, MOST_SPIKES = 10.0, 2000
"""How far back, and how many, spikes of the selected channels are shown one by one."""

FASTEST = 1000.0


class SessionViewer:
    """Gives a page what is new since it was last asked, at its place in the session."""

    def __init__(self, scene: SessionScene) -> None:
        self._scene = scene
        self._rate_hz = scene.spikes.rate_hz
        self.sent = 0
        self.session = str(scene.info["session"])
        self._told: int | None = None  # with how many pages the last `health` was sent
        self._selected: tuple[int, ...] = ()
        self._speed = 0.0
        self._moved_s: float | None = None
        self._frame, self._activity = Due(1 / FRAMES_PER_S), Due(ACTIVITY_S)
        self._levels, self._shapes = Due(LEVELS_S), Due(SHAPES_S)
        self._place, self._window = float(scene.first), 0
        self._shown: int | None = None  # up to which sample the page has the raster; None: nothing
        self._had: set[int] = set()  # of which of the selected channels it has the spikes,
        self._detailed = 0  # and up to which sample
        self.seek(scene.first + round(WINDOW_S * self._rate_hz), WINDOW_S)

    def messages(self, now_s: float) -> list[Message]:
        """Return what is new for this page."""
        found: list[Message] = []
        if self._told is None:
            found += self._scene.opening
        if self._told != self._scene.viewers:
            self._told = self._scene.viewers
            found.append(self._scene.health())
        self._move(now_s)
        at = int(self._place)
        if at != self._shown and self._frame.at(now_s, at):
            found.append(self._picture(at, now_s))
        if self._levels.at(now_s, self._scene.levels.version(at)):
            found.append(self._scene.levels.message(at))
        if self._selected:
            found += self._details(at, now_s)
        return found

    def _move(self, now_s: float) -> None:
        """Go on by as much as has passed."""
        if self._speed and self._moved_s is not None:
            self._place += max(0.0, now_s - self._moved_s) * self._speed * self._rate_hz
            if self._place >= self._scene.stop:
                self._place, self._speed = float(self._scene.stop), 0.0
        self._moved_s = now_s

    def _picture(self, at: int, now_s: float) -> bytes:
        """Return the `frame` message: columns from where the page has them, or all that are in the window."""
        width, shown = self._scene.spikes.width, self._shown
        fresh = shown is None or not 0 <= at - shown <= self._window
        from_sample = max(self._scene.first, at - self._window) if fresh or shown is None else shown
        if fresh:
            self._had.clear()
        first = from_sample // width
        columns, rate = self._scene.spikes.columns(first, at)
        self._shown = at
        self.sent += 1
        arrays: dict[str, Any] = {"columns": columns, "rate": rate}
        if self._activity.at(now_s, at):
            arrays["activity"] = self._scene.spikes.activity(at)
        return pack({"t": "frame", "n": self.sent, "now": at, "column": first, "fresh": fresh}, arrays)

    def _details(self, at: int, now_s: float) -> list[Message]:
        found: list[Message] = []
        spikes = self._scene.spikes
        if at == self._shown and (at != self._detailed or not self._had.issuperset(self._selected)):
            oldest = at - round(DETAIL_S * self._rate_hz)
            for channels, first in (
                ([channel for channel in self._selected if channel in self._had], max(oldest, self._detailed)),
                ([channel for channel in self._selected if channel not in self._had], oldest),
            ):
                if channels and len(rows := spikes.newest(channels, first, at, MOST_SPIKES)):
                    found.append(detail(*spikes.spikes(rows)))
            self._had, self._detailed = set(self._selected), at
        if self._shapes.at(now_s, at):
            tally = spikes.tally(self._selected, at)
            waveforms = spikes.waveforms(self._selected, at, KEPT)
            isi, counts = list(tally.isi), tally.counts.tolist()
            found.append(shapes(self._selected, waveforms, isi, counts, sum(self._scene.info["snippet_samples"])))
        return found

    def select(self, channels: Sequence[int], of: str) -> None:
        """Show the spikes of these channels; a log has no signal to show, whatever `of`."""
        known = dict.fromkeys(c for c in channels if 0 <= c < self._scene.spikes.n)
        self._selected = tuple(known)[:MOST_SELECTED]
        self._had.intersection_update(self._selected)
        self._shapes.again()

    def seek(self, sample: int, window_s: float) -> None:
        """Go to a sample, or the nearest that there is, with so much (s) before it."""
        self._place = float(np.clip(sample, self._scene.first, self._scene.stop))
        self._window = round(float(np.clip(window_s, 0.0, KEPT_S)) * self._rate_hz)
        self._shown = None
        self._frame.again()
        self._activity.again()

    def play(self, speed: float) -> None:
        """Go on by itself, at a multiple of real speed; 0: stay."""
        self._speed = float(np.clip(speed, 0.0, FASTEST))

    def close(self) -> None:
        """Let go: the page is gone."""
        self._scene.leave()
