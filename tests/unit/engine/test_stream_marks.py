"""Marks inside the signal: said in order, scheduled before their samples are detected, and none lost unsaid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtspikes.blanking import BlankRules
from rtspikes.clock import SampleClock
from rtspikes.config import config_from
from rtspikes.detect.changes import Blank, TooLate
from rtspikes.engine.intake import Intake
from rtspikes.engine.stream_marks import MOST_WAITING, StreamMarks
from rtspikes.engine.waiting import Waiting
from rtspikes.lines import stream_lines
from rtspikes.protocols import Hole, Mark, Pull
from rtspikes.ring import Ring
from rtspikes.types import ChannelInfo
from rtspikes.wire.codec import MOST_TEXT
from tests.clocks import HandClock
from tests.simulated import stream_info

TRIGGER = ChannelInfo("D1", 1, "trigger")
INFO = replace(stream_info(1), channels=(ChannelInfo("E1", 0), TRIGGER), facts={"lines": ["TTL 1", "TTL 2"]})


class Detector:
    """Keeps what was scheduled; stands at `next_sample`."""

    def __init__(self) -> None:
        self.next_sample = 0
        self.scheduled: list[tuple[int, Blank]] = []

    def schedule(self, change: Blank, sample: int) -> None:
        if sample < self.next_sample:
            raise TooLate(f"{sample}")
        self.scheduled.append((sample, change))


class Announcer:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.texts: list[str] = []
        self.notices: list[dict[str, Any]] = []

    def marks(self, table: NDArray[np.void], texts: list[str]) -> None:
        self.rows += table.tolist()
        self.texts += texts

    def notice(self, cause: str, text: str, count: int, sample: int | None = None, **more: Any) -> None:
        self.notices.append({"cause": cause, "count": count, "sample": sample, **more})


class Run:
    """The marks of one session with rules for them."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.detector, self.announcer, self.given = Detector(), Announcer(), Waiting[Mark](MOST_WAITING)
        clock = SampleClock(1000.0)
        clock.anchor(0, 50.0)
        blanking = BlankRules(config_from({"blank": list(rules)}).blank, stream_lines(INFO), INFO.channels)
        self.marks = StreamMarks(
            INFO, blanking, self.detector, self.announcer, clock, self.given  # type: ignore[arg-type]
        )  # fmt: skip

    def look(self, first: int, *words: int) -> None:
        """Let rows with these values of the trigger channel be looked at, and then be detected."""
        self.marks.look(np.array([(99, word) for word in words], np.int16), first)
        self.detector.next_sample = first + len(words)


def test_marks_of_pulls_and_edges_are_said_in_order_and_blank_at_their_samples() -> None:
    run = Run({"ms": 2, "line": "TTL 2"}, {"ms": 5, "line": "D1", "value": 1, "select": "E1"})
    for sample, mark in ((12, Mark(0, 2, 1, "stim")), (13, Mark(0, 1, 0)), (14, Mark(0, 2, -(2**40), "x" * 2000))):
        run.given.put(sample, mark)
    run.look(10, 0, 0, 1, 1)
    wanted = [(12, 50.012, 1001, 1), (12, 50.012, 10002, 1), (13, 50.013, 10001, 0)]
    assert run.announcer.rows == wanted
    run.look(14, 1, 0)
    assert run.announcer.rows == [*wanted, (14, 50.014, 10002, -(2**31)), (15, 50.015, 1001, 0)]
    assert run.announcer.texts == ["", "stim", "", "x" * MOST_TEXT, ""]
    assert run.detector.scheduled == [
        (12, Blank("E1", 5.0)), (12, Blank("kind:electrode", 2.0)), (14, Blank("kind:electrode", 2.0))
    ]  # fmt: skip
    assert run.announcer.notices == []


def test_a_mark_that_was_heard_of_too_late_is_told_and_blanks_nothing() -> None:
    run = Run({"ms": 2, "line": "TTL *"})
    run.look(0, 0, 0, 0)
    for sample in (1, 2, 3):
        run.given.put(sample, Mark(0, 2, 1))
    run.look(3, 0, 0)
    assert [row[0] for row in run.announcer.rows] == [1, 2, 3]
    assert run.detector.scheduled == [(3, Blank("kind:electrode", 2.0))]
    assert run.announcer.notices == [
        {"cause": "blank_late", "count": 2, "sample": 1, "samples": [1, 2], "lines": [10002, 10002]}
    ]


def test_what_is_learnt_from_and_then_detected_is_marked_once() -> None:
    run = Run({"ms": 2})
    rows = np.array([(0, word) for word in (0, 0, 1, 1, 2)], np.int16)
    run.given.put(1, Mark(0, 1, 7))
    run.marks.look(rows[:3], 0)  # as Start does
    run.look(0, 0, 0, 1, 1, 2)
    assert [(row[0], row[2]) for row in run.announcer.rows] == [(1, 10001), (2, 1001), (4, 1001)]
    assert [sample for sample, _ in run.detector.scheduled] == [1, 2, 4]


def test_marks_behind_the_last_row_are_said_at_the_end() -> None:
    run = Run()
    run.look(0, 0, 0)
    run.given.put(2, Mark(2, 1, 1))
    run.marks.finish(3)
    assert [row[0] for row in run.announcer.rows] == [2]


def test_marks_that_find_no_room_are_counted_and_told() -> None:
    run = Run()
    for _ in range(MOST_WAITING + 3):
        run.given.put(0, Mark(0, 1, 1))
    run.look(0, 0)
    run.look(1, 0)
    assert len(run.announcer.rows) == MOST_WAITING
    assert [(n["cause"], n["count"]) for n in run.announcer.notices] == [("marks_dropped", 3)]


class Pulls:
    """A source that brings what it is given."""

    def __init__(self, *pulls: Pull) -> None:
        self._pulls = list(pulls)

    def pull(self, destination: NDArray[Any]) -> Pull:
        return self._pulls.pop(0)


@pytest.mark.parametrize("room", [True, False])
def test_marks_of_a_pull_get_the_samples_of_their_rows_behind_holes(room: bool) -> None:
    info = replace(INFO, live=True)
    ring = Ring(2, "int16", 100)
    clock = SampleClock(1000.0)
    intake = Intake(info, ring, clock, HandClock())
    if not room:
        ring.reserve(100)
        ring.commit(100)
    begun = ring.next_sample
    marks = (Mark(6, 2, 1), Mark(0, 1, 1), Mark(6, 1, 0), Mark(10, 1, 5), Mark(-3, 1, 9))
    source = Pulls(Pull(10, holes=(Hole(6, 40),), marks=marks), Pull(5, marks=(Mark(0, 1, 6),)))
    intake.pull(source)  # type: ignore[arg-type]
    intake.pull(source)  # type: ignore[arg-type]
    at = [(sample - begun, mark.line, mark.value) for sample, mark in intake.marks.take(10**9)]
    assert at == [(-3, 1, 9), (0, 1, 1), (46, 2, 1), (46, 1, 0), (50, 1, 5), (50, 1, 6)]
    assert ring.next_sample - begun == 55
