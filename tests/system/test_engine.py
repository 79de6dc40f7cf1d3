"""The engine in this process: what goes in comes out at a subscriber, in order, and no loss is silent."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

import rtspikes
from rtspikes.config import Config, config_from
from rtspikes.detect.settings import DetectSettings
from rtspikes.engine import Engine
from rtspikes.types import GapCause
from rtspikes.wire.batch import Batch
from rtspikes.wire.codec import TABLES
from tests.simulated import simulate, stream_info
from tests.system.sources import ArraySource, FailingSource, segments
from tests.unit.detect.streaming import stream

KINDS = ("spikes", "crossings", "rejected", "gaps", "thresholds", "notices", "status", "end")
SAMPLES, _ = simulate(n_channels=5, seconds=2.0)


class Collector(threading.Thread):
    """Subscribes in a thread of its own and keeps every batch by kind."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self.batches: dict[str, list[Batch]] = defaultdict(list)
        self.info: dict[str, Any] = {}
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with rtspikes.subscribe(self._endpoint, kinds=KINDS) as subscriber:
                for batch in subscriber:
                    self.batches[batch.kind].append(batch)
                self.info = subscriber.info or {}
        except rtspikes.RtspikesError as error:
            self.error = error

    def table(self, kind: str) -> np.ndarray:
        return np.concatenate([np.zeros(0, TABLES[kind]), *(getattr(b, kind) for b in self.batches[kind])])

    @property
    def missed(self) -> int:
        return sum(m.count for batches in self.batches.values() for b in batches for m in b.missed)


def config(**detect: Any) -> Config:
    return config_from({"publish": {"endpoint": "tcp://127.0.0.1:0"}, "detect": detect})


def run(source: ArraySource, config_: Config, collectors: list[Collector] | None = None) -> tuple[Collector, Engine]:
    """Run `source` to its end with one subscriber that is there from the start (and is put into `collectors`)."""
    with Engine(config_, source=source) as engine:
        collector = Collector(engine.endpoint)
        if collectors is not None:
            collectors.append(collector)
        engine.start()
        while engine.subscribers < 1:
            assert not engine.wait(0.01)
        engine.release()
        while not engine.wait(0.05):
            pass
        collector.join(30)
    assert not collector.is_alive()
    return collector, engine


def assert_same_events(collector: Collector, expected: list[Any]) -> None:
    for kind in ("spikes", "crossings", "rejected"):
        found, wanted = collector.table(kind), np.concatenate([getattr(e, kind) for e in expected])
        found["time"] = 0
        np.testing.assert_array_equal(found, wanted)
    waveforms = np.concatenate([b.waveforms for b in collector.batches["spikes"]])
    assert waveforms.tobytes() == np.concatenate([e.waveforms for e in expected]).tobytes()


@pytest.mark.parametrize("sizes", [[1], [7], [20], [1000], [3, 1999, 1, 64, 333]], ids=str)
@pytest.mark.parametrize("holes", [{}, {15000: 251, 15040: 3, 30000: 70000}], ids=["whole", "holes"])
@pytest.mark.parametrize("live", [False, True], ids=["paced", "live"])
def test_chunking_never_changes_the_events_through_the_real_sockets(
    sizes: list[int], holes: dict[int, int], live: bool
) -> None:
    samples = SAMPLES[:16000] if sizes == [1] else SAMPLES
    info = stream_info(5, live=live)
    collector, engine = run(ArraySource(info, samples, sizes, holes), config())
    assert collector.missed == 0
    assert engine.status["counts"]["lost_overrun"] == 0
    expected = stream(segments(samples, holes), info, DetectSettings(), [4096])
    assert_same_events(collector, expected)
    gaps = [(int(g["sample"]), int(g["lost"]), int(g["cause"])) for b in collector.batches["gaps"] for g in b.gaps]
    wanted, shift = [], 0
    for row, lost in holes.items():
        if row < len(samples):
            wanted.append((row + shift, lost, GapCause.SOURCE))
            shift += lost
    assert gaps == wanted


def test_samples_random_in_size_give_the_same_events() -> None:
    rng = np.random.default_rng(11)
    info = stream_info(5)
    for _ in range(3):
        sizes = rng.integers(1, 3000, 200).tolist()
        collector, _ = run(ArraySource(info, SAMPLES, sizes), config())
        assert_same_events(collector, stream([(0, SAMPLES)], info, DetectSettings(), [4096]))


