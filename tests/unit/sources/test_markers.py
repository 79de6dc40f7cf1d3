"""Marker streams: found, lost and found again, whatever they send."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pylsl
import pytest

from rtspikes.clock import LslClock
from rtspikes.errors import ConfigError
from rtspikes.protocols import Remark
from rtspikes.sources.lsl import markers
from rtspikes.sources.lsl.markers import Incoming, MarkerStreams
from rtspikes.sources.settings import MarkerSettings
from tests.system.processes import wait_until

NOW = LslClock().now


class Taker:
    """Takes what marker streams bring, and keeps it."""

    def __init__(self, *uris: str) -> None:
        self.errors: list[BaseException] = []
        self.streams = MarkerStreams(tuple(MarkerSettings(uri) for uri in uris), LslClock(), self.errors.append)
        self.markers: list[Incoming] = []
        self.remarks: list[Remark] = []

    @property
    def texts(self) -> list[str]:
        return [marker.text for marker in self.markers]

    def look(self) -> None:
        assert not self.errors
        self.markers += self.streams.take(10_000)
        self.remarks += self.streams.remarks()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            self.look()
            return condition()

        wait_until(met, what)

    def wait_cause(self, cause: str, times: int = 1) -> Remark:
        self.wait(lambda: len(self.of(cause)) >= times, cause)
        return self.of(cause)[times - 1]

    def of(self, cause: str) -> list[Remark]:
        return [remark for remark in self.remarks if remark.cause == cause]


@contextmanager
def taking(*uris: str) -> Iterator[Taker]:
    taker = Taker(*uris)
    with taker.streams:
        yield taker
    assert not taker.errors


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


def outlet(
    name: str, fmt: str = "string", channels: int = 1, rate_hz: float = 0, source_id: str | None = None
) -> pylsl.StreamOutlet:
    info = pylsl.StreamInfo(name, "Markers", channels, rate_hz, fmt, name if source_id is None else source_id)
    return pylsl.StreamOutlet(info, max_buffered=360 if rate_hz < 10_000 else 1)


PRODUCER = """
import sys, pylsl
name, source_id = sys.argv[1:3]
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, "string", source_id))
print("up", flush=True)
for line in sys.stdin:
    outlet.push_sample([line.strip()])
    print("sent", flush=True)
