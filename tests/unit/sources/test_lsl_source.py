"""The source with scripted connections: silence, loss, return, another layout; without liblsl and without waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtspikes.errors import SourceError
from rtspikes.protocols import Pull
from rtspikes.sources.lsl import source as module
from rtspikes.sources.lsl.connection import Lost
from rtspikes.sources.lsl.offset import ClockOffset
from rtspikes.sources.lsl.source import DEAF_S, SILENT_S, LslSource
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import ChannelInfo, GapCause, StreamInfo

RATE = 1000.0
INFO = StreamInfo(
    "lsl:rig", RATE, "int16", tuple(ChannelInfo(str(i), i) for i in range(3)), live=True, facts={"name": "rig"}
)


class Clock:
    """A clock that moves when a connection is pulled."""

    time_s = 500.0

    def now(self) -> float:
        return self.time_s

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        raise AssertionError("nothing here waits")


class Stream:
    """What the network announces of a stream."""

    def __init__(self, uid: str, source_id: str = "id1", name: str = "rig") -> None:
        self._values = {"uid": uid, "source_id": source_id, "name": name, "type": "Ephys", "hostname": "here"}

    def __getattr__(self, name: str) -> Callable[[], str]:
        return lambda: self._values[name]


class Scripted:
    """A connection that brings what it is told to: numbers of samples, silence (0), samples lost (negative), Lost."""

    def __init__(self, clock: Clock, uid: str, script: list[Any], info: StreamInfo = INFO, first: int = 0) -> None:
        self.uid, self.info, self.warnings = uid, info, ()
        self.nominal_hz, self.buffer_s, self.failed = info.rate_hz, 10, None
        self.offset = ClockOffset(same_computer=True)
        self.script, self._clock, self._next = script, clock, first
        self.opened = self.closed = False
        self.waiting = 0

    def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.closed = True

    def pull(self, rows: np.ndarray) -> np.ndarray:
        assert self.opened
        assert not self.closed
        step = self.script.pop(0) if self.script else 0
        while isinstance(step, int) and step < 0:
            self._next -= step
            step = self.script.pop(0)
        if step is Lost:
            raise Lost
        n = min(step, len(rows))
        self._clock.time_s += max(n / RATE, 0.1 if not n else 0.0)
        rows[:n] = (self._next + np.arange(n))[:, None]
        stamps = 500.0 + (self._next + np.arange(n)) / RATE
        self._next += n
        return stamps


class FakeSearch:
    """Finds what the test puts there."""

    there: list[Stream] = []
    connections: dict[str, Scripted] = {}
    queries: list[str] = []

    def __init__(self, query: Any, wanted: Any, connect: Any) -> None:
        self.queries.append(query.predicate)
        self._wanted, self.trouble, self.stopped = wanted, "", False

    def get(self, wait_s: float) -> Scripted | None:
        chosen = self._wanted(self.there)
        if chosen is None:
            return None
        connection = self.connections[chosen.uid()]
        connection.open()
        return connection

    def stop(self) -> None:
        self.stopped = True


class Run:
    """A source that was started on a scripted stream."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, script: list[Any], source_id: str = "id1") -> None:
        self.clock = Clock()
        self.first = Scripted(self.clock, "u1", script)
        FakeSearch.there, FakeSearch.connections, FakeSearch.queries = [], {}, []
        monkeypatch.setattr(module, "find", lambda query, wait_s, cancelled: [Stream("u1", source_id)])
        monkeypatch.setattr(module, "choose", lambda found, query: found[0])
        monkeypatch.setattr(module, "Search", FakeSearch)
        monkeypatch.setattr(LslSource, "_connect", lambda source, found: self.first)
        self.source = LslSource("rig", SourceSettings(uri="lsl:rig"), self.clock)
        self.source.__enter__()
        self.source.start()
        self.values: list[int] = []
        self.holes: list[tuple[int, int, GapCause]] = []
        self.told: list[str] = []

    def pull(self, rows: int = 4096) -> Pull:
        destination = np.zeros((rows, self.source.info.n_channels), self.source.info.dtype)
        pull = self.source.pull(destination)
        self.holes += [(len(self.values) + h.offset, h.lost, h.cause) for h in pull.holes]
        self.values += destination[: pull.n, 0].tolist()
        self.told += [r.cause for r in pull.remarks]
        return pull

    def pull_all(self) -> None:
        while self.first.script:
            self.pull()


def test_samples_come_as_they_are_with_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [20, 20, 20])
    pulls = [run.pull() for _ in range(3)]
    assert run.values == list(range(60))
    assert pulls[0].anchors[0][:2] == (0, 500.0)
    assert run.told == []
    assert run.source.info is INFO


