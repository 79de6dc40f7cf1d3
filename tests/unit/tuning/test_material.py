"""The signal that thresholds are tried on: whole, contiguous, and told what it is of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from rtspikes.config import Config
from rtspikes.errors import DataError, SourceError
from rtspikes.protocols import Hole, Pull
from rtspikes.sources.formats import open_recording
from rtspikes.tuning import material as module
from rtspikes.tuning.material import from_recording, from_source, source_config
from rtspikes.types import Samples, StreamInfo
from tests.simulated import simulate, stream_info, write_recording

RATE_HZ = 1000.0


class Scripted:
    """A source whose sample n is n on both channels; each pull brings rows and the holes among them."""

    def __init__(self, pulls: Sequence[tuple[int, tuple[Hole, ...]]], first: int) -> None:
        self.info: StreamInfo = stream_info(2, RATE_HZ, live=True)
        self.first_sample = self._next = first
        self._pulls = list(pulls)
        self.started = self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.closed = True

    def start(self) -> None:
        self.started = True

    def pull(self, destination: Samples) -> Pull:
        if not self._pulls:
            return Pull(0, ended=True)
        n, holes = self._pulls.pop(0)
        lost = {hole.offset: hole.lost for hole in holes}
        for i in range(n):
            self._next += lost.get(i, 0)
            destination[i] = self._next
            self._next += 1
        self._next += lost.get(n, 0)
        return Pull(n, holes=holes)

    def cancel(self) -> None:
        raise AssertionError("nobody waits")

    def status(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(pulls: Sequence[tuple[int, tuple[Hole, ...]]], first: int = 7) -> Scripted:
        source = Scripted(pulls, first)

        def opened(*_: object) -> AbstractContextManager[Scripted]:
            return source

        monkeypatch.setattr(module, "open_source", opened)
        return source

    return make


def test_a_part_of_a_recording_is_read_as_it_is(tmp_path: Path) -> None:
    samples, _ = simulate(n_channels=3, seconds=5.0)
    recording = open_recording(write_recording(tmp_path / "a", samples))
    material = from_recording(recording, "a.raw", 1.0, 2.5)
    assert np.array_equal(material.samples, samples[20_000:70_000])
    assert (material.first, material.seconds, material.info.n_samples) == (20_000, 2.5, 50_000)
    assert material.notes == ("2.5 s from 1 s on, of 5 s",)
    assert from_recording(recording, "a.raw", 0.0, 60.0).notes == ()
    with pytest.raises(DataError, match=r"at least 2 s are needed, got 1 s from 4 s on"):
        from_recording(recording, "a.raw", 4.0, 60.0)
    with pytest.raises(DataError, match="got 0 s from 9 s on"):
        from_recording(recording, "a.raw", 9.0, 60.0)


def test_what_a_source_brings_is_taken_until_it_is_enough(scripted: Any) -> None:
    source = scripted([(50, ())] * 100)
    seen: list[float] = []
    material = from_source(Config(), 3.0, seen.append)
    assert source.started
    assert source.closed
    assert material.samples[:, 0].tolist() == list(range(7, 3007))
    assert (material.first, material.notes, material.info.live) == (7, (), False)
    assert seen == sorted(seen)
    assert seen[-1] == 3.0


@pytest.mark.parametrize("where", [0, 13, 50])
def test_between_losses_the_longest_run_is_taken(scripted: Any, where: int) -> None:
    hole = (50, (Hole(where, 1000),))
    scripted([(50, ())] * 10 + [hole] + [(50, ())] * 50 + [hole] + [(50, ())] * 5)
    material = from_source(Config(), 60.0)
    run = material.samples[:, 0]
    first = 7 + 500 + where + 1000
    assert run.tolist() == list(range(first, first + len(run)))
    assert len(run) == 50 * 51
    assert material.first == first
    assert material.notes == ("2000 samples were lost; the longest stretch between losses is shown",)


def test_two_holes_in_a_pull_are_two(scripted: Any) -> None:
    scripted([(50, ())] * 45 + [(50, (Hole(10, 5), Hole(40, 7)))] + [(50, ())] * 2)
    material = from_source(Config(), 60.0)
    assert material.samples[:, 0].tolist() == list(range(7, 7 + 45 * 50 + 10))
    assert material.notes[0].startswith("12 samples were lost")


def test_a_stream_that_always_loses_is_not_waited_for_for_ever(scripted: Any) -> None:
    source = scripted([(50, (Hole(25, 1),))] * 10_000)
    with pytest.raises(SourceError, match="at least 2 s without a loss are needed, got 0.05 s"):
        from_source(Config(), 3.0)
    assert source.closed


def test_a_person_may_be_content_with_less(scripted: Any) -> None:
    scripted([(50, ())] * 100)
    asked: list[int] = []
    material = from_source(Config(), 60.0, stopped=lambda: len(asked) > 45 or asked.append(1) is not None)
    assert material.seconds == 2.3


def test_a_silent_source_is_given_up(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted([(50, ())] * 20 + [(0, ())] * 1000)
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    with pytest.raises(SourceError, match="got 1 s"):
        from_source(Config(), 60.0)


def test_a_simulation_goes_as_fast_as_it_can() -> None:
    config = source_config(Config(), "sim:16?seed=3")
    assert (config.source.uri, config.source.speed) == ("sim:16?seed=3", "max")
    material = from_source(config, 2.0)
    assert (material.seconds, material.info.n_channels) == (2.0, 16)
