"""The simulated signal: the same samples for ever, in any cut, and what is in them."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rtspikes_devices.sim.draws import normal_quantiles

from tests.unit.devices.simulations import microvolts, opened, pulled, true_spikes, truth_of

RATE = 20000
RAIL = 32767

# (samples, truth). These never change: a change of any is a new simulation, which the release notes must say.
GOLDEN = {
    "60?seconds=2": ("ccc5973e1488a2abc8130cf6e59d1d68", "1dd8904f94be42ab002d53733855cc48"),
    "60?seconds=2&seed=2": ("2b42272dcc42cff75caa7ad30f87fa62", "71119a80a2d15bd1d78e468a2efa889f"),
    "60?seconds=2&onset=0.5&scenario=bicuculline": (
        "36b4d3f0c1882ce7627338b4445180e5",
        "54549576c7874f1a318363ccec901641",
    ),
    "60?seconds=2&onset=0.5&scenario=ttx": ("bd9849653e1d8101047621d59c20a26a", "08ac243d35d11e62096d9f0254594ab6"),
    "60?seconds=2&onset=0.5&scenario=artifact": (
        "f5b903661b95d41a93c2e2df5a900c42",
        "edd660f95b7d70dd3a42d59f26db747f",
    ),
    "60?seconds=2&onset=0.5&scenario=deadelectrode": (
        "8b4cc1002c07a01aecdd1517692e3d93",
        "d1ccc6530749248194a5eb803259108c",
    ),
    "60?seconds=2&onset=0.5&scenario=storm": ("ac81affa0e236d669db45169117f3f66", "1dd8904f94be42ab002d53733855cc48"),
    "60?seconds=1&gaps=600": ("d5ba7bfdc49187dc945ec24de859115f", "db2136d44cec5d50be61689e5b817c93"),
    "60?seconds=0.5&noise=12": ("bffbeee7257bf87a08f03942d6d4cd9b", "370d7cd625658caa311ad1df65a8ea85"),
    "60?seconds=2&hum=50&hum_hz=60": ("c8e101b9bd987701670bd5d7039f91f3", "1dd8904f94be42ab002d53733855cc48"),
    "60?seconds=2&hum_hz=60": ("8d7cb439509e0e886507916980fbd5ce", "1dd8904f94be42ab002d53733855cc48"),
    "60?seconds=2&fields=-300": ("45a866c8329f3adf8439bca8154870fb", "1dd8904f94be42ab002d53733855cc48"),
    "wells:6x16?seconds=1.5&fields=200": ("a51b1b4d9bcf3258d292e3f110f4dd4b", "f2fc378b3d665e15059698088fdd329d"),
    "60?seconds=2&doublets=0.3": ("8a2cbbb4d882a19616642a2cd262524b", "23b87535a5d1c92c853ed8500622863e"),
    "60?seconds=8&onset=1&scenario=superburst": (
        "5e097bfd757db2bb2f12ea92439deef9",
        "877008e9d58c1600e4de34b8edee7672",
    ),
    "128?seconds=2&scenario=storm&storms=64&storm_s=0.5": (
        "e1c96820e04f12dbefdc35a4268ba42a",
        "720d4cccf447d01d428f5a6c3c7dc9c2",
    ),
    "60?seconds=2&onset=0.5&scenario=artifact&artifact_ms=200": (
        "38411d51103b7c7571d0a3d3adb89566",
        "edd660f95b7d70dd3a42d59f26db747f",
    ),
    "64?seconds=1&rate=30000": ("8a811293cee036f3e4429078f0d50988", "2ed93b1519c8835a582fd493beb5e692"),
    "wells:24x16?seconds=0.5": ("ba853d14d24ea09f7d477430147f84d4", "f9990894b3df0f9506924175ed7c43f6"),
    "256?pitch=17.5&seconds=0.5": ("a3ba5af42fa4b94ef4fb495c1fcadc0d", "603f21c329b4327b39895f90d23364c9"),
    "64x64?seconds=0.1": ("b51c8f32683fbf1c437d99856ca01cb6", "2875d936ec98ce227d3c133120da4da2"),
}

BUSY = "60?seed=3&scenario=deadelectrode&onset=0.1&gaps=300&seconds=0.35"
"""A signal in which everything that depends on the position happens soon."""


def digest(values: NDArray[np.generic]) -> str:
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()[:32]


@pytest.fixture(scope="module")
def busy() -> tuple[NDArray[np.int16], dict[int, int]]:
    return pulled(BUSY, [1000])


@pytest.fixture(scope="module")
def quiet() -> NDArray[np.float64]:
    """Return 2 s (time, channels), µV, of a culture whose spikes have died away."""
    return settled("64?scenario=ttx&seconds=8")


def settled(address: str) -> NDArray[np.float64]:
    return microvolts(address)[0][6 * RATE :]


def whitened(uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is left when channels share nothing and the slow parts are gone: (time, channels), σ as in `uv`."""
    steps = np.diff(uv, axis=0) / math.sqrt(2)
    return np.asarray(steps - steps.mean(axis=1, keepdims=True)) / math.sqrt(1 - 1 / uv.shape[1])


