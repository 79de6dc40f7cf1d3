"""The list of mistakes: each with its place, its height, and why."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from rtspikes.subscribers.evaluation import evaluate
from rtspikes.subscribers.labelled import read_labelled
from rtspikes.subscribers.mistakes import (
    COLUMNS,
    NO_THRESHOLD,
    Mistake,
    missed_spikes,
    thresholds_uv,
    unmatched_events,
    with_heights,
    write_csv,
)
from rtspikes.types import THRESHOLD_DTYPE
from tests.unit.subscribers.sessions import RATE_HZ, THRESHOLD_UV, labelled, session


def test_unmatched_events_come_with_the_highest_first() -> None:
    log = session([(100, 0), (200, 1), (300, 0), (400, 2)], heights=[1.1, 3.0, 1.0, 2.0])
    found = unmatched_events(evaluate(log, labelled([(300, 0)])))
    assert [(m.sample, m.channel, m.label, round(m.height, 3)) for m in found] == [
        (200, 1, "E2", 3.0), (400, 2, "E3", 2.0), (100, 0, "E1", 1.1)
    ]  # fmt: skip
    assert [m.time_s for m in found] == [200 / RATE_HZ, 400 / RATE_HZ, 100 / RATE_HZ]
    assert {m.kind for m in found} == {"unmatched"}


def test_missed_spikes_come_with_the_largest_snr_first_and_those_without_last() -> None:
    truth = labelled([(10, 0), (20, 1), (30, 2), (40, 0)], [math.nan, 5.0, 9.0, math.nan], ["a", "b", "c", "d"])
    found = missed_spikes(evaluate(session(), truth))
    assert [(m.sample, m.unit) for m in found] == [(30, "c"), (20, "b"), (10, "a"), (40, "d")]
    assert {m.threshold_uv for m in found} == {THRESHOLD_UV}
    assert all(math.isnan(m.amplitude_uv) and math.isnan(m.height) for m in found)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (96, "rejected: rebound"),
        (104, "rejected: coincidence"),
        (505, "event is another spike's"),
        (510, "in an event's dead time"),
        (513, "no event"),
        (495, "no event"),
        (900, "no event"),
    ],
)
def test_why_a_spike_was_missed(at: int, why: str) -> None:
    log = session([(501, 0), (900, 1)], rejected=[(100, 0, 2), (103, 0, 3), (900, 1, 2)])
    truth = labelled([(501, 0), (at, 0)])
    assert [m.why for m in missed_spikes(evaluate(log, truth)) if m.sample == at] == [why]


def test_the_threshold_is_the_one_in_force_there() -> None:
    log = session([])
    rows = [(0, 0, 1.0, -5.0, np.nan), (0, 1, 1.0, -6.0, 6.5), (100, 0, 1.0, np.nan, 7.0), (100, 1, 1.0, -8.0, 8.5)]
    object.__setattr__(log, "thresholds", np.array(rows, THRESHOLD_DTYPE))
    found = evaluate(log, labelled([(99, 0), (100, 0), (99, 1), (3000, 1), (50, 2)]))
    np.testing.assert_array_equal(
        thresholds_uv(found, range(5)), [(-5, np.nan), (np.nan, 7), (-6, 6.5), (-8, 8.5), (np.nan, np.nan)]
    )


@pytest.mark.parametrize("none", [np.nan, -np.inf, 0.0])
def test_a_spike_on_a_dead_electrode_was_missed_for_want_of_a_threshold(none: float) -> None:
    log = session([(300, 0)], rejected=[(400, 0, 2)])
    rows = [(10, 0, 0.0, none, -none), (10, 1, 4.0, -20.0, np.nan), (500, 0, 4.0, np.nan, 20.0)]
    object.__setattr__(log, "thresholds", np.array(rows, THRESHOLD_DTYPE))
    found = evaluate(log, labelled([(5, 0), (100, 0), (100, 1), (400, 0), (499, 0), (500, 0)]))
    assert found.total.missed == 6
    told = {(m.sample, m.channel): m.why for m in missed_spikes(found)}
    assert told == {
        (5, 0): "no event",  # what was in force before the first one that is told is not known
        (100, 0): NO_THRESHOLD,
        (100, 1): "no event",
        (400, 0): "rejected: rebound",
        (499, 0): NO_THRESHOLD,
        (500, 0): "no event",
    }
    assert np.isnan(thresholds_uv(found, [1])).all()


def test_heights_are_those_of_the_extremum_within_the_tolerance() -> None:
    found = evaluate(session(), labelled([(100, 0), (200, 1), (300, 2), (400, 0)]))
    signals = {row: np.zeros(40, np.float32) for row in range(3)}
    signals[0][20 + 4], signals[0][20 + 5] = -15, -90  # the second one is too far away
    signals[1][:] = np.nan
    signals[2][20 - 4], signals[2][20] = -18, 60
    told = {m.row: m for m in with_heights(found, missed_spikes(found), signals)}
    assert [round(told[row].amplitude_uv, 4) for row in (0, 2)] == [-15, -18]
    assert [round(told[row].height, 4) for row in (0, 2)] == [0.75, 0.9]
    assert math.isnan(told[1].amplitude_uv)
    assert math.isnan(told[3].amplitude_uv)


def test_the_csv_has_every_mistake_in_order_of_time_and_reads_as_labels(tmp_path: Path) -> None:
    log = session([(1000, 0), (300, 1)], labels=["µ,1", 'b"', "c"])
    found = evaluate(log, labelled([(301, 1), (2000, 0), (700, 2)], [4.5, math.nan, 7.25], ["x", "y", "z"]))
    mistakes: list[Mistake] = [*unmatched_events(found), *missed_spikes(found)]
    write_csv(mistakes, tmp_path / "m.csv")
    with open(tmp_path / "m.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1:] == [
        ["missed", "700", "0.175", "2", "c", "z", "", "-20", "7.25", "no event"],
        ["unmatched", "1000", "0.25", "0", "µ,1", "", "-30", "-20", "", ""],
        ["missed", "2000", "0.5", "0", "µ,1", "y", "", "-20", "", "no event"],
    ]
    again = read_labelled(tmp_path / "m.csv", log.info, "missed")
    assert (again.sample.tolist(), again.channel.tolist()) == ([700, 2000], [2, 0])
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]
