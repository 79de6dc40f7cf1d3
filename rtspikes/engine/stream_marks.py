"""Marks inside the signal: those that came with pulls and the edges of trigger channels, said and blanked exactly.

Belongs to the processing thread, which has every row looked at before it is detected: a blanking is then in force at
the mark's own sample, whatever the cuts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtspikes.blanking import BlankRules
from rtspikes.clock import SampleClock
from rtspikes.detect.changes import TooLate
from rtspikes.detect.detector import Detector
from rtspikes.engine.waiting import Waiting
from rtspikes.lines import of_source
from rtspikes.protocols import Mark
from rtspikes.triggers import TriggerEdges
from rtspikes.types import MARK_DTYPE, Samples, StreamInfo
from rtspikes.wire.announce import Announcer, tell_late
from rtspikes.wire.codec import MOST_TEXT

MOST_WAITING = 65_536
"""Marks of pulls that may wait for their rows to be detected."""

_VALUES = np.iinfo(MARK_DTYPE["value"])


class StreamMarks:
    """Says the marks inside one session's signal, and schedules what they blank."""

    def __init__(
        self,
        info: StreamInfo,
        blanking: BlankRules,
        detector: Detector,
        announcer: Announcer,
        sample_clock: SampleClock,
        given: Waiting[Mark],
    ) -> None:
        """given: the marks that come with pulls."""
        self._edges = TriggerEdges(info)
        self._blanking, self._detector = blanking, detector
        self._announcer, self._sample_clock = announcer, sample_clock
        self._given = given
        self._dropped_told = 0

    def look(self, samples: Samples, first: int) -> None:
        """Take in the marks of raw rows (n, channels) from absolute index `first` on, before they are detected.

        Rows that were looked at before bring nothing more.
        """
        self._say(self._edges.find(samples, first), self._given.take(first + len(samples)))

    def finish(self, before: int) -> None:
        """Say the marks that are left at samples < `before`."""
        self._say(np.zeros(0, MARK_DTYPE), self._given.take(before))

    def _say(self, edges: NDArray[np.void], given: Sequence[tuple[int, Mark]]) -> None:
        if new := self._given.dropped - self._dropped_told:
            self._dropped_told += new
            text = f"{new} marks came faster than they could be taken and were left out; they blanked nothing"
            self._announcer.notice("marks_dropped", text, new)
        if not (len(edges) or given):
            return
        table, texts = edges, [""] * len(edges)
        if given:
            table = np.concatenate([edges, _table(given)])
            texts += [mark.text[:MOST_TEXT] for _, mark in given]
            order = np.lexsort((table["line"], table["sample"]))
            table, texts = table[order], [texts[i] for i in order]
        table["time"] = self._sample_clock.times(table["sample"])
        self._announcer.marks(table, texts)
        if self._blanking:
            self._blank(table, texts)

    def _blank(self, table: NDArray[np.void], texts: Sequence[str]) -> None:
        """Schedule what the marks blank at their samples; tell of those whose samples were detected already."""
        late: list[tuple[int, int]] = []
        columns = (table[name].tolist() for name in ("sample", "line", "value"))
        for sample, line, value, text in zip(*columns, texts, strict=True):
            blanks = self._blanking.of(line, value, text)
            try:
                for blank in blanks:
                    self._detector.schedule(blank, sample)
            except TooLate:
                late.append((sample, line))
        if late:
            tell_late(self._announcer, late, "inside the signal came too late to blank")


def _table(given: Sequence[tuple[int, Mark]]) -> NDArray[np.void]:
    """Return marks of pulls as MARK_DTYPE, without times."""
    table = np.zeros(len(given), MARK_DTYPE)
    table["sample"] = [sample for sample, _ in given]
    table["line"] = [of_source(mark.line) for _, mark in given]
    table["value"] = np.clip([mark.value for _, mark in given], _VALUES.min, _VALUES.max)
    return table
