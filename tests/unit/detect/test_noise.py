"""The noise level: exact medians, burst-proof, and the same whatever the cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtspikes.detect.detector import Detector
from rtspikes.detect.noise import prime_stride
from rtspikes.detect.noise_kernels import column_quantiles, mad_sigma
from rtspikes.detect.settings import DetectSettings, NoiseSettings
from tests.simulated import RATE_HZ, stream_info
from tests.unit.detect.streaming import stream


@settings(max_examples=150, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 5)), elements=st.floats(-1e6, 1e6, width=32)))
def test_mad_is_the_exact_order_statistic(values: np.ndarray) -> None:
    sigma = np.empty(values.shape[1], np.float32)
    mad_sigma(values, np.ones(len(values), np.uint8), sigma)
    middle = (len(values) - 1) // 2
    spread = np.sort(np.abs(values - np.sort(values, axis=0)[middle]), axis=0)[middle]
    np.testing.assert_array_equal(sigma, spread * np.float32(1 / 0.67448975))


def test_rows_that_are_not_valid_do_not_count() -> None:
    values = np.array([[1], [1e6], [3], [1e6], [2]], np.float32)
    sigma = np.empty(1, np.float32)
    mad_sigma(values, np.array([1, 0, 1, 0, 1], np.uint8), sigma)
    assert sigma[0] == np.float32(1) * np.float32(1 / 0.67448975)
    mad_sigma(values, np.zeros(5, np.uint8), sigma)
    assert sigma[0] == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.floats(0, 1), st.integers(0, 2**32))
def test_column_quantiles_are_numpys(n: int, quantile: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 5, (20, 3)).astype(np.float32)
    result = np.empty(3, np.float32)
    column_quantiles(values, n, np.full(3, -100, np.float32), quantile, result)
    np.testing.assert_allclose(result, np.quantile(values[:n], quantile, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rate", "stride"), [(20000, 19), (30000, 29), (15000, 13), (1500, 1), (500, 1)])
def test_strides_are_prime_so_that_no_interference_is_met_at_one_phase(rate: float, stride: int) -> None:
    assert prime_stride(rate, 1000) == stride


def sigmas(uv: np.ndarray, noise: NoiseSettings = NoiseSettings()) -> list[tuple[int, np.ndarray]]:  # noqa: B008
    info = stream_info(uv.shape[1], dtype="float32", gain_uv=1.0)
    results = stream([(0, uv.astype(np.float32))], info, DetectSettings(noise=noise, threshold=50), [2000])
    return [(t.sample, t.sigma_uv) for e in results for t in e.thresholds]


def test_sigma_is_that_of_gaussian_noise_behind_the_band_pass() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 10, (round(12 * RATE_HZ), 8))
    white = sigmas(noise)
    flat = Detector(stream_info(8), DetectSettings())
    sos = np.ascontiguousarray(np.insert(flat.sections.astype(float), 3, 1.0, axis=1))
    from scipy import signal

    expected = signal.sosfilt(sos, noise, axis=0).std(axis=0).mean()
    assert white[-1][1].mean() == pytest.approx(expected, rel=0.03)
    assert white[0][0] == 0


def test_bursts_that_fill_30_percent_of_the_time_move_sigma_by_less_than_5_percent() -> None:
    rng = np.random.default_rng(2)
    n = round(20 * RATE_HZ)
    quiet = rng.normal(0, 10, (n, 6))
    burst = quiet.copy()
    active = (np.arange(n) / RATE_HZ) % 3.0 > 2.1
    burst[active] += rng.normal(0, 100, (active.sum(), 6))
    before, after = sigmas(quiet)[-1][1], sigmas(burst)[-1][1]
    assert abs(after.mean() / before.mean() - 1) < 0.05


def test_a_true_doubling_is_followed() -> None:
    rng = np.random.default_rng(3)
    n = round(8 * RATE_HZ)
    uv = np.concatenate([rng.normal(0, 10, (n, 4)), rng.normal(0, 20, (n, 4))])
    found = sigmas(uv)
    before = next(s for at, s in reversed(found) if at <= n)
    assert found[-1][1].mean() == pytest.approx(2 * before.mean(), rel=0.1)


def test_frozen_sigma_stays_and_a_given_sigma_is_used_from_the_first_sample() -> None:
    rng = np.random.default_rng(4)
    uv = rng.normal(0, 10, (round(4 * RATE_HZ), 2))
    assert [at for at, _ in sigmas(uv, NoiseSettings(mode="freeze"))] == [0]
    late = [at for at, _ in sigmas(uv, NoiseSettings(mode="freeze", freeze_after_s=2.0))]
    assert len(late) > 1
    assert late[-1] < 2.0 * RATE_HZ
    info = stream_info(2, dtype="float32", gain_uv=1.0)
    given_sigma = np.array([7, 9], np.float32)
    results = stream([(0, uv.astype(np.float32))], info, DetectSettings(noise=NoiseSettings(mode="file")), [999],
                     sigma_uv=given_sigma)  # fmt: skip
    updates = [t for e in results for t in e.thresholds]
    assert [u.sample for u in updates] == [0]
    np.testing.assert_array_equal(updates[0].below_uv, -5 * given_sigma)


def test_work_is_spread_and_never_changes_when_sigma_takes_effect() -> None:
    rng = np.random.default_rng(5)
    uv = rng.normal(0, 10, (round(2.5 * RATE_HZ), 2)).astype(np.float32)
    info = stream_info(2, dtype="float32", gain_uv=1.0)
    for sizes in ([1000], [9499, 1, 1, 9500], [50000]):
        results = stream([(0, uv)], info, DetectSettings(), sizes)
        assert [t.sample for e in results for t in e.thresholds] == [
            0,
            19 * 526 * 2,
            19 * 526 * 3,
            19 * 526 * 4,
            19 * 526 * 5,
        ][:5]


def test_a_gap_of_years_is_passed_at_once_and_sigma_goes_on_as_behind_a_short_one() -> None:
    rng = np.random.default_rng(4)
    parts = [rng.normal(0, level, (round(3 * RATE_HZ), 2)).astype(np.float32) for level in (10, 30)]
    info = stream_info(2, dtype="float32", gain_uv=1.0)
    block = Detector(info, DetectSettings(), ()).noise.block
    found = []
    for blocks in (7, 10**9):
        behind = len(parts[0]) + blocks * block
        results = stream([(0, parts[0]), (behind, parts[1])], info, DetectSettings(threshold=50), [2000])
        updates = [(t.sample, t.sigma_uv.tolist()) for e in results for t in e.thresholds]
        found.append([(at - behind if at >= behind else at, sigma) for at, sigma in updates])
    assert found[0] == found[1]
    assert any(at > block for at, _ in found[0])
