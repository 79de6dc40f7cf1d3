"""Scoring against brute force, and what counts for nobody."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scoring import ANYWHERE, BANDS, CLEAR, LEARNING_S, Truth, score
from rtspikes.subscribers.evaluation import BAND_EDGES

RATE_HZ = 1000.0
"""± 1 ms is one sample, and the first 500 samples do not count."""

FIRST = round(LEARNING_S * RATE_HZ) + 1


def truth_of(rows: list[tuple[int, int, float, bool]]) -> Truth:
    sample, channel, snr, wanted = zip(*rows, strict=True) if rows else ((),) * 4
    return Truth(np.array(sample, np.int64), np.array(channel, np.int64), np.array(snr), np.array(wanted, bool))


def scored(rows: list[tuple[int, int, float, bool]], events: list[tuple[int, int]]):  # type: ignore[no-untyped-def]
    at = np.array(events, np.int64).reshape(-1, 2)
    return score(truth_of(rows), at[:, 0], at[:, 1], RATE_HZ)


def most_pairs(spikes: list[tuple[int, int]], events: list[tuple[int, int]]) -> int:
    """Return how many pairs can be formed at most, by trying everything."""
    if not spikes:
        return 0
    (sample, channel), rest = spikes[0], spikes[1:]
    best = most_pairs(rest, events)
    for i, event in enumerate(events):
        if event[1] == channel and abs(event[0] - sample) <= 1:
            best = max(best, 1 + most_pairs(rest, events[:i] + events[i + 1 :]))
    return best


at_samples = st.integers(FIRST, FIRST + 8)
spikes = st.lists(st.tuples(at_samples, st.integers(0, 1), st.floats(3, 15), st.booleans()), max_size=6)
found = st.lists(st.tuples(at_samples, st.integers(0, 1)), max_size=6)


@given(rows=spikes, events=found)
def test_counts_are_those_of_brute_force(
    rows: list[tuple[int, int, float, bool]], events: list[tuple[int, int]]
) -> None:
    result = scored(rows, events)
    wanted = [(sample, channel) for sample, channel, _, is_wanted in rows if is_wanted]
    assert result.wanted == len(wanted)
    assert result.found == most_pairs(wanted, events)
    everything = most_pairs([row[:2] for row in rows], events)
    assert 0 <= result.false <= len(events) - result.found
    assert result.false >= len(events) - everything
    if len(wanted) == len(rows):
        assert result.false == len(events) - everything


@given(rows=spikes, events=found)
def test_bands_add_up_and_hold_their_spikes(
    rows: list[tuple[int, int, float, bool]], events: list[tuple[int, int]]
) -> None:
    result = scored(rows, events)
    for band, (low, high) in enumerate(BANDS):
        inside = [row for row in rows if row[3] and low <= row[2] < high]
        assert result.band_wanted[band] == len(inside)
        assert result.band_found[band] <= most_pairs([row[:2] for row in inside], events)
    assert sum(result.band_found) == result.found


def test_bands_are_those_of_evaluated_sessions() -> None:
    assert tuple(low for low, _ in BANDS[1:]) == BAND_EDGES
    assert BANDS[CLEAR] == (8, 12)


def test_a_spike_that_is_not_wanted_is_neither_missed_nor_false() -> None:
    one = (FIRST, 0, 9.0, True)
    faint = (FIRST + 20, 0, 2.0, False)
    for events in ([(FIRST, 0)], [(FIRST, 0), (FIRST + 20, 0)]):
        result = scored([one, faint], events)
        assert (result.recall, result.precision, result.f1) == (1, 1, 1)


def test_an_event_belongs_to_the_wanted_one_of_two_spikes() -> None:
    result = scored([(FIRST, 0, 2.0, False), (FIRST + 1, 0, 9.0, True)], [(FIRST, 0)])
    assert (result.found, result.false) == (1, 0)


def test_what_is_too_far_or_elsewhere_or_a_second_event_is_false() -> None:
    result = scored([(FIRST + 5, 0, 9.0, True)], [(FIRST + 6, 0), (FIRST + 4, 0), (FIRST + 7, 0), (FIRST + 5, 1)])
    assert (result.found, result.false) == (1, 3)
    assert result.precision == pytest.approx(0.25)
    assert result.f1 == pytest.approx(0.4)


def test_the_beginning_counts_for_nobody() -> None:
    result = scored([(FIRST - 1, 0, 9.0, True), (FIRST, 0, 9.0, True)], [(FIRST - 1, 0), (3, 0), (FIRST, 0)])
    assert (result.wanted, result.found, result.false) == (1, 1, 0)


def test_spikes_of_no_electrode_in_particular_are_found_on_any_and_once() -> None:
    rows = [(FIRST + 10 * i, ANYWHERE, 9.0, True) for i in range(3)]
    events = [(FIRST + 10 * i, channel) for i, channel in itertools.product(range(3), range(4))]
    result = scored(rows, [*events, (FIRST + 40, 2)])
    assert (result.found, result.false) == (3, 1)


def test_nothing_wanted_and_nothing_found_is_no_error() -> None:
    result = scored([], [])
    assert np.isnan(result.recall)
    assert (result.precision, result.f1) == (0, 0)
