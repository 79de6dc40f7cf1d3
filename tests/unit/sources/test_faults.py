"""Faults are a function of settings and sample index: exact, the same for any questions, and of the size asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import ConfigError
from rtspikes.sources.faults import LONGEST_DROP_S, NEVER, Faults, FaultSettings, Stamps
from tests.simulated import RATE_HZ

CHUNK = 20

EVERYTHING = FaultSettings(
    drop=0.05,
    pause_every_s=0.7,
    pause_for_s=0.1,
    disconnect_every_s=1.1,
    disconnect_for_s=0.15,
    stall_every_s=0.5,
    stall_for_s=0.3,
    clock_step_s=10.0,
    clock_step_at_s=1.23456,
    seed=5,
)


def stretches(settings: FaultSettings, end: int, chunk: int = CHUNK) -> list[tuple[int, int, str | None, bool]]:
    """Return (first, end, lost, late) of all stretches that begin before `end`."""
    faults, at, found = Faults(settings, RATE_HZ, chunk), 0, []
    while at < end:
        stretch = faults.at(at)
        found.append((at, stretch.end, stretch.lost, stretch.late))
        at = stretch.end
    return found


def lost_by(fault: str, settings: FaultSettings, end: int, chunk: int = CHUNK) -> list[tuple[int, int]]:
    return [(a, b) for a, b, lost, _ in stretches(settings, end, chunk) if lost == fault]


def test_without_faults_nothing_happens() -> None:
    stretch = Faults(FaultSettings(), RATE_HZ, CHUNK).at(0)
    assert stretch.lost is None
    assert not stretch.late
    assert stretch.end >= NEVER


@given(st.lists(st.integers(1, 700), min_size=1, max_size=200))
def test_the_answer_does_not_depend_on_who_asks_when(steps: list[int]) -> None:
    whole = stretches(EVERYTHING, 70_000)
    ends = np.array([end for _, end, _, _ in whole])
    faults, at = Faults(EVERYTHING, RATE_HZ, CHUNK), 0
    for step in steps:
        first, end, lost, late = whole[int(np.searchsorted(ends, at, side="right"))]
        assert faults.at(at) == (end, lost, late)
        assert first <= at < end
        at = min(at + step, 69_999)


@pytest.mark.parametrize("fault", ["pause", "disconnect"])
def test_what_is_periodic_is_exact(fault: str) -> None:
    settings: dict[str, Any] = {f"{fault}_every_s": 3.0, f"{fault}_for_s": 0.5}
    found = lost_by(fault, FaultSettings(**settings), round(10 * RATE_HZ))
    assert found == [(60_000 * k, 60_000 * k + 10_000) for k in (1, 2, 3)]


def test_a_stall_holds_back_and_loses_nothing() -> None:
    found = stretches(FaultSettings(stall_every_s=2.0, stall_for_s=0.25), round(5 * RATE_HZ))
    assert [(a, b) for a, b, _, late in found if late] == [(40_000, 45_000), (80_000, 85_000)]
    assert {lost for _, _, lost, _ in found} == {None}


def test_where_faults_meet_the_outlet_that_is_not_there_counts_most() -> None:
    settings = FaultSettings(
        pause_every_s=1.0, pause_for_s=0.5, disconnect_every_s=1.2, disconnect_for_s=0.1, drop=0.5, seed=2
    )
    found = stretches(settings, round(1.5 * RATE_HZ), 1000)
    inside = [(a, b, lost) for a, b, lost, _ in found if 20_000 <= a < 30_000]
    assert {lost for a, b, lost in inside if 24_000 <= a < 26_000} == {"disconnect"}
    assert {lost for a, b, lost in inside if not 24_000 <= a < 26_000} == {"pause"}


@pytest.mark.parametrize(("part", "chunk"), [(0.001, 20), (0.01, 20), (0.3, 40), (0.5, 20), (0.5, 2000)])
def test_drops_are_of_the_size_asked_for(part: float, chunk: int) -> None:
    end = 20_000_000
    found = np.array(lost_by("drop", FaultSettings(drop=part), end, chunk))
    lengths = np.diff(found, axis=1).ravel()
    assert np.all(found % chunk == 0)
    assert lengths.min() >= chunk
    assert lengths.max() <= max(chunk, LONGEST_DROP_S * RATE_HZ)
    assert found[0, 0] >= chunk  # the stream begins with samples
    assert (found[1:, 0] - found[:-1, 1]).min() >= chunk  # each is a gap of its own
    error = math.sqrt(2 / len(lengths))  # both the lengths and the distances vary by no more than their means
    assert lengths.sum() / end == pytest.approx(part, rel=4 * error)


def test_a_seed_is_for_ever() -> None:
    assert lost_by("drop", FaultSettings(drop=0.1, seed=1), 40_000) == [
        (9140, 10020),
        (13520, 14120),
        (16820, 17580),
        (19300, 19940),
        (22520, 22860),
        (23680, 24680),
        (32500, 32720),
        (38140, 38800),
    ]
    assert lost_by("drop", FaultSettings(drop=0.1, seed=2), 40_000) != lost_by("drop", FaultSettings(drop=0.1), 40_000)


def stamps(settings: FaultSettings, begun_s: float = 1000.0) -> Stamps:
    made = Stamps(settings, RATE_HZ, CHUNK)
    made.anchor(0, begun_s, RATE_HZ)
    return made


def pushes(settings: FaultSettings, end: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Return the last samples of all chunks, and the stamps that they were pushed with."""
    made, lasts = stamps(settings), np.arange(CHUNK - 1, end, CHUNK)
    return lasts, np.array([made.of_push(int(last)) for last in lasts])


