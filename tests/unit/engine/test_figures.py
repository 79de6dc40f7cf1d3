"""The channels' part of `status`."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack
import numpy as np

from rtspikes.engine.figures import MOST_IN_COLUMN, MOST_NAMED, channel_figures
from tests.simulated import stream_info


@dataclass
class Counting:
    """What a detector would have counted."""

    counts: np.ndarray
    observed: np.ndarray
    storming: np.ndarray
    suppressed: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))


def test_observed_time_activity_and_storms_are_those_of_enabled_channels() -> None:
    detector = Counting(
        np.array([10, 9, 90, 50]),
        np.array([2_400_000, 2_400_000, 1_200_000, 2_400_000]),
        np.array([False, True, True, False]),
        np.array([0, 7, 5, 0]),
    )
    figures = channel_figures(detector, stream_info(4), np.array([True, True, True, False]))
    column = figures.pop("observed")
    assert figures == {
        "observed_s": {"min": 60.0, "median": 120.0, "max": 120.0},
        "active_electrodes": 2,
        "suppressed": 12,
        "storming": 2,
        "storming_channels": [1, 2],
    }
    assert np.frombuffer(column, "<f4").tolist() == [120, 120, 60, 0]


def test_a_stream_without_electrodes_and_a_start_have_figures() -> None:
    nothing = Counting(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, bool))
    for enabled in ([False, False], [True, True]):
        figures = channel_figures(nothing, stream_info(2), np.array(enabled))
        assert figures["observed_s"] == {"min": 0.0, "median": 0.0, "max": 0.0}
        assert figures["active_electrodes"] == 0


def test_a_status_of_very_many_channels_still_fits_into_a_message() -> None:
    for n in (MOST_IN_COLUMN, MOST_IN_COLUMN + 1):
        detector = Counting(np.zeros(n, np.int64), np.ones(n, np.int64), np.ones(n, bool))
        figures = channel_figures(detector, stream_info(n), np.ones(n, bool))
        assert ("observed" in figures) == (n <= MOST_IN_COLUMN)
        assert (figures["storming"], len(figures["storming_channels"])) == (n, MOST_NAMED)
        assert len(msgpack.packb(figures)) < 200_000
