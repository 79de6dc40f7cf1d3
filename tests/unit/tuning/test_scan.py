"""A scan is what detection finds at each threshold, and surrogates are noise as real noise is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal

import rtspikes
from rtspikes.config import Config, config_from
from rtspikes.detect.settings import DetectSettings
from rtspikes.offline import MemoryRecording, array_recording, excerpts
from rtspikes.tuning.axis import Axis
from rtspikes.tuning.scan import count, detect_at
from rtspikes.tuning.surrogate import surrogate
from tests.simulated import GAIN_UV, RATE_HZ, simulate

SAMPLES, _ = simulate(n_channels=3, seconds=4.0, spikes_per_s=20.0, seed=4)


def recording() -> MemoryRecording:
    return array_recording(SAMPLES, RATE_HZ, GAIN_UV)


@pytest.mark.parametrize("method", ["threshold", "energy", "window", "hoop", "matched"])
def test_each_level_counts_what_detection_finds_at_it(method: str) -> None:
    own = {"hoop": {"largest_uv": 400.0}} if method == "hoop" else {}
    config = config_from({"detect": {"method": method, **own}})
    axis = Axis.of(config.detect, GAIN_UV)
    levels = np.array([0.8, 1.0, 1.5]) * axis.current
    done: list[int] = []
    counts = count(recording(), config, axis, levels, lambda: done.append(1))
    assert len(done) == 3
    for level, events, seconds in zip(levels, counts.events, counts.seconds, strict=True):
        detect = {"method": method, "threshold": float(level), **own}
        spikes, waveforms = rtspikes.detect(SAMPLES, {"detect": detect}, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
        assert events.tolist() == np.bincount(spikes["channel"], minlength=3).tolist()
        assert seconds.tolist() == [4.0] * 3
        whole = detect_at(recording(), config, axis, float(level), [1])
        mine = spikes["channel"] == 1
        assert whole.counts.tolist() == events.tolist()
        assert whole.found[1].sample.tolist() == spikes["sample"][mine].tolist()
        assert whole.found[1].waveforms_uv.tobytes() == waveforms[mine].tobytes()
    assert counts.rate_hz([0, 2])[1] == counts.events[1, [0, 2]].sum() / 8.0


def test_lines_are_the_thresholds_of_then() -> None:
    config = config_from({"detect": {"sign": "both", "threshold": 5.0}})
    whole = detect_at(recording(), config, Axis.of(config.detect, 1.0), 5.0, [0])
    first, last = whole.updates[0], whole.updates[-1]
    assert len(whole.updates) > 2
    assert whole.lines_uv(0, 0) == (float(first.below_uv[0]), float(first.above_uv[0]))
    assert whole.lines_uv(0, 79_999) == (float(last.below_uv[0]), float(last.above_uv[0]))
    assert whole.lines_uv(0, 0) != whole.lines_uv(0, 79_999)


@pytest.mark.parametrize(
    "detect",
    [{}, {"method": "energy"}, {"method": "matched"}, {"method": "window"}, {"reference": {"kind": "median"}}],
)
def test_excerpts_are_the_signal_that_waveforms_are_cut_from(detect: dict[str, Any]) -> None:
    config = config_from({"detect": detect})
    spikes, waveforms = rtspikes.detect(SAMPLES, config, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
    assert len(spikes) > 50
    places = zip(spikes["sample"].tolist(), spikes["channel"].tolist(), strict=True)
    cut = excerpts(recording(), config, places, 20, 40)
    assert np.array_equal(cut, waveforms, equal_nan=True)
    outside = excerpts(recording(), config, [(3, 0), (len(SAMPLES) - 5, 2)], 20, 40)
    assert np.isnan(outside).sum(axis=1).tolist() == [17, 35]


@pytest.mark.parametrize("method", ["energy", "matched"])
def test_excerpts_of_what_is_compared_pass_the_threshold_at_crossings_only(method: str) -> None:
    config = config_from({"detect": {"method": method, "noise": {"mode": "freeze"}}})
    spikes, _ = rtspikes.detect(SAMPLES, config, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
    late = spikes[spikes["crossing"] > 20_000]
    places = zip(late["crossing"].tolist(), late["channel"].tolist(), strict=True)
    score = excerpts(recording(), config, places, 1, 1, compared=True)
    beyond = np.abs(score) > np.abs(late["threshold_uv"])[:, None]
    assert beyond[:, 1].mean() > 0.99
    assert beyond[:, 0].mean() < 0.2, "a dead time may end beyond the threshold"


def noise(seed: int, colour: float, n: int = 400_000) -> np.ndarray:
    white = np.random.default_rng(seed).normal(0, 8.0, n)
    return np.asarray(signal.lfilter([1.0], [1.0, -colour], white))


@pytest.mark.parametrize("colour", [0.0, 0.6])
def test_surrogates_pass_thresholds_as_the_noise_does_that_they_stand_for(colour: float) -> None:
    """Spikes among the noise change little."""
    plain = noise(1, colour)
    spiky = plain.copy()
    spiky[2000::4000] -= 300.0
    levels = np.array([2.5, 3.0, 3.5])
    config = Config()
    axis = Axis.of(config.detect, 1.0)
    real = count(array_recording(plain.astype(np.float32), RATE_HZ, 1.0), config, axis, levels)
    sigma = detect_at(array_recording(plain.astype(np.float32), RATE_HZ, 1.0), config, axis, 9.0, []).sigma_uv
    seen = array_recording(spiky.astype(np.float32), RATE_HZ, 1.0)
    made = surrogate(seen.info, seen.samples, [0], sigma.astype(float), 20.0, DetectSettings())
    imitated = count(made, config, axis, levels)
    assert imitated.rate_hz([0]) == pytest.approx(real.rate_hz([0]), rel=0.25)
    own = detect_at(made, config, axis, 9.0, []).sigma_uv
    assert own == pytest.approx(sigma, rel=0.05)
    again = surrogate(seen.info, seen.samples, [0], sigma.astype(float), 20.0, DetectSettings())
    assert again.samples.tobytes() == made.samples.tobytes()
