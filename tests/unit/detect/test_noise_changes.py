"""Freeze, follow and recalibrate: from which sample on σ stays, moves, or begins anew."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rtspikes.detect.changes import Change, Follow, Freeze, Recalibrate, Threshold
from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import DetectSettings, NoiseSettings
from rtspikes.errors import ConfigError
from tests.simulated import GAIN_UV, RATE_HZ, stream_info
from tests.unit.detect.changing import BLOCK, FROZEN, QUICK, WHOLE, run, sigma_from, spikes, updates
from tests.unit.detect.streaming import stream


def loud(n: int, louder_from: int, seed: int = 3) -> NDArray[np.int16]:
    """Return noise on two channels that is three times as strong from a sample on."""
    uv = np.random.default_rng(seed).normal(0, 10, (n, 2))
    uv[louder_from:] *= 3
    return (uv / GAIN_UV).astype(np.int16)


def test_a_freeze_keeps_sigma_and_following_goes_on_as_if_there_had_been_none() -> None:
    free = sigma_from(run([]))
    held = sigma_from(run([(11_000, Freeze()), (40_123, Follow())]))
    assert [at for at in held if 11_000 < at <= 40_123] == []
    assert {at for at in held if at > 40_123} == {at for at in free if at > 40_123}
    for at in held:
        np.testing.assert_array_equal(held[at], free[at])


def test_a_change_at_a_noise_boundary_comes_after_the_new_sigma() -> None:
    at = 9 * BLOCK
    assert max(sigma_from(run([(at, Freeze())]))) == at
    assert max(sigma_from(run([(at - 1, Freeze())]))) == at - BLOCK
    assert min(x for x in sigma_from(run([(0, Freeze()), (at, Follow())])) if x) == at + BLOCK


def test_a_freeze_before_the_start_keeps_the_first_sigma() -> None:
    results = run([(0, Freeze())])
    assert list(sigma_from(results)) == [0]
    assert len(updates(results)) == 1
    assert len(spikes(results)) > 50


def test_following_undoes_a_freeze_of_the_settings_before_it_comes_and_after() -> None:
    assert list(sigma_from(run([], FROZEN))) == [0]
    free = sigma_from(run([]))
    for at in (0, 30_000):
        held = sigma_from(run([(at, Follow())], FROZEN))
        assert set(held) - {0} == {x for x in free if x > at}


def test_recalibration_rests_on_the_blocks_that_begin_after_it_alone() -> None:
    change = 20 * BLOCK - 500
    samples = loud(40 * BLOCK, change)
    running = sigma_from(run([], segments=[(0, samples)]))
    renewed = sigma_from(run([(change, Recalibrate())], segments=[(0, samples)]))
    first = 22 * BLOCK  # block 20 is the first that begins after the change; it counts two blocks later
    assert [at for at in renewed if change < at <= first] == [first]
    np.testing.assert_allclose(renewed[first] / renewed[19 * BLOCK], 3, rtol=0.3)
    assert (running[first] < 2 * running[19 * BLOCK]).all(), "without it, old blocks hold σ down"
    on_the_dot = sigma_from(run([(20 * BLOCK, Recalibrate())], segments=[(0, samples)]))
    np.testing.assert_array_equal(on_the_dot[first], renewed[first])
    after = sigma_from(run([(20 * BLOCK + 1, Recalibrate())], segments=[(0, samples)]))
    assert min(at for at in after if at > 20 * BLOCK) == first + BLOCK


@pytest.mark.parametrize("frozen_by", ["settings", "change"])
def test_recalibration_of_a_frozen_sigma_follows_for_the_window_and_freezes_again(frozen_by: str) -> None:
    samples = loud(40 * BLOCK, 20 * BLOCK)
    changes: list[tuple[int, Change]] = [] if frozen_by == "settings" else [(5000, Freeze())]
    settings_ = FROZEN if frozen_by == "settings" else QUICK
    found = sigma_from(run([*changes, (20 * BLOCK, Recalibrate())], settings_, [(0, samples)]))
    moved = [at for at in found if at > 5000]
    window = round(0.5 * RATE_HZ)
    assert moved[0] == 22 * BLOCK
    assert moved == list(range(22 * BLOCK, 20 * BLOCK + window, BLOCK))
    assert (found[moved[-1]] > 2.5 * found[0]).all()


def test_a_window_shorter_than_a_recalibration_waits_for_its_first_block() -> None:
    short = DetectSettings(noise=NoiseSettings(mode="freeze", initial_s=0.1, block_s=0.1, window_s=0.1))
    found = sigma_from(run([(20 * BLOCK + 1, Recalibrate())], short, [(0, loud(40 * BLOCK, 20 * BLOCK))]))
    assert list(found) == [0, 23 * BLOCK]


def test_a_freeze_during_a_recalibration_holds_at_once() -> None:
    found = sigma_from(run([(20_000, Recalibrate()), (20_001, Freeze())]))
    assert max(found) <= 20_000


def test_a_sigma_from_a_file_stays() -> None:
    info, given = stream_info(3), np.full(3, 6, np.float32)
    detector = Detector(info, DetectSettings(noise=NoiseSettings(mode="file")), sigma_uv=given)
    assert detector.frozen
    detector.schedule(Freeze(), 0)
    for change, name in ((Recalibrate(), "recalibrate"), (Follow(), "follow")):
        with pytest.raises(ConfigError, match=f'^{name} needs a noise level .* detect.noise.mode = "file"'):
            detector.schedule(change, 0)
    results = stream(WHOLE, info, DetectSettings(threshold=5, noise=NoiseSettings(mode="file")), [999], sigma_uv=given,
                     changes=[(7000, Threshold("E1", threshold=9)), (8000, Freeze())])  # fmt: skip
    assert [(u.sample, u.below_uv.tolist()) for u in updates(results)] == [(0, [-30] * 3), (7000, [-54, -30, -30])]
