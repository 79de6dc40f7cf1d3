"""The data path's checks of `doctor`."""

from __future__ import annotations

import numpy as np
import pytest

from rtspikes.cli.doctor import trials
from rtspikes.cli.doctor.checks import Figures

TRUTH = np.array([(100, 0), (200, 1), (300, 0)])


def test_the_kernels_of_this_computer_find_what_is_there() -> None:
    finding = trials.check_detection()
    assert finding.level == "ok", finding.value
    assert finding.figures["known"] == 96


@pytest.mark.parametrize(
    ("found", "missed", "false"),
    [
        ([(105, 0), (195, 1), (300, 0)], 0, 0),
        ([(106, 0), (200, 1), (300, 0)], 1, 1),
        ([(100, 1), (200, 1), (300, 0)], 1, 1),
        ([(100, 0), (200, 1)], 1, 0),
        ([(100, 0), (101, 0), (200, 1), (300, 0)], 0, 1),
        ([], 3, 0),
    ],
)
def test_detection_fails_unless_it_finds_exactly_what_is_there(
    found: list[tuple[int, int]], missed: int, false: int
) -> None:
    finding = trials.judge_detection(TRUTH, np.array(found, np.int64).reshape(-1, 2))
    assert (finding.figures["missed"], finding.figures["false"]) == (missed, false)
    assert finding.level == ("fail" if missed or false else "ok")
    assert bool(finding.do) == (finding.level != "ok")


def test_capacity_is_measured_by_an_engine() -> None:
    figures = trials.measure_capacity(n_channels=4, trial_s=0.01)
    assert figures["trial_channels"] == 4
    assert float(figures["channels_carried"]) > 0
    assert float(figures["cpu_cores"]) > 0


@pytest.mark.parametrize(("carried", "level"), [(2048, "ok"), (2046, "warn"), (120, "warn"), (118, "fail")])
def test_half_of_what_is_carried_is_planned_with(carried: int, level: str) -> None:
    figures: Figures = {"channels_carried": carried, "cpu_cores": 1.2, "trial_s": 2.0, "trial_channels": 1024}
    finding = trials.judge_capacity(figures)
    assert finding.level == level
    assert bool(finding.do) == (level != "ok")
    assert finding.figures["channels_planned"] == carried // 2