def test_a_live_overrun_is_told_sample_for_sample_and_detection_goes_on() -> None:
    info = stream_info(256, live=True)
    flood = np.tile(simulate(n_channels=8, seconds=2.0)[0], (6, 32))
    settings = config_from(
        {"publish": {"endpoint": "tcp://127.0.0.1:0"}, "ring": {"seconds": 0.71}, "detect": {"threshold": 4}}
    )
    source = ArraySource(info, flood, [4096], gate_at=120_000)
    with Engine(settings, source=source) as engine:
        collector = Collector(engine.endpoint)
        engine.start()
        while engine.subscribers < 1:
            assert not engine.wait(0.01)
        engine.release()
        while engine.status.get("ring_fill", 1.0) > 0:  # the first flood is over and what was received is detected
            assert not engine.wait(0.05)
        source.gate.set()
        while not engine.wait(0.05):
            pass
        collector.join(30)
    lost = engine.status["counts"]["lost_overrun"]
    gaps = collector.table("gaps")
    assert lost > 0, "the source was meant to be faster than detection"
    assert gaps["lost"].sum() == lost
    assert set(gaps["cause"]) == {GapCause.OVERRUN}
    assert engine.status["to_sample"] == len(flood)
    received: list[tuple[int, np.ndarray]] = []
    at = 0
    for gap in gaps:
        received.append((at, flood[at : gap["sample"]]))
        at = int(gap["sample"] + gap["lost"])
    if at < len(flood):
        received.append((at, flood[at:]))
    assert_same_events(collector, stream(received, info, DetectSettings(threshold=4), [4096]))


def test_every_message_is_numbered_in_order_and_to_sample_never_goes_back() -> None:
    collector, engine = run(ArraySource(stream_info(5), SAMPLES, [333]), config())
    for kind in ("spikes", "crossings"):
        batches = collector.batches[kind]
        first = batches[0].fields["seq"]
        assert [b.fields["seq"] for b in batches] == list(range(first, first + len(batches)))
        for a, b in zip(batches, batches[1:], strict=False):
            assert b.from_sample == a.to_sample
        assert batches[-1].to_sample == len(SAMPLES)
        for batch in batches:
            triggers = getattr(batch, kind)["crossing"]
            assert ((triggers >= batch.from_sample) & (triggers < batch.to_sample)).all()
    last = collector.batches["end"][0].fields["last_seq"]
    assert last["spikes"] == collector.batches["spikes"][-1].fields["seq"]
    for batch in collector.batches["spikes"]:
        assert batch.fields["t_acquired"] <= batch.fields["t_detected"] <= batch.fields["t_sent"]


def test_crossings_and_spikes_share_ids_and_every_id_ends_once() -> None:
    collector, _ = run(ArraySource(stream_info(5), SAMPLES, [500], {20000: 40}), config())
    crossings, spikes, rejected = (collector.table(k) for k in ("crossings", "spikes", "rejected"))
    assert crossings["id"].tolist() == list(range(len(crossings)))
    assert sorted([*spikes["id"], *rejected["id"]]) == crossings["id"].tolist()


def test_a_subscriber_that_comes_late_knows_the_session_and_misses_nothing_from_then_on() -> None:
    source = ArraySource(stream_info(5), SAMPLES, [400], gate_at=24000)
    with Engine(config(), source=source) as engine:
        engine.start()
        engine.release()
        while engine.status.get("to_sample", 0) < 24000:  # everything before the gate is out
            assert not engine.wait(0.05)
        collector = Collector(engine.endpoint)
        while engine.subscribers < 1:
            assert not engine.wait(0.01)
        source.gate.set()
        while not engine.wait(0.05):
            pass
        collector.join(30)
    assert collector.info["n_channels"] == 5
    assert collector.missed == 0
    late = collector.table("crossings")
    expected = np.concatenate([e.crossings for e in stream([(0, SAMPLES)], stream_info(5), DetectSettings(), [999])])
    np.testing.assert_array_equal(late["id"], expected["id"][expected["crossing"] >= 24000])


