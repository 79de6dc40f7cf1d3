"""The noise level: exact medians, proof against bursts and artifacts, quick enough, and the same whatever the cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtspikes.detect.detector import Detector
from rtspikes.detect.levels import DEFAULT_THRESHOLD
from rtspikes.detect.noise import QUIET_QUANTILE, SCATTER, prime_stride
from rtspikes.detect.noise_kernels import mad_sigma, piece_sigmas, quiet_levels
from rtspikes.detect.settings import DetectSettings, NoiseSettings
from tests.reference import piece_mads, quiet_level
from tests.simulated import RATE_HZ, stream_info
from tests.unit.detect.streaming import stream
from tests.unit.detect.tracking import DEFAULT, FLOOR_UV, band_passed, bursts, coloured, feed, firing, tracker, white
from tests.unit.detect.tracking import sigmas as tracked


@settings(max_examples=30, deadline=None)
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


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(16, 150), st.floats(0, 1), st.floats(-1e4, 1e4), st.integers(0, 2**32))
def test_values_of_pieces_are_the_references(pieces: int, rows: int, lost: float, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = rng.normal(offset, rng.uniform(0.1, 50), (pieces * rows, 20)).astype(np.float32)
    grid[rng.random(grid.shape) < lost] = np.nan
    valid = np.ones(len(grid), np.uint8)
    values = np.empty((pieces, 20), np.float32)
    piece_sigmas(grid, valid, rows, values)
    np.testing.assert_array_equal(values, piece_mads(grid, pieces))
    valid[: len(grid) // 2] = 0
    piece_sigmas(grid, valid, rows, values)
    grid[: len(grid) // 2] = np.nan
    np.testing.assert_array_equal(values, piece_mads(grid, pieces))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.floats(0, 1), st.floats(0, 1), st.floats(0.02, 0.3), st.integers(0, 2**32))
def test_quiet_levels_are_the_references(n: int, active: float, dead: float, scatter: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(10, 1, (100, 3)).astype(np.float32)
    values[rng.random(values.shape) < active] *= 7
    values[rng.random(values.shape) < dead] = 0
    found = np.empty(3, np.float32)
    quiet_levels(values, n, np.full(3, 0.1, np.float32), QUIET_QUANTILE, scatter, found)
    expected = [quiet_level(column, np.float32(0.1), scatter) for column in values[:n].T]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("active", [0.0, 0.2, 0.45])
def test_the_centre_of_the_quiet_values_is_right_whatever_part_is_active(active: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(10, 1, (64, 2000)).astype(np.float32)
    values[rng.random(values.shape) < active] *= 6
    found = np.empty(2000, np.float32)
    quiet_levels(values, 64, np.full(2000, 0.1, np.float32), QUIET_QUANTILE, 0.1, found)
    assert found.mean() == pytest.approx(10, rel=0.03), f"{found.mean():.3f} for 10 with {active:.0%} active"


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


NOISES = {"white": white, "coloured": coloured}
SECONDS = 20.0
CHANNELS = 12


@pytest.fixture(scope="module", params=NOISES)
def quiet(request: pytest.FixtureRequest) -> np.ndarray:
    """Return quiet noise behind the default filter."""
    return band_passed(NOISES[request.param](SECONDS, CHANNELS, seed=1))


def test_the_defaults_are_what_is_measured_here() -> None:
    assert NoiseSettings() == DEFAULT


def test_in_noise_alone_sigma_is_right_and_hardly_moves(quiet: np.ndarray) -> None:
    found, true = tracked(quiet), np.median(np.abs(quiet), axis=0) / 0.67448975
    bias, jitter = found.mean() / true.mean() - 1, (found.std(axis=0) / found.mean(axis=0)).mean()
    assert abs(bias) < 0.015, f"bias {bias:.2%}"
    assert jitter < 0.03, f"a channel's σ moves by {jitter:.2%}"


@pytest.mark.parametrize("kind", ["100 spikes/s", "300 spikes/s", "noise"])
@pytest.mark.parametrize("length_s", [0.1, 0.2, 0.5, 1.0])
def test_bursts_in_30_percent_of_the_time_move_sigma_by_less_than_5_percent(
    quiet: np.ndarray, kind: str, length_s: float
) -> None:
    rng = np.random.default_rng(7)
    active, level = bursts(SECONDS, length_s, rng), quiet.std()
    if kind == "noise":
        more = band_passed(active[:, None] * rng.normal(0, 20 * level, quiet.shape))
    else:  # the filter leaves 0.7 of a spike
        more = band_passed(firing(active, CHANNELS, int(kind.split()[0]), (5 / 0.7 * level, 20 / 0.7 * level), rng))
    before, after = tracked(quiet), tracked(quiet + more)
    moved = after.mean() / before.mean() - 1
    worst = (after.mean(axis=1) / before.mean(axis=1) - 1).max()
    text = f"bursts of {length_s} s ({active.mean():.0%} of the time): {moved:+.1%} on average, {worst:+.1%} at worst"
    assert 0.25 < active.mean() < 0.35
    assert -0.01 < moved < 0.05, text
    assert worst < 0.07, text


@pytest.mark.parametrize("every_s", [1e9, 5.0, 3.0])
@pytest.mark.parametrize("phase_s", [0.0, 0.13])
def test_a_stimulus_artifact_moves_sigma_by_less_than_2_percent(
    quiet: np.ndarray, every_s: float, phase_s: float
) -> None:
    t = np.arange(len(quiet)) / RATE_HZ
    stimulus = (t > 5 + phase_s) & ((t - 5 - phase_s) % every_s < 0.2)
    artifact = 5000 * np.sign(np.sin(2 * np.pi * 130 * t)) * stimulus
    before, after = tracked(quiet), tracked(quiet + band_passed(np.repeat(artifact[:, None], CHANNELS, axis=1)))
    moved = after.mean(axis=1) / before.mean(axis=1) - 1
    mean, worst = np.abs(moved[moved != 0].mean()), np.abs(moved).max()
    assert stimulus.sum() >= 0.2 * RATE_HZ - 1
    assert mean < 0.02, f"{mean:.2%} on average, {worst:.2%} at worst"
    assert worst < 0.025, f"{mean:.2%} on average, {worst:.2%} at worst"


def test_a_true_doubling_is_followed_within_5_s_at_any_phase(quiet: np.ndarray) -> None:
    per_channel = []
    level = tracked(quiet).mean(axis=0)
    for phase in np.linspace(0, 0.5, 11):
        step = round((8 + phase) * RATE_HZ)
        noise = tracker(CHANNELS)
        louder = np.where(np.arange(len(quiet))[:, None] < step, 1, 2) * quiet
        known = feed(noise, louder)
        after = next(sigma for at, sigma in reversed(known) if at <= step + 5 * RATE_HZ)
        per_channel.append(after / level / 2 - 1)
    mean, worst = np.abs(np.mean(per_channel, axis=1)).max(), np.abs(per_channel).max()
    assert mean < 0.03, f"{mean:.1%} off at the worst phase, 5 s after the step"
    assert worst < 0.1, f"{worst:.1%} off on the worst channel at the worst phase, 5 s after the step"


def test_a_piece_scatters_as_the_correction_takes_it(quiet: np.ndarray) -> None:
    noise = tracker(CHANNELS)
    rows = quiet[:: noise.stride]
    n = noise.block // noise.stride // 8
    values = np.empty((len(rows) // n, CHANNELS), np.float32)
    piece_sigmas(
        np.ascontiguousarray(rows[: len(values) * n], np.float32), np.ones(len(values) * n, np.uint8), n, values
    )
    scatter = (values.std(axis=0) / values.mean(axis=0)).mean() * n**0.5
    assert scatter == pytest.approx(SCATTER, rel=0.1), f"{scatter:.3f} / √n"


@pytest.mark.parametrize("kind", ["dead", "at a rail", "mostly at a rail"])
def test_a_channel_without_a_signal_keeps_its_last_good_sigma(kind: str) -> None:
    uv = white(16, 2, seed=5)
    stop = round(8 * RATE_HZ)
    if kind == "dead":
        uv[stop:, 0] = 0
    else:
        uv[stop:, 0] = 6000
        if kind == "mostly at a rail":
            away = np.arange(len(uv)) % round(0.05 * RATE_HZ) < 0.01 * RATE_HZ
            uv[stop:, 0][away[stop:]] += white(16, 1, seed=6)[:, 0][away][: away[stop:].sum()]
    noise = tracker(2)
    filtered = band_passed(uv)
    if kind == "mostly at a rail":  # the detector sets what is at a rail to NaN
        filtered[:, 0][uv[:, 0] == 6000] = np.nan
    feed(noise, filtered[:stop])
    good = noise.sigma.copy()
    assert (good > 5).all()
    feed(noise, filtered[stop:], stop)
    assert noise.sigma[0, 0] == pytest.approx(good[0, 0], rel=0.1)
    assert noise.now[0, 0] == 0
    assert noise.now[0, 1] == pytest.approx(good[0, 1], rel=0.1)


def test_a_channel_that_was_always_dead_has_no_sigma_until_it_lives() -> None:
    uv = white(12, 2, seed=8)
    uv[: round(6 * RATE_HZ), 0] = 0
    noise = tracker(2)
    noise.learn(np.array([[0, 7]], np.float32))
    filtered = band_passed(uv)
    feed(noise, filtered[: round(6 * RATE_HZ)])
    assert noise.sigma[0, 0] == 0
    assert noise.sigma[0, 1] > FLOOR_UV
    feed(noise, filtered[round(6 * RATE_HZ) :], round(6 * RATE_HZ))
    assert noise.sigma[0, 0] == pytest.approx(noise.sigma[0, 1], rel=0.1)


def test_the_first_sigma_counts_like_its_stretch_and_gives_way_smoothly() -> None:
    filtered = band_passed(white(10, 8, seed=9))
    noise = tracker(8)
    start = np.full((1, 8), np.median(np.abs(filtered)) / 0.67448975, np.float32)
    noise.learn(start)
    moved = [np.abs(sigma / start[0] - 1).max() for _, sigma in feed(noise, filtered)]
    assert max(moved) < 0.12, f"{max(moved):.1%}"


def test_sigma_is_measured_while_frozen_and_compared_with_the_frozen_one() -> None:
    filtered = band_passed(white(30, 3, seed=10))
    half = round(15 * RATE_HZ)
    filtered[half:, 1] *= 1.5
    for mode in ("freeze", "file"):
        noise = tracker(3, NoiseSettings(mode=mode, freeze_after_s=8.0, window_s=4.0))
        noise.learn(np.full((1, 3), np.median(np.abs(filtered[:half])) / 0.67448975, np.float32))
        assert np.isnan(noise.since_freeze).all()
        feed(noise, filtered[:half])
        kept = noise.sigma.copy()
        np.testing.assert_allclose(noise.since_freeze, 1, atol=0.12)
        feed(noise, filtered[half:], half)
        np.testing.assert_array_equal(noise.sigma, kept)
        np.testing.assert_allclose(noise.since_freeze[0], [1, 1.5, 1], atol=0.12)
        if mode == "freeze":
            noise.follow()
            assert np.isnan(noise.since_freeze).all()


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
    np.testing.assert_allclose(updates[0].below_uv, -DEFAULT_THRESHOLD["threshold"] * given_sigma, rtol=1e-6)


def test_work_is_spread_and_never_changes_when_sigma_takes_effect() -> None:
    rng = np.random.default_rng(5)
    uv = rng.normal(0, 10, (round(2.5 * RATE_HZ), 2)).astype(np.float32)
    info = stream_info(2, dtype="float32", gain_uv=1.0)
    for sizes in ([1000], [9499, 1, 1, 9500], [50000]):
        results = stream([(0, uv)], info, DetectSettings(), sizes)
        assert [t.sample for e in results for t in e.thresholds] == [
            0,
            7 * 178 * 8 * 2,
            7 * 178 * 8 * 3,
            7 * 178 * 8 * 4,
            7 * 178 * 8 * 5,
        ]


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


def test_a_lane_without_a_sampled_row_is_measured_around_zero() -> None:
    rows, pieces = 40, 5
    grid = np.random.default_rng(2).normal(0, 3, (rows * pieces, 16)).astype(np.float32)
    grid[::pieces, 3] = np.nan  # those that the centre is taken from
    values = np.zeros((pieces, 16), np.float32)
    piece_sigmas(grid, np.ones(len(grid), np.uint8), rows, values)
    part = grid[:rows, 3]
    assert values[0, 3] == pytest.approx(np.median(np.abs(part[np.isfinite(part)])) / 0.6745, rel=0.05)
