"""What is written by hand finds what is planted: it is no straw man."""

from __future__ import annotations

import numpy as np
import pytest

from bench.by_hand.best import METHODS, best_by_hand
from bench.scoring import Truth
from bench.truths import Recording
from tests.simulated import spike_shape

RATE_HZ = 20000.0
NOISE_UV = 5.0


def planted(height_uv: float, sign: int = -1) -> Recording:
    """Return 4 s of white noise with 60 spikes of one height on each of 3 electrodes."""
    rng = np.random.default_rng(5)
    shape = -sign * spike_shape()
    extremum = int(np.abs(shape).argmax())
    uv = rng.normal(0, NOISE_UV, (80_000, 3)).astype(np.float32)
    sample, channel = [], []
    for electrode in range(3):
        for start in 11_000 + 1_100 * np.arange(60) + rng.integers(0, 700, 60):
            uv[start : start + len(shape), electrode] += height_uv * shape
            sample.append(start + extremum)
            channel.append(electrode)
    truth = Truth(np.array(sample), np.array(channel), np.full(180, np.nan), np.ones(180, bool))
    return Recording("planted", "simulated", uv, RATE_HZ, 1.0, None, "neg" if sign < 0 else "pos", truth)


@pytest.mark.parametrize("sign", [-1, 1])
def test_every_method_finds_large_spikes_and_nothing_else(sign: int) -> None:
    recording = planted(80, sign)
    every = best_by_hand(recording)
    assert {(best.kind, best.method) for best in every} == {(k, m) for k in ("causal", "zero-phase") for m in METHODS}
    for best in every:
        assert best.score.f1 > (0.97 if best.method == "window" else 0.99), best


def test_small_spikes_are_found_best_by_a_matched_filter() -> None:
    scores = {(best.kind, best.method): best.score.f1 for best in best_by_hand(planted(40))}
    assert min(scores.values()) > 0.95
    for kind in ("causal", "zero-phase"):
        assert scores[kind, "matched"] >= scores[kind, "threshold"]


def test_a_dead_electrode_finds_nothing_and_breaks_nothing() -> None:
    recording = planted(80)
    recording.samples[:, 1] = 0
    for best in best_by_hand(recording):
        assert best.score.false < 5, best
        assert best.score.found > 110, best
