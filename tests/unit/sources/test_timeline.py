"""Stamps of producers of every kind, with losses, drifts and steps, against what truly happened."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.protocols import Hole
from rtspikes.sources.lsl.offset import ClockOffset, Offset
from rtspikes.sources.lsl.timeline import Timeline
from rtspikes.types import GapCause
from tests.unit.sources.stamps import RATE, Heard, Push, busy, counted, hear, jittered, push

START_S = 1000.0


def times_off_s(heard: Heard, rate_hz: float = RATE, from_sample: int = 0) -> np.ndarray:
    """Return how far the published times of the rows are from when they happened by the producer's clock."""
    late = heard.clock.times(heard.samples) - (START_S + heard.produced / rate_hz)
    return np.abs(late[heard.samples >= from_sample])


def told(heard: Heard) -> list[str]:
    return [remark.cause for remark in heard.remarks]


# nothing lost


@pytest.mark.parametrize("chunk", [1, 7, 20, 333, 2000])
def test_counted_stamps_without_a_loss_are_the_time(chunk: int) -> None:
    heard = hear(counted(5, chunk=chunk))
    assert heard.holes == []
    assert heard.remarks == []
    assert times_off_s(heard).max() < 1e-6
    assert heard.timeline.status()["stamps"] == "counted"


@pytest.mark.parametrize("seed", range(4))
def test_late_pushes_are_no_loss_and_times_are_the_regression_of_the_stamps(seed: int) -> None:
    pushes = jittered(30, busy, seed=seed)
    stamps = np.concatenate([p.stamps for p in pushes])
    deviations = np.abs(np.diff(stamps) * RATE - 1)[19::20]
    assert np.mean(deviations > 0.5) > 0.1, "a tenth of the chunks is off by half a sample and more"
    heard = hear(pushes)
    assert heard.holes == []
    assert told(heard) == []
    at = np.arange(len(stamps))
    regression = np.polyval(np.polyfit(at, stamps - START_S, 1), at) + START_S
    assert np.abs(heard.clock.times(heard.samples) - regression).max() < 50e-6
    assert heard.timeline.status()["stamps"] == "jittered"


@pytest.mark.parametrize("chunk", [1, 3, 20, 150, 2000])
def test_no_chunk_size_makes_a_loss_of_jitter(chunk: int) -> None:
    heard = hear(jittered(6, lambda rng: float(rng.uniform(0, 5e-3)), chunk=chunk))
    assert heard.holes == []
    assert heard.resets == []


def test_a_stall_of_the_producer_and_its_burst_are_no_loss() -> None:
    due = jittered(12, busy)
    stalled_s = START_S + 8.0
    pushes, at_s = [], stalled_s
    for pushed in due:  # what is due between 6 and 8 s is pushed from 8 s on, as fast as it goes
        if START_S + 6 < pushed.arrived_s < at_s:
            at_s += 30e-6
            pushes.append(push(int(pushed.samples[0]), 20, at_s, at_s + 1e-4))
        else:
            pushes.append(pushed)
    heard = hear(pushes)
    assert heard.holes == []
    assert heard.resets == []


def test_published_times_never_step_back_within_a_clock_segment() -> None:
    heard = hear(jittered(20, lambda rng: float(rng.exponential(1e-3))))
    assert np.diff(heard.clock.times(np.arange(0, 400_000, 10))).min() > 0


# losses


