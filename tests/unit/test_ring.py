"""The ring: what is written comes out once, in order, with its absolute index, or is counted as missed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.errors import ConfigError
from rtspikes.ring import Block, FreeReader, LeasedReader, Ring
from rtspikes.types import GapCause

SOURCE, OVERRUN, SEAM = GapCause.SOURCE, GapCause.OVERRUN, GapCause.SEAM


def ring(capacity: int = 8, first_sample: int = 0) -> Ring:
    return Ring(1, "int16", capacity, first_sample)


def write(to: Ring, n: int) -> int:
    """Write up to `n` rows whose value is their absolute index, as far as the lease allows; return how many."""
    done = 0
    while done < n and len(rows := to.reserve(n - done)):
        rows[:, 0] = to.next_sample + np.arange(len(rows))
        to.commit(len(rows))
        done += len(rows)
    return done


def told(block: Block | None) -> tuple[list[int], list[tuple[int, GapCause | None]]]:
    """Return a block's values, checked against its absolute indices, and its gaps as (lost, cause)."""
    assert block is not None
    values = block.samples[:, 0].tolist()
    assert values == list(range(block.first, block.first + len(values)))
    return values, [(gap.lost, gap.cause) for gap in block.gaps]


def test_capacity_below_one_is_refused_with_the_setting_to_raise() -> None:
    with pytest.raises(ConfigError, match=r"capacity must be >= 1 sample, got 0; raise ring\.max_mib"):
        ring(0)


def test_nothing_written_is_no_block() -> None:
    of = ring()
    assert LeasedReader(of).next(5) is None
    assert FreeReader(of).read(5) is None


def test_the_first_sample_has_the_index_that_the_session_starts_with() -> None:
    of = ring(first_sample=700)
    write(of, 3)
    assert told(LeasedReader(of).next(9)) == ([700, 701, 702], [])
    assert of.next_sample == 703


def test_a_block_has_at_most_what_was_asked_for() -> None:
    of = ring()
    write(of, 5)
    reader = LeasedReader(of)
    assert [told(reader.next(2))[0] for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_a_commit_beyond_the_reservation_is_refused() -> None:
    of = ring()
    of.reserve(3)
    with pytest.raises(ValueError, match="within the 3 reserved rows, got 4"):
        of.commit(4)
    with pytest.raises(ValueError, match="got -1"):
        of.commit(-1)


def test_less_may_be_committed_than_was_reserved() -> None:
    of = ring()
    of.reserve(5)[:2, 0] = (0, 1)
    of.commit(2)
    assert told(LeasedReader(of).next(9)) == ([0, 1], [])


def test_the_writer_never_enters_what_is_leased() -> None:
    of = ring(8)
    reader = LeasedReader(of)
    assert write(of, 20) == 8
    assert len(of.reserve(1)) == 0
    assert of.fill == 1.0
    reader.next(3)
    assert len(of.reserve(1)) == 0, "reading alone gives nothing back"
    reader.release()
    assert len(of.reserve(20)) == 3
    assert of.fill == pytest.approx(5 / 8)


def test_reserved_rows_and_blocks_end_where_the_memory_wraps() -> None:
    of = ring(8)
    reader = LeasedReader(of)
    write(of, 6)
    reader.next(6)
    reader.release()
    assert len(of.reserve(8)) == 2
    write(of, 5)
    assert told(reader.next(8)) == ([6, 7], [])
    assert told(reader.next(8)) == ([8, 9, 10], [])


def test_rewind_returns_to_the_oldest_leased_sample() -> None:
    of = ring()
    write(of, 6)
    reader = LeasedReader(of)
    reader.next(2)
    reader.release()
    reader.next(3)
    reader.rewind()
    assert told(reader.next(9)) == ([2, 3, 4, 5], [])


def test_no_block_spans_a_gap_and_the_one_behind_it_tells_it() -> None:
    of = ring(16)
    write(of, 3)
    of.skip(20, SOURCE)
    write(of, 2)
    reader = LeasedReader(of)
    assert told(reader.next(9)) == ([0, 1, 2], [])
    assert told(reader.next(1)) == ([23], [(20, SOURCE)])
    assert told(reader.next(9)) == ([24], []), "a gap is told once"


def test_a_gap_before_the_first_sample_is_told() -> None:
    of = ring()
    of.skip(4, SOURCE)
    write(of, 1)
    assert told(LeasedReader(of).next(9)) == ([4], [(4, SOURCE)])


def test_a_seam_splits_blocks_and_loses_nothing() -> None:
    of = ring()
    write(of, 2)
    of.skip(0, SEAM)
    write(of, 2)
    reader = LeasedReader(of)
    assert told(reader.next(9)) == ([0, 1], [])
    assert told(reader.next(9)) == ([2, 3], [(0, SEAM)])


def test_losses_of_one_cause_at_one_slot_become_one_gap() -> None:
    of = ring()
    write(of, 2)
    for lost in (1, 2, 3):
        of.skip(lost, OVERRUN)
    write(of, 1)
    reader = LeasedReader(of)
    reader.next(2)
    assert told(reader.next(9)) == ([8], [(6, OVERRUN)])


def test_losses_of_two_causes_at_one_slot_are_told_apart_oldest_first() -> None:
    of = ring()
    write(of, 2)
    of.skip(10, OVERRUN)
    of.skip(5, SOURCE)
    write(of, 1)
    reader = LeasedReader(of)
    reader.next(2)
    assert told(reader.next(9)) == ([17], [(10, OVERRUN), (5, SOURCE)])


def test_alternating_causes_at_one_slot_keep_the_table_small_and_the_sum_whole() -> None:
    of = ring()
    for _ in range(1000):
        of.skip(1, OVERRUN)
        of.skip(2, SOURCE)
    assert len(of.segments) < 10
    assert sum(gap.lost for gap in of.gaps_at(0)) == 3000
    assert of.next_sample == 3000


def test_a_seam_never_carries_lost_samples() -> None:
    of = ring()
    of.skip(5, SOURCE)
    of.skip(0, SEAM)
    of.skip(3, OVERRUN)
    gaps = of.gaps_at(0)
    assert sum(gap.lost for gap in gaps) == 8
    assert [gap.lost for gap in gaps if gap.cause is SEAM] == [0]


def test_a_gap_at_the_very_end_is_known_without_a_block() -> None:
    of = ring()
    write(of, 2)
    of.skip(7, SOURCE)
    assert [(gap.sample - gap.lost, gap.lost) for gap in of.gaps_at(of.written)] == [(2, 7)]


def test_two_gaps_at_the_oldest_slot_of_a_full_ring_survive_an_overrun() -> None:
    of = ring(4)
    reader = LeasedReader(of)
    write(of, 2)
    of.skip(10, OVERRUN)
    of.skip(5, SOURCE)
    reader.next(2)
    reader.release()
    write(of, 4)  # full, and not a sample behind the gaps was read yet
    of.skip(1, OVERRUN)
    assert told(reader.next(9)) == ([17, 18], [(10, OVERRUN), (5, SOURCE)])


def test_segments_that_left_the_ring_leave_the_table() -> None:
    of = ring(8)
    reader = LeasedReader(of)
    for _ in range(1000):
        write(of, 2)
        of.skip(1, SOURCE)
        reader.next(2)
        reader.release()
    assert len(of.segments) <= 8


def test_a_free_reader_begins_with_what_comes_next_and_keeps_its_copies() -> None:
    of = ring(4)
    write(of, 2)
    LeasedReader(of).release()
    reader = FreeReader(of)
    assert reader.read(9) is None
    write(of, 1)
    block = reader.read(9)
    of.memory[:] = -1
    assert told(block) == ([2], [])


def test_a_free_reader_counts_what_was_overwritten_before_it_came() -> None:
    of = ring(4)
    leased, free = LeasedReader(of), FreeReader(of)
    for _ in range(5):
        write(of, 2)
        leased.next(2)
        leased.release()
    assert told(free.read(9)) == ([6, 7], [])
    assert free.missed == 6


def test_a_free_reader_does_not_trust_rows_that_the_writer_holds() -> None:
    of = ring(4)
    leased, free = LeasedReader(of), FreeReader(of)
    write(of, 4)
    leased.next(4)
    leased.release()
    of.reserve(3)[:] = -1  # half-written: not committed yet
    assert told(free.read(9)) == ([3], [])
    assert free.missed == 3


def test_a_free_reader_is_told_gaps_as_the_leased_one_is() -> None:
    of = ring(8)
    free = FreeReader(of)
    write(of, 2)
    of.skip(3, SOURCE)
    of.skip(4, OVERRUN)
    write(of, 1)
    assert told(free.read(9)) == ([0, 1], [])
    assert told(free.read(9)) == ([9], [(3, SOURCE), (4, OVERRUN)])


ACTION = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 9)),
    st.tuples(st.just("skip"), st.integers(1, 5), st.sampled_from([SOURCE, OVERRUN])),
    st.tuples(st.just("seam")),
    st.tuples(st.just("read"), st.integers(1, 9)),
    st.tuples(st.just("release")),
    st.tuples(st.just("rewind")),
    st.tuples(st.just("free"), st.integers(1, 9)),
)