def test_ticks_tell_no_spike_from_not_yet() -> None:
    quiet = np.zeros((30000, 2), np.int16)
    source = ArraySource(stream_info(2, live=True), quiet, [500], gate_at=20000)
    with Engine(config(), source=source) as engine:
        collector = Collector(engine.endpoint)
        engine.start()
        while engine.subscribers < 1:
            assert not engine.wait(0.01)
        engine.release()
        while len(collector.batches["crossings"]) < 20:  # they come though nothing happens and no sample arrives
            assert not engine.wait(0.01)
        source.gate.set()
        while not engine.wait(0.05):
            pass
        collector.join(30)
    assert sum(len(b.crossings) for b in collector.batches["crossings"]) == 0
    assert collector.batches["crossings"][-1].to_sample == 30000


def test_bad_samples_are_told_on_notices_and_counted_in_status() -> None:
    uv = (SAMPLES * 0.195).astype(np.float32)
    uv[9000:9005, 2] = np.nan
    collector, engine = run(ArraySource(stream_info(5, dtype="float32", gain_uv=1), uv, [500]), config())
    assert engine.status["bad_samples"] == 5
    notices = [b.fields for b in collector.batches["notices"] if b.fields["cause"] == "bad_samples"]
    assert sum(n["count"] for n in notices) == 5
    assert "E3" in notices[0]["text"]


def test_a_failing_source_still_gets_out_what_was_received() -> None:
    source = FailingSource(stream_info(5), SAMPLES, [9000])
    collectors: list[Collector] = []
    with pytest.raises(rtspikes.SourceError):
        run(source, config(), collectors)
    (collector,) = collectors
    collector.join(30)
    assert_same_events(collector, stream([(0, SAMPLES[:9000])], stream_info(5), DetectSettings(), [4096]))
    assert "the cable was pulled" in collector.batches["end"][0].fields["reason"]


@pytest.mark.parametrize("holes", [{}, {700: 251}, {0: 40, 700: 251}], ids=str)
def test_times_count_from_the_first_sample_of_the_first_pull(holes: dict[int, int]) -> None:
    source = ArraySource(stream_info(5), SAMPLES, [1000], holes)
    collector, _ = run(source, config())
    spikes = collector.table("spikes")
    begin = holes.get(0, 0)
    np.testing.assert_allclose(spikes["time"], source.begun_s + (spikes["sample"] - begin) / 20000, rtol=0, atol=1e-6)


def test_an_exception_in_a_thread_ends_the_run_with_its_message() -> None:
    with pytest.raises(rtspikes.SourceError, match="the cable was pulled") as caught:
        run(FailingSource(stream_info(5), SAMPLES, [500]), config())
    assert caught.value.__cause__ is not None  # whose traceback `--debug` shows


@pytest.mark.parametrize("n", [1, 2, 30, 9999, 10000, 10001])
def test_streams_shorter_than_the_held_start_are_detected_from_what_there_is(n: int) -> None:
    info = stream_info(5)
    collector, engine = run(ArraySource(info, SAMPLES[:n], [64]), config())
    assert engine.status["to_sample"] == n
    assert_same_events(collector, stream([(0, SAMPLES[:n])], info, DetectSettings(), [4096]))


def test_a_stream_without_samples_ends_with_an_end() -> None:
    collector, engine = run(ArraySource(stream_info(5), SAMPLES[:0], [64]), config())
    assert len(collector.batches["end"]) == 1
    assert engine.status["counts"]["spikes"] == 0


def test_a_gap_that_swallows_the_held_start_is_survived() -> None:
    info = stream_info(5, live=True)
    holes = {0: 50000}
    collector, _ = run(ArraySource(info, SAMPLES, [640], holes), config())
    assert len(collector.table("spikes")) > 50
    assert collector.table("spikes")["sample"].min() >= 50000
    assert collector.table("gaps")["lost"].tolist() == [50000]


def test_a_ring_too_small_for_the_held_start_is_refused() -> None:
    settings = config_from({"publish": {"endpoint": "tcp://127.0.0.1:0"}, "ring": {"seconds": 0.5}})
    with (
        pytest.raises(rtspikes.ConfigError, match=r"ring\.seconds = 0\.5"),
        Engine(settings, source=ArraySource(stream_info(5), SAMPLES, [64])),
    ):
        pass
