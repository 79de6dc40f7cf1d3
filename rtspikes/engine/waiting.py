"""What waits between two threads with the absolute sample of each: bounded, and what finds no room is counted."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """Items by sample; one thread puts them in, in order, another takes them out."""

    def __init__(self, most: int) -> None:
        self._items: deque[tuple[int, T]] = deque()
        self._most = most
        self.dropped = 0
        """Items that found no room."""

    def put(self, sample: int, item: T) -> None:
        """Add an item, unless too many wait."""
        if len(self._items) < self._most:
            self._items.append((sample, item))
        else:
            self.dropped += 1

    def take(self, before: int) -> list[tuple[int, T]]:
        """Return, and forget, the items at samples < `before`."""
        taken = []
        while self._items and self._items[0][0] < before:
            taken.append(self._items.popleft())
        return taken
