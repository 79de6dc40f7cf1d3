"""Observed time is what a truth table, sample by sample and channel by channel, says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.errors import DataError
from rtspikes.subscribers.log.observed import Muting, joined, observed_samples
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.log.writer import LogWriter
from rtspikes.types import UNOBSERVED_DTYPE
from rtspikes.wire.batch import Batch, Missed
from tests.unit.subscribers.batches import INFO, HandClock, control, gap, spikes, unobserved

CHANNELS = 3
SAMPLES = st.integers(-20, 150)
STRETCHES = st.lists(st.tuples(SAMPLES, st.integers(-5, 60)).map(lambda x: (x[0], x[0] + x[1])), max_size=8)
UNOBSERVED = st.lists(
    st.tuples(SAMPLES, st.integers(-5, 60), st.integers(0, CHANNELS - 1), st.integers(1, 2)).map(
        lambda x: (x[0], x[0] + x[1], *x[2:])
    ),
    max_size=10,
)
MUTINGS = st.lists(
    st.tuples(SAMPLES, st.sets(st.integers(0, CHANNELS - 1)).map(sorted), st.booleans()), max_size=12
).map(lambda found: sorted(found, key=lambda m: m[0]))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.rtspikes"


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 40), st.integers(0, 90), STRETCHES, MUTINGS, UNOBSERVED)
def test_observed_samples_are_those_neither_unseen_nor_muted_nor_unobserved(
    first: int,
    length: int,
    stretches: list[tuple[int, int]],
    mutings: list[Muting],
    intervals: list[tuple[int, int, int, int]],
) -> None:
    end = first + length
    seen = np.ones((CHANNELS, 250), bool)
    seen[:, :first] = seen[:, end:] = False
    for a, b in stretches:
        seen[:, max(a, 0) : max(b, 0)] = False
    heard = np.ones_like(seen)
    for sample, channels, mute in mutings:  # each holds until the next says otherwise
        heard[channels, max(sample, 0) :] = not mute
    for a, b, channel, _ in intervals:
        seen[channel, max(a, 0) : max(b, 0)] = False
    unobserved = np.array(intervals, UNOBSERVED_DTYPE)
    found = observed_samples(first, end, joined(stretches, first, end), CHANNELS, mutings, unobserved)
    assert found.dtype == np.int64
    assert found.tolist() == (seen & heard).sum(axis=1).tolist()


def test_samples_of_a_year_are_counted_exactly() -> None:
    year = 365 * 86_400 * 20_000
    intervals = np.array([(i, year - 5 + i, 70_000, 1) for i in range(3)] + [(7, 2**62, 2, 2)], UNOBSERVED_DTYPE)
    found = observed_samples(0, year, [(year - 4, year - 3)], 100_000, [(year - 1, [70_000], True)], intervals)
    assert found[[0, 2, 70_000]].tolist() == [year - 1, 7, 2]


@given(STRETCHES)
def test_joined_stretches_are_in_order_apart_and_cover_the_same(stretches: list[tuple[int, int]]) -> None:
    found = joined(stretches, 10, 100)
    assert all(10 <= a < b <= 100 for a, b in found)
    assert all(b < c for (_, b), (c, _) in zip(found, found[1:], strict=False))
    covered = {s for a, b in found for s in range(a, b)}
    assert covered == {s for a, b in stretches for s in range(max(a, 10), min(b, 100))}


def test_a_log_counts_mutes_gaps_and_lost_messages_once_each(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO | {"enabled": [True, True, False]}, clock)
    for batch in (
        spikes(0, 1000),
        control(4000, change="mute", select="µ3"),  # announced first, in force last
        control(1500, change="mute", select=["E1", "#1"]),
        control(1200, change="threshold", select="E*", threshold=4.0),
        control(2500, change="unmute", select=0),
        control(10**9, change="mute", select="E2"),
        spikes(1000, 1000),
        gap(2000, 300),  # and 100 to settle
        spikes(2300, 1000),
        spikes(4000, 1000, missed=(Missed("spikes", 9, 2, 3300, 4000),)),
    ):
        writer.add(batch)
    writer.close("end")
    log = read_session(path)
    assert log.unseen() == [(2000, 2400), (3300, 4000)]
    # E1: muted 1500 … 2500, 400 of them unseen anyway, and 700 more unseen. E2: seen until 1500.
    assert log.observed_s.tolist() == [(5000 - 1000 - 700) / 1000, 1.5, 0.0]


def test_a_log_counts_blanked_time_and_storms_once_each_and_only_on_their_channel(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO | {"enabled": [True, True, False]}, clock)
    for batch in (
        spikes(0, 1000),
        unobserved((100, 300, 0, 1), (200, 500, 0, 2), (200, 500, 2, 2)),
        gap(1000, 300),  # and 100 to settle
        control(1500, change="mute", select="E1"),
        unobserved((1350, 1450, 1, 1), (1450, 1600, 0, 2), (1990, 2500, 1, 2)),
        spikes(1300, 700),
    ):
        writer.add(batch)
    writer.close("end")
    log = read_session(path)
    # E1: 1000 − 400, then 1400 … 1450. E2: 1000, then 1450 … 1990.
    assert log.observed_s.tolist() == [0.65, 1.54, 0.0]
    assert log.active.tolist() == [True, True, False]


def test_a_mute_of_a_channel_that_is_not_there_is_damage(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(control(5, change="mute", select="E99"))
    writer.close("end")
    with pytest.raises(DataError, match=r"notices\.jsonl: not of this session: selector 'E99' matches no channel"):
        read_session(path).observed_s  # noqa: B018


def test_observed_time_leaves_out_what_was_lost_and_what_the_filter_needs_after_it(
    path: Path, clock: HandClock
) -> None:
    writer = LogWriter(
        path, INFO | {"first_sample": 1000, "enabled": [True, False, True], "settling_samples": 100}, clock
    )
    for first, end, lost in ((1000, 3000, 500), (3500, 3550, 450), (4000, 4000, 0)):
        writer.add(spikes(first, end - first))
        writer.add(gap(end, lost))
    writer.add(spikes(4000, 2000))
    writer.close("end")
    # 2000 samples; a piece of 50 that the filter never settled in; a seam at once after it; 2000 − 100
    assert read_session(path).observed_s.tolist() == [2.0 + 1.9, 0.0, 2.0 + 1.9]


def test_what_a_late_logger_did_not_hear_is_not_observed(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(4000, 1000))
    writer.flush()
    log = read_session(path)  # what a kill would leave
    writer.close("end")
    assert log.unseen() == [(0, 4000)]
    assert log.observed_s.tolist() == [1.0] * 3


def test_messages_that_were_missed_are_not_observed(path: Path, clock: HandClock) -> None:
    writer = LogWriter(path, INFO, clock)
    writer.add(spikes(0, 1000))
    writer.add(gap(1900, 50))
    writer.add(spikes(2000, 1000, missed=(Missed("spikes", 3, 2, 1000, 2000), Missed("status", 1, 1))))
    writer.add(Batch("end", "s1", 0, 0, missed=(Missed("spikes", 9, 1, 3000, None),)))
    writer.close("end")
    log = read_session(path)
    assert log.unseen() == [(1000, 2050)]
    assert log.observed_s.tolist() == [1.95] * 3