def rms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((values**2).mean(axis=0)))


def tone(uv: NDArray[np.float64], hz: float) -> NDArray[np.float64]:
    """Return the amplitude (channels,) of a tone in `uv` (time, channels)."""
    window = np.hanning(len(uv))[:, None]
    wave = np.exp(-2j * np.pi * hz * np.arange(len(uv)) / RATE)[:, None]
    return np.asarray(2 * np.abs((uv * window * wave).sum(axis=0)) / window.sum())


@pytest.mark.parametrize("address", GOLDEN)
def test_the_same_address_gives_the_same_samples_and_truth_for_ever(address: str) -> None:
    samples, _ = pulled(address)
    truth = truth_of(address).spikes(0, opened(address).info.n_samples or 0)
    assert len(truth) > 10
    assert (digest(samples), digest(truth)) == GOLDEN[address]


def test_another_seed_is_another_culture_in_every_part() -> None:
    a, b = microvolts("60?seconds=0.5")[0], microvolts("60?seconds=0.5&seed=2")[0]
    assert abs(np.corrcoef(whitened(a).ravel(), whitened(b).ravel())[0, 1]) < 0.01
    rows, others = (true_spikes(f"60?seed={seed}", 0, 20) for seed in (1, 2))
    assert len(np.intersect1d(rows["sample"], others["sample"])) < len(rows) / 20
    assert len(np.intersect1d(rows["amplitude_uv"], others["amplitude_uv"])) < len(rows) / 20


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_any_cut_gives_the_same_samples_byte_for_byte(
    busy: tuple[NDArray[np.int16], dict[int, int]], sizes: list[int]
) -> None:
    samples, holes = pulled(BUSY, [*sizes, 512])
    assert samples.tobytes() == busy[0].tobytes()
    assert holes == busy[1]


def test_pulls_of_one_sample_give_the_same_samples(busy: tuple[NDArray[np.int16], dict[int, int]]) -> None:
    samples, holes = pulled(BUSY, [1])
    assert samples.tobytes() == busy[0].tobytes()
    assert holes == busy[1]


@pytest.mark.parametrize(
    "options",
    [
        "scenario=baseline",
        "scenario=artifact&artifact_ms=300",
        "scenario=storm&storms=5&storm_s=0.3",
        "scenario=ttx",
        "scenario=bicuculline",
        "scenario=superburst",
        "hum=50&hum_hz=60&fields=-300&doublets=0.5",
    ],
)
def test_a_cut_changes_no_scenario_and_no_option(options: str) -> None:
    address = f"wells:6x4?{options}&onset=1.75&seconds=3.5"
    assert pulled(address, [17, 230, 1])[0].tobytes() == pulled(address, [8192])[0].tobytes()


