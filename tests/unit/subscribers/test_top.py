"""The busiest channels and the health of an engine, from what it says."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rtspikes.subscribers.top import Busy, Top, words
from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.codec import LEVELS_DTYPE

RATE = 1000
INFO: dict[str, Any] = {
    "session": "s1",
    "rate_hz": float(RATE),
    "first_sample": 500,
    "n_channels": 3,
    "enabled": [True, True, True],
    "channels": {"kind": ["electrode"] * 3, "label": ["E1", "E2", "my E3"]},
}


def spikes(from_s: float, to_s: float, *counts: int, **about: Any) -> Batch:
    """Return so many spikes of each channel between two times (s) of the session."""
    rows = np.zeros(sum(counts), SPIKE_DTYPE)
    rows["channel"] = np.repeat(np.arange(len(counts)), counts)
    first, stop = (500 + round(s * RATE) for s in (from_s, to_s))
    rows["sample"] = rows["crossing"] = first
    return Batch("spikes", "s1", first, stop, spikes=rows, **about)


def status(*observed_s: float, **more: Any) -> Batch:
    return Batch("status", "s1", 0, 0, fields={"observed": np.array(observed_s, "<f4").tobytes(), **more})


def levels(first: int, rows: Sequence[tuple[float, float, float]]) -> Batch:
    return Batch("thresholds", "s1", 0, 0, thresholds=np.array(rows, LEVELS_DTYPE), fields={"first_channel": first})


@pytest.fixture
def top() -> Top:
    made = Top("tcp://here:1")
    made.begin(INFO)
    return made


def add(top: Top, *batches: Batch) -> None:
    for batch in batches:
        top.add(batch, 0)


def rates(top: Top, most: int = 9) -> list[tuple[str, float, int]]:
    return [(busy.label, round(busy.rate_hz, 6), busy.spikes) for busy in top.busiest(most)]


def test_rates_are_of_observed_time_from_the_sessions_start(top: Top) -> None:
    add(top, spikes(0, 2, 30, 40, 0), status(1.5, 2, 2))
    assert rates(top) == [("E1", 20.0, 30), ("E2", 20.0, 40)]
    add(top, spikes(2, 4, 0, 40, 0), status(3.5, 4, 4))
    assert rates(top) == [("E2", 20.0, 80), ("E1", round(30 / 3.5, 6), 30)]
    assert rates(top, 1) == [("E2", 20.0, 80)]


def test_who_comes_later_begins_at_the_first_status(top: Top) -> None:
    add(top, spikes(100, 101, 50, 0, 0), status(101, 101, 101))
    assert rates(top) == []
    add(top, spikes(101, 103, 0, 10, 4), status(103, 103, 103))
    assert rates(top) == [("E2", 5.0, 10), ("my E3", 2.0, 4)]


def test_what_is_more_than_a_minute_ago_is_forgotten(top: Top) -> None:
    add(top, spikes(0, 1, 900, 0, 0), status(1, 1, 1))
    for s in range(1, 200):
        add(top, spikes(s, s + 1, 0, 2, 0), status(s + 1, s + 1, s + 1))
    assert rates(top) == [("E2", 2.0, pytest.approx(120, abs=20))]


def test_without_a_column_of_channels_the_median_is_taken(top: Top) -> None:
    told = Batch("status", "s1", 0, 0, fields={"observed_s": {"min": 0.0, "median": 4.0, "max": 5.0}})
    add(top, spikes(0, 5, 8, 0, 0), told)
    assert rates(top) == [("E1", 2.0, 8)]


def test_a_channel_without_observed_time_has_no_rate(top: Top) -> None:
    add(top, spikes(0, 2, 30, 2, 0), status(0, 2, 2))
    assert rates(top) == [("E2", 1.0, 2)]


def test_levels_are_the_last_told(top: Top) -> None:
    nan = float("nan")
    add(top, levels(0, [(5, -25, nan), (6, -30, 30), (0, nan, nan)]), levels(0, [(5.5, -27.5, nan)]))
    add(top, spikes(0, 1, 3, 2, 1), status(1, 1, 1))
    found = [(busy.sigma_uv, busy.thresholds_uv) for busy in top.busiest(3)]
    assert found == [(5.5, (-27.5,)), (6.0, (-30.0, 30.0)), (0.0, ())]
    assert top.health()["sigma_uv"] == 5.75


def test_what_was_missed_stays_missed_in_the_next_session(top: Top) -> None:
    add(top, spikes(0, 1, missed=(Missed("spikes", 0, 3),)))
    top.add(status(0, 0, 0), 2)
    top.begin(INFO | {"session": "s2"})
    assert {each["name"]: each["amount"] for each in top.health()["losses"]} == {"missed here": 5}
    assert top.busiest(3) == []


def test_a_line_is_words_that_a_shell_takes_apart(top: Top) -> None:
    add(top, status(0, 0, 0, signal_s=12.25, frozen=False, counts={"lost_source": 4}, rejected={"rebound": 2}))
    recording = {"recording": {"path": "my log", "bytes": 3_000_000_000, "bytes_per_s": 1e6}}
    add(top, status(0, 0, 0, signal_s=12.25, frozen=False, counts={"lost_source": 4}, rejected={"cut": 2}, **recording))
    top.tell("lost", "it's gone")
    said = " ".join(words(top.health(), INFO, [Busy("my E3", 2.5, 4, 5.0, ()), Busy("E1", 1.0, 4, 5.0, ())]))
    found = dict(word.split("=", 1) for word in shlex.split(said))
    expected = {
        "state": "lost", "session": "s1", "signal_s": "12.25", "elapsed_s": "-", "lost_by_source": "4",
        "rejected_cut": "2", "missed_here": "0", "frozen": "0", "recording_path": "my log",
        "recording_bytes": "3000000000", "recording_hours_left": "-", "busiest": "my E3:2.50,E1:1.00",
        "text": "it's gone",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_nothing_is_known_before_an_engine_is_there() -> None:
    top = Top("tcp://here:1")
    assert (top.info, top.busiest(3)) == (None, [])
    said = words(top.health(), {}, [])
    assert said[:2] == ["state=connecting", "session=-"]
    assert said[-1] == "text='waiting for an engine at tcp://here:1'"
