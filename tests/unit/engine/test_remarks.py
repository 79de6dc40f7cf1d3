"""Remarks: none is lost without being counted, and a burst of them becomes few notices with the same sum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtspikes.engine.remarks import MOST_PER_S, MOST_WAITING, Bursts
from rtspikes.engine.waiting import Waiting
from rtspikes.protocols import Remark
from tests.clocks import HandClock


class Told:
    """What Bursts let through."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.said: list[tuple[float, int, Remark]] = []
        self.bursts = Bursts(self._take, self.clock)

    def _take(self, sample: int, remark: Remark) -> None:
        self.said.append((self.clock.time_s, sample, remark))

    def amounts(self, cause: str) -> list[int]:
        return [remark.amount for _, _, remark in self.said if remark.cause == cause]


def test_remarks_come_out_in_order_up_to_a_sample() -> None:
    queue = Waiting[Remark](MOST_WAITING)
    remarks = [Remark(0, "a", str(i)) for i in range(4)]
    for sample, remark in zip((3, 3, 7, 9), remarks, strict=True):
        queue.put(sample, remark)
    assert queue.take(3) == []
    assert queue.take(8) == [(3, remarks[0]), (3, remarks[1]), (7, remarks[2])]
    assert queue.take(10) == [(9, remarks[3])]
    assert queue.dropped == 0


def test_what_finds_no_room_is_counted() -> None:
    queue = Waiting[Remark](MOST_WAITING)
    for i in range(MOST_WAITING + 5):
        queue.put(i, Remark(0, "a", ""))
    assert queue.dropped == 5
    assert len(queue.take(10**9)) == MOST_WAITING


def test_a_second_lets_so_many_of_a_cause_through_and_the_next_one_has_the_rest() -> None:
    told = Told()
    for i in range(MOST_PER_S + 30):
        told.bursts.say(i, Remark(0, "lost", f"{i}", amount=2, facts={"i": i}))
    told.bursts.say(5, Remark(0, "other", "at once"))
    assert told.amounts("lost") == [2] * MOST_PER_S
    assert told.amounts("other") == [1]
    told.clock.time_s += 1
    told.bursts.say(99, Remark(0, "lost", "new"))
    assert told.said[-1] == (told.clock.time_s, 99, Remark(0, "lost", "new", amount=61))


def test_what_is_held_back_is_told_though_nothing_follows() -> None:
    told = Told()
    for i in range(MOST_PER_S + 3):
        told.bursts.say(i, Remark(0, "lost", f"{i}"))
    told.bursts.look()
    assert len(told.said) == MOST_PER_S
    told.clock.time_s += 1
    told.bursts.look()
    assert told.said[-1][1:] == (MOST_PER_S + 2, Remark(0, "lost", str(MOST_PER_S + 2), amount=3))
    told.bursts.look()
    told.bursts.finish()
    assert len(told.said) == MOST_PER_S + 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.floats(0, 0.4)), max_size=200))
def test_the_sums_are_whole_and_no_second_has_more_than_twice_its_share(said: list[tuple[str, int, float]]) -> None:
    told = Told()
    for i, (cause, amount, after_s) in enumerate(said):
        told.clock.time_s += after_s
        told.bursts.look()
        told.bursts.say(i, Remark(0, cause, "", amount))
    times = {c: [time_s for time_s, _, remark in told.said if remark.cause == c] for c in "ab"}
    told.bursts.finish()
    for cause in "ab":
        assert sum(told.amounts(cause)) == sum(amount for c, amount, _ in said if c == cause)
        for at in times[cause]:
            assert sum(at <= t < at + 1 for t in times[cause]) <= 2 * MOST_PER_S
