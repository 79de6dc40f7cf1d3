"""The band-pass: its design, its float32 stream against SciPy in float64, and how long it settles."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import signal

from rtspikes.detect.filter import (
    SETTLED,
    SPIKE_LOWPASS_HZ,
    SPIKE_LOWPASS_PART,
    design,
    filtered,
    settling_samples,
)
from rtspikes.detect.settings import FilterSettings
from tests.reference import band_passed


def response_db(sections: np.ndarray, hz: list[float], rate: float) -> np.ndarray:
    sos = np.insert(sections.astype(float), 3, 1.0, axis=1)
    _, h = signal.sosfreqz(np.ascontiguousarray(sos), hz, fs=rate)
    return 20 * np.log10(np.abs(h))


@pytest.mark.parametrize("rate", [10000.0, 20000.0, 30000.0])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_each_corner_is_3_db_down_and_slopes_follow_the_order(order: int, rate: float) -> None:
    sections = design(FilterSettings(order=order), rate)
    low, middle, hum = response_db(sections, [300.0, 950.0, 30.0], rate)
    assert len(sections) == order
    assert low == pytest.approx(-3.01, abs=0.15)
    assert middle == pytest.approx(0, abs=1.0)
    assert hum == pytest.approx(-20 * order, abs=1)


def test_the_ends_have_separate_orders() -> None:
    sections = design(FilterSettings(highpass_order=3, lowpass_order=1), 20000)
    assert len(sections) == 2
    assert response_db(sections, [30.0], 20000)[0] == pytest.approx(-60, abs=1)
    only_high = design(FilterSettings(highpass_order=1, lowpass_order=0), 20000)
    assert response_db(only_high, [9000.0], 20000)[0] == pytest.approx(0, abs=0.1)


def test_no_filter_has_no_sections_and_nothing_to_settle() -> None:
    sections = design(FilterSettings(kind="none"), 20000)
    assert len(sections) == 0
    assert settling_samples(sections) == 0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_float32_streaming_stays_close_to_scipy_in_float64(order: int) -> None:
    rng = np.random.default_rng(1)
    uv = (rng.normal(0, 6, (4000, 2)) + 2000 + 300 * np.sin(np.arange(4000) / 500)[:, None]).astype(np.float32)
    sections = design(FilterSettings(order=order), 20000)
    sos = np.ascontiguousarray(np.insert(sections.astype(float), 3, 1.0, axis=1))
    zi = signal.sosfilt_zi(sos)[:, :, None] * uv[0]
    expected, _ = signal.sosfilt(sos, uv.astype(float), axis=0, zi=zi)
    np.testing.assert_allclose(band_passed(uv, sections), expected, atol=0.01)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_step_has_decayed_after_the_settling_time_and_not_before(order: int) -> None:
    sections = design(FilterSettings(order=order), 20000)
    n = settling_samples(sections)
    sos = np.ascontiguousarray(np.insert(sections.astype(float), 3, 1.0, axis=1))
    step = signal.sosfilt(sos, np.ones(5000))
    assert np.abs(step[n:]).max() <= SETTLED < np.abs(step[n - 1])


@pytest.mark.parametrize("rate_hz", [1_700, 12_500, 15_000, 20_000, 25_000, 32_556, 50_000])
def test_what_is_designed_and_run_without_scipy_is_what_scipy_gives(rate_hz: float) -> None:
    sections = design(FilterSettings(), rate_hz)
    high = min(SPIKE_LOWPASS_HZ, SPIKE_LOWPASS_PART * rate_hz)
    lowpass = signal.butter(2, high, "lowpass", fs=rate_hz, output="sos")[0][[0, 1, 2, 4, 5]]
    assert sections[2].tolist() == lowpass.astype(np.float32).tolist()
    rows = np.random.default_rng(5).normal(size=(3, 2000))
    wanted = signal.sosfilt(np.insert(sections.astype(float), 3, 1.0, axis=1), rows, axis=1)
    assert np.array_equal(filtered(sections, rows), wanted)
    assert np.array_equal(filtered(sections, rows[1]), wanted[1])


def test_an_engine_starts_without_scipys_signal_package() -> None:
    """It takes a second to import."""
    code = "import sys, rtspikes.engine; sys.exit('scipy.signal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
