"""Facts of what happened while a session ran: control changes, storms, clocks, electrodes, marks."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rtspikes.errors import DataError
from rtspikes.subscribers.account.origin import Electrodes
from rtspikes.subscribers.account.told import Told
from rtspikes.subscribers.log.reader import Session

CLOCK_CAUSES = ("clock_reset", "resync", "overlap")
HEALTH = ("dead", "noisy", "saturated", "drifting")
BY_MARK = "the mark "
"""How `by` begins where a mark asked for a blanking, and no person."""


class Notices:
    """A session's notices, by cause."""

    def __init__(self, session: Session) -> None:
        where = f"{session.path / 'notices.jsonl'}: line"
        self._all = [Told(notice, f"{where} {i}") for i, notice in enumerate(session.notices, 1)]
        self._session = session

    def of(self, *causes: str) -> list[Told]:
        """Return those of some causes."""
        return [notice for notice in self._all if notice.any("cause") in causes]

    def amount(self, cause: str) -> int:
        """Return what the notices of a cause count together."""
        return sum(notice.whole("count") or 0 for notice in self.of(cause))

    def missed_by_kind(self) -> dict[str, int]:
        """Return how many messages of each kind did not reach the logger."""
        found: Counter[str] = Counter()
        for notice in self.of("missed"):
            found[notice.text("kind") or "unknown"] += notice.whole("count") or 0
        return dict(found)

    def facts(self, electrodes: Electrodes) -> dict[str, Any]:
        """Return what happened."""
        controls = self._controls()
        shutdowns = [c for c in controls if c["change"].get("change") == "shutdown"]
        by_marks = [c for c in controls if str(c["by"]).startswith(BY_MARK)]
        return {
            "control_changes": [c for c in controls if c not in shutdowns and c not in by_marks],
            "blankings_by_announced_marks": len(by_marks),
            "shutdown_at_s": shutdowns[0]["at_s"] if shutdowns else None,
            "electrodes_muted": self._muted(electrodes),
            "storm_suppressed_triggers": self.amount("storm_over"),
            **self._health(electrodes),
            "clock_steps": len(self.of(*CLOCK_CAUSES)),
            "clock_largest_step_s": max((abs(n.number("step_s") or 0) for n in self.of(*CLOCK_CAUSES)), default=None),
            "bad_samples": self.amount("bad_samples"),
            "noise_first_learnt_from_samples": self.amount("short_start") or None,
            "noise_since_freeze_electrodes": self._named(electrodes, "noise_since_freeze", "channels"),
            "marks": len(self._session.marks),
            "marks_dropped": self.amount("marks_dropped"),
            "marks_too_late_to_blank": self.amount("blank_late"),
            "notices_by_cause": dict(Counter(str(notice.any("cause")) for notice in self._all)),
        }

    def _controls(self) -> list[dict[str, Any]]:
        """Return control changes in the order of their samples, each with its time from the session's start on."""
        rate, first = float(self._session.info["rate_hz"]), int(self._session.info["first_sample"])
        found = []
        for notice in self.of("control"):
            sample, change = notice.whole("sample"), notice.tree("change")
            if sample is None or not change:
                raise DataError(f"{self._session.path / 'notices.jsonl'}: a control change lacks its sample or change")
            found.append({"at_s": (sample - first) / rate, "change": change, "by": notice.text("by"), "sample": sample})
        return sorted(found, key=lambda control: control["sample"])

    def _muted(self, electrodes: Electrodes) -> list[str]:
        muted = {p for _, positions, mutes in self._session.mutings() if mutes for p in positions}
        return electrodes.names(sorted(p for p in muted if electrodes.enabled[p]))

    def _health(self, electrodes: Electrodes) -> dict[str, list[str]]:
        """Return who was ever in which state."""
        return {f"electrodes_ever_{state}": self._named(electrodes, state, "entered") for state in HEALTH}

    def _named(self, electrodes: Electrodes, cause: str, list_name: str) -> list[str]:
        positions = {int(p) for notice in self.of(cause) for p in notice.numbers(list_name) or ()}
        if any(not 0 <= p < len(electrodes.labels) for p in positions):
            raise DataError(f"{self._session.path / 'notices.jsonl'}: {cause} is of channels that are not there")
        return electrodes.names(sorted(p for p in positions if electrodes.enabled[p]))
