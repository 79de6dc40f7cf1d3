"""What arrives, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rtspikes.subscribers.listen import lines
from rtspikes.types import CROSSING_DTYPE, MARK_DTYPE, SPIKE_DTYPE
from rtspikes.wire.batch import Batch
from tests.unit.subscribers.batches import INFO, gap, notice, rejected, spikes, thresholds, unobserved


def told(batch: Batch, as_json: bool) -> list[Any]:
    got = list(lines(batch, INFO, as_json))
    return [json.loads(line, parse_constant=pytest.fail) for line in got] if as_json else got


def test_a_spike_is_a_line_with_its_time_label_and_height() -> None:
    batch = spikes(1499, 2, flags=np.zeros(2, np.uint8))
    assert [line.split() for line in told(batch, False)] == [
        ["1.5000", "s", "E1", "-50.0", "µV", "(threshold", "-30.1", "µV)"],
        ["1.5010", "s", "E2", "-50.1", "µV", "(threshold", "-30.1", "µV)"],
    ]


def test_a_flag_stands_behind_its_spike() -> None:
    batch = spikes(0, 3, flags=np.array([0, 1, 6], np.uint8))
    assert [line.partition("µV)")[2].split() for line in told(batch, False)] == [[], ["coincident"], ["2", "4"]]


def test_json_lines_have_the_neighbours_where_there_are_any() -> None:
    near = np.array([[1.5, np.nan], [-3, 4]], np.float32)
    assert [event["neighbours"] for event in told(spikes(0, 2, neighbours=near), True)] == [[1.5, None], [-3, 4]]


def test_what_was_rejected_or_not_observed_is_a_line_with_the_reason() -> None:
    assert told(rejected(1500), False)[0].split() == [
        "1.5000", "s", "E2", "rejected:", "cut", "(threshold", "-30.0", "µV)"
    ]  # fmt: skip
    assert [line.split() for line in told(unobserved((1500, 1750, 2, 2), (0, 5, 0, 9)), False)] == [
        ["1.5000", "s", "µ3", "not", "observed", "for", "0.2500", "s:", "storm"],
        ["0.0000", "s", "E1", "not", "observed", "for", "0.0050", "s:", "9"],
    ]


def test_a_status_has_its_column_as_a_list_and_not_among_the_text() -> None:
    column = np.array([1.5, 0, 2], "<f4").tobytes()
    batch = Batch("status", "s1", 0, 0, fields={"v": 1, "session": "s1", "to_sample": 7, "observed": column})
    (event,) = told(batch, True)
    assert event["observed"] == [1.5, 0, 2]
    assert told(batch, False) == ["status  to_sample=7"]


def test_a_crossing_is_a_line_with_its_time_and_label() -> None:
    rows = np.array([(3, 1500, 0.5, 2, -33, -30)], CROSSING_DTYPE)
    (line,) = told(Batch("crossings", "s1", 0, 0, crossings=rows), False)
    assert line.split() == ["1.5000", "s", "µ3", "crossed", "-30.0", "µV"]


def marks(*rows: tuple[int, int, str]) -> Batch:
    """Return marks 0.5 s after the clock's zero; rows: (line, value, text)."""
    table = np.array([(1500 + i, 0.5, line, value) for i, (line, value, _) in enumerate(rows)], MARK_DTYPE)
    return Batch("marks", "s1", 0, 0, marks=table, texts=tuple(text for _, _, text in rows))


def test_a_mark_is_a_line_with_its_time_and_its_text_or_the_line_that_changed() -> None:
    batch = marks((0, 0, "10 µM bicuculline"), (2, 1, ""), (3, -7, "laser"))
    assert [line.split(maxsplit=3) for line in told(batch, False)] == [
        ["1.5000", "s", "mark", "10 µM bicuculline"],
        ["1.5010", "s", "mark", "line 2 = 1"],
        ["1.5020", "s", "mark", "laser  (line 3 = -7)"],
    ]


def test_json_lines_of_marks_hold_every_field_and_the_text() -> None:
    assert told(marks((0, 0, "wash"), (2, 1, "")), True) == [
        {"kind": "marks", "sample": 1500, "time": 0.5, "line": 0, "value": 0, "text": "wash"},
        {"kind": "marks", "sample": 1501, "time": 0.5, "line": 2, "value": 1, "text": ""},
    ]


def test_a_change_by_control_is_a_line_with_its_time_what_it_is_and_by_whom() -> None:
    batch = notice(cause="control", sample=1500, change={"change": "mute", "select": "E1"}, by="anna", text="E1 muted")
    (line,) = told(batch, False)
    assert line.split(maxsplit=3) == ["1.5000", "s", "control", "E1 muted  (by anna)"]
    (event,) = told(batch, True)
    assert event["change"] == {"change": "mute", "select": "E1"}


@pytest.mark.parametrize("sample", [None, "1500", 2**63], ids=str)
def test_a_change_by_control_without_a_usable_sample_is_no_crash(sample: object) -> None:
    assert len(told(notice(cause="control", sample=sample), False)) == 1


@pytest.mark.parametrize("text", ["two\nlines", "\x1b]0;title\x07", "a\rb", "\u2028", "\x9b2J"], ids=ascii)
def test_a_text_cannot_steer_the_terminal(text: str) -> None:
    for batch in (marks((0, 0, text)), notice(cause="x", text=text), notice(cause="control", sample=1, text=text)):
        (line,) = told(batch, False)
        assert line.isprintable()
        assert ascii(text)[1:-1] in line


def test_json_lines_hold_every_field_and_the_label() -> None:
    batch = spikes(0, 3)
    for event, row, flags in zip(told(batch, True), batch.spikes, batch.flags, strict=True):
        assert event.pop("kind") == "spikes"
        assert event.pop("flags") == flags
        assert event.pop("label") == INFO["channels"]["label"][row["channel"]]
        assert event == {name: row[name].item() for name in SPIKE_DTYPE.names or ()}


@pytest.mark.parametrize(
    ("batch", "want"),
    [
        (gap(5, 9), {"kind": "gaps", "sample": 5, "lost": 9, "time": 0.5, "cause": 2}),
        (rejected(3), {"kind": "rejected", "id": 7, "crossing": 3, "label": "E2", "reason": 1}),
        (unobserved((3, 9, 1, 2)), {"kind": "unobserved", "sample": 3, "stop": 9, "label": "E2", "reason": 2}),
        (thresholds(6), {"kind": "thresholds", "sample": 6, "sigma_uv": [6, 7], "positive_uv": [None, None]}),
        (notice(cause="x", count=float("nan"), blob=b"\x01"), {"kind": "notices", "count": None, "blob": "01"}),
    ],
    ids=["gaps", "rejected", "unobserved", "thresholds", "notices"],
)
def test_json_lines_of_other_kinds_are_strict_json(batch: Batch, want: dict[str, Any]) -> None:
    (got,) = told(batch, True)
    assert {key: got[key] for key in want} == want


@pytest.mark.parametrize("batch", [gap(5, 9), thresholds(6), notice(cause="x")], ids=lambda b: b.kind)
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