@settings(derandomize=True, database=None, deadline=None, max_examples=400)
@given(capacity=st.integers(1, 8), first=st.integers(0, 1000), actions=st.lists(ACTION, max_size=60))
def test_both_readers_see_what_a_plain_list_of_samples_holds(capacity: int, first: int, actions: list[tuple]) -> None:
    of = ring(capacity, first)
    leased, free = LeasedReader(of), FreeReader(of)
    samples: list[int] = []  # the model: the absolute index of every received sample
    lost_before = [0]  # … and how many were lost before it; the last entry is for the sample to come
    next_sample, at, released, free_at = first, 0, 0, 0

    def check(block: Block, slot: int, most: int) -> int:
        values, gaps = told(block)
        n = len(values)
        assert 1 <= n <= most
        assert values == samples[slot : slot + n]
        assert sum(lost for lost, _ in gaps) == lost_before[slot]
        assert not any(lost_before[slot + 1 : slot + n])
        return n

    for action, *arguments in actions:
        if action == "write":
            n = write(of, arguments[0])
            assert n == min(arguments[0], capacity - (len(samples) - released))
            samples += range(next_sample, next_sample + n)
            lost_before += [0] * n
            next_sample += n
        elif action == "skip":
            of.skip(*arguments)
            lost_before[-1] += arguments[0]
            next_sample += arguments[0]
        elif action == "seam":
            of.skip(0, SEAM)
        elif action == "release":
            leased.release()
            released = at
        elif action == "rewind":
            leased.rewind()
            at = released
        elif action == "read":
            block = leased.next(arguments[0])
            assert (block is None) == (at == len(samples))
            at += check(block, at, arguments[0]) if block else 0
        else:
            before, block = free.missed, free.read(arguments[0])
            free_at += free.missed - before
            assert (block is None) == (free_at == len(samples))
            free_at += check(block, free_at, arguments[0]) if block else 0
        assert of.next_sample == next_sample
    assert free.missed <= len(samples)
