"""The `sim:` source: samples at their pace, an end where asked for, holes with their indices."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from rtspikes_devices.sim.address import parse_address
from rtspikes_devices.sim.source import SimSource
from rtspikes_devices.sim.stimulus_line import StimulusLine

from rtspikes.protocols import Hole, Mark, Pull, Source, Truth
from rtspikes.sources.pace import LARGEST_COPY, LONGEST_WAIT_S
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import Samples
from tests.clocks import BEGUN_S, BlockingClock, HandClock
from tests.unit.devices.simulations import marked, opened, pulled, truth_of

RATE = 20000
ROOM = 2 * LARGEST_COPY


class Paced:
    """A simulation of 6 electrodes at real speed, on a clock that is moved by hand."""

    def __init__(self, address: str = "6?seconds=1", **settings: object) -> None:
        self.clock = HandClock()
        self.source = opened(address, self.clock, **{"speed": 1.0, "chunk_ms": 10.0, **settings})
        self.memory = np.zeros((ROOM, self.source.info.n_channels), np.int16)

    def pull(self, room: int = ROOM) -> Pull:
        return self.source.pull(self.memory[:room])

    def rest(self) -> list[Pull]:
        """Return all pulls until the end."""
        pulls = [self.pull()]
        while not pulls[-1].ended:
            pulls.append(self.pull())
        return pulls


def test_it_is_a_source_and_its_truth_is_one() -> None:
    source = opened("60")
    assert isinstance(source, Source)
    assert isinstance(truth_of("60"), Truth)
    assert source.first_sample == 0


def test_info_says_what_is_simulated() -> None:
    address = "60?seed=9&rate=30000&seconds=2.5&scenario=storm"
    info = opened(address).info
    assert (info.uri, info.rate_hz, info.dtype) == (f"sim:{address}", 30000, "int16")
    assert (info.live, info.n_samples, info.n_channels) == (False, 75000, 60)
    assert info.facts["rails"] == [-32767, 32767]
    assert info.facts["simulation"]["seed"] == 9
    assert info.facts["simulation"]["scenario"] == "storm"
    assert opened("60").info.n_samples is None


def test_live_is_told() -> None:
    assert opened("60?live=1").info.live
    assert not opened("60?live=0").info.live


def test_what_should_be_found_is_eight_times_the_noise() -> None:
    assert truth_of("60").visible_uv == 40
    assert truth_of("60?noise=7").visible_uv == 56


def test_a_pull_before_the_start_is_a_mistake_of_the_program() -> None:
    with (
        SimSource("6", SourceSettings(), HandClock()) as source,
        pytest.raises(RuntimeError, match=r"start\(\) comes before"),
    ):
        source.pull(np.zeros((10, 6), np.int16))


def test_each_chunk_is_due_when_its_last_sample_is() -> None:
    paced = Paced()
    for i in range(5):
        assert paced.pull().n == 200
        assert paced.clock.time_s == pytest.approx(BEGUN_S + 10e-3 * (i + 1), abs=1e-9)


def test_the_first_pull_alone_tells_the_time_of_the_first_sample() -> None:
    paced = Paced()
    assert [[a.time_s for a in paced.pull().anchors] for _ in range(3)] == [[BEGUN_S], [], []]


def test_a_late_pull_catches_up_with_all_chunks_that_are_due() -> None:
    paced = Paced()
    paced.clock.time_s += 0.2505
    assert paced.pull().n == 5000
    assert paced.source.status()["lateness_ms"]["max"] == 240.5
    assert paced.pull().n == 200
    assert paced.clock.time_s == pytest.approx(BEGUN_S + 0.26, abs=1e-9)


def test_a_late_pull_into_little_room_leaves_the_rest_for_the_next() -> None:
    paced = Paced()
    paced.clock.time_s += 0.05052
    assert [paced.pull(room=7).n, paced.pull().n] == [7, 993]


def test_a_long_chunk_is_waited_for_in_steps() -> None:
    paced = Paced(chunk_ms=350.0)
    assert [paced.pull().n for _ in range(4)] == [0, 0, 0, 7000]
    assert max(paced.clock.waited_s) <= LONGEST_WAIT_S + 1e-9


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_the_whole_takes_as_long_as_it_is_and_then_ends_again_and_again(speed: float) -> None:
    paced = Paced("6?seconds=0.4567", speed=speed)
    pulls = paced.rest()
    assert sum(pull.n for pull in pulls) == 9134
    assert paced.clock.time_s == pytest.approx(BEGUN_S + 0.4567 / speed, abs=1e-9)
    assert paced.pull() == Pull(0, ended=True)
    assert paced.source.status()["position_s"] == 0.457


def test_pace_changes_no_sample() -> None:
    paced = Paced("6?seconds=0.3", chunk_ms=3.0)
    pieces: list[Samples] = []
    while not (pull := paced.pull()).ended:
        pieces.append(paced.memory[: pull.n].copy())
    assert np.concatenate(pieces).tobytes() == pulled("6?seconds=0.3")[0].tobytes()


def test_speed_max_never_waits_and_hands_on_large_copies() -> None:
    paced = Paced("6?seconds=1", speed="max")
    assert [pull.n for pull in paced.rest()] == [LARGEST_COPY, LARGEST_COPY, RATE - 2 * LARGEST_COPY, 0]
    assert paced.clock.waited_s == []
    assert "lateness_ms" not in paced.source.status()


def test_without_an_end_it_goes_on() -> None:
    paced = Paced("2?rate=1000", speed="max")
    assert sum(paced.pull().n for _ in range(50)) == 50 * LARGEST_COPY


def test_holes_are_told_where_they_are_and_keep_the_pace() -> None:
    paced = Paced("6?seconds=3&gaps=100")
    position, holes = 0, 0
    while not (pull := paced.pull()).ended:
        if pull.holes:
            (hole,) = pull.holes
            assert pull.n == hole.offset == 0
            assert 0.005 * RATE <= hole.lost <= 0.05 * RATE
            position, holes = position + hole.lost, holes + 1
        position += pull.n
        if pull.n:
            assert -1e-9 < paced.clock.time_s - BEGUN_S - position / RATE < 0.01, "less than a chunk late"
    assert (position, holes) == (3 * RATE, 5)


def test_holes_come_as_often_as_asked_for_and_never_touch() -> None:
    for gaps, seconds in ((60, 30), (600, 6)):
        _, holes = pulled(f"2?rate=2000&gaps={gaps}&seconds={seconds}")
        ends = np.array(list(holes))
        assert len(holes) == gaps * seconds / 60
        assert (np.diff(ends) > list(holes.values())[1:]).all()
        assert len(set(holes.values())) > 10, "not all of one length"


def test_an_end_inside_a_hole_cuts_it() -> None:
    _, holes = pulled("6?gaps=100&seconds=1")
    ((end, lost), *_) = holes.items()
    stop = (end - lost + 10) / RATE
    samples, cut = pulled(f"6?gaps=100&seconds={stop}")
    assert cut == {end - lost + 10: 10}
    assert len(samples) == end - lost
    assert opened(f"6?gaps=100&seconds={stop}").info.n_samples == end - lost + 10


def test_holes_change_no_truth() -> None:
    assert truth_of("60?gaps=600").spikes(0, 9 * RATE).tobytes() == truth_of("60").spikes(0, 9 * RATE).tobytes()


def test_holes_depend_on_the_seed_alone() -> None:
    assert pulled("2?gaps=60&seconds=5", [999])[1] == pulled("3x2?gaps=60&seconds=5&scenario=ttx")[1]
    assert pulled("2?gaps=60&seconds=5")[1] != pulled("2?gaps=60&seconds=5&seed=2")[1]


STIMULI = [
    (40000, 1, 1), (40008, 1, 0), (80000, 1, 1), (80008, 1, 0), (120000, 1, 1), (120008, 1, 0)
]  # fmt: skip


@pytest.mark.parametrize("sizes", [[4096], [1, 40000, 3, 5, 4], [40008], [20000], [17, 12001]])
def test_a_stimulus_is_a_mark_at_its_first_sample_and_another_behind_its_last(sizes: list[int]) -> None:
    assert marked("2?scenario=artifact&onset=1&seconds=6.5", sizes) == STIMULI


def test_marks_of_single_samples_are_the_same() -> None:
    assert marked("2?scenario=artifact&seconds=1.1&rate=1000", [1]) == [(1000, 1, 1), (1001, 1, 0)]


def test_a_stimulus_begins_with_the_artifact() -> None:
    samples, _ = pulled("6?scenario=artifact&seconds=1.5&rate=30000&noise=0")
    marks = marked("6?scenario=artifact&seconds=1.5&rate=30000")
    assert marks == [(30000, 1, 1), (30012, 1, 0)]
    steps = np.abs(np.diff(samples.astype(int), axis=0)).max(axis=1)
    assert steps.argmax() + 1 == 30006, "from one phase to the other"
    assert np.flatnonzero(steps > 5000)[0] + 1 == 30000


def test_the_line_of_the_stimuli_has_a_name_where_there_are_any() -> None:
    assert opened("6?scenario=artifact").info.facts["lines"] == ["stimulus"]
    assert opened("6").info.facts["lines"] == []
    assert marked("6?seconds=4") == []


def test_a_mark_whose_sample_was_lost_is_at_the_first_one_behind_the_hole() -> None:
    line = StimulusLine(parse_address("2?scenario=artifact"))
    assert line.changes(0, 20000) == ()
    assert line.changes(20004, 100) == (Mark(0, 1, 1), Mark(4, 1, 0)), "its begin was lost"
    assert line.changes(60000, 2) == (Mark(0, 1, 1),)
    assert line.changes(60100, 50) == (Mark(0, 1, 0),), "its end was lost"
    assert line.changes(100_008, 50) == (), "all of it was lost"
    assert line.changes(140_000, 40_001) == (Mark(0, 1, 1), Mark(8, 1, 0), Mark(40_000, 1, 1))


@pytest.mark.parametrize("onset_ms", range(1, 60, 6))
def test_marks_keep_to_what_was_received(onset_ms: int) -> None:
    address = f"2?scenario=artifact&gaps=600&seconds=3.2&onset={onset_ms / 1000}"
    _, holes = pulled(address)
    position = np.delete(np.arange(3.2 * RATE), np.concatenate([np.arange(e - n, e) for e, n in holes.items()]))
    since = position - RATE - onset_ms * 20
    value = (since >= 0) & (since % (2 * RATE) < 8)
    changed = np.flatnonzero(np.diff(value, prepend=False))
    assert marked(address, [777]) == [(position[k], 1, value[k]) for k in changed]


def test_cancel_ends_a_waiting_pull() -> None:
    clock = BlockingClock()
    source = opened("6", clock, speed=1.0)
    pulls: list[Pull] = []
    rows = np.zeros((100, 6), np.int16)
    thread = threading.Thread(target=lambda: pulls.append(source.pull(rows)), daemon=True)
    thread.start()
    assert clock.waiting.wait(60)
    source.cancel()
    thread.join(60)
    assert clock.returned.is_set()
    assert pulls == [Pull(0)]


def test_closing_ends_a_waiting_pull_too() -> None:
    paced = Paced()
    paced.source.__exit__(None, None, None)
    assert paced.pull() == Pull(0)
    assert paced.clock.waited_s == []


def test_a_hole_is_a_hole_of_the_source() -> None:
    _, holes = pulled("6?gaps=100&seconds=1")
    lost = next(iter(holes.values()))
    source = opened("6?gaps=100&seconds=1")
    rows = np.zeros((ROOM, 6), np.int16)
    while not (pull := source.pull(rows)).holes:
        pass
    assert pull == Pull(0, holes=(Hole(0, lost),))