@pytest.mark.parametrize("drift", [0.0, 50e-6, -200e-6])
def test_losses_of_counted_stamps_are_exact_whatever_the_drift(drift: float) -> None:
    rng = np.random.default_rng(5)
    missing = set(rng.integers(0, 20_000, 60).tolist())
    rate_hz = RATE * (1 + drift)
    heard = hear(counted(20, rate_hz=rate_hz, lost=lambda first, end: first // 20 in missing))
    np.testing.assert_array_equal(heard.samples - heard.samples[0], heard.produced - heard.produced[0])
    assert all(hole.uncertain == 0 and hole.cause is GapCause.SOURCE for _, hole in heard.holes)
    assert times_off_s(heard, rate_hz).max() < 1e-5


@given(
    holes=st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 30_000)), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
)
@settings(max_examples=40)
def test_any_losses_between_any_chunks_are_exact(holes: list[tuple[int, int]], sizes: list[int]) -> None:
    pushes, at, number = [], 0, 0
    for kept, lost in [(5000, 0), *holes, (3000, 0)]:
        at += lost
        end = at + kept
        while at < end:
            n = min(sizes[number % len(sizes)], end - at)
            happened_s = START_S + (at + n - 1) / RATE
            pushes.append(push(at, n, happened_s, happened_s + 3e-4))
            at, number = at + n, number + 1
    heard = hear(pushes)
    np.testing.assert_array_equal(heard.samples, heard.produced)
    assert [hole.lost for _, hole in heard.holes] == [lost for _, lost in holes]
    assert all(hole.uncertain == 0 for _, hole in heard.holes)


