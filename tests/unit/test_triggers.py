"""Edges of trigger channels: every change is a mark, wherever the signal is cut and whatever is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtspikes.triggers import TriggerEdges
from rtspikes.types import ChannelInfo, StreamInfo
from tests.simulated import stream_info
from tests.unit.detect.streaming import cut

KINDS = ("trigger", "electrode", "trigger")


def info(dtype: str = "int16", **facts: Any) -> StreamInfo:
    channels = tuple(ChannelInfo(f"C{i}", i, kind) for i, kind in enumerate(KINDS))  # type: ignore[arg-type]
    return replace(stream_info(3, dtype=dtype), channels=channels, facts=facts)


def rows(marks: NDArray[np.void]) -> list[tuple[int, int, int]]:
    return [(int(m["sample"]), int(m["line"]), int(m["value"])) for m in marks]


def plain(samples: NDArray[Any], first: int) -> list[tuple[int, int, int]]:
    """Return the marks as a loop over values finds them."""
    found = []
    for line, column in ((1001, 0), (1002, 2)):
        state = None
        for i, value in enumerate(samples[:, column].tolist()):
            if np.isfinite(value):
                word = int(np.clip(np.rint(value), -(2**31), 2**31 - 1))
                if state is not None and word != state:
                    found.append((first + i, line, word))
                state = word
    return sorted(found)


WORDS = st.sampled_from([0.0, 1.0, 255.0, -32768.0, 32767.0])
FLOATS = WORDS | st.sampled_from([np.nan, np.inf, -np.inf, 0.4, 0.6, 4.9e9, -4.9e9])


@given(
    st.booleans(),
    st.lists(st.tuples(FLOATS, st.just(7.0), FLOATS), min_size=1, max_size=30),
    st.lists(st.integers(1, 9), min_size=1, max_size=20),
)
def test_edges_are_those_of_the_values_however_the_signal_is_cut(
    is_float: bool, values: list[tuple[float, ...]], sizes: list[int]
) -> None:
    samples = np.array(values, np.float32)
    if not is_float:
        samples = np.clip(np.nan_to_num(samples), -32768, 32767).astype(np.int16)
    edges = TriggerEdges(info("float32" if is_float else "int16"))
    found = [mark for a, b in cut(len(samples), sizes) for mark in rows(edges.find(samples[a:b], 100 + a))]
    assert found == plain(samples, 100)


def test_the_first_value_is_no_mark_and_rows_seen_before_bring_nothing() -> None:
    samples = np.array([[5, 0, 0], [5, 9, 1], [6, 9, 1], [6, 9, 0]], np.int16)
    edges = TriggerEdges(info())
    assert rows(edges.find(samples[:3], 50)) == [(51, 1002, 1), (52, 1001, 6)]
    assert rows(edges.find(samples[:2], 50)) == []
    assert rows(edges.find(samples, 50)) == [(53, 1002, 0)]


def test_after_a_gap_a_changed_value_is_a_mark_at_the_first_sample_behind_it() -> None:
    edges = TriggerEdges(info())
    edges.find(np.array([[0, 0, 1]] * 3, np.int16), 0)
    assert rows(edges.find(np.array([[4, 0, 1]] * 3, np.int16), 1000)) == [(1000, 1001, 4)]


def test_words_that_are_stored_with_an_offset_have_the_values_of_the_file() -> None:
    edges = TriggerEdges(info(stored_offset=32768))
    samples = np.array([[-32768, 0, -32768], [32767, 0, -32767]], np.int16)
    assert rows(edges.find(samples, 0)) == [(1, 1001, 65535), (1, 1002, 1)]


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_stream_without_triggers_has_no_edges(dtype: str) -> None:
    noise = np.random.default_rng(1).normal(0, 9, (50, 3)).astype(dtype)
    assert len(TriggerEdges(stream_info(3, dtype=dtype)).find(noise, 0)) == 0