def test_a_destination_longer_than_the_workspace_is_filled_in_part_and_right() -> None:
    address = "64x64?seconds=0.06"
    source, rows = opened(address), np.empty((1200, 4096), np.int16)
    assert 0 < source.pull(rows).n < 1200
    assert pulled(address, [1200])[0].tobytes() == pulled(address, [333])[0].tobytes()


def test_holes_come_at_their_indices_are_5_to_50_ms_long_and_change_nothing_before_them(
    busy: tuple[NDArray[np.int16], dict[int, int]],
) -> None:
    samples, holes = busy
    (first, lost), (end, last) = holes.items()
    assert 0.005 * RATE <= lost <= 0.05 * RATE
    assert (end, 0 < last < 0.05 * RATE) == (0.35 * RATE, True), "the end lies in a hole"
    assert len(samples) + lost + last == 0.35 * RATE
    whole, _ = pulled(BUSY.replace("gaps=300", "gaps=0"))
    assert samples[: first - lost].tobytes() == whole[: first - lost].tobytes()


def test_truth_counts_lost_samples() -> None:
    address = "60?noise=0&gaps=300&seconds=4"
    samples, holes = pulled(address)
    position = np.delete(np.arange(4 * RATE), np.concatenate([np.arange(e - n, e) for e, n in holes.items()]))
    rows = true_spikes(address, 1, 4)
    rows = rows[(rows["amplitude_uv"] > 100) & np.isin(rows["sample"], position)]
    values = samples[np.searchsorted(position, rows["sample"]), rows["channel"]] * 0.195
    before = samples[np.searchsorted(position, rows["sample"] - 30), rows["channel"]] * 0.195
    assert len(rows) > 50
    assert np.median((before - values) / rows["amplitude_uv"]) == pytest.approx(1, abs=0.05)


def test_the_reference_is_told_apart_and_sees_no_spikes() -> None:
    reference = next(c for c in opened("60").info.channels if c.label == "15")
    assert reference.kind == "reference"
    rows = true_spikes("60", 0, 20)
    assert reference.position not in rows["channel"]
    uv = microvolts("60?noise=0&seconds=4")[0]
    assert np.abs(np.diff(uv[:, reference.position])).max() < 15
    assert np.abs(np.diff(uv, axis=0)).max() > 30


def test_the_noise_is_as_large_as_asked_for_on_every_channel() -> None:
    for noise in (2, 5, 20):
        steps = rms(whitened(settled(f"64?scenario=ttx&seconds=7&noise={noise}")))
        slow = 0.64 * 2 * math.pi * 100 / RATE  # what steps leave of the slow noise
        np.testing.assert_allclose(steps, math.hypot(noise * math.sqrt(1 + slow), 0.195 / math.sqrt(12)), rtol=0.02)


def test_without_noise_what_channels_do_not_share_is_smooth() -> None:
    assert rms(whitened(settled("64?scenario=ttx&seconds=7&noise=0"))).max() < 0.2


def test_the_noise_is_normal(quiet: NDArray[np.float64]) -> None:
    white = whitened(quiet) / rms(whitened(quiet))
    values = normal_quantiles().astype(float)
    table = (values**4).mean() / (values**2).mean() ** 2
    expected = 3 + (table - 3) / 4  # a step is a sum of four values of the table
    assert (white**4).mean() == pytest.approx(expected, abs=4 * math.sqrt(96 / white.size))
    assert abs((white**3).mean()) < 6 * math.sqrt(15 / white.size)
    assert (np.abs(white) > 3).mean() == pytest.approx(0.0027, rel=0.1)


