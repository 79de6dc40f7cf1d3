"""`latency` measures every stage, of pulses and of a recording; and what the processor is not given is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtspikes.cli.latency_report import report
from rtspikes.config import config_from
from rtspikes.subscribers.latency import STAGES
from tests.simulated import RATE_HZ, simulate, write_recording
from tests.system.processes import rtspikes
from tests.system.sources import ArraySource
from tests.system.test_engine import run, stream_info


def measured(*arguments: object) -> dict[str, Any]:
    done = rtspikes("latency", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_every_pulse_arrives_and_its_time_is_told_by_stage() -> None:
    facts = measured("--channels", 8, "--seconds", 1, "--chunk-ms", 2)
    assert facts["found"] == facts["pulses"] > 150
    assert (facts["lost_samples"], facts["missed_messages"], facts["chunk_ms"]) == (0, 0, 2)
    latency = facts["latency_ms"]
    assert list(latency) == [*STAGES, "ring_to_program", "sample_to_program"]
    assert latency["chunk"]["max"] == 2.0
    assert all(figures["p50"] > 0 for figures in latency.values())
    assert latency["sample_to_program"]["max"] >= latency["ring_to_program"]["p50"]
    text = "\n".join(report(facts))
    assert f"{facts['found']} of {facts['pulses']} pulses found; 0 samples lost" in text
    assert "Not included: what a rig holds back" in text


def test_pulses_on_an_input_show_what_the_stream_and_its_trigger_line_tell(tmp_path: Path) -> None:
    n = round(4 * RATE_HZ)
    signal = np.random.default_rng(1).normal(0, 30, (n, 3))
    for at in range(1000, n - 100, 2000):
        signal[at : at + 20, 1] -= 3000 * np.hanning(20)
    signal[:, 2] = np.arange(n) % 2000 >= 1000
    recording = write_recording(
        tmp_path / "wired", signal.astype(np.int16), channel_ids=["E1", "IN", "TTL"],
        channel_kinds=["electrode", "electrode", "trigger"],
    )  # fmt: skip
    facts = measured("--source", f"file:{recording}", "--loopback", "IN")
    loopback = facts["loopback"]
    assert loopback["periodic"]["period_s"] == pytest.approx(0.1, rel=1e-3)
    assert loopback["periodic"]["behind_fastest"]["n"] == 20
    answered = loopback["triggers"]["by_stamps"]
    assert answered["n"] == 20
    assert 0 <= answered["max"] <= 1.0
    assert "What every pulse has in common is not included" in "\n".join(report(facts))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--loopback", "E1"), "--loopback needs your rig's own signal: say --source URI"),
        (("--source", "sim:60", "--channels", 8), "--channels is of the pulses that are made here"),
        (("--source", "nowhere:1"), "source.uri: unknown scheme 'nowhere'"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[object, ...], text: str) -> None:
    done = rtspikes("latency", *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"rtspikes: {text}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a core that is not there, on Linux")
def test_cores_that_are_refused_are_told_once_and_the_run_goes_on() -> None:
    samples, _ = simulate(2, 1.5)
    settings = {"publish": {"endpoint": "tcp://127.0.0.1:0"}, "cpu": {"pin": [4095]}}
    collector, engine = run(ArraySource(stream_info(2), samples, [500]), config_from(settings))
    told = [batch.fields for batch in collector.batches["notices"] if batch.fields["cause"] == "cpu"]
    assert [fields["text"] for fields in told] == engine.take_news()
    assert told[0]["text"].startswith("cpu.pin = [4095] was refused")
    assert engine.status["counts"]["spikes"] > 0
