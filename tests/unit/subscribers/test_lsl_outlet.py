"""Spikes as LSL streams, as a receiver gets them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from rtspikes.clock import LslClock
from rtspikes.errors import EngineVanished
from rtspikes.subscribers.lsl_description import CHANNELS, layout_digest
from rtspikes.subscribers.lsl_outlet import MOST_MARKERS_PER_S, SpikeOutlet
from rtspikes.subscribers.lsl_relay import Relay
from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.subscribe import Subscriber
from tests.lsl_streams import Inlet, child_values, unique_name
from tests.system.processes import wait_until
from tests.unit.subscribers.batches import INFO, gap, marks, spikes

ENDPOINT = "tcp://127.0.0.1:5570"


def info_of(session: str, labels: Sequence[str] = ("E1", "E2", "µ3"), **more: Any) -> dict[str, Any]:
    return INFO | {"session": session, "n_channels": len(labels), "channels": {"label": list(labels)}, **more}


class Opened:
    """An outlet with a receiver for each of its streams."""

    def __init__(self, info: dict[str, Any], markers: bool) -> None:
        self.name = unique_name()
        self.warned: list[str] = []
        self.outlet = SpikeOutlet(info, ENDPOINT, LslClock(), self.warned.append, name=self.name, markers=markers)
        self.spikes = Inlet(self.name)
        self.markers = Inlet(f"{self.name}-markers") if markers else None
        wait_until(lambda: self.outlet.has_consumers, "the receivers")


@contextmanager
def opened(info: dict[str, Any] | None = None, markers: bool = False) -> Iterator[Opened]:
    streams = Opened(info or info_of("s1"), markers)
    yield streams
    streams.outlet.close()


def test_spikes_arrive_with_their_own_stamps_and_exact_values() -> None:
    batch = spikes(7, 50)
    batch.spikes["id"] += np.uint64(2**52)
    batch.spikes["channel"] = 2**32 - 1 - np.arange(50)
    with opened() as streams:
        streams.outlet.add(batch)
        streams.outlet.add(spikes(57, 1))
        streams.spikes.wait_count(51)
        assert streams.spikes.stamps[:50] == batch.spikes["time"].tolist()
        for i, name in enumerate(CHANNELS):
            assert streams.spikes.table[:50, i].tolist() == batch.spikes[name].astype(np.float64).tolist()
        assert set(CHANNELS) | {"time"} == set(SPIKE_DTYPE.names or ())


def test_the_metadata_explain_the_stream() -> None:
    source = {
        "uri": "lsl:name=MEA",
        "name": "MEA \x1b[2J\x00µ",
        "type": "Ephys",
        "source_id": "rig-1",
        "hostname": "lab",
        "uid": 3,
    }
    info = info_of("s1", source=source, stream="array", detect={"threshold": -5.0}, software={"version": "9"})
    with opened(info, markers=True) as streams:
        about = streams.spikes.info
        assert (about.type(), about.nominal_srate(), about.channel_count()) == ("Spikes", 0, len(CHANNELS))
        desc = about.desc()
        assert child_values(desc.child("channels"), "channel", "label") == list(CHANNELS)
        assert child_values(desc.child("channels"), "channel", "unit")[1] == "microvolts"
        assert child_values(desc.child("source_channels"), "channel", "label") == ["E1", "E2", "µ3"]
        facts = {key: desc.child("source").child_value(key) for key in source}
        assert facts == {key: str(value) for key, value in source.items()} | {"name": "MEA \\x1b[2J\\x00µ"}
        engine = desc.child("engine")
        said = {key: engine.child_value(key) for key in ("session", "stream", "endpoint", "version")}
        assert said == {"session": "s1", "stream": "array", "endpoint": ENDPOINT, "version": "9"}
        assert json.loads(engine.child_value("detect")) == {"threshold": -5.0}
        assert streams.markers is not None
        assert streams.markers.info.type() == "Events"
        ids = {streams.spikes.info.source_id(), streams.markers.info.source_id()}
        assert {word.rpartition("-")[2] for word in ids} == {layout_digest(info, ENDPOINT)}
        assert len(ids) == 2


@pytest.mark.parametrize("source", [None, [], "x", {"name": {"a": [1]}, "uri": b"\xff"}])
def test_an_info_that_says_nothing_of_use_is_no_error(source: Any) -> None:
    info = info_of("s1", source=source, software=3, detect=float("nan"), gap_causes=[1])
    with opened(info, markers=True) as streams:
        streams.outlet.add(gap(5, 3))
        assert streams.markers is not None
        streams.markers.wait_count(1)


def test_the_source_id_is_that_of_the_layout() -> None:
    def digest(**more: Any) -> str:
        return layout_digest(info_of("any", stream="a") | more, more.pop("endpoint", ENDPOINT))

    assert digest() == digest(session="another", latency_samples=3)
    others = ({"rate_hz": 5.0}, {"channels": {"label": ["E1"]}}, {"stream": "b"}, {"endpoint": "tcp://127.0.0.1:1"})
    assert len({digest(**other) for other in ({}, *others)}) == 5


def test_many_channels_are_described_in_one_stream() -> None:
    labels = [f"E{i}" for i in range(26_400)]
    with opened(info_of("s1", labels)) as streams:
        assert child_values(streams.spikes.info.desc().child("source_channels"), "channel", "label") == labels


def test_markers_tell_spikes_marks_gaps_and_losses() -> None:
    info = info_of("s1", gap_causes={"1": "source", "2": "overrun"})
    with opened(info, markers=True) as streams:
        streams.outlet.add(spikes(0, 3, missed=(Missed("spikes", 4, 2, 0, 0),)))
        streams.outlet.add(gap(5, 30, uncertain=2))
        streams.outlet.add(marks(8, "10 µM bicuculline", ""))
        assert streams.markers is not None
        streams.markers.wait_count(7)
        assert streams.markers.words == [
            "rtspikes: missed 2 spikes messages",
            "E1",
            "E2",
            "µ3",
            "rtspikes: gap of 30 ± 2 samples (overrun)",
            "rtspikes: mark 10 µM bicuculline",
            "rtspikes: mark 1",
        ]
        assert streams.markers.stamps[1:4] == spikes(0, 3).spikes["time"].tolist()
        assert streams.markers.stamps[4:] == [0.5, 0.5, 0.5]


def test_markers_of_many_spikes_are_left_out_and_told() -> None:
    n = 5 * int(MOST_MARKERS_PER_S)
    streams = Opened(info_of("s1"), True)
    streams.outlet.add(spikes(0, n))
    streams.outlet.add(marks(8, "now"))
    inlet = streams.markers
    assert inlet is not None
    inlet.wait(lambda: "rtspikes: mark now" in inlet.words, "the mark")
    streams.spikes.wait_count(n)
    streams.outlet.close()
    assert streams.outlet.spikes == n
    assert streams.outlet.unmarked == n - MOST_MARKERS_PER_S
    assert streams.warned == [f"{streams.outlet.unmarked} markers left out; at most 200 a second are sent"]


def test_spikes_without_a_time_are_left_out_and_counted() -> None:
    batch = spikes(0, 4)
    batch.spikes["time"] = [np.nan, 1.5, 0, np.inf]
    with opened() as streams:
        streams.outlet.add(batch)
        streams.spikes.wait_count(1)
        assert streams.spikes.stamps == [1.5]
        assert (streams.outlet.spikes, streams.outlet.unstamped) == (1, 3)


Step = dict[str, Any] | Batch | threading.Event
"""What comes next: an `info`, a batch, or what must be waited for."""


class Script:
    """A subscriber that hands out batches, each after the `info` of its session, and then ends or raises."""

    endpoint = ENDPOINT

    def __init__(self, steps: Sequence[Step], error: Exception | None = None) -> None:
        self.info: dict[str, Any] | None = None
        self.ended = False
        self.malformed = 0
        self._steps, self._error = list(steps), error

    def get(self, timeout_s: float) -> Batch | None:
        if not self._steps:
            if self._error is not None:
                raise self._error
            self.ended = True
            return None
        step = self._steps[0]
        if isinstance(step, threading.Event) and not step.wait(timeout_s):
            return None
        del self._steps[0]
        if isinstance(step, dict):
            self.info = step
            return self.get(timeout_s) if self._steps and isinstance(self._steps[0], Batch) else None
        return step if isinstance(step, Batch) else None


def relay_of(script: Script, **options: Any) -> tuple[Relay, list[str]]:
    said: list[str] = []
    return Relay(cast(Subscriber, script), LslClock(), threading.Event(), said.append, said.append, **options), said


def test_streams_stay_while_the_layout_does_and_are_made_anew_with_another() -> None:
    name, first, second, third = unique_name(), *(threading.Event() for _ in range(3))
    steps = [
        info_of("s1"), first, spikes(0, 3),
        info_of("s2"), spikes(10, 1), replace(spikes(0, 2), session="s2"), second,
        info_of("s3", ["A", "B"]), third, replace(spikes(0, 1), session="s3"),
    ]  # fmt: skip
    relay, said = relay_of(Script(steps), name=name, markers=True)
    running = threading.Thread(target=relay.run)
    running.start()
    old, old_markers = Inlet(name), Inlet(f"{name}-markers")
    first.set()
    old.wait_count(6)
    old_markers.wait(lambda: "rtspikes: session s2" in old_markers.words, "the second session")
    second.set()
    new = Inlet(name, unlike=old.info.source_id())
    assert child_values(new.info.desc().child("source_channels"), "channel", "label") == ["A", "B"]
    third.set()
    new.wait_count(1)
    running.join()
    assert (relay.sent.sessions, relay.sent.spikes, relay.sent.missed) == (3, 7, 0)
    assert [line for line in said if "LSL stream" in line] == [
        f"LSL stream {name!r}: spikes of 3 channels",
        f"LSL stream {name!r}: spikes of 2 channels",
    ]


def test_nothing_is_sent_before_somebody_is_there_if_asked() -> None:
    name = unique_name()
    relay, _ = relay_of(Script([info_of("s1"), spikes(0, 100), spikes(100, 100)]), name=name, wait=True)
    running = threading.Thread(target=relay.run)
    running.start()
    inlet = Inlet(name)
    inlet.wait_count(200)
    running.join()
    assert inlet.table[:, list(CHANNELS).index("id")].tolist() == list(range(200))


def test_losses_are_told_and_the_error_of_the_subscriber_ends_it() -> None:
    batch = spikes(0, 1, missed=(Missed("spikes", 4, 2, 0, 0),))
    relay, said = relay_of(Script([info_of("s1"), batch], EngineVanished("gone")), name=unique_name())
    with pytest.raises(EngineVanished):
        relay.run()
    assert "missed 2 spikes messages" in said
    assert (relay.sent.missed, relay.sent.spikes) == (2, 1)
