"""What is sent now and then."""

from __future__ import annotations

import math


class Due:
    """Something that is sent at most every `interval_s`, and only when it is another than was sent last."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s, self._sent_s = interval_s, -math.inf
        self._sent: object = None

    def at(self, now_s: float, version: object) -> bool:
        """Tell whether to send what `version` stands for; it counts as sent then."""
        due = version != self._sent and now_s - self._sent_s >= self._interval_s
        if due:
            self._sent, self._sent_s = version, now_s
        return due

    def again(self) -> None:
        """Let it be sent at once, whatever was sent."""
        self._sent, self._sent_s = None, -math.inf