@pytest.mark.parametrize("drift", [0.0, 5e-5, -5e-5])
def test_stamps_are_the_sample_counter_by_the_clock_of_the_device(drift: float) -> None:
    lasts, times = pushes(FaultSettings(drift=drift))
    np.testing.assert_allclose(times, 1000.0 + lasts / (RATE_HZ * (1 + drift)), rtol=0, atol=1e-9)


def test_jitter_is_late_by_up_to_its_size_and_never_steps_back() -> None:
    lasts, times = pushes(FaultSettings(jitter_s=5e-3))
    late_s = times - (1000.0 + lasts / RATE_HZ)
    assert late_s.min() >= 0
    assert late_s.max() <= 5e-3 + 1e-9
    assert np.diff(times).min() >= 0
    assert late_s.std() > 5e-4
    assert np.array_equal(times, pushes(FaultSettings(jitter_s=5e-3))[1])
    assert not np.array_equal(times, pushes(FaultSettings(jitter_s=5e-3, seed=2))[1])


@pytest.mark.parametrize("step_s", [10.0, -10.0])
@pytest.mark.parametrize("jitter_s", [0.0, 5e-3])
def test_a_step_of_the_clock_is_one_step_at_its_sample(step_s: float, jitter_s: float) -> None:
    lasts, times = pushes(FaultSettings(clock_step_s=step_s, clock_step_at_s=2.0, jitter_s=jitter_s))
    _, without = pushes(FaultSettings(jitter_s=jitter_s))
    np.testing.assert_allclose(times - without, np.where(lasts >= 40_000, step_s, 0.0), rtol=0, atol=1e-9)


def test_a_stretch_ends_where_the_clock_steps() -> None:
    found = stretches(FaultSettings(clock_step_s=1.0, clock_step_at_s=1.23456), 30_000)
    assert found[0][1] == round(1.23456 * RATE_HZ)


def test_stamps_may_be_left_to_liblsl() -> None:
    assert stamps(FaultSettings(default_stamps=True)).of_push(CHUNK - 1) is None


def test_anchors_of_a_device_that_knows_its_time_better_are_followed() -> None:
    made = stamps(FaultSettings(drift=5e-5))
    made.anchor(20_000, 1001.5, RATE_HZ)
    assert made.time(20_000) == pytest.approx(1000.0 + 1.5 / (1 + 5e-5), abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"drop": 0.6}, "--drop must be 0 … 50%, got 60%"),
        ({"drift": 0.5}, "--drift must be -1% … 1%, got 50%"),
        ({"pause_every_s": 5.0}, "--pause-for must be shorter than --pause-every, got 5s and 5s"),
        ({"stall_every_s": 1.0, "stall_for_s": 0.0}, "--stall-for must be shorter than --stall-every, got 0s and 1s"),
        (
            {"default_stamps": True, "jitter_s": 1.0},
            "--default-stamps leaves the stamps to liblsl: say it without --jitter and --clock-step",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FaultSettings(**settings)
    assert str(caught.value) == text