"""


class Producer:
    """A process with a marker stream that sends what it is told; killed when the block ends."""

    def __init__(self, name: str, source_id: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRODUCER, name, source_id],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def send(self, text: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{text}\n")
        assert self.process.stdout.readline() == "sent\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def test_markers_come_with_the_times_that_they_were_given(name: str) -> None:
    sender = outlet(name)
    with taking(f"lsl:name={name}") as taker:
        assert "is taken in" in taker.wait_cause("markers_found").text
        stamps = [NOW() - 5, NOW(), NOW() + 1]
        for i, stamp in enumerate(stamps):
            sender.push_sample([f"{i} µs"], stamp)
        taker.wait(lambda: len(taker.markers) == 3, "three markers")
        assert taker.markers == [Incoming(stamp, 1, 0, f"{i} µs") for i, stamp in enumerate(stamps)]
        assert taker.streams.status()["streams"][0]["markers"] == 3


def test_a_stream_may_appear_long_after_the_start(name: str) -> None:
    with taking(f"lsl:name={name}") as taker:
        assert "nothing matches" in taker.wait_cause("markers_missing").text
        sender = outlet(name)
        taker.wait_cause("markers_found")
        sender.push_sample(["late"])
        taker.wait(lambda: taker.texts == ["late"], "the marker")
        assert len(taker.of("markers_missing")) == 1


def test_several_streams_keep_their_lines_apart(name: str) -> None:
    senders = [outlet(f"{name}-{i}", fmt) for i, fmt in enumerate(("string", "int32"))]
    with taking(f"lsl:name={name}-0", f"lsl:name={name}-1") as taker:
        taker.wait_cause("markers_found", 2)
        senders[1].push_sample([7], 1 + NOW())
        senders[0].push_sample(["a"], NOW())
        taker.wait(lambda: len(taker.markers) == 2, "both markers")
        assert sorted((m.line, m.value, m.text) for m in taker.markers) == [(1, 0, "a"), (2, 7, "")]
        assert taker.streams.lines() == [
            {"line": 1, "uri": f"lsl:name={name}-0"},
            {"line": 2, "uri": f"lsl:name={name}-1"},
        ]


@pytest.mark.parametrize("fmt", ["float32", "double64", "int8", "int16", "int32", "int64"])
def test_numbers_of_every_format_are_values(name: str, fmt: str) -> None:
    sender = outlet(name, fmt, channels=2)
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        sender.push_sample([5, 6])
        taker.wait(lambda: taker.markers, "the marker")
        assert taker.markers[0][2:] == (5, "5 | 6")


def test_of_a_sampled_line_only_changes_are_markers(name: str) -> None:
    sender = outlet(name, "int16", rate_hz=1000)
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        start = NOW()
        line = [0] * 100 + [1] * 50 + [0] * 100 + [4]
        for i in range(0, len(line), 7):
            piece = line[i : i + 7]
            sender.push_chunk(piece, start + (i + len(piece) - 1) * 1e-3)
        taker.wait(lambda: len(taker.markers) == 3, "three changes")
        assert [m.value for m in taker.markers] == [1, 0, 4]
        assert [m.time_s - start for m in taker.markers] == pytest.approx([0.1, 0.15, 0.25])


def test_several_that_match_are_listed_and_none_is_taken_until_one_is_left(name: str) -> None:
    senders = [outlet(name, source_id=f"{name}-{i}") for i in range(2)]
    with taking(f"lsl:name={name}") as taker:
        text = taker.wait_cause("markers_missing").text
        assert f"{name}-0" in text
        assert f"{name}-1" in text
        del senders[1]
        taker.wait_cause("markers_found")
        senders[0].push_sample(["alone"])
        taker.wait(lambda: taker.texts == ["alone"], "the marker")


@pytest.mark.parametrize(("channels", "rate_hz"), [(65, 0), (1, 60_000.0)])
def test_a_stream_that_is_none_of_markers_is_refused_and_told_once(name: str, channels: int, rate_hz: float) -> None:
    sender = outlet(name, "int16", channels, rate_hz)
    with taking(f"lsl:name={name}") as taker:
        assert "a marker stream has" in taker.wait_cause("markers_missing").text
        assert not taker.of("markers_found")
        del sender


@pytest.mark.parametrize("stamp", [time.time, lambda: float("nan"), lambda: 1e308, lambda: -5e6])
def test_stamps_of_another_clock_are_replaced_and_told_once(name: str, stamp: Callable[[], float]) -> None:
    sender = outlet(name)
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        begun = NOW()
        sender.push_sample(["a"], stamp())
        sender.push_sample(["b"], stamp())
        taker.wait(lambda: len(taker.markers) == 2, "both markers")
        assert all(begun <= marker.time_s <= NOW() for marker in taker.markers)
        taker.wait_cause("markers_time")
        assert len(taker.of("markers_time")) == 1
        assert taker.streams.status()["streams"][0]["restamped"] == 2


@pytest.mark.parametrize(
    ("computer", "offset_s", "moved_s"), [("elsewhere", 5.0, 5.0), ("elsewhere", 2e-4, 2e-4), (None, 2e-4, 0.0)]
)
def test_stamps_are_put_on_this_computers_clock(
    name: str, monkeypatch: pytest.MonkeyPatch, computer: str | None, offset_s: float, moved_s: float
) -> None:
    monkeypatch.setattr(pylsl.StreamInlet, "time_correction", lambda inlet, timeout: offset_s)
    if computer is not None:
        monkeypatch.setattr("platform.node", lambda: computer)
    sender = outlet(name)
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        stamp = NOW()
        sender.push_sample(["a"], stamp)
        taker.wait(lambda: taker.markers, "the marker")
        assert taker.markers[0].time_s == stamp + moved_s


def test_without_the_senders_clock_the_time_of_arrival_is_taken_and_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(inlet: pylsl.StreamInlet, timeout: float) -> float:
        raise pylsl.util.TimeoutError

    monkeypatch.setattr(pylsl.StreamInlet, "time_correction", unanswered)
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    sender = outlet(name)
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        begun = NOW()
        sender.push_sample(["a"], begun - 60)
        taker.wait(lambda: taker.markers, "the marker")
        assert taker.markers[0].time_s >= begun
        assert "does not answer" in taker.wait_cause("markers_time").text


def test_hostile_texts_arrive_bounded(name: str) -> None:
    sender = outlet(name, channels=2)
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        for text in ("x" * 10**6, "\x1b[2J\x00\n", b"\xff" * 5000, "𝄞" * 5000, ""):
            sender.push_sample([text, "end"])
        taker.wait(lambda: len(taker.markers) == 5, "five markers")
        assert max(map(len, taker.texts)) == 1000
        assert taker.texts[1] == "\x1b[2J\x00\n | end"
        assert taker.texts[4] == " | end"


def test_a_flood_is_bounded_and_every_marker_accounted_for(name: str) -> None:
    sender, n = outlet(name, "int32"), 30_000  # an outlet keeps 36,000 for one who is late
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        for i in range(0, n, 100):
            sender.push_chunk(list(range(i, i + 100)))
        status = taker.streams.status
        wait_until(lambda: status()["streams"][0]["markers"] == n, "all that was sent")
        taker.wait_cause("markers_dropped")
        told = sum(remark.amount for remark in taker.of("markers_dropped"))
        assert told == status()["streams"][0]["dropped"] == n - len(taker.markers)
        assert [m.value for m in taker.markers[: markers.MOST_WAITING]] == list(range(markers.MOST_WAITING))
        sender.push_sample([-1])
        taker.wait(lambda: taker.markers[-1].value == -1, "a marker after the flood")


def test_a_queue_of_liblsl_that_ran_full_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspikes.sources.lsl.marker_inlet.MOST_QUEUED", 100)
    sender = outlet(name, "int32")
    with taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")

        def overran() -> bool:
            sender.push_chunk(list(range(10_000)))
            return any("liblsl" in remark.text for remark in taker.of("markers_dropped"))

        taker.wait(overran, "an overrun")


def test_a_stream_that_floods_does_not_keep_others_waiting(name: str) -> None:
    senders = [outlet(f"{name}-{i}", "int32") for i in range(2)]
    with taking(f"lsl:name={name}-0", f"lsl:name={name}-1") as taker:
        taker.wait_cause("markers_found", 2)
        senders[0].push_chunk(list(range(3000)))
        senders[1].push_sample([1])
        streams = taker.streams
        wait_until(lambda: [s["markers"] for s in streams.status()["streams"]] == [3000, 1], "all markers")
        assert {marker.line for marker in streams.take(4)} == {1, 2}


@pytest.mark.parametrize("with_id", [True, False])
def test_a_producer_that_is_killed_is_told_and_taken_in_again(name: str, with_id: bool) -> None:
    source_id = name if with_id else ""
    with taking(f"lsl:name={name}") as taker:
        with Producer(name, source_id) as producer:
            taker.wait_cause("markers_found")
            producer.send("before")
            taker.wait(lambda: taker.texts == ["before"], "the first marker")
            producer.kill()
            taker.wait_cause("markers_lost")
        with Producer(name, source_id) as producer:
            taker.wait_cause("markers_found", 2)
            producer.send("after")
            taker.wait(lambda: taker.texts == ["before", "after"], "the marker after the restart")


def test_a_producer_that_is_restarted_at_once_is_told(name: str) -> None:
    with taking(f"lsl:name={name}") as taker:
        with Producer(name, name) as producer:
            taker.wait_cause("markers_found")
            producer.send("before")
            taker.wait(lambda: taker.texts == ["before"], "the first marker")
        with Producer(name, name) as producer:
            taker.wait_cause("markers_lost")

            def arrived() -> bool:
                producer.send("after")  # liblsl connects a moment after it has found it
                return "after" in taker.texts

            taker.wait(arrived, "a marker after the restart")


def test_a_producer_that_comes_back_with_another_layout_is_taken_in(name: str) -> None:
    with taking(f"lsl:name={name}") as taker:
        with Producer(name, name):
            taker.wait_cause("markers_found")
        sender = outlet(name, "int32", channels=2)
        taker.wait_cause("markers_found", 2)
        assert taker.of("markers_lost")
        sender.push_sample([3, 4])
        taker.wait(lambda: taker.markers, "a marker of the other layout")
        assert taker.markers[0].text == "3 | 4"


LAST_WORDS = """
import os, sys, pylsl
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(sys.argv[1], "Markers", 1, 0, "string", sys.argv[1]))
outlet.wait_for_consumers(60)
sys.stdin.read(1)
for i in range(50):
    outlet.push_sample([str(i)])
