"""Marks, gaps and notices of a session, the newest of each, for pages that have seen some of them."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from rtspikes.subscribers.view.pack import text

KEPT = 1000
KINDS = ("marks", "gaps", "notices")

MOST_TEXT = 300
"""Characters of a text that a page is sent."""


def mark_entry(mark: np.void, text: str) -> dict[str, Any]:
    """Return a mark (MARK_DTYPE) as a page is told of it: with its text, or what its line said."""
    line = int(mark["line"])
    return {"sample": int(mark["sample"]), "text": text or f"line {line} = {int(mark['value'])}", "line": line}


class Happenings:
    """Numbers what happens; a page says how far it has seen."""

    def __init__(self) -> None:
        self.count = 0
        """How many there were."""
        self._kept: dict[str, deque[tuple[int, dict[str, Any]]]] = {kind: deque(maxlen=KEPT) for kind in KINDS}

    def add(self, kind: str, **what: Any) -> None:
        """Keep what happened, of KINDS."""
        if isinstance(what.get("text"), str):
            what["text"] = what["text"][:MOST_TEXT]
        self._kept[kind].append((self.count, what))
        self.count += 1

    def message(self, since: int) -> str:
        """Return the `happened` message of all from number `since` on; 0: of all that is kept, and only that."""
        new = {kind: [what for number, what in kept if number >= since] for kind, kept in self._kept.items()}
        return text({"t": "happened", "all": since == 0, **new})
