"""Where the time of a crossing goes, from the times in its message; what pulses on an input show of the rig."""

from __future__ import annotations

import numpy as np
import pytest

from rtspikes.subscribers.latency import (
    ROW,
    STAGES,
    Arrivals,
    after_marks_s,
    behind_period_s,
    percentiles_ms,
    stages_s,
)
from rtspikes.types import CROSSING_DTYPE, MARK_DTYPE
from rtspikes.wire.batch import Batch

RATE_HZ = 1000.0


def crossings(*samples: int) -> Batch:
    table = np.zeros(len(samples), CROSSING_DTYPE)
    table["crossing"], table["channel"] = samples, 3
    table["time"] = 5.0 + table["crossing"] / RATE_HZ
    times = {"t_acquired": 5.1, "t_begun": 5.102, "t_detected": 5.105, "t_sent": 5.11}
    return Batch("crossings", "s", 0, 100, crossings=table, fields=times)


def test_the_stages_follow_each_other_from_the_sample_to_the_program() -> None:
    arrivals = Arrivals()
    arrivals.add(crossings(7, 61, 69, 70), 5.12)
    arrivals.add(Batch("status", "s", 0, 0), 6.0)
    rows = arrivals.rows(after=60)
    assert rows["crossing"].tolist() == [61, 69, 70]
    stages = stages_s(rows, RATE_HZ, 0, chunk=10)
    assert stages["chunk"] == pytest.approx([0.009, 0.001, 0.01])
    assert stages["arrive"] == pytest.approx([0.03, 0.03, 0.02])
    for stage, expected in (("wait", 0.002), ("detect", 0.003), ("publish", 0.005), ("transport", 0.01)):
        assert stages[stage] == pytest.approx([expected] * 3)
    assert stages["ring_to_program"] == pytest.approx([0.02] * 3)
    assert sum(stages[stage] for stage in STAGES) == pytest.approx(stages["sample_to_program"])


def test_chunks_count_from_the_first_sample_and_may_be_unknown() -> None:
    arrivals = Arrivals()
    arrivals.add(crossings(61), 5.12)
    rows = arrivals.rows(0)
    assert stages_s(rows, RATE_HZ, 5, chunk=10)["chunk"] == pytest.approx([0.004])
    unknown = stages_s(rows, RATE_HZ, 0, chunk=None)
    assert "chunk" not in unknown
    assert unknown["arrive"] == pytest.approx([0.039])


def test_too_few_values_have_no_high_percentiles() -> None:
    assert percentiles_ms(np.zeros(0)) == {"p50": None, "p90": None, "p99": None, "p99.9": None, "max": None}
    assert percentiles_ms(np.arange(100) * 1e-3) == pytest.approx(
        {"p50": 49.5, "p90": 89.1, "p99": 98.01, "p99.9": None, "max": 99.0}
    )


def rows(times_s: list[float], late_s: float | list[float]) -> np.ndarray:
    table = np.zeros(len(times_s), ROW)
    table["time"] = times_s
    table["received"] = np.add(times_s, late_s)
    return table


def test_each_mark_is_answered_by_the_first_crossing_behind_it() -> None:
    marks = np.zeros(4, MARK_DTYPE)
    marks["time"] = [1.0, 2.0, 3.0, 4.0]
    seen = rows([0.5, 1.03, 1.05, 3.02, 5.9], 0.01)  # nothing follows the second mark; what follows the last is late
    by_time, received = after_marks_s(seen, marks, most_s=1.0)
    assert by_time == pytest.approx([0.03, 0.02])
    assert received == pytest.approx([0.04, 0.03])


def test_regular_pulses_show_by_how_much_the_way_varies() -> None:
    beats = [0.1, 0.35, 0.6, 1.1, 1.2, 1.35, 1.355, 1.6]  # one missed, one no pulse, one twice
    period_s, behind = behind_period_s(rows(beats, [0.02, 0.03, 0.02, 0.05, 0.5, 0.02, 0.02, 0.02]))
    assert period_s == pytest.approx(0.25)
    assert behind == pytest.approx([0, 0.01, 0, 0.03, 0, 0])
