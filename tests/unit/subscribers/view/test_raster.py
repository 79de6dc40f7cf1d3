from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.subscribers.view.facts import rows_of
from rtspikes.subscribers.view.raster import MOST, Raster
from rtspikes.subscribers.view.scene import MOST_ROWS

WIDTH, KEPT = 10, 20
ROWS = np.array([0, 0, 1, -1, 2], np.int32)


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 4)), max_size=200),
    st.lists(st.integers(1, 400), min_size=1, max_size=6),
)
def test_columns_are_what_counting_gives(events: list[tuple[int, int]], steps: list[int]) -> None:
    raster = Raster(ROWS, WIDTH, KEPT, 0)
    now = 0
    for step in steps:
        before, now = now, min(now + step, 1000)
        new = [event for event in events if before <= event[0] < now]
        raster.reach(now)
        raster.add(np.array([c for _, c in new], np.uint32), np.array([s for s, _ in new], np.int64))
    first, columns, rate = raster.columns(0)
    stop = -(-now // WIDTH)
    assert first == max(0, stop - KEPT)
    assert len(columns) == len(rate) == stop - first
    for i, column in enumerate(range(first, stop)):
        there = [c for s, c in events if s // WIDTH == column and s < now]
        assert rate[i] == len(there)
        assert columns[i].tolist() == [sum(ROWS[c] == row for c in there) for row in range(3)]


def test_a_row_holds_no_more_than_fits() -> None:
    raster = Raster(ROWS, WIDTH, KEPT, 0)
    raster.reach(10)
    for _ in range(3):
        raster.add(np.zeros(200, np.uint32), np.full(200, 5))
    _, columns, rate = raster.columns(0)
    assert columns[0, 0] == MOST
    assert rate[0] == 600


def test_spikes_of_columns_that_are_kept_no_more_are_left_out() -> None:
    raster = Raster(ROWS, WIDTH, KEPT, 0)
    raster.reach(10_000)
    raster.add(np.array([0, 0], np.uint32), np.array([5, 9_999]))
    _, columns, _ = raster.columns(0)
    assert columns.sum() == 1


def test_rows_go_well_by_well_and_leave_out_what_is_no_electrode() -> None:
    rows = rows_of(["electrode", "reference", "electrode", "electrode"], ["B", "A", "A", "B"])
    assert rows.tolist() == [0, -1, 2, 1]


def test_many_channels_share_rows() -> None:
    rows = rows_of(["electrode"] * 4096, [None] * 4096)
    assert rows.max() == MOST_ROWS - 1
    assert (np.bincount(rows) == 8).all()
    assert rows_of(["electrode"] * (MOST_ROWS + 1), [None] * (MOST_ROWS + 1)).max() < MOST_ROWS
    assert rows_of(["aux"], [None]).tolist() == [-1]
