from __future__ import annotations

import numpy as np

from rtspikes.subscribers.view.trends import KEPT, MOST_SENT, STEP_S, Trends
from tests.unit.subscribers.view.pages import unpack


def test_each_step_has_its_rate_its_noise_and_its_losses() -> None:
    trends = Trends(step_s=10)
    for run_s in range(35):
        trends.add(
            run_s, run_s * 1.0, run_s * 5.0 if run_s < 20 else 100 + (run_s - 20) * 7.0, 4.0, 3.0 * (run_s >= 10)
        )
    head, arrays = unpack(trends.message())
    assert (head["from_s"], head["step_s"]) == (0, 10)
    assert arrays["rate"].tolist() == [5, 5, 7]
    assert arrays["sigma"].tolist() == [4, 4, 4]
    assert arrays["lost"].tolist() == [3, 0, 0]


def test_what_nobody_knows_is_no_number() -> None:
    trends = Trends(step_s=10)
    trends.add(0, 0, 0, 4, 0)
    trends.add(10, 0, 0, 4, 0)  # no signal came
    trends.add(20, 5, 50, float("nan"), 0)
    trends.add(30, 3, 10, 4, 0)  # another session
    _, arrays = unpack(trends.message())
    np.testing.assert_array_equal(arrays["rate"], np.float32([np.nan, 10, np.nan]))
    np.testing.assert_array_equal(arrays["sigma"], np.float32([np.nan] * 3))


def test_what_is_lost_while_nothing_was_heard_counts_once() -> None:
    trends = Trends(step_s=10)
    for run_s, lost in ((0, 0), (50, 7), (60, 7)):
        trends.add(run_s, run_s, run_s * 2, 4, lost)
    _, arrays = unpack(trends.message())
    assert arrays["lost"].tolist() == [0, 0, 0, 0, 7, 0]
    assert arrays["rate"].tolist() == [2] * 6


def test_a_day_is_kept_and_sent_in_a_few_points() -> None:
    trends = Trends()
    for step in range(KEPT + 101):
        trends.add(step * STEP_S, step * STEP_S, step * STEP_S * 2, 4, step)
    head, arrays = unpack(trends.message())
    assert head["from_s"] == 100 * STEP_S
    assert len(arrays["rate"]) <= MOST_SENT
    assert len(arrays["rate"]) * head["step_s"] >= 86_400
    assert (arrays["rate"] == 2).all()
    assert arrays["lost"].sum() == KEPT
