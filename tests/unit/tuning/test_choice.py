"""What is shown is what tells most."""

from __future__ import annotations

import numpy as np

from rtspikes.tuning.choice import BUSIEST, QUIETEST, UNDECIDED, USUAL, stretch, telling


def test_four_channels_that_tell_something_else_each() -> None:
    low = np.array([500, 20, 900, 0, 130, 110, 110])
    middle = np.array([490, 10, 100, 0, 120, 105, 100])
    high = np.array([480, 9, 20, 0, 110, 100, 95])
    shown = telling([low, middle, high], [0, 1, 2, 3, 4, 5, 6], 4)
    assert shown == [(0, BUSIEST), (2, UNDECIDED), (3, QUIETEST), (5, USUAL)]


def test_few_channels_are_all_shown_once() -> None:
    for n in range(1, 5):
        counts = [np.arange(10) for _ in range(3)]
        assert [c for c, _ in telling(counts, [7, 3, 9, 1][:n], 4)] == sorted([7, 3, 9, 1][:n])


def test_silent_channels_can_be_chosen_from() -> None:
    nothing = [np.zeros(60, int)] * 3
    assert len(telling(nothing, list(range(60)), 4)) == 4


def test_a_stretch_shows_what_distinguishes_the_thresholds() -> None:
    always = [10_000, 50_000, 90_000]
    low = np.array(sorted([*always, 30_000, 70_500, 70_900]))
    middle = np.array(sorted([*always, 70_500]))
    high = np.array(sorted([*always, 71_500]))
    begin = stretch([low, middle, high], 100_000, 4_000)
    assert begin < 70_500 < 70_900 < begin + 4_000
    assert stretch([np.zeros(0, int)] * 3, 100_000, 4_000) == 0
    assert stretch([np.zeros(0, int)] * 3, 1_000, 4_000) == 0
