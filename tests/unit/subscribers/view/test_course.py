from __future__ import annotations

import math

import numpy as np
import pytest

from rtspikes.subscribers.view.activity_codes import LOWEST_HZ, PER_OCTAVE
from rtspikes.subscribers.view.course import Course
from rtspikes.types import GAP_DTYPE, MARK_DTYPE
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.codec import LEVELS_DTYPE
from tests.unit.subscribers.view.pages import by_kind, info, said, spikes


def course(*batches: Batch, n: int = 4) -> Course:
    made = Course(info(n))
    for batch in batches:
        made.add(batch)
    made.settle()
    return made


def levels(sigma_uv: list[float], negative_uv: list[float]) -> Batch:
    rows = np.zeros(len(sigma_uv), LEVELS_DTYPE)
    rows["sigma_uv"], rows["negative_uv"], rows["positive_uv"] = sigma_uv, negative_uv, np.nan
    return Batch("thresholds", "s1", 0, 0, thresholds=rows, fields={"first_channel": 0})


def status(observed_s: list[float], **about: object) -> Batch:
    return said("status", observed=np.array(observed_s, "<f4").tobytes(), **about)


def test_the_same_is_seen_however_it_comes() -> None:
    events = [(s, s % 4) for s in range(0, 500, 7)]
    whole = course(spikes(events, 500))
    parts = course(*(spikes([e for e in events if a <= e[0] < a + 50], a + 50, a) for a in range(0, 500, 50)))
    assert whole.now == parts.now == 500
    for a, b in zip(whole.raster.columns(0), parts.raster.columns(0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.shapes.counts.tolist() == parts.shapes.counts.tolist()


def test_the_rate_is_over_the_time_in_which_a_spike_could_have_been_found() -> None:
    made = course(spikes([(s, 0) for s in range(0, 1000, 100)], 1000), status([0.5, 1, 0, 1]))
    _, arrays = by_kind([made.levels()])["levels"]
    np.testing.assert_array_equal(arrays["rate"], np.float32([20, 0, np.nan, 0]))
    assert arrays["count"].tolist() == [10, 0, 0, 0]


def test_who_comes_late_counts_from_then_on() -> None:
    made = Course(info())
    made.add(spikes([(5_000, 0)], 5_010, 4_990))
    made.add(status([5, 5, 5, 5]))
    made.add(spikes([(5_500, 0), (5_600, 0)], 7_000, 5_010))
    made.add(status([7, 7, 7, 7]))
    _, arrays = by_kind([made.levels()])["levels"]
    assert arrays["count"].tolist() == [2, 0, 0, 0]
    assert arrays["observed_s"].tolist() == [2, 2, 2, 2]
    assert arrays["rate"].tolist() == [1, 0, 0, 0]


def test_flags_say_what_is_wrong_with_a_channel() -> None:
    made = course(
        levels([5, 5, 0, 5], [-20, math.nan, math.nan, -20]),
        said("notices", cause="noisy", text="", sample=0, all=[0, 99, "x", True]),
        status([1] * 4, storming_channels=[3]),
    )
    _, arrays = by_kind([made.levels()])["levels"]
    assert arrays["flags"].tolist() == [8, 1, 0, 2]
    made.add(said("notices", cause="noisy", text="", sample=0, all=[]))
    assert by_kind([made.levels()])["levels"][1]["flags"].tolist() == [0, 1, 0, 2]


def test_activity_is_a_smoothed_rate_that_decays() -> None:
    made = course(spikes([(s, 1) for s in range(0, 10_000, 50)], 10_000))
    codes = made.activity()
    assert codes[[0, 2, 3]].tolist() == [0, 0, 0]
    made.add(spikes([], 30_000, 10_000))
    made.settle()
    assert made.activity().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("together", [20, 1000, 5000])
def test_activity_does_not_depend_on_how_much_comes_at_once(together: int) -> None:
    steady = Course(info())
    for a in range(0, 20_000, together):
        steady.add(spikes([(s, 1) for s in range(a, a + together, 20)], a + together, a))
        steady.settle()
    rate_hz = LOWEST_HZ * 2 ** ((int(steady.activity()[1]) - 1) / PER_OCTAVE)
    assert rate_hz == pytest.approx(50, rel=0.05)


def test_gaps_marks_and_losses_are_kept() -> None:
    gap = np.array([(100, 30, 0.1, 2, 1)], GAP_DTYPE)
    mark = np.array([(50, 0.0, 0, 0), (60, 0.0, 1001, 1)], MARK_DTYPE)
    made = course(
        spikes([(90, 0)], 100),
        Batch("gaps", "s1", 0, 0, gaps=gap, missed=(Missed("gaps", 0, 2),)),
        Batch("marks", "s1", 0, 0, marks=mark, texts=("drug", "")),
        spikes([(140, 0), (150, 0)], 200, 130),
    )
    happened, _ = by_kind([made.happenings.message(0)])["happened"]
    assert happened["gaps"] == [{"sample": 100, "lost": 30, "cause": "overrun", "uncertain": 1}]
    assert [m["text"] for m in happened["marks"]] == ["drug", "line 1001 = 1"]
    assert (made.lost, made.missed) == (30, 2)
    assert made.shapes.isi(0).sum() == 1


def test_what_did_not_come_here_is_a_gap_and_no_time_observed() -> None:
    made = Course(info())
    made.add(spikes([(s, 0) for s in range(0, 1000, 100)], 1000))
    late = spikes([(s, 0) for s in range(2000, 3000, 100)], 3000, 2000)
    made.add(
        Batch("spikes", "s1", 2000, 3000, late.spikes, late.waveforms, missed=(Missed("spikes", 1, 9, 1000, 2000),))
    )
    made.settle()
    made.add(status([3, 3, 3, 3]))
    happened, _ = by_kind([made.happenings.message(0)])["happened"]
    assert [(g["sample"], g["lost"], g["cause"]) for g in happened["gaps"]] == [(1000, 1000, "missed here")]
    assert made.missed == 9
    assert made.shapes.isi(0).sum() == 18
    _, arrays = by_kind([made.levels()])["levels"]
    assert arrays["observed_s"][0] == 2
    assert arrays["rate"][0] == 10


def test_before_the_viewer_came_nothing_is_shown() -> None:
    made = Course(info())
    made.add(spikes([(5_003, 0)], 5_010, 5_000))
    made.settle()
    first, columns, rate = made.raster.columns(0)
    assert (first, len(columns), rate.tolist()) == (500, 1, [1])
    happened, _ = by_kind([made.happenings.message(0)])["happened"]
    assert [(g["sample"], g["lost"], g["cause"]) for g in happened["gaps"]] == [(0, 5000, "before this viewer came")]


def test_the_newest_spikes_of_selected_channels() -> None:
    made = course(spikes([(10, 0), (11, 1)], 20))
    made.add(spikes([(30, 1), (31, 0), (32, 1)], 40, 20))
    made.settle()
    found, waveforms = made.newest([1], 0, 10)
    assert found["sample"].tolist() == waveforms[:, 0].tolist() == [11, 30, 32]
    assert made.newest([1], 0, 2)[0]["sample"].tolist() == [30, 32]
    assert made.newest([1], 1, 10)[0]["sample"].tolist() == [30, 32]
    none, shape = made.newest([3], 0, 10)
    assert (len(none), shape.shape) == (0, (0, 3))


def test_what_is_kept_of_a_long_run_is_bounded() -> None:
    made = Course(info())
    for a in range(0, 200_000, 100):
        made.add(spikes([(a, 0), (a + 50, 1)], a + 100, a))
        made.settle()
    assert len(made.newest([0, 1], 0, 10**6)[0]) <= 170