def test_the_noise_is_white_but_for_its_slow_part(quiet: NDArray[np.float64]) -> None:
    own = (quiet - quiet.mean(axis=1, keepdims=True)) / math.sqrt(1 - 1 / 64)
    power = (np.abs(np.fft.rfft(own.reshape(-1, 400, 64), axis=1)) ** 2).mean(axis=(0, 2))
    bands = power[80:200].reshape(6, 20).mean(axis=1)  # 4 … 10 kHz
    np.testing.assert_allclose(bands, bands.mean(), rtol=0.02)
    apart = rms(own[400:] - own[:-400]) / math.sqrt(2)  # one period of the hum apart
    np.testing.assert_allclose(apart, 5 * math.sqrt(1 + 0.8**2), rtol=0.03)


def test_no_two_channels_have_the_same_noise_at_any_distance_in_time(quiet: NDArray[np.float64]) -> None:
    white = whitened(quiet)[:, :12]
    n = len(white)
    spectra = np.fft.rfft(white / rms(white), 2 * n, axis=0)
    for a in range(12):
        for b in range(a):
            together = np.fft.irfft(spectra[:, a] * spectra[:, b].conj())
            together[0] += n / 63  # the mean of 64 channels was taken off
            assert np.abs(together).max() < 7.5 * math.sqrt(1.5 * n)


def test_channels_share_the_common_mode(quiet: NDArray[np.float64]) -> None:
    steps = np.diff(quiet, axis=0)
    together = np.corrcoef(steps.T)[np.triu_indices(64, 1)]
    own = rms(whitened(quiet)).mean() ** 2
    assert together.min() > 0.04
    assert together.mean() == pytest.approx(1.5**2 / (1.5**2 + own), abs=0.01)


