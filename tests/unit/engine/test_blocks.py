"""Blocks: all that has come, bounded; and the times that they carry are those of what waited longest."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest

from rtspikes.config import config_from
from rtspikes.detect.detector import Detector
from rtspikes.engine import intake
from rtspikes.engine.session import Session
from rtspikes.protocols import Pull
from rtspikes.types import Samples
from tests.clocks import BEGUN_S, HandClock
from tests.simulated import RATE_HZ, simulate, stream_info
from tests.system.sources import ArraySource

HELD, N = 10_000, 60_000
SAMPLES, _ = simulate(2, N / RATE_HZ)


class Publisher:
    """Keeps what is sent."""

    subscribers = bad_upstream = 0
    waited_s = 0.0

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, kind: str, fields: dict[str, Any]) -> None:
        self.sent.append((kind, fields))

    def last_seqs(self) -> dict[str, int]:
        return {}


class Service:
    """The run's sockets, without sockets."""

    def __init__(self) -> None:
        self.publisher, self.reply, self.news = Publisher(), None, deque[str]()


class Run:
    """A session that is led by hand; `blocks` are the lengths of those that were detected."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, piece: int = 100, live: bool = True) -> None:
        self.clock, self.service, self.blocks = HandClock(), Service(), list[int]()
        self.source = ArraySource(stream_info(2, live=live), SAMPLES, [piece])
        process = Detector.process

        def noted(detector: Detector, samples: Samples, *rest: Any, **options: Any) -> Any:
            self.blocks.append(len(samples))
            return process(detector, samples, *rest, **options)

        monkeypatch.setattr(Detector, "process", noted)
        config = config_from({"source": {"uri": "test:"}, "cpu": {"threads": 1}})
        moved = threading.Condition()
        self.session = Session(
            "s", 1, config, self.source, self.clock, self.service, moved, lambda: None  # type: ignore[arg-type]
        )  # fmt: skip
        self.pull(HELD)
        self.session.step()
        while sum(self.blocks) < HELD:
            self.session.step()
        self.blocks.clear()

    def pull(self, samples: int) -> None:
        """Let so many more come."""
        end = self.session.next_sample + samples
        while self.session.next_sample < end:
            self.session.intake.pull(self.source)

    def latency_ms(self) -> dict[str, dict[str, float]]:
        self.session.announcer.end("end", self.session.next_sample, {})
        status: dict[str, Any] = next(fields for kind, fields in self.service.publisher.sent if kind == "status")
        found: dict[str, dict[str, float]] = status["latency_ms"]
        return found


@pytest.mark.parametrize("live", [False, True])
def test_a_stall_is_caught_up_in_few_blocks_of_bounded_length(live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, live=live)
    run.pull(100)
    run.session.step()
    run.pull(10_000)
    for _ in range(3):
        run.session.step()
    assert run.blocks == [100, 4096, 4096, 1808]


def test_wide_streams_have_shorter_blocks_and_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = 2 * 2
    monkeypatch.setattr(intake, "LARGEST_BYTES", 300 * frame)
    run = Run(monkeypatch, piece=1000)
    room: list[int] = []
    pull = run.source.pull

    def noted(destination: Samples) -> Pull:
        room.append(len(destination))
        return pull(destination)

    monkeypatch.setattr(run.source, "pull", noted)
    run.pull(700)
    for _ in range(3):
        run.session.step()
    assert max(room) == 300
    assert run.blocks == [300, 300, 300]


def test_a_block_is_never_shorter_than_what_its_own_cost_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "LARGEST_BYTES", 1)
    assert intake.largest_block(stream_info(60_000)) == intake.LEAST_BLOCK


def test_the_times_of_a_block_are_those_of_what_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    run.session.step()  # nothing is left to catch up with: what comes now counts
    sent = run.service.publisher.sent
    sent.clear()
    run.clock.time_s = BEGUN_S + 10
    run.pull(100)
    run.clock.time_s += 0.003
    run.pull(4000)
    run.clock.time_s += 0.002
    run.session.step()
    assert run.blocks == [4096]
    (crossings,) = (fields for kind, fields in sent if kind == "crossings" and fields["n"])
    assert [crossings[f"t_{name}"] - BEGUN_S for name in ("acquired", "begun", "detected", "sent")] == pytest.approx(
        [10, 10.005, 10.005, 10.005]
    )
    found = run.latency_ms()
    sampled_s = run.source.begun_s + (HELD + 99) / RATE_HZ
    assert found["arrive"]["max"] == pytest.approx(max(0, BEGUN_S + 10 - sampled_s) * 1e3, abs=1e-3)
    assert {stage: found[stage]["max"] for stage in ("wait", "detect", "publish", "total")} == pytest.approx(
        {"wait": 5, "detect": 0, "publish": 0, "total": 5}
    )


def test_what_is_held_at_the_start_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    run.clock.time_s += 7.0
    run.pull(100)
    run.session.step()
    assert set(map(str, run.latency_ms().values())) == {"{}"}