@pytest.mark.parametrize("seed", range(4))
def test_chunks_that_are_lost_from_the_start_are_no_wrong_rate(seed: int) -> None:
    lost = set(np.cumsum(np.random.default_rng(seed).integers(4, 12, 200)).tolist())
    heard = hear(counted(6, chunk=100, rate_hz=RATE * (1 + 50e-6), lost=lambda first, end: first // 100 in lost))
    np.testing.assert_array_equal(heard.samples, heard.produced)
    assert heard.timeline.status()["stamps"] == "counted"


@pytest.mark.parametrize(("chunk", "together"), [(20, 10), (100, 4), (333, 6)])
def test_a_drift_that_is_not_known_yet_is_not_taken_for_jitter_for_long(chunk: int, together: int) -> None:
    """A pull brings what the rate is wrong by, times many samples, before the rate is known."""
    pushes = counted(8, chunk=chunk, rate_hz=RATE * (1 + 100e-6), lost=lambda first, end: first // chunk in (40, 61))
    pulls = [
        Push(
            np.concatenate([p.samples for p in pushes[i : i + together]]),
            np.concatenate([p.stamps for p in pushes[i : i + together]]),
            pushes[min(i + together, len(pushes)) - 1].arrived_s,
        )
        for i in range(0, len(pushes), together)
    ]
    heard = hear(pulls)
    np.testing.assert_array_equal(heard.samples, heard.produced)
    assert [hole.uncertain for _, hole in heard.holes] == [0, 0]
    assert heard.timeline.status()["stamps"] == "counted"


def test_two_losses_of_jittered_stamps_that_are_held_back_together_are_within_their_uncertainty() -> None:
    heard = hear(
        jittered(20, busy, lost=lambda first, end: first // 20 in (*range(10_000, 10_015), *range(10_060, 10_090)))
    )
    assert heard.lost > 0
    assert abs(heard.lost - 45 * 20) <= sum(hole.uncertain for _, hole in heard.holes)


def test_a_hole_within_one_pull_is_found_where_it_is() -> None:
    a, b = push(0, 40, START_S, START_S), push(291, 20, START_S + 271 / RATE, START_S)
    timeline = Timeline(RATE, ClockOffset(same_computer=True), 10.0)
    settled = hear(counted(1, start_s=START_S - 1 - 39 / RATE, first=0), timeline=timeline)
    assert settled.lost == 0
    verdict = timeline.take(np.append(a.stamps, b.stamps), START_S + 0.02, final=True)
    assert verdict.holes == (Hole(40, 251, GapCause.SOURCE, 0),)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lost", [200, 1000, 100_000])
def test_a_loss_of_jittered_stamps_carries_its_uncertainty(lost: int, seed: int) -> None:
    heard = hear(jittered(20, busy, lost=lambda first, end: 200_000 <= first < 200_000 + lost, seed=seed))
    [(sample, hole)] = heard.holes
    assert sample == 200_000, "it was held back until it was known"
    assert abs(hole.lost - lost) <= hole.uncertain < 200
    assert (hole.cause is GapCause.PAUSE) == (lost == 100_000)


def test_a_small_loss_of_jittered_stamps_is_told_as_soon_as_it_shows() -> None:
    def late(rng: np.random.Generator) -> float:
        return float(rng.uniform(0, 5e-3))

    heard = hear(jittered(20, late, lost=lambda first, end: 200_000 <= first < 200_080))
    [(sample, hole)] = heard.holes
    assert 200_000 < sample < 200_000 + 1.5 * RATE
    assert abs(hole.lost - 80) <= hole.uncertain
    assert "late_gap" in told(heard)


def test_what_is_smaller_than_the_jitter_is_not_guessed_at() -> None:
    heard = hear(jittered(20, busy, lost=lambda first, end: 200_000 <= first < 200_020))
    assert heard.lost == 0
    assert heard.timeline.status()["least_loss_known_samples"] > 20


def test_a_full_queue_is_told_from_a_loss_elsewhere() -> None:
    def delay(happened_s: float) -> float:  # nothing is taken from 5 to 12 s, and the queue holds 2 s
        return max(2e-4, START_S + 12 - happened_s) if happened_s > START_S + 5 else 2e-4

    heard = hear(counted(20, lost=lambda first, end: 100_000 <= first < 200_000, delay_s=delay), buffer_s=2.0)
    assert [(sample, hole.lost, hole.cause) for sample, hole in heard.holes] == [(100_000, 100_000, GapCause.BUFFER)]


@pytest.mark.parametrize("lost", [400, 2000])
def test_a_loss_in_the_first_half_second_of_jittered_stamps_is_told(lost: int) -> None:
    heard = hear(jittered(20, busy, lost=lambda first, end: 5000 <= first < 5000 + lost))
    [(_, hole)] = heard.holes
    assert abs(hole.lost - lost) <= hole.uncertain < 200
    assert heard.resets == []


@pytest.mark.parametrize("drift", [0.0, 50e-6, -100e-6])
def test_stamps_in_utc_are_as_good_as_their_digits(drift: float) -> None:
    start_s, rate_hz = 1.7e9, RATE * (1 + drift)
    heard = hear(counted(20, start_s=start_s, rate_hz=rate_hz, lost=lambda first, end: 200_000 <= first < 300_000))
    assert [(sample, hole.lost) for sample, hole in heard.holes] == [(200_000, 100_000)]
    assert heard.timeline.status()["drift_ppm"] == pytest.approx(drift * 1e6, abs=0.5)


@pytest.mark.parametrize("chunk", [2000, 5000, 20_000])
@pytest.mark.parametrize("step_s", [10.0, -10.0])
def test_a_step_of_the_clock_between_large_chunks_loses_nothing(chunk: int, step_s: float) -> None:
    heard = hear(counted(40, chunk=chunk, stamp=lambda t: t + (step_s if t > START_S + 20 else 0)))
    assert heard.lost == 0
    assert len(heard.resets) == 1


def test_a_leap_of_decades_is_no_loss_however_early() -> None:
    heard = hear(counted(5, stamp=lambda t: t + (1.7e9 if t > START_S + 0.005 else 0)))
    assert heard.lost == 0
    assert told(heard) == ["clock_reset"]
    assert abs(heard.clock.time(0) - START_S) < 1e-3, "what came before keeps its time"


def test_the_count_of_stamps_goes_on_over_days() -> None:
    timeline = Timeline(RATE, ClockOffset(same_computer=True), 10.0)
    timeline.take(push(0, 20, START_S, START_S).stamps, START_S)
    far_s, rate_hz = 3 * 86_400.0, RATE * (1 + 20e-6)
    heard = hear(counted(20, start_s=far_s, rate_hz=rate_hz, lost=lambda f, e: f == 100_000), timeline=timeline)
    assert [hole.lost for _, hole in heard.holes[-1:]] == [20]
    assert heard.timeline.status()["drift_ppm"] == pytest.approx(20, abs=0.1)


def test_pushes_in_bursts_of_a_producer_that_reads_its_device_now_and_then_are_no_loss() -> None:
    pushes = []
    for burst in range(100):
        at_s = START_S + 0.1 * (burst + 1)
        for i in range(100):
            at_s += 30e-6
            pushes.append(push(2000 * burst + 20 * i, 20, at_s, at_s + 1e-4))
    assert hear(pushes).lost == 0


# clocks


@pytest.mark.parametrize("jitter", [False, True])
def test_times_keep_to_a_drifting_clock_and_its_step_within_a_millisecond(jitter: bool) -> None:
    """50 ppm over ten minutes, and a step of 10 s half-way."""
    rate_hz, step_at_s = RATE * (1 + 50e-6), START_S + 300

    def stepped(happened_s: float) -> float:
        return happened_s + (10 if happened_s > step_at_s else 0)

    rng = np.random.default_rng(3)
    pushes = [
        Push(p.samples, p.stamps + (rng.exponential(2e-4) if jitter else 0.0), p.arrived_s)
        for p in counted(600, chunk=200, rate_hz=rate_hz, stamp=stepped)
    ]
    heard = hear(pushes)
    assert heard.holes == []
    assert len(heard.resets) == 1
    assert abs(heard.resets[0] - 300 * rate_hz) < 400
    truth = START_S + heard.produced / rate_hz
    truth[heard.samples >= heard.resets[0]] += 10
    for part in (heard.samples < heard.resets[0], heard.samples >= heard.resets[0]):
        off_s = np.abs(heard.clock.times(heard.samples[part]) - truth[part])
        assert off_s.max() < 1e-3
    causes = told(heard)
    assert causes.count("clock_reset") == 1
    assert "rate" in causes
    rate = next(remark for remark in heard.remarks if remark.cause == "rate")
    assert rate.facts["drift_ppm"] == pytest.approx(50, abs=15)
    assert rate.facts["residual_us"] < (400 if jitter else 1)
    assert heard.timeline.status()["drift_ppm"] == pytest.approx(50, abs=2)


@pytest.mark.parametrize("step_s", [10.0, -10.0, 0.5, -0.5])
@pytest.mark.parametrize("late", [None, busy])
def test_a_step_of_the_clock_loses_nothing(step_s: float, late: Callable[[np.random.Generator], float] | None) -> None:
    before = counted(20) if late is None else jittered(20, late)
    pushes = [Push(p.samples, p.stamps + (step_s if p.samples[0] >= 200_000 else 0), p.arrived_s) for p in before]
    heard = hear(pushes)
    assert heard.lost == 0
    assert heard.resets == [200_000]
    assert told(heard) == ["clock_reset"]
    assert heard.remarks[0].facts["step_s"] == pytest.approx(step_s, abs=1e-3)


def test_stamps_that_overlap_begin_anew_and_are_told() -> None:
    heard = hear(counted(20, stamp=lambda t: t - (3e-3 if t > START_S + 10 else 0)))
    assert told(heard)[0] == "overlap"
    assert [hole.lost for _, hole in heard.holes] == [0], "a seam: the filter begins anew"
    assert np.array_equal(heard.samples, heard.produced)


@pytest.mark.parametrize("rate_hz", [25_000.0, 10_000.0, 20_400.0])
@pytest.mark.parametrize("jitter", [False, True])
def test_a_wrong_nominal_rate_is_found_out_and_told(rate_hz: float, jitter: bool) -> None:
    heard = hear(jittered(10, busy, rate_hz=rate_hz) if jitter else counted(10, rate_hz=rate_hz))
    assert heard.lost == 0
    assert "rate" in told(heard)
    assert heard.timeline.status()["effective_rate_hz"] == pytest.approx(rate_hz, rel=1e-4)
    assert times_off_s(heard, rate_hz, from_sample=20_000).max() < 1e-3


def test_a_reconnected_stream_on_the_same_clock_has_an_exact_gap() -> None:
    timeline = Timeline(RATE, ClockOffset(same_computer=True), 10.0)
    first = hear(counted(5), timeline=timeline)
    timeline.reconnect(ClockOffset(same_computer=True), 10.0)
    verdict = timeline.take(push(146_840, 20, START_S + 146_859 / RATE, 0).stamps, START_S + 7.4, final=True)
    assert first.lost == 0
    assert [(hole.lost, hole.uncertain, hole.cause) for hole in verdict.holes] == [(46_840, 0, GapCause.RECONNECT)]


def test_a_computer_that_was_restarted_begins_a_clock_segment_and_its_gap_is_that_of_the_arrivals() -> None:
    timeline = Timeline(RATE, ClockOffset(same_computer=False), 10.0)
    hear(counted(5), timeline=timeline)
    timeline.reconnect(ClockOffset(same_computer=False), 10.0)
    verdict = timeline.take(push(0, 20, 12.0, 0).stamps, START_S + 35.0, final=True)
    [hole] = verdict.holes
    assert abs(hole.lost - 30 * RATE) <= hole.uncertain
    assert hole.cause is GapCause.RECONNECT
    assert [anchor.reset for anchor in verdict.anchors] == [True]
    assert [remark.cause for remark in verdict.remarks] == ["clock_reset"]


# the other computer's clock


def test_the_offset_between_two_clocks_is_in_the_times() -> None:
    offset = ClockOffset(same_computer=False)
    rng = np.random.default_rng(7)
    measured_s = [START_S]

    def measure(arrived_s: float) -> None:  # the other clock is 50 s behind and loses 20 ppm
        if arrived_s >= measured_s[0]:
            measured_s[0] += 2.0
            now = arrived_s
            truth = 50 + 20e-6 * (now - START_S)
            offset.add(Offset(now, truth + rng.normal(0, 50e-6), 1e-4))

    heard = hear(counted(120, chunk=200), offset=offset, meanwhile=measure)
    truth = START_S + heard.produced / RATE
    truth += 50 + 20e-6 * (truth - START_S)
    late = np.abs(heard.clock.times(heard.samples) - truth)
    assert late.max() < 1e-3
    assert late[heard.samples > 60 * RATE].max() < 2e-4


def test_on_one_computer_a_noisy_measurement_of_no_offset_is_none() -> None:
    offset = ClockOffset(same_computer=True)
    assert not offset.add(Offset(5.0, -3e-5, 1e-4))
    assert offset.at(100.0) == 0.0
    other = ClockOffset(same_computer=True)
    other.add(Offset(5.0, 7.0, 1e-4))
    assert other.at(6.0) == 7.0, "two clocks on what calls itself one computer"


def test_an_offset_that_jumps_begins_a_clock_segment() -> None:
    offset = ClockOffset(same_computer=False)
    offset.add(Offset(START_S, 50.0, 1e-4))

    def reset(arrived_s: float) -> None:
        if arrived_s > START_S + 10 and offset.at(START_S) > 45:
            assert offset.add(Offset(arrived_s, 40.0, 1e-4))

    heard = hear(counted(20, chunk=200), offset=offset, meanwhile=reset)
    assert told(heard) == ["clock_reset"]
    assert len(heard.resets) == 1
    after = heard.samples > heard.resets[0]
    assert np.abs(heard.clock.times(heard.samples[after]) - (START_S + 40 + heard.produced[after] / RATE)).max() < 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_offset_that_is_no_number_is_not_taken(bad: float) -> None:
    offset = ClockOffset(same_computer=False)
    assert not offset.add(Offset(1.0, bad, 1e-4))
    assert offset.at(5.0) == 0.0


# garbage


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_stamps_that_are_no_numbers_are_counted_on_and_told(bad: float) -> None:
    pushes = counted(5)
    pushes[2000].stamps[3:9] = bad
    heard = hear(pushes)
    assert heard.lost == 0
    assert told(heard) == ["bad_stamps"]
    assert heard.timeline.status()["stamps"] == "counted"


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_no_stamps_whatsoever_break_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pushes = []
    for i in range(200):
        n = int(rng.integers(1, 60))
        kind = rng.integers(6)
        stamps = [
            rng.normal(0, 10.0 ** rng.integers(-6, 12), n),
            np.full(n, rng.normal()),
            np.full(n, np.nan),
            np.cumsum(rng.exponential(1 / RATE, n)),
            np.arange(n) / RATE + i,
            np.full(n, 1.7e308),
        ][kind]
        pushes.append(Push(np.arange(n), stamps, START_S + i * 1e-3))
    heard = hear(pushes)
    assert len(heard.samples) == sum(len(p.samples) for p in pushes), "every row comes out once"
    assert np.diff(heard.samples).min() >= 1
