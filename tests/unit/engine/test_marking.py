"""Marking: markers lie at the samples of their times, whenever they come and whatever they hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rtspikes.clock import SampleClock
from rtspikes.engine.marking import MOST_WAITING, Marking
from rtspikes.wire.codec import MOST_TEXT
from tests.system.markers import FakeMarkers, Marker


class Announcer:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.texts: list[str] = []

    def marks(self, table: np.ndarray[Any, Any], texts: list[str]) -> None:
        self.rows += table.tolist()
        self.texts += texts


class Run(NamedTuple):
    markers: FakeMarkers
    marking: Marking
    clock: SampleClock
    announcer: Any

    def look(self) -> None:
        self.marking.handle(self.clock, self.announcer)


def begun() -> Run:
    markers = FakeMarkers()
    return Run(markers, Marking(markers), SampleClock(1000.0), Announcer())


def test_a_marker_lies_at_the_sample_of_its_time_and_keeps_that_time() -> None:
    run = begun()
    run.clock.anchor(0, 50.0)
    run.markers.add(Marker(50.1004, 2, 7, "µ"), Marker(49.5, 1, 0, "before"), Marker(60.0, 1, 0, "ahead"))
    run.look()
    assert run.announcer.rows == [(100, 50.1004, 2, 7), (-500, 49.5, 1, 0), (10000, 60.0, 1, 0)]
    assert run.announcer.texts == ["µ", "before", "ahead"]
    run.look()
    assert len(run.announcer.rows) == 3


def test_markers_wait_for_the_signal_and_those_beyond_are_counted() -> None:
    run = begun()
    run.markers.add(*(Marker(50.0 + i, 1, i, "") for i in range(MOST_WAITING + 3)))
    for _ in range(50):
        run.look()
    assert run.announcer.rows == []
    assert run.marking.dropped == 3
    run.clock.anchor(0, 50.0)
    run.look()
    assert [row[0] for row in run.announcer.rows] == [1000 * i for i in range(MOST_WAITING)]


def test_markers_of_a_signal_that_never_came_are_said_at_the_end() -> None:
    run = begun()
    run.markers.add(Marker(51.0, 1, 3, "alone"))
    run.look()
    run.marking.finish(run.clock, run.announcer, 40)
    assert run.announcer.rows == [(40, 51.0, 1, 3)]


def test_values_and_texts_fit_into_a_mark() -> None:
    run = begun()
    run.clock.anchor(0, 50.0)
    run.markers.add(Marker(50.0, 1, 2**40, "x" * 5000), Marker(50.0, 1, -(2**40), ""))
    run.look()
    assert [row[3] for row in run.announcer.rows] == [2**31 - 1, -(2**31)]
    assert len(run.announcer.texts[0]) == MOST_TEXT
