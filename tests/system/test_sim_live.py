"""A simulated array through the engine: the same events as offline, the truth found, and every loss told."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from rtspikes_devices.sim.source import SimSource

import rtspikes
from rtspikes.clock import LslClock
from rtspikes.config import config_from
from rtspikes.detect.settings import DetectSettings
from rtspikes.engine import Engine
from rtspikes.protocols import Pull
from rtspikes.sources.settings import SourceSettings
from rtspikes.sources.truth import find_truth
from rtspikes.subscribers.score import Scorer
from rtspikes.types import GapCause, Samples
from tests.system.sources import segments
from tests.system.test_engine import Collector, assert_same_events, config, run
from tests.unit.detect.streaming import stream
from tests.unit.devices.simulations import pulled, truth_of

FAST = SourceSettings(speed="max")
ANYWHERE = {"publish": {"endpoint": "tcp://127.0.0.1:0"}}


def simulated(address: str) -> SimSource:
    return SimSource(address, FAST, LslClock())


def live(address: str, **detect: Any) -> tuple[Collector, Engine]:
    """Run a simulation to its end as fast as it goes."""
    return run(simulated(address), config(**detect))  # type: ignore[arg-type]


def test_live_is_offline_byte_for_byte() -> None:
    address = "60?seconds=2"
    collector, _ = live(address)
    samples, _ = pulled(address)
    reference = {"select": "3", "enabled": False}  # an array has no kinds: row 3 is electrode 15
    spikes, waveforms = rtspikes.detect(samples, {"channels": [reference]}, rate_hz=20000, uv_per_unit=0.195)
    found = collector.table("spikes")
    found["time"] = spikes["time"] = 0
    assert len(spikes) > 100
    assert found.tobytes() == spikes.tobytes()
    assert np.concatenate([b.waveforms for b in collector.batches["spikes"]]).tobytes() == waveforms.tobytes()


def test_the_truth_is_found() -> None:
    address = "60?seconds=12"
    collector, engine = live(address)
    assert (collector.missed, engine.status["counts"]["lost_overrun"]) == (0, 0)
    scorer = Scorer(truth_of(address), collector.info)
    for batch in collector.batches["spikes"]:
        scorer.add(batch)
    scorer.finish(collector.batches["end"][0].fields["to_sample"])
    score = scorer.score
    assert score.found + score.missed > 800
    assert score.hits + score.false == len(collector.table("spikes"))
    assert score.recall >= 0.95
    assert score.precision >= 0.95


@pytest.mark.parametrize("mode", ["", "&live=1"], ids=["paced", "live"])
def test_holes_are_told_to_the_sample_and_change_no_other_event(mode: str) -> None:
    address = "60?seconds=3&gaps=60"
    samples, holes = pulled(address)
    source = simulated(address + mode)
    collector, engine = run(source, config_from({**ANYWHERE, "ring": {"seconds": 10}}))  # type: ignore[arg-type]
    gaps = collector.table("gaps")
    assert len(holes) == 3
    assert gaps["sample"].tolist() == [end - lost for end, lost in holes.items()]
    assert gaps["lost"].tolist() == list(holes.values())
    assert set(gaps["cause"]) == {GapCause.SOURCE}
    assert engine.status["counts"]["lost_source"] == sum(holes.values()) == 60000 - len(samples)
    assert engine.status["to_sample"] == 60000
    lost_before = np.cumsum([0, *holes.values()])
    rows = {end - int(before) - lost: lost for (end, lost), before in zip(holes.items(), lost_before, strict=False)}
    assert_same_events(collector, stream(segments(samples, rows), source.info, DetectSettings(), [4096]))


class HeldClock(LslClock):
    """A clock that the processing thread cannot read, and so not go on, while it is held."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()

    def now(self) -> float:
        if threading.current_thread().name == "rtspikes-processing":
            assert self.free.wait(60)
        return super().now()


class Flood(SimSource):
    """A simulation that runs at full speed, but stops before sample `gate_at` until its gate opens."""

    def __init__(self, address: str, gate_at: int) -> None:
        super().__init__(address, FAST, LslClock())
        self.gate, self.reached = threading.Event(), threading.Event()
        self._left = gate_at

    def pull(self, destination: Samples) -> Pull:
        if not self._left:
            self.reached.set()
            if not self.gate.wait(0.1):
                return Pull(0)
        pull = super().pull(destination[: self._left] if self._left else destination)
        self._left = max(0, self._left - pull.n)
        return pull


def test_a_live_simulation_loses_what_a_tiny_ring_cannot_hold_and_tells_it() -> None:
    address, gate_at, end, capacity = "60?live=1&seconds=2.5", 40000, 50000, 14200
    source, clock = Flood(address, gate_at), HeldClock()
    with Engine(config_from({**ANYWHERE, "ring": {"seconds": 0.71}}), source=source, clock=clock) as engine:
        collector = Collector(engine.endpoint)
        engine.start()
        while engine.subscribers < 1:
            assert not engine.wait(0.01)
        clock.free.clear()
        engine.release()
        assert source.reached.wait(60)
        clock.free.set()
        while engine.status.get("to_sample", 0) < capacity:  # what found room is detected
            assert not engine.wait(0.05)
        source.gate.set()
        while not engine.wait(0.05):
            pass
        collector.join(30)
    (gap,) = collector.table("gaps")
    lost = engine.status["counts"]["lost_overrun"]
    assert lost > 0
    assert (gap["lost"], gap["cause"]) == (lost, GapCause.OVERRUN)
    assert engine.status["to_sample"] == end
    samples, _ = pulled("60?seconds=2.5")
    assert (gap["sample"], gap["sample"] + gap["lost"]) == (capacity, gate_at)
    received = [(0, samples[:capacity]), (gate_at, samples[gate_at:])]
    assert_same_events(collector, stream(received, source.info, DetectSettings(), [4096]))


def test_the_session_says_what_was_simulated_and_where_its_truth_is() -> None:
    collector, _ = live("wells:6x4?seconds=1&seed=5")
    assert collector.info["source"]["simulation"]["seed"] == 5
    assert collector.info["channels"]["well"][-1] == "B3"
    truth = find_truth(collector.info["source"]["uri"])
    assert truth is not None
    assert truth.spikes(0, 20000).tobytes() == truth_of("wells:6x4?seed=5").spikes(0, 20000).tobytes()