"""


def test_what_a_program_marks_as_it_ends_arrives(name: str) -> None:
    command = [sys.executable, "-c", LAST_WORDS, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process, taking(f"lsl:name={name}") as taker:
        taker.wait_cause("markers_found")
        process.communicate(b"x")
        taker.wait(lambda: len(taker.markers) == 50, "all of its markers")
        assert [marker.value for marker in taker.markers] == list(range(50))


def test_nothing_is_waited_for_at_the_end(name: str) -> None:
    with taking(*(f"lsl:name={name}-{i}" for i in range(8))):
        pass


@pytest.mark.parametrize("uri", ["lsl:", "lsl:  ", "file:x", "lsl:nme=x"])
def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        MarkerStreams((MarkerSettings(uri),), LslClock(), lambda error: None)


def test_a_predicate_that_is_none_ends_the_run() -> None:
    errors: list[Any] = []
    with MarkerStreams((MarkerSettings("lsl:name='x' and ("),), LslClock(), errors.append):
        wait_until(lambda: errors, "the error")
    assert isinstance(errors[0], ConfigError)


def test_without_marker_streams_there_is_nothing_to_do() -> None:
    with taking() as taker:
        assert taker.streams.take(10) == []
        assert taker.streams.remarks() == []
        assert taker.streams.lines() == []
