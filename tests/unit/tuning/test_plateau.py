"""From curves to a threshold: where errors are fewest, and when nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rtspikes.tuning.plateau import WIDEST, judge, noise_floor

LEVELS = np.geomspace(3.0, 12.0, 28)
SECONDS = 600.0


def gaussian(levels: NDArray[np.float64] = LEVELS, width: float = 1.0) -> NDArray[np.float64]:
    """Return how often noise of this width passes thresholds, Hz."""
    return np.asarray(1500.0 * np.exp(-((levels / width) ** 2) / 2))


def spikes(low: float, high: float, per_s: float) -> NDArray[np.float64]:
    """Return how many of the spikes whose heights lie evenly between two thresholds pass each threshold, Hz."""
    return np.asarray(per_s * np.clip((high - LEVELS) / (high - low), 0, 1))


def errors(threshold: float, low: float, high: float, per_s: float, width: float = 1.0) -> float:
    """Return missed and false events per second at a threshold."""
    missed = per_s * (1 - np.clip((high - threshold) / (high - low), 0, 1))
    return float(missed + gaussian(np.array([threshold]), width)[0])


@pytest.mark.parametrize(
    ("low", "high", "per_s"), [(6.0, 9.0, 5.0), (5.0, 15.0, 20.0), (8.0, 11.0, 0.5), (4.5, 6.0, 50.0)]
)
def test_the_suggestion_has_hardly_more_errors_than_the_best(low: float, high: float, per_s: float) -> None:
    curve = judge(LEVELS, gaussian() + spikes(low, high, per_s), gaussian(), SECONDS, 4.65)
    fewest = min(errors(t, low, high, per_s) for t in np.linspace(3, 12, 901))
    assert errors(curve.suggestion, low, high, per_s) <= fewest + 0.02 * per_s
    assert curve.plateau is not None
    assert curve.plateau[0] < curve.suggestion < curve.plateau[1]
    for end in curve.plateau:
        assert errors(end, low, high, per_s) <= fewest + 0.04 * per_s
    assert curve.widening == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("width", [1.1, 1.25])
def test_noise_that_is_wider_than_its_sigma_says_moves_the_suggestion(width: float) -> None:
    low, high, per_s = 6.5, 12.0, 3.0
    curve = judge(LEVELS, gaussian(width=width) + spikes(low, high, per_s), gaussian(), SECONDS, 4.65)
    assert curve.widening == pytest.approx(width, abs=0.03)
    fewest = min(errors(t, low, high, per_s, width) for t in np.linspace(3, 12, 901))
    assert errors(curve.suggestion, low, high, per_s, width) <= fewest + 0.05 * per_s


def test_many_small_spikes_are_not_all_taken_for_noise() -> None:
    curve = judge(LEVELS, gaussian() + spikes(3.5, 8.0, 200.0), gaussian(), SECONDS, 4.65)
    assert curve.widening <= WIDEST
    assert curve.suggestion < 4.5


def test_noise_alone_has_no_plateau_and_is_passed_once_a_minute() -> None:
    curve = judge(LEVELS, gaussian(), gaussian(), SECONDS, 4.65)
    assert curve.plateau is None
    assert gaussian(np.array([curve.suggestion]))[0] == pytest.approx(1 / 60, rel=0.2)


def test_where_the_noise_is_not_known_nothing_is_made_up() -> None:
    curve = judge(LEVELS, spikes(6, 9, 5.0), np.full(len(LEVELS), np.nan), SECONDS, 4.65)
    assert curve.plateau is None
    assert not curve.noise_known
    assert curve.suggestion == 4.65


def test_no_event_at_all_is_no_error() -> None:
    curve = judge(LEVELS, np.zeros(len(LEVELS)), np.zeros(len(LEVELS)), SECONDS, 4.65)
    assert curve.plateau is None
    assert LEVELS[0] <= curve.suggestion <= LEVELS[-1]


def test_the_floor_is_what_was_counted_and_beyond_that_its_tail() -> None:
    rng = np.random.default_rng(3)
    counted = rng.poisson(gaussian() * 100.0)
    floor = noise_floor(LEVELS, counted, np.full(len(LEVELS), 100.0))
    assert floor[:5] == pytest.approx(gaussian()[:5], rel=0.1)
    known = gaussian() > 1e-6
    assert np.log(floor[known]) == pytest.approx(np.log(gaussian()[known]), abs=0.7)
    assert (np.diff(floor) < 0).all()


@pytest.mark.parametrize("counted", [np.zeros(28), np.full(28, 3), np.full(28, 1000)])
def test_a_floor_that_cannot_be_fitted_is_not_known(counted: NDArray[np.int64]) -> None:
    assert np.isnan(noise_floor(LEVELS, counted, np.full(28, 10.0))).all()
