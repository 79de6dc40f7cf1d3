"""What arrives, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rtspikes.subscribers.listen import lines
from rtspikes.types import CROSSING_DTYPE, SPIKE_DTYPE
from rtspikes.wire.subscribe import Batch
from tests.unit.subscribers.batches import INFO, gap, notice, rejected, spikes, thresholds


def told(batch: Batch, as_json: bool) -> list[Any]:
    got = list(lines(batch, INFO, as_json))
    return [json.loads(line, parse_constant=pytest.fail) for line in got] if as_json else got


def test_a_spike_is_a_line_with_its_time_label_and_height() -> None:
    assert [line.split() for line in told(spikes(1499, 2), False)] == [
        ["1.5000", "s", "E1", "-50.0", "µV", "(threshold", "-30.1", "µV)"],
        ["1.5010", "s", "E2", "-50.1", "µV", "(threshold", "-30.1", "µV)"],
    ]


def test_a_crossing_is_a_line_with_its_time_and_label() -> None:
    rows = np.array([(3, 1500, 0.5, 2, -33, -30)], CROSSING_DTYPE)
    (line,) = told(Batch("crossings", "s1", 0, 0, crossings=rows), False)
    assert line.split() == ["1.5000", "s", "µ3", "crossed", "-30.0", "µV"]


def test_json_lines_hold_every_field_and_the_label() -> None:
    batch = spikes(0, 3)
    for event, row in zip(told(batch, True), batch.spikes, strict=True):
        assert event.pop("kind") == "spikes"
        assert event.pop("label") == INFO["channels"]["label"][row["channel"]]
        assert event == {name: row[name].item() for name in SPIKE_DTYPE.names or ()}


@pytest.mark.parametrize(
    ("batch", "want"),
    [
        (gap(5, 9), {"kind": "gaps", "sample": 5, "lost": 9, "time": 0.5, "cause": 2}),
        (rejected(3), {"kind": "rejected", "id": 7, "crossing": 3, "label": "E2", "reason": 1}),
        (thresholds(6), {"kind": "thresholds", "sample": 6, "sigma_uv": [6, 7], "positive_uv": [None, None]}),
        (notice(cause="x", count=float("nan"), blob=b"\x01"), {"kind": "notices", "count": None, "blob": "01"}),
    ],
    ids=["gaps", "rejected", "thresholds", "notices"],
)
def test_json_lines_of_other_kinds_are_strict_json(batch: Batch, want: dict[str, Any]) -> None:
    (got,) = told(batch, True)
    assert {key: got[key] for key in want} == want


@pytest.mark.parametrize("batch", [gap(5, 9), rejected(3), thresholds(6), notice(cause="x")], ids=lambda b: b.kind)
def test_other_kinds_are_one_line_of_text_that_begins_with_the_kind(batch: Batch) -> None:
    (line,) = told(batch, False)
    assert line.startswith(f"{batch.kind}  ")
    assert "\n" not in line


def test_a_batch_without_events_has_no_line() -> None:
    assert told(spikes(0, 0), False) == told(spikes(0, 0), True) == []


def test_an_event_of_a_channel_that_info_does_not_know_is_no_crash() -> None:
    batch = spikes(0, 1)
    batch.spikes["channel"] = 9
    assert len(told(batch, False)) == 1
