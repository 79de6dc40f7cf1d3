from __future__ import annotations

import threading

import pytest

from rtspikes.crew import ThreadCrew


def test_every_part_is_done_at_the_same_time_in_a_thread_of_its_own() -> None:
    threads: dict[int, int] = {}
    together = threading.Barrier(3, timeout=20)

    def job(part: int) -> None:
        together.wait()  # ends only if three wait at once
        threads[part] = threading.get_ident()

    with ThreadCrew(3) as crew:
        for _ in range(50):
            threads.clear()
            crew.run(job, 3)
            assert sorted(threads) == [0, 1, 2]
            assert len({*threads.values()}) == 3
            assert threads[0] == threading.get_ident()


def test_fewer_parts_than_threads() -> None:
    done: list[int] = []
    with ThreadCrew(3) as crew:
        crew.run(done.append, 1)
        crew.run(done.append, 2)
    assert sorted(done) == [0, 0, 1]


@pytest.mark.parametrize("failing", [0, 1])
def test_what_a_part_raises_is_raised_once_all_have_ended(failing: int) -> None:
    ended = []

    def job(part: int) -> None:
        if part == failing:
            raise ValueError(f"part {part}")
        ended.append(part)

    with ThreadCrew(2) as crew:
        with pytest.raises(ValueError, match=f"part {failing}"):
            crew.run(job, 2)
        assert ended == [1 - failing]
        crew.run(ended.append, 2)  # and goes on working
        assert sorted(ended[1:]) == [0, 1]


def test_its_threads_end_with_it() -> None:
    before = threading.active_count()
    with ThreadCrew(4):
        assert threading.active_count() == before + 3
    assert threading.active_count() == before


def test_what_a_part_returns_late_is_nobodys_but_its_own_runs() -> None:
    go_on = threading.Event()

    def slow(part: int) -> None:
        if part == 1:
            assert go_on.wait(20)
        else:
            raise KeyboardInterrupt  # as Ctrl-C does while the caller waits

    with ThreadCrew(2) as crew:
        waiting = threading.Timer(0.2, go_on.set)
        waiting.start()
        with pytest.raises(KeyboardInterrupt):
            crew.run(slow, 2)
        done: list[int] = []
        crew.run(done.append, 2)
        assert sorted(done) == [0, 1]
