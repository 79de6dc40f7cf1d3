"""The benchmarks' signal has its spikes where it says, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.recordings import APART, HEIGHTS, RATE_HZ, SIGMA, planted, write


@pytest.mark.parametrize(("channels", "seconds", "spikes_per_s"), [(30, 2.0, 5.0), (8, 1.0, 200.0), (3, 0.05, 5000.0)])
def test_spikes_are_where_the_truth_says(channels: int, seconds: float, spikes_per_s: float) -> None:
    signal = planted(channels, seconds, spikes_per_s)
    n, least, most = len(signal.samples), (HEIGHTS[0] - 5) * SIGMA, (HEIGHTS[1] + 5) * SIGMA
    assert signal.samples.shape == (round(seconds * RATE_HZ), channels)
    assert signal.samples.dtype == np.int16
    troughs = signal.samples[signal.sample, signal.channel]
    assert (troughs < -least).all()
    assert (troughs > -most).all()
    assert signal.sample.max() < n - APART
    for channel in range(channels):
        assert (np.diff(signal.sample[signal.channel == channel]) >= APART).all()
    expected = min(spikes_per_s, 1 / (APART / RATE_HZ)) * seconds * channels
    assert 0.5 * expected <= len(signal.sample) <= 1.5 * expected


def test_between_spikes_there_is_noise_of_the_level_told() -> None:
    signal = planted(4, 2.0, spikes_per_s=0)
    assert len(signal.sample) == 0
    assert signal.samples.std() == pytest.approx(SIGMA, rel=0.02)


def test_the_same_seed_gives_the_same_signal_and_another_does_not() -> None:
    first, same, other = (planted(2, 0.1, 50, seed).samples.tobytes() for seed in (1, 1, 2))
    assert first == same != other


def test_a_file_holds_whole_seconds_and_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path / "r", 3, 1.25, spikes_per_s=20)
    stored = np.fromfile(path, "<i2").reshape(-1, 3)
    assert (stored[:RATE_HZ] == planted(3, 1.0, 20, seed=1).samples).all()
    assert (stored[RATE_HZ:] == planted(3, 0.25, 20, seed=2).samples).all()
    assert json.loads(path.with_suffix(".json").read_text())["n_samples"] == 25_000
