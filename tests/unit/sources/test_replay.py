"""The replay: samples are due on absolute deadlines of a clock that these tests move by hand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtspikes.errors import ConfigError
from rtspikes.protocols import Hole, Pull, Source
from rtspikes.sources.formats import open_recording
from rtspikes.sources.pace import LARGEST_COPY, LONGEST_WAIT_S
from rtspikes.sources.replay import FileSource
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import GapCause
from tests.clocks import BEGUN_S, BlockingClock, HandClock
from tests.simulated import write_recording

RATE_HZ = 1000.0
N = 1000


class Replay:
    """A file source whose samples are their own positions in the file."""

    def __init__(self, tmp_path: Path, n: int = N, clock: Any = None, **settings: Any) -> None:
        path = write_recording(tmp_path / "a", np.arange(n, dtype=np.int16)[:, None], RATE_HZ)
        self.clock = clock or HandClock()
        self.source = FileSource(open_recording(path), SourceSettings(**settings), self.clock)
        self.memory = np.full((2 * LARGEST_COPY, 1), -1, np.int16)

    def pull(self, room: int = 2 * LARGEST_COPY) -> tuple[list[int], Pull]:
        pull = self.source.pull(self.memory[:room])
        return self.memory[: pull.n, 0].tolist(), pull

    def rest(self) -> list[int]:
        """Return all samples until the end."""
        got: list[int] = []
        while True:
            values, pull = self.pull()
            got += values
            if pull.ended:
                return got


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    made = Replay(tmp_path, chunk_ms=10)
    made.source.start()
    return made


def test_it_is_a_source(replay: Replay) -> None:
    assert isinstance(replay.source, Source)
    with replay.source as entered:
        assert entered is replay.source
    assert not replay.source.info.live


def test_a_pull_before_the_start_is_a_mistake_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"start\(\) comes before"):
        Replay(tmp_path).pull()


def test_the_first_pull_alone_tells_the_time_of_the_first_sample(replay: Replay) -> None:
    assert [[a.time_s for a in replay.pull()[1].anchors] for _ in range(3)] == [[BEGUN_S], [], []]


def test_each_chunk_is_due_when_its_last_sample_is(replay: Replay) -> None:
    for i in range(5):
        values, _ = replay.pull()
        assert values == list(range(10 * i, 10 * i + 10))
        assert replay.clock.time_s == pytest.approx(BEGUN_S + 10e-3 * (i + 1), abs=1e-9)


def test_deadlines_are_absolute_so_that_time_spent_between_pulls_is_not_added(replay: Replay) -> None:
    replay.pull()
    replay.clock.time_s += 4e-3
    replay.pull()
    assert replay.clock.waited_s[-1] == pytest.approx(6e-3, abs=1e-9)
    assert replay.clock.time_s == pytest.approx(BEGUN_S + 20e-3, abs=1e-9)


def test_a_late_pull_catches_up_with_all_that_is_due(replay: Replay) -> None:
    replay.pull()
    replay.clock.time_s = BEGUN_S + 0.2505
    values, _ = replay.pull()
    assert values == list(range(10, 250))
    values, _ = replay.pull()
    assert values == list(range(250, 260))
    assert replay.clock.time_s == pytest.approx(BEGUN_S + 0.260, abs=1e-9)


def test_a_late_pull_into_little_room_leaves_the_rest_for_the_next(replay: Replay) -> None:
    replay.clock.time_s = BEGUN_S + 0.0505
    assert replay.pull(room=7)[0] == list(range(7))
    assert replay.pull(room=100)[0] == list(range(7, 50))


def test_lateness_is_reported(replay: Replay) -> None:
    assert replay.source.status() == {"position_s": 0.0, "lateness_ms": {}}
    replay.clock.time_s = BEGUN_S + 0.0355
    replay.pull()
    status = replay.source.status()
    assert status["position_s"] == 0.03, "whole chunks only"
    assert status["lateness_ms"] == {"p50": 25.5, "p99": 25.5, "max": 25.5}


def test_a_long_chunk_is_waited_for_in_steps(tmp_path: Path) -> None:
    replay = Replay(tmp_path, chunk_ms=350)
    replay.source.start()
    sizes = [replay.pull()[1].n for _ in range(4)]
    assert sizes == [0, 0, 0, 350]
    assert max(replay.clock.waited_s) <= LONGEST_WAIT_S + 1e-9


@pytest.mark.parametrize("speed", [0.5, 4.0])
def test_speed_n_divides_the_deadlines(tmp_path: Path, speed: float) -> None:
    replay = Replay(tmp_path, chunk_ms=10, speed=speed)
    replay.source.start()
    assert replay.rest() == list(range(N))
    assert replay.clock.time_s == pytest.approx(BEGUN_S + N / RATE_HZ / speed, abs=1e-9)


def test_speed_max_never_waits_and_hands_on_large_copies(tmp_path: Path) -> None:
    replay = Replay(tmp_path, n=2 * LARGEST_COPY + 5, speed="max")
    replay.source.start()
    pulls = [replay.pull()[1] for _ in range(4)]
    assert [pull.n for pull in pulls] == [LARGEST_COPY, LARGEST_COPY, 5, 0]
    assert [pull.ended for pull in pulls] == [False, False, False, True]
    assert replay.clock.waited_s == []
    assert "lateness_ms" not in replay.source.status()


def test_the_whole_file_comes_once_and_the_end_is_told_again_and_again(replay: Replay) -> None:
    assert replay.rest() == list(range(N))
    assert replay.pull() == ([], Pull(0, ended=True))


def test_a_last_chunk_that_is_short_is_due_when_its_last_sample_is(tmp_path: Path) -> None:
    replay = Replay(tmp_path, n=25, chunk_ms=10)
    replay.source.start()
    assert replay.rest() == list(range(25))
    assert replay.clock.time_s == pytest.approx(BEGUN_S + 25e-3, abs=1e-9)


def test_start_and_stop_cut_the_file_and_keep_its_indices(tmp_path: Path) -> None:
    replay = Replay(tmp_path, chunk_ms=10, start_s=0.1, stop_s=0.125)
    replay.source.start()
    assert replay.source.first_sample == 100
    assert replay.rest() == list(range(100, 125))
    assert replay.clock.time_s == pytest.approx(BEGUN_S + 25e-3, abs=1e-9)


@pytest.mark.parametrize("speed", [1.0, "max"])
def test_a_loop_goes_on_after_a_seam_without_loss(tmp_path: Path, speed: float | str) -> None:
    replay = Replay(tmp_path, chunk_ms=20, start_s=0.01, stop_s=0.06, loop=True, speed=speed)
    replay.source.start()
    got: list[int | str] = []
    times = []
    for _ in range(14):
        values, pull = replay.pull()
        assert not pull.ended
        assert pull.holes in ((), (Hole(0, 0, GapCause.SEAM),))
        got += ["seam"] if pull.holes else values
        times += [a.time_s for a in pull.anchors]
    once = list(range(10, 60))
    assert got[: 2 * 51] == [*once, "seam", *once, "seam"]
    assert times == [BEGUN_S], "a loop is one clock segment"


def test_a_loop_keeps_its_pace_across_seams(tmp_path: Path) -> None:
    replay = Replay(tmp_path, chunk_ms=20, stop_s=0.05, loop=True)
    replay.source.start()
    done = 0
    while done < 500:
        done += replay.pull()[1].n
        assert replay.clock.time_s == pytest.approx(BEGUN_S + done / RATE_HZ, abs=1e-9)


def test_cancel_ends_a_waiting_pull(tmp_path: Path) -> None:
    replay = Replay(tmp_path, clock=BlockingClock())
    replay.source.start()
    pulls: list[Pull] = []
    thread = threading.Thread(target=lambda: pulls.append(replay.pull()[1]), daemon=True)
    thread.start()
    assert replay.clock.waiting.wait(60)
    replay.source.cancel()
    thread.join(60)
    assert replay.clock.returned.is_set()
    assert pulls == [Pull(0)]


def test_closing_ends_a_waiting_pull_too(replay: Replay) -> None:
    with replay.source:
        pass
    assert replay.pull() == ([], Pull(0))
    assert replay.clock.waited_s == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_s": 1.0}, "start_s < stop_s ≤ 1 s (the file's length) must hold, got start_s = 1, stop_s = the end"),
        ({"start_s": 0.5, "stop_s": 0.5}, "got start_s = 0.5, stop_s = 0.5"),
        ({"start_s": 0.5, "stop_s": 0.4}, "got start_s = 0.5, stop_s = 0.4"),
        ({"stop_s": 1.002}, "got start_s = 0, stop_s = 1.002"),
        ({"speed": 0.0}, 'source.speed must be "max" or a number > 0 and < 1e6, got 0'),
        ({"speed": -1.0}, "got -1"),
        ({"speed": float("nan")}, "got nan"),
        ({"speed": 1e7}, "got 1e+07"),
    ],
)
def test_what_cannot_be_replayed_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Replay(tmp_path, **settings)
    assert message in str(caught.value)