def test_channels_share_a_slow_drift(quiet: NDArray[np.float64]) -> None:
    slow = quiet.reshape(-1, RATE // 10, 64).mean(axis=1)
    assert np.ptp(slow.mean(axis=1)) > 20
    assert np.corrcoef(slow.T).min() > 0.99


def test_every_channel_hums_at_50_hz_and_each_at_its_own_strength(quiet: NDArray[np.float64]) -> None:
    hum = tone(quiet, 50)
    assert hum.min() > 1.5
    assert hum.max() < 8.5
    assert np.ptp(hum) > 4
    for other in (40, 45, 55, 60):
        assert tone(quiet, other).max() < 1
    assert (tone(quiet, 150) / hum).mean() == pytest.approx(0.3, abs=0.05)


def test_the_field_is_negative_in_network_bursts_and_absent_between_them() -> None:
    address = "60?noise=0&seconds=10"
    uv = microvolts(address)[0]
    field = uv.reshape(-1, RATE // 50, 60).mean(axis=1)  # 20 ms, a period of the hum
    field = np.delete(field, 3, axis=1).mean(axis=1) - field[:, 3]  # against the reference
    spikes = np.histogram(true_spikes(address, 0, 10)["sample"], 500, (0, 10 * RATE))[0]
    bursts = np.flatnonzero((spikes[1:] > 8) & (spikes[:-1] <= 8))
    assert len(bursts) >= 3
    assert field.max() < 3
    assert field.min() > -200
    for at in bursts:
        assert field[at : at + 8].min() < -50
    calm = [i for i in range(75, 500) if spikes[i - 75 : i].max() <= 2]
    assert len(calm) > 10
    assert np.abs(field[calm]).max() < 3


def test_an_artifact_saturates_around_its_electrode_and_never_wraps() -> None:
    address = "60?scenario=artifact&onset=0.5&seconds=1.6"
    samples, _ = pulled(address)
    channels, at = opened(address).info.channels, round(1.5 * RATE)
    positive, negative = samples[at : at + 4], samples[at + 4 : at + 8]
    assert (positive > 5000).all()
    assert (negative < -5000).all()
    assert np.abs(samples.astype(int)).max() == RAIL
    size = samples[at].astype(int)
    heights = samples[at + 80 : at + 100].astype(int).mean(axis=0)
    nearest = channels[int(heights.argmax())]
    away = [math.hypot(c.x_um - nearest.x_um, c.y_um - nearest.y_um) for c in channels]  # type: ignore[operator]
    assert {int(size[c.position]) for c in channels if away[c.position] < 500} == {RAIL}
    falling = size[np.argsort(away, kind="stable")]
    assert (np.diff(falling) < 1500).all()
    assert falling[-1] < RAIL
    assert np.abs(samples[:at].astype(int)).max() < 5000


def test_an_artifact_stays_in_its_well() -> None:
    uv, info = microvolts("wells:6x16?scenario=artifact&seconds=1.01")
    wells = np.array([c.well for c in info.channels])
    heights = {well: np.abs(uv[RATE : RATE + 8, wells == well]).max() for well in np.unique(wells)}
    assert sorted(height > 5000 for height in heights.values()) == [False] * 5 + [True]
    assert sorted(heights.values())[-2] < 500


def test_each_well_has_the_fields_of_its_own_bursts() -> None:
    address = "wells:6x16?noise=0&seconds=20"
    uv, info = microvolts(address)
    rows, wells = true_spikes(address, 0, 20), np.array([c.well for c in info.channels])
    slow = uv.reshape(-1, RATE // 50, 96).mean(axis=1)  # 20 ms, a period of the hum
    fields = np.array([slow[:, wells == w].mean(axis=1) for w in np.unique(wells)])
    fields -= np.median(fields, axis=0)  # what wells share
    spikes = np.array(
        [np.histogram(rows["sample"][wells[rows["channel"]] == w], 1000, (0, 20 * RATE))[0] for w in np.unique(wells)]
    )
    together = np.corrcoef(fields, spikes)[:6, 6:]
    assert together.diagonal().max() < -0.6
    assert together[~np.eye(6, dtype=bool)].min() > -0.4


def test_the_reference_is_never_stimulated() -> None:
    samples, _ = pulled("60?scenario=artifact&seconds=1.01&seed=85")
    heights = samples[RATE + 80 : RATE + 100].astype(int).mean(axis=0)
    assert opened("60").info.channels[int(heights.argmax())].kind == "electrode"


def test_artifacts_come_every_two_seconds_from_one_second_after_the_onset_on() -> None:
    samples, _ = pulled("60?scenario=artifact&onset=0.5&seconds=5.6")
    saturated = np.flatnonzero((samples == RAIL).any(axis=1))
    starts = saturated[np.flatnonzero(np.diff(saturated, prepend=-RATE) > RATE)]
    assert starts.tolist() == [1.5 * RATE, 3.5 * RATE, 5.5 * RATE]


def test_one_electrode_in_ten_dies_or_opens_at_the_onset() -> None:
    address, onset = "60?scenario=deadelectrode&onset=1&seconds=3", RATE
    uv, info = microvolts(address)
    dead = np.flatnonzero(np.ptp(uv[onset:], axis=0) == 0)
    loose = np.flatnonzero(tone(uv[onset:], 50) > 100)
    assert len(dead) == len(loose) == 3
    assert (uv[onset:, dead] == 0).all()
    assert (rms(uv[:onset, dead]) > 3).all()
    assert tone(uv[:onset], 50).max() < 10
    np.testing.assert_allclose(tone(uv[onset:, loose], 50), 400, rtol=0.02)
    assert (rms(whitened(uv[onset:])[:, loose]) > 20).all()
    broken = {*dead.tolist(), *loose.tolist()}
    assert {info.channels[c].kind for c in broken} == {"electrode"}
    before, after = true_spikes(address, 0, 1), true_spikes(address, 1, 30)
    assert broken & set(before["channel"].tolist())
    assert not broken & set(after["channel"].tolist())


def test_before_its_onset_a_scenario_is_the_baseline() -> None:
    baseline, _ = pulled("60?seconds=0.5")
    for scenario in ("bicuculline", "ttx", "artifact", "deadelectrode", "storm", "superburst"):
        samples, _ = pulled(f"60?seconds=0.5&onset=0.5&scenario={scenario}")
        assert samples.tobytes() == baseline.tobytes()


def test_storms_raise_the_noise_of_one_electrode_in_eight_in_their_windows_only() -> None:
    uv, _ = microvolts("400?scenario=storm&onset=0.5&seconds=7&rate=2000&noise=10")
    noise = rms(whitened(uv[:2000])).mean()
    seconds = [rms(whitened(uv[a : a + 2000])) / noise for a in range(1000, 12001, 2000)]  # from 0.5 s on
    stormy = seconds[1] > 8
    assert 30 <= stormy.sum() <= 70
    for i, second in enumerate(seconds):
        storm = i in (1, 5)
        assert ((second > 8) == (stormy & storm)).all()
        assert (second[~stormy] < 2).all()


def test_as_many_electrodes_storm_as_asked_for_and_as_long() -> None:
    address = "128?scenario=storm&onset=0.5&seconds=7&rate=2000&noise=10"
    uv, _ = microvolts(f"{address}&storms=64&storm_s=0.5")
    noise = rms(whitened(uv[:2000]))
    halves = [rms(whitened(uv[a : a + 1000])) / noise for a in range(1000, 13001, 1000)]  # from 0.5 s on
    stormy = halves[2] > 4
    assert stormy.sum() == 64
    for i, half in enumerate(halves):
        assert ((half > 4) == (stormy & (i in (2, 10)))).all()
    few = microvolts(f"{address}&storms=8&storm_s=0.5")[0]
    assert (few != microvolts(address.replace("storm", "baseline"))[0]).any(axis=0).sum() == 8


def test_who_does_not_storm_records_what_it_would_without_storms() -> None:
    calm, stormy = (pulled(f"128?seconds=3&{options}")[0] for options in ("", "scenario=storm&storms=64&storm_s=2"))
    same = (calm == stormy).all(axis=0)
    assert same.sum() == 64
    assert true_spikes("128?scenario=storm&storms=64", 0, 5).tobytes() == true_spikes("128", 0, 5).tobytes()


def test_more_storms_than_electrodes_are_all() -> None:
    calm, stormy = (pulled(f"6?seconds=2&{options}")[0] for options in ("", "scenario=storm&storms=64"))
    assert (calm != stormy).any(axis=0).all()


@pytest.mark.parametrize("hz", [50, 60])
def test_hum_is_a_pure_tone_as_high_as_asked_for_on_every_channel(hz: int) -> None:
    uv = settled(f"60?scenario=ttx&seconds=8&hum=50&hum_hz={hz}")
    np.testing.assert_allclose(tone(uv, hz), 50, rtol=0.03)
    for other in (2 * hz, 3 * hz, 110 - hz):
        assert tone(uv, other).max() < 1.5


def test_without_hum_there_is_none() -> None:
    assert tone(settled("60?scenario=ttx&seconds=8&hum=0"), 50).max() < 1


def test_hum_and_fields_are_added_and_change_nothing_else() -> None:
    still, humming = (microvolts(f"60?seconds=2&{options}")[0] for options in ("hum=0", "hum=50&fields=-300"))
    fields = microvolts("60?seconds=2&hum=0&fields=-300")[0]
    sine = 50 * np.sin(2 * np.pi * 50 * np.arange(2 * RATE) / RATE)
    np.testing.assert_allclose(humming - fields, np.repeat(sine[:, None], 60, axis=1), atol=0.4)
    assert true_spikes("60?hum=50&fields=-300", 0, 5).tobytes() == true_spikes("60", 0, 5).tobytes()
    assert np.abs(still - fields)[: round(0.3 * RATE)].max() == 0


def test_field_deflections_come_once_a_second_to_all_electrodes_of_a_well_together() -> None:
    calm, info = microvolts("wells:6x16?seconds=5")
    added = microvolts("wells:6x16?seconds=5&fields=-300")[0] - calm
    wells = np.array([c.well for c in info.channels])
    begins = []
    for well in np.unique(wells):
        mine = added[:, wells == well]
        assert np.ptp(mine, axis=1).max() < 0.4
        below = mine.mean(axis=1)
        peaks = [a + int(below[a : a + RATE].argmin()) for a in range(0, 5 * RATE, RATE)]
        np.testing.assert_allclose(below[peaks], -300, atol=0.3)
        seconds = np.array(peaks) / RATE
        assert ((seconds % 1 > 0.315) & (seconds % 1 < 0.725)).all()
        start = int((below < -1).argmax()) // 20 * 20
        assert abs(peaks[0] - start - 0.02 * RATE) < 20
        t = np.arange(1, 2000) / (0.02 * RATE)
        np.testing.assert_allclose(below[start + 1 : start + 2000], -300 * t * np.exp(1 - t), atol=2)
        begins.append(peaks)
    assert len({tuple(peaks) for peaks in begins}) == 6
    up = microvolts("wells:6x16?seconds=1&fields=300")[0] - calm[:RATE]
    np.testing.assert_allclose(up, -added[:RATE], atol=0.4)


def test_the_reference_has_no_field_deflections_and_broken_electrodes_have_none() -> None:
    options = "seconds=2&scenario=deadelectrode"
    calm, deflected = (microvolts(f"60?{options}{more}")[0] for more in ("", "&fields=-300"))
    untouched = np.flatnonzero((calm == deflected).all(axis=0))
    reference = next(c.position for c in opened("60").info.channels if c.kind == "reference")
    assert reference in untouched
    assert len(untouched) == 1 + 6


@pytest.mark.parametrize("ms", [20, 200])
def test_an_artifact_lasts_as_long_as_asked_for_and_falls_to_1_e_in_a_tenth_of_it(ms: int) -> None:
    calm = pulled("60?seconds=1.5&scenario=artifact&onset=1")[0].astype(int)
    hit = pulled(f"60?seconds=1.5&scenario=artifact&artifact_ms={ms}")[0].astype(int)
    added, first = hit - calm, RATE
    assert not added[:first].any()
    assert added[first : first + 4].min() > 5000, "a step of more than 1 mV in one sample on every channel"
    assert (added[first + 4] - added[first + 3]).max() < -10000
    assert np.abs(added[first : first + 8]).max() > RAIL - 2000, "at the rails beside the stimulated electrode"
    tail, length = added[first + 8 : first + 8 + ms * 20], ms * 20
    far = int(np.abs(tail[0]).argmin())
    ratio = tail[length // 10 : length // 10 + 10, far].mean() / tail[:10, far].mean()
    assert ratio == pytest.approx(math.exp(-1), abs=0.05)
    near = int(np.abs(tail[40:60].mean(axis=0)).argmax())
    saturated = (hit[first + 8 :, near] == RAIL).sum() / length
    assert saturated == pytest.approx(math.log(18000 / 6390) / 10, abs=0.02)


def test_tetrodotoxin_ends_all_spikes_and_fields() -> None:
    address = "60?scenario=ttx&onset=3"
    assert len(true_spikes(address, 0, 3)) > 100
    assert len(true_spikes(address, 3, 8)) < len(true_spikes("60", 3, 8)) / 4
    assert len(true_spikes(address, 8, 200)) == 0
    uv = microvolts("60?scenario=ttx&seconds=12&noise=0")[0][6 * RATE :]
    field = uv.reshape(-1, RATE // 50, 60).mean(axis=1)
    assert np.abs(np.delete(field, 3, axis=1).mean(axis=1) - field[:, 3]).max() < 1


def test_samples_do_not_depend_on_the_systems_word(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = pulled("60?seconds=0.7")
    arange = np.arange

    def short(*args: Any, **kwargs: Any) -> Any:
        """Count in int32 unless told otherwise, as NumPy 1 does on Windows."""
        return arange(*args, **({"dtype": np.int32} | kwargs))

    monkeypatch.setattr(np, "arange", short)
    again, _ = pulled("60?seconds=0.7")
    assert again.tobytes() == whole.tobytes()
