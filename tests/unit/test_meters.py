"""Percentiles over the recent past are NumPy's; the maximum is that of all time."""

from __future__ import annotations

import numpy as np
import pytest

from rtspikes.meters import Percentiles


@pytest.mark.parametrize("n", [1, 2, 7, 100, 101, 250])
def test_percentiles_are_those_of_the_newest_values(n: int) -> None:
    values = np.random.default_rng(n).exponential(1e-3, n)
    one, many = Percentiles(100), Percentiles(100)
    for value in values:
        one.add(float(value))
    many.extend(values)
    p50, p99 = np.percentile(values[-100:], [50, 99]) * 1e3
    assert one.summary_ms() == many.summary_ms()
    assert one.summary_ms() == pytest.approx({"p50": p50, "p99": p99, "max": values.max() * 1e3}, abs=5e-4)


def test_the_maximum_stays_when_its_value_is_forgotten() -> None:
    meter = Percentiles(4)
    for value in (9.0, 1.0, 1.0, 1.0, 1.0):
        meter.add(value)
    assert meter.summary_ms() == {"p50": 1000, "p99": 1000, "max": 9000}


def test_before_the_first_value_there_is_nothing() -> None:
    assert Percentiles().summary_ms() == {}