def test_silence_is_told_once_within_two_seconds_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [*[20] * 30, *[0] * 40, -4000, *[20] * 30])
    begun = None
    for i in range(100):
        run.pull()
        if "source_silent" in run.told and begun is None:
            begun = run.clock.time_s - 500.6
            assert SILENT_S - 1e-6 < begun < 2.0, i
    assert run.told == ["source_silent", "source_resumed"]
    assert run.holes == [(600, 4000, GapCause.PAUSE)]
    assert run.values == [*range(600), *range(4600, 5200)]


@pytest.mark.parametrize("source_id", ["id1", ""])
def test_a_stream_that_died_and_came_back_goes_on_behind_an_exact_gap(
    monkeypatch: pytest.MonkeyPatch, source_id: str
) -> None:
    run = Run(monkeypatch, [*[20] * 30, Lost], source_id)
    run.pull_all()
    assert run.first.closed
    assert run.pull().n == 0, "it is not there yet"
    again = Scripted(run.clock, "u2", [20] * 30, first=3000)
    FakeSearch.connections["u2"] = again
    run.clock.time_s = 503.0
    FakeSearch.there = [Stream("u2", source_id)]
    while again.script:
        run.pull()
    assert run.holes == [(600, 2400, GapCause.RECONNECT)]
    assert run.told == ["source_lost", "source_found"]
    assert run.values == [*range(600), *range(3000, 3600)]
    assert FakeSearch.queries == ["(name='rig')"], "the user's own address"


def test_another_layout_ends_the_stream_and_begins_another(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [*[20] * 30, Lost])
    run.pull_all()
    wider = replace(INFO, channels=tuple(ChannelInfo(str(i), i) for i in range(5)), dtype="float32")
    FakeSearch.connections["u2"] = Scripted(run.clock, "u2", [20] * 3, wider, first=9000)
    FakeSearch.there = [Stream("u2")]
    run.pull()
    assert run.told == ["source_lost", "source_changed"]
    assert run.source.info is INFO, "until the old session has ended"
    turned = run.pull()
    assert turned.ended
    assert turned.another
    assert run.source.info is wider
    run.source.start()
    pull = run.pull()
    assert pull.n == 20
    assert pull.anchors[0].offset == 0
    assert run.holes == []


def test_a_silent_connection_is_left_when_the_stream_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [*[20] * 30, *[0] * 80])
    FakeSearch.there = [Stream("u1")]
    while run.clock.time_s < 500.6 + DEAF_S + 1:
        run.pull()
    assert not run.first.closed, "the same stream, which is silent"
    FakeSearch.connections["u2"] = again = Scripted(run.clock, "u2", [20], first=7000)
    FakeSearch.there = [Stream("u1"), Stream("u2")]
    while again.script:
        run.pull()
    assert run.first.closed
    assert [hole[2] for hole in run.holes] == [GapCause.RECONNECT]
    assert run.told == ["source_silent", "source_found"]


def test_a_producer_whose_source_id_is_another_in_each_process_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [*[20] * 30, Lost], "-132451")
    run.pull_all()
    FakeSearch.connections["u2"] = again = Scripted(run.clock, "u2", [20] * 5, first=1000)
    FakeSearch.there = [Stream("u2", "702361"), Stream("u3", "7", "another")]
    while again.script:
        run.pull()
    assert run.told == ["source_lost", "source_found"]


def test_another_stream_of_the_same_device_is_never_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [*[20] * 30, *[0] * 80])
    FakeSearch.there = [Stream("u2", "id1", "accelerometer")]
    while run.clock.time_s < 500.6 + DEAF_S + 2:
        run.pull()
    assert not run.first.closed
    assert run.told == ["source_silent"]


def test_of_several_that_only_look_alike_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [20, Lost], source_id="")
    run.pull_all()
    FakeSearch.there = [Stream("u2", "", "another"), Stream("u3", "", "third")]
    assert run.pull().n == 0
    assert run.told == ["source_lost"]


def test_held_rows_come_out_when_the_stream_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [*[20] * 30, -700, 20, 20, Lost])  # a step of counted stamps is decided at once
    run.first.script[30:30] = []
    run.pull_all()
    run.pull()
    assert run.values == [*range(600), *range(1300, 1340)]
    early = Run(monkeypatch, [20, -50, 20, Lost])  # too early to be trusted: held back until it dies
    early.pull_all()
    early.pull()
    assert early.values == [*range(20), *range(70, 90)]


def test_status_is_made_by_the_pulling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [20] * 100)
    run.pull_all()
    status = run.source.status()
    assert status["connected"]
    assert status["stamps"] == "counted"
    assert status["effective_rate_hz"] == pytest.approx(RATE)


def test_the_end_closes_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [20, Lost])
    run.pull_all()
    run.pull()
    search = run.source._search  # noqa: SLF001
    run.source.__exit__(None, None, None)
    assert search.stopped
    assert run.first.closed


def test_a_failed_measurement_of_the_clocks_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [20, 20])
    run.pull()
    run.first.failed = SourceError("liblsl failed")
    with pytest.raises(SourceError, match="liblsl failed"):
        run.pull()
