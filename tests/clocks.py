"""Clocks that stand still until a test, or a wait, moves them."""

from __future__ import annotations

import threading

BEGUN_S = 50.0


class HandClock:
    """A clock that stands still, but for waits: those pass at once."""

    def __init__(self) -> None:
        self.time_s = BEGUN_S
        self.waited_s: list[float] = []

    def now(self) -> float:
        return self.time_s

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        if stop.is_set():
            return True
        self.waited_s.append(deadline_s - self.time_s)
        self.time_s = max(self.time_s, deadline_s)
        return False


class BlockingClock(HandClock):
    """A clock whose waits end by `stop` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.returned = threading.Event(), threading.Event()

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        self.waiting.set()
        stopped = stop.wait(60)
        if stopped:
            self.returned.set()
        return stopped
