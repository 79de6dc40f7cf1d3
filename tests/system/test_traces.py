"""Traces of a running engine: what a watcher sees is what detection saw, and detection does not notice watchers."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from rtspikes.config import config_from
from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import DetectSettings
from rtspikes.engine import Engine
from rtspikes.wire.traces import Trace, TraceSubscriber
from tests.simulated import GAIN_UV, simulate, stream_info
from tests.system.processes import wait_until
from tests.system.sources import ArraySource, LayoutSource, segments
from tests.system.test_engine import Collector, assert_same_events
from tests.unit.detect.streaming import cut, stream

SAMPLES, _ = simulate(n_channels=5, seconds=1.0)
HOLES = {11_003: 251, 12_000: 3, 15_000: 70_000}
WATCHED = {(0, "filtered"), (4, "raw"), (2, "compared"), (4, "filtered")}
SIZE = 5
"""Samples of a bin: 0.25 ms."""


def config(**publish: Any) -> Any:
    return config_from({"publish": {"endpoint": "tcp://127.0.0.1:0", **publish}})


def watch(engine: Engine, subscriber: TraceSubscriber, wanted: set[tuple[int, str]]) -> None:
    """Watch this and nothing else, and wait until the engine says that it is so."""
    subscriber.watch(wanted)

    def settled() -> bool:
        subscriber.get(0.01)
        return bool(engine.status) and engine.status["traces"]["watched"] == len(wanted)

    wait_until(settled, "the engine's watching")


def bins(traces: list[Trace]) -> dict[tuple[int, str], dict[int, tuple[float, float]]]:
    """Return low and high of each bin of each trace, by its first sample; fail where one comes twice."""
    found: dict[tuple[int, str], dict[int, tuple[float, float]]] = defaultdict(dict)
    for trace in traces:
        for i, pair in enumerate(zip(trace.low.tolist(), trace.high.tolist(), strict=True)):
            sample = trace.sample + i * trace.bin_samples
            assert sample not in found[trace.channel, trace.of]
            found[trace.channel, trace.of][sample] = pair
    return found


def expected() -> dict[tuple[int, str], dict[int, tuple[float, float]]]:
    """Return the same, from a detector that is asked for each sample's filtered signal."""
    detector = Detector(stream_info(5), DetectSettings())
    received = segments(SAMPLES, HOLES)
    detector.learn([(x[: detector.initial_samples - first], first) for first, x in received if first < 10_000])
    values: dict[tuple[int, str], dict[int, list[np.ndarray]]] = {key: defaultdict(list) for key in WATCHED}
    for first, x in received:
        for a, b in cut(len(x), [100]):
            detector.process(np.ascontiguousarray(x[a:b]), first + a)
            filtered = detector.filtered(range(5), first + a, first + b)
            raw = x[a:b].astype(np.float32) * np.float32(GAIN_UV)
            for key in WATCHED:
                signal = (raw if key[1] == "raw" else filtered)[:, key[0]]
                for i, value in enumerate(signal):
                    values[key][(first + a + i) // SIZE * SIZE].append(value)
    return {
        key: {sample: (float(min(some)), float(max(some))) for sample, some in numbers.items()}
        for key, numbers in values.items()
    }


@pytest.mark.parametrize("sizes", [[1], [20], [7, 333, 4000]], ids=str)
def test_what_is_watched_is_what_detection_saw_and_no_event_is_changed(sizes: list[int]) -> None:
    traces: list[Trace] = []
    with Engine(config(), source=ArraySource(stream_info(5), SAMPLES, sizes, HOLES)) as engine:
        collector = Collector(engine.endpoint)
        with TraceSubscriber(engine.endpoint, "array") as subscriber:
            engine.start()
            wait_until(lambda: engine.subscribers, "the subscription")
            watch(engine, subscriber, WATCHED)
            engine.release()
            while not engine.wait(0):
                if (trace := subscriber.get(0.05)) is not None:
                    traces.append(trace)
            while (trace := subscriber.get(0.2)) is not None:
                traces.append(trace)
        collector.join(30)
    assert {(t.session, t.bin_samples) for t in traces} == {(collector.info["session"], SIZE)}
    for key in WATCHED:
        numbers = [t.seq for t in traces if (t.channel, t.of) == key]
        assert numbers == list(range(len(numbers)))
    assert bins(traces) == expected()
    assert_same_events(collector, stream(segments(SAMPLES, HOLES), stream_info(5), DetectSettings(), [4096]))
    assert collector.info["trace_signals"] == ["filtered", "raw", "compared"]
    assert collector.info["trace_bin_samples"] == SIZE
    assert collector.batches["end"][0].fields["last_seq"].keys() <= {*collector.batches, "info"}
    assert all(batch.kind != "traces" for batches in collector.batches.values() for batch in batches)


def test_traces_come_while_they_are_watched_and_no_longer() -> None:
    live = config_from({"source": {"uri": "sim:4?live=1&seed=3"}, "publish": {"endpoint": "tcp://127.0.0.1:0"}})
    with Engine(live) as engine, TraceSubscriber(engine.endpoint, "array") as subscriber:
        engine.start()
        engine.release()
        subscriber.watch({(1, "filtered"), (9, "raw")})
        some: list[Trace] = []

        def come() -> bool:
            some.extend(filter(None, [subscriber.get(0.1)]))
            return len(some) > 20

        wait_until(come, "the traces")
        assert {(t.channel, t.of) for t in some} == {(1, "filtered")}
        assert [t.seq for t in some] == list(range(len(some)))
        assert all(b.sample == a.sample + a.bin_samples * len(a.low) for a, b in zip(some, some[1:], strict=False))
        wait_until(lambda: engine.status.get("traces") == {"watched": 1, "refused": 1}, "the count of what is refused")
        watch(engine, subscriber, set())
        while subscriber.get(0) is not None:
            pass
        assert subscriber.get(0.2) is None
        assert engine.status["subscribers"] == 0


def test_another_layout_begins_anew() -> None:
    source = LayoutSource(
        ArraySource(stream_info(5), SAMPLES, [500]),
        ArraySource(stream_info(3), SAMPLES[:, :3].copy(), [500]),
    )
    with Engine(config(), source=source) as engine, TraceSubscriber(engine.endpoint, "array") as subscriber:
        engine.start()
        watch(engine, subscriber, {(0, "raw"), (4, "raw")})
        engine.release()
        traces: list[Trace] = []
        while not engine.wait(0):
            traces.extend(filter(None, [subscriber.get(0.05)]))
        while (trace := subscriber.get(0.2)) is not None:
            traces.append(trace)
    first, second = dict.fromkeys(t.session for t in traces)
    of_second = [t for t in traces if t.session == second]
    assert {t.channel for t in traces if t.session == first} == {0, 4}
    assert {t.channel for t in of_second} == {0}
    assert [t.seq for t in of_second] == list(range(len(of_second)))
    assert of_second[0].sample == 0
    one, other = (bins([t for t in traces if t.session == s and t.channel == 0]) for s in (first, second))
    assert one == other
    assert len(one[0, "raw"]) == 4000
