"""What an active electrode is, at the border and without observed time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.activity import ACTIVE_PER_MIN, active, rates_hz, spread


def test_five_spikes_per_minute_of_observed_time_are_active() -> None:
    spikes, observed_s = [5, 4, 5, 0, 1, 7, 50], [60.0, 60.0, 60.001, 10.0, 12.0, 0.0, 600.0]
    assert active(spikes, observed_s).tolist() == [True, False, False, False, True, False, True]
    assert active([5, 4], 60.0).tolist() == [True, False]
    assert active([], []).tolist() == []


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_rate_per_minute_decides(spikes: int, milliseconds: int) -> None:
    enough = spikes > 0 < milliseconds and spikes * 60_000 >= ACTIVE_PER_MIN * milliseconds
    assert active([spikes], [milliseconds / 1000]).tolist() == [enough]


def test_a_rate_needs_observed_time() -> None:
    assert rates_hz([6, 0], [3.0, 3.0]).tolist() == [2, 0]
    assert np.isnan(rates_hz([6], [0.0])).all()


@pytest.mark.parametrize(
    ("observed_s", "want"), [([], (0, 0, 0)), ([2.0], (2, 2, 2)), ([5.0, 1.0, 1.2345678], (1, 1.234568, 5))]
)
def test_the_spread_is_minimum_median_and_maximum(observed_s: list[float], want: tuple[float, ...]) -> None:
    assert tuple(spread(np.array(observed_s)).items()) == tuple(zip(("min", "median", "max"), want, strict=True))
