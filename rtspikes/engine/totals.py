"""Figures of a whole run: those of its sessions' last `status`, added up."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Totals:
    """Adds up sessions."""

    def __init__(self) -> None:
        self._figures: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()

    def add(self, status: dict[str, Any]) -> None:
        """Take in the last `status` of a session."""
        self._counts.update(status.get("counts", {}))
        self._rejected.update(status.get("rejected", {}))
        self._figures.update({name: status.get(name, 0) for name in ("signal_s", "bad_samples")})
        self._figures["commands_done"] += status.get("commands", {}).get("done", 0)

    def with_current(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return `signal_s`, `bad_samples`, `commands_done`, `counts` and `rejected` (by reason).

        With the session that has this `status`.
        """
        totals = Totals()
        totals._figures, totals._counts = self._figures.copy(), self._counts.copy()
        totals._rejected = self._rejected.copy()
        totals.add(status)
        return {**totals._figures, "counts": dict(totals._counts), "rejected": dict(totals._rejected)}
