"""Sample indices become seconds, and the LSL clock is the one that liblsl reads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from rtspikes.clock import MOST_PIECES, LslClock, SampleClock


def test_times_are_nan_before_the_first_anchor() -> None:
    assert np.isnan(SampleClock(1000.0).times(np.array([0, 5]))).all()


def test_one_anchor_gives_time_by_the_rate_on_both_sides_of_it() -> None:
    clock = SampleClock(1000.0)
    clock.anchor(500, 20.0)
    np.testing.assert_allclose(clock.times(np.array([400, 500, 1500])), [19.9, 20.0, 21.0], rtol=0, atol=1e-12)
    assert clock.time(750) == pytest.approx(20.25)


def test_each_segment_counts_from_its_own_anchor() -> None:
    clock = SampleClock(100.0)
    clock.anchor(0, 1000.0)
    clock.anchor(200, 5.0)
    clock.anchor(300, 80.0)
    got = clock.times(np.array([0, 199, 200, 299, 300, 400]))
    np.testing.assert_allclose(got, [1000.0, 1001.99, 5.0, 5.99, 80.0, 81.0], rtol=0, atol=1e-9)


def test_an_anchor_before_the_last_is_refused_and_changes_nothing() -> None:
    clock = SampleClock(100.0)
    clock.anchor(10, 1.0)
    with pytest.raises(ValueError, match="must rise, got sample 9 after 10"):
        clock.anchor(9, 2.0)
    assert clock.time(10) == 1.0


def test_an_anchor_at_the_sample_of_the_last_replaces_it() -> None:
    clock = SampleClock(100.0)
    clock.anchor(0, 0.0)
    clock.anchor(10, 1.0)
    clock.anchor(10, 2.0)
    assert clock.times(np.array([5, 10, 20])).tolist() == [0.05, 2.0, 2.1]


def test_each_anchor_may_have_a_rate_of_its_own() -> None:
    clock = SampleClock(100.0)
    clock.anchor(0, 0.0, 200.0)
    clock.anchor(200, 1.0)
    assert clock.times(np.array([100, 200, 300])).tolist() == [0.5, 1.0, 2.0]


def test_an_lsl_time_becomes_the_nearest_sample_of_its_segment() -> None:
    clock = SampleClock(100.0)
    assert clock.sample(0.5) is None
    clock.anchor(0, 10.0)
    clock.anchor(300, 25.0, 50.0)
    assert [clock.sample(t) for t in (9.9, 10.0, 11.004, 11.006, 25.0, 26.0)] == [-10, 0, 100, 101, 300, 350]


def test_only_the_newest_anchors_are_kept() -> None:
    clock = SampleClock(100.0)
    for i in range(3 * MOST_PIECES):
        clock.anchor(100 * i, 2.0 * i, 50.0)
    newest = 3 * MOST_PIECES - 1
    assert clock.time(100 * newest) == 2.0 * newest
    assert clock.time(100 * (newest - MOST_PIECES + 2)) == 2.0 * (newest - MOST_PIECES + 2)


def test_large_indices_keep_their_exact_sample() -> None:
    clock = SampleClock(20000.0)
    clock.anchor(0, 0.0)
    day = 24 * 3600 * 20000
    assert clock.time(day + 1) - clock.time(day) == pytest.approx(1 / 20000, rel=1e-6)


def test_no_samples_have_no_times() -> None:
    clock = SampleClock(100.0)
    clock.anchor(0, 0.0)
    assert clock.times(np.zeros(0, np.int64)).shape == (0,)


def test_the_lsl_clock_is_the_one_of_liblsl() -> None:
    try:
        from pylsl import local_clock
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"liblsl cannot be loaded: {error}")
    clock = LslClock()
    brackets = []
    for _ in range(50):  # the tightest bracket: the process may be interrupted between two readings
        before, theirs, after = clock.now(), local_clock(), clock.now()
        brackets.append((after - before, theirs - (before + after) / 2))
    assert abs(min(brackets)[1]) < 5e-3


def test_waiting_ends_at_the_deadline_or_at_once_when_stopped() -> None:
    clock, stop = LslClock(), threading.Event()
    deadline_s = clock.now() + 0.01
    assert not clock.wait_until(deadline_s, stop)
    assert clock.now() >= deadline_s - 1e-3
    assert not clock.wait_until(clock.now() - 1.0, stop), "a deadline in the past is no wait"
    stop.set()
    begun_s = time.monotonic()
    assert clock.wait_until(clock.now() + 3600.0, stop)
    assert time.monotonic() - begun_s < 60.0
