"""The common reference leaves dead and noisy electrodes out, and makes no events of its own in small groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import DetectSettings, ReferenceSettings
from rtspikes.errors import ConfigError
from tests.simulated import RATE_HZ, stream_info
from tests.unit.detect.streaming import stream

SECONDS = 6


def noise(n_channels: int, common_uv: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    own = rng.normal(0, 5, (SECONDS * round(RATE_HZ), n_channels))
    return (own + rng.normal(0, common_uv, (len(own), 1)) if common_uv else own).astype(np.float32)


def run(uv: np.ndarray, kind: Any, **more: Any) -> tuple[Detector, np.ndarray, np.ndarray]:
    """Return a detector that has seen `uv`, its events per channel, and σ as it was in force last."""
    info = stream_info(uv.shape[1], dtype="float32", gain_uv=1.0)
    settings = DetectSettings(reference=ReferenceSettings(kind=kind, **more))
    detector = Detector(info, settings)
    detector.learn([(uv[: detector.initial_samples], 0)])
    found = [detector.process(uv[at : at + 5000], at) for at in range(0, len(uv), 5000)]
    counts = np.bincount(np.concatenate([e.spikes["channel"] for e in found]), minlength=uv.shape[1])
    return detector, counts, detector.levels().sigma_uv


@pytest.mark.parametrize("kind", ["average", "median"])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 5, 6, 8, 16])
def test_noise_makes_no_more_events_with_a_reference_than_without(n_channels: int, kind: str) -> None:
    _, counts, sigma = run(noise(n_channels), kind)
    _, without, _ = run(noise(n_channels), "none")
    assert counts.sum() <= without.sum() + 0.3 * SECONDS * n_channels
    assert (sigma > 2).all()


@pytest.mark.parametrize("kind", ["average", "median"])
def test_dead_electrodes_stay_dead_are_told_and_say_nothing(kind: str) -> None:
    uv = noise(16, common_uv=6)
    uv[:, [2, 7, 11]] = 0
    detector, counts, sigma = run(uv, kind)
    assert counts[[2, 7, 11]].tolist() == [0, 0, 0]
    assert detector.health.states["dead"] == 3
    assert (np.delete(sigma, [2, 7, 11]) < 4.5).all(), "what is common is still taken off the others"


@pytest.mark.parametrize("kind", ["average", "median"])
@pytest.mark.parametrize("n_channels", [4, 16])
def test_a_noisy_electrode_does_not_spoil_the_others(n_channels: int, kind: str) -> None:
    uv = noise(n_channels)
    uv[:, 1] *= 100
    detector, _, sigma = run(uv, kind)
    assert detector.health.states["noisy"] == 1
    assert (np.delete(sigma, 1) < 6).all(), sigma


def test_what_is_common_is_taken_off() -> None:
    uv = noise(12, common_uv=20)
    (_, _, with_it), (_, _, without) = run(uv, "median"), run(uv, "none")
    assert (with_it < 0.3 * without).all()


@pytest.mark.parametrize(
    ("groups", "text"),
    [((), "at least one group"), (("E1", "E[12]"), "another group too"), (("kind:aux",), "no channel")],
)
def test_groups_that_make_no_sense_are_refused(groups: tuple[str, ...], text: str) -> None:
    settings = DetectSettings(reference=ReferenceSettings(kind="median", groups=groups))
    with pytest.raises(ConfigError, match=text):
        stream([(0, noise(3))], stream_info(3, dtype="float32", gain_uv=1.0), settings, [5000])
