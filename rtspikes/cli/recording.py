"""How a run's log grows, and how long its disk lasts."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LOOK_S = 1.0
"""How often the folders are measured."""

SPAN_S = 60.0
"""Over how long the growth is taken."""


class Recording:
    """Measures the folders of a run's sessions."""

    def __init__(
        self,
        clock_s: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[str], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._clock_s, self._free_bytes = clock_s, free_bytes
        self._looks: deque[tuple[float, int]] = deque()  # when (s), and how many bytes there were
        self._figures: dict[str, Any] | None = None

    def figures(self, folders: Sequence[str]) -> dict[str, Any] | None:
        """Return what `status` says as `recording`, measured once a second; None where there is nothing to measure.

        folders: of all sessions so far, the newest last.
        """
        now = self._clock_s()
        if folders and (not self._looks or now - self._looks[-1][0] >= LOOK_S):
            try:
                self._figures = self._measured(folders, now)
            except OSError:  # the disk is gone, say: the logger tells why
                self._figures = None
        return self._figures

    def _measured(self, folders: Sequence[str], now: float) -> dict[str, Any]:
        total = sum(file.stat().st_size for folder in folders for file in Path(folder).iterdir())
        self._looks.append((now, total))
        while len(self._looks) > 1 and now - self._looks[1][0] >= SPAN_S:
            self._looks.popleft()
        begun_s, before = self._looks[0]
        growth = max(0.0, (total - before) / (now - begun_s)) if now > begun_s else 0.0
        free = self._free_bytes(folders[-1])
        return {
            "path": folders[-1],
            "bytes": total,
            "bytes_per_s": round(growth, 1),
            "free_bytes": free,
            "hours_left": round(free / growth / 3600, 2) if growth else None,
        }
