"""The suggestion is a good threshold, wherever the truth is known; and a log alone tells nearly the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rtspikes
from rtspikes.config import Config, config_from
from rtspikes.errors import ConfigError, DataError
from rtspikes.offline import array_recording
from rtspikes.sources.formats import open_recording
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.log.settings import detection_settings
from rtspikes.tuning.findings import Tuning
from rtspikes.tuning.from_log import tune_log
from rtspikes.tuning.material import Material, from_recording, from_source, source_config
from rtspikes.tuning.tune import tune
from tests.scipy_detector import HYBRIDS
from tests.simulated import GAIN_UV, RATE_HZ, simulate
from tests.simulated_truth import score_simulation
from tests.system.processes import rtspikes as command

CULTURE = "16?seconds=12"

AROUND = np.linspace(0.75, 1.35, 7)
"""Thresholds that are tried, in parts of the suggestion."""


def material_of(address: str) -> Material:
    return from_source(source_config(Config(), f"sim:{address}"), 12.0)


@pytest.mark.parametrize("method", ["threshold", "matched"])
def test_on_a_simulation_the_suggestion_is_within_a_hundredth_of_the_best(method: str) -> None:
    found = tune(material_of(CULTURE), config_from({"detect": {"method": method}}))

    def f1(threshold: float) -> float:
        score = score_simulation(CULTURE, {"method": method, "threshold": float(threshold)})
        return 2 * score.recall * score.precision / (score.recall + score.precision)

    best = max(f1(threshold) for threshold in found.candidates[1] * AROUND)
    assert f1(found.candidates[1]) >= best - 0.01


@pytest.mark.parametrize(("name", "method"), list(zip(HYBRIDS, ["threshold", "matched"], strict=True)))
def test_on_hybrids_the_suggestion_is_within_a_hundredth_of_the_best(
    name: str, method: str, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("h5py", reason="hybrids are made with h5py")
    from tests.recorded import make_hybrid

    hybrid = make_hybrid(recordings, tmp_path_factory.mktemp("hybrids") / "hybrid", *HYBRIDS[name])
    if hybrid is None:
        pytest.skip("no make_hybrid.py beside the recordings")
    material = from_recording(open_recording(hybrid.raw), "hybrid", 0.0, 60.0)
    found = tune(material, config_from({"detect": {"method": method}}))

    def f1(threshold: float) -> float:
        spikes, _ = rtspikes.detect(hybrid.raw, {"detect": {"method": method, "threshold": float(threshold)}})
        return float(hybrid.score(spikes["sample"], spikes["channel"]).f1)

    best = max(f1(threshold) for threshold in found.candidates[1] * AROUND)
    assert f1(found.candidates[1]) >= best - 0.01


SAMPLES, TRUTH = simulate(n_channels=6, seconds=5.0, spikes_per_s=25.0, noise_uv=6.0, height_uv=90.0, seed=8)


def small() -> Material:
    return Material("a.raw", array_recording(SAMPLES, RATE_HZ, GAIN_UV), 1000)


def test_a_view_shows_the_signal_the_spikes_and_the_threshold_of_its_channel() -> None:
    config = config_from({"detect": {"noise": {"mode": "freeze"}}})
    found = tune(small(), config)
    assert len(found.views) == 4
    for view in found.views:
        for level, (line,), candidate in zip(found.candidates, view.lines_uv, view.found, strict=True):
            assert line == pytest.approx(-level * view.sigma_uv, rel=1e-4)
            detect = {"threshold": level, "noise": {"mode": "freeze"}}
            spikes, _ = rtspikes.detect(SAMPLES, {"detect": detect}, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV)
            mine = spikes[spikes["channel"] == view.position]
            assert candidate.sample.tolist() == (mine["sample"] + 1000).tolist()
            for sample, amplitude in zip(candidate.sample, candidate.amplitude_uv, strict=True):
                if 0 <= sample - view.first < len(view.signal_uv):
                    assert view.signal_uv[sample - view.first] == amplitude
                    assert amplitude < line
        assert any(view.first <= s < view.first + len(view.signal_uv) for s in view.found[0].sample)


def test_the_array_is_told_as_it_is() -> None:
    found = tune(small(), Config())
    true_hz = np.bincount([c for _, c in TRUTH], minlength=6) / 5.0
    assert found.rates_hz == pytest.approx(true_hz, rel=0.1)
    assert found.sigma_uv == pytest.approx(np.full(6, 5.0), rel=0.25)
    assert found.toml == (f"detect.threshold = {found.candidates[1]:g}",)
    assert found.curve.plateau is not None
    assert found.summary()["channels"][0]["label"] == found.views[0].label


def test_chosen_channels_count_alone_and_are_all_shown() -> None:
    found = tune(small(), Config(), selectors=["2", "#4-5"], candidates=[6.0, 4.0, 5.0])
    assert [view.position for view in found.views] == [2, 4, 5]
    assert found.candidates == (4.0, 5.0, 6.0)
    assert np.isnan(found.rates_hz).tolist() == [True, True, False, True, False, False]
    (line,) = found.toml
    assert line.startswith('channels = [{ select = ["2", "#4-5"], threshold = ')


def test_dead_and_disabled_channels_are_left_out() -> None:
    samples = SAMPLES.copy()
    samples[:, 1] = 0
    material = Material("a.raw", array_recording(samples, RATE_HZ, GAIN_UV), 0)
    found = tune(material, config_from({"channels": [{"select": "3", "enabled": False}]}))
    assert np.isnan(found.rates_hz).tolist() == [False, True, False, True, False, False]
    with pytest.raises(DataError, match="no electrode"):
        tune(material, Config(), selectors=["1"])
    with pytest.raises(ConfigError, match="matches no channel"):
        tune(material, Config(), selectors=["E9"])


def test_stretches_in_which_nothing_moves_are_no_noise() -> None:
    """The channel was unplugged, or blanked, for more than half of the time."""
    still = np.concatenate([SAMPLES, np.zeros((125_000, 6), np.int16)])
    found = tune(Material("a.raw", array_recording(still, RATE_HZ, GAIN_UV), 0), Config())
    assert found.curve.noise_known
    assert found.curve.plateau is not None
    assert found.candidates[1] == pytest.approx(tune(small(), Config()).candidates[1], rel=0.15)


def test_three_thresholds_are_three() -> None:
    with pytest.raises(ConfigError, match="three different thresholds can be compared, got 5, 5, 6"):
        tune(small(), Config(), candidates=[5.0, 5.0, 6.0])


def test_the_only_electrode_is_not_the_busiest() -> None:
    (view,) = tune(Material("a.raw", array_recording(SAMPLES[:, :1], RATE_HZ, GAIN_UV), 0), Config()).views
    assert view.why == "the only electrode"


def test_what_is_said_of_channels_is_so_at_the_thresholds_that_are_shown() -> None:
    found = tune(small(), Config())
    events = {view.why: [len(f.sample) for f in view.found] for view in found.views}
    assert events["most events"][1] == max(n[1] for n in events.values())
    assert events["fewest events"][1] == min(n[1] for n in events.values())


@pytest.mark.parametrize(
    ("detect", "unit", "compared"),
    [
        ({"method": "energy"}, "σ", True),
        ({"method": "matched"}, "σ", True),
        ({"method": "window", "window": {"cutoff_units": 200}}, "units", False),
        ({"method": "hoop", "hoop": {"largest_uv": 300}, "threshold_uv": -30}, "µV", False),
        ({"sign": "both", "reference": {"kind": "median"}}, "σ", False),
    ],
)
def test_every_method_can_be_tuned(detect: dict[str, object], unit: str, compared: bool) -> None:
    found = tune(small(), config_from({"detect": detect}))
    assert (found.unit, found.method) == (unit, detect.get("method", "threshold"))
    assert found.curve.plateau is not None
    assert all((view.compared_uv is not None) == compared for view in found.views)
    assert not any(np.isnan(view.signal_uv).any() for view in found.views)
    true_hz = len(TRUTH) / 6 / 5.0
    at = np.interp(found.curve.suggestion, found.curve.levels, found.curve.rate_hz)
    assert at == pytest.approx(true_hz, rel=0.25)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "first.rtspikes"
    sim = ("run", "--source", f"sim:{CULTURE}", "--set", "source.speed=max", "--publish", "tcp://127.0.0.1:0")
    done = command(*sim, "--set", "detect.threshold=3.5", "--log", folder)
    assert done.returncode == 0, done.stderr
    return folder


def by_signal() -> Tuning:
    return tune(material_of(CULTURE), Config())


def test_a_log_alone_tells_nearly_what_its_signal_does(session: Path) -> None:
    log = read_session(session)
    found, wanted = tune_log(log, detection_settings(log)), by_signal()
    assert found.candidates[1] == pytest.approx(wanted.candidates[1], rel=0.15)
    at = found.curve.levels < 9
    curve = np.interp(found.curve.levels[at], wanted.curve.levels, wanted.curve.rate_hz)
    assert found.curve.rate_hz[at] == pytest.approx(curve, rel=0.15)
    live = ~np.isnan(wanted.rates_hz)
    assert np.isnan(found.rates_hz).tolist() == (~live).tolist()
    assert found.sigma_uv[live] == pytest.approx(wanted.sigma_uv[live], rel=0.1)
    for view in found.views:
        for sample, amplitude in zip(view.found[0].sample, view.found[0].amplitude_uv, strict=True):
            if 0 <= sample - view.first < len(view.signal_uv):
                assert view.signal_uv[sample - view.first] == amplitude


def test_a_log_with_thresholds_in_uv_is_told_in_uv(session: Path, tmp_path: Path) -> None:
    folder = tmp_path / "uv.rtspikes"
    sim = ("run", "--source", f"sim:{CULTURE}", "--set", "source.speed=max", "--publish", "tcp://127.0.0.1:0")
    assert command(*sim, "--set", "detect.threshold_uv=-18", "--log", folder).returncode == 0
    log = read_session(folder)
    found = tune_log(log, detection_settings(log))
    assert (found.unit, found.current) == ("µV", 18.0)
    assert found.candidates[0] >= 18.0
    (line,) = found.toml
    assert line == f"detect.threshold_uv = -{found.candidates[1]:g}"
    for view in found.views:
        assert [lines[0] for lines in view.lines_uv] == [pytest.approx(-k) for k in found.candidates]


def test_a_log_does_not_tell_of_thresholds_below_its_own(session: Path) -> None:
    log = read_session(session)
    with pytest.raises(ConfigError, match=r"thresholds from 3\.5 σ on, got 3"):
        tune_log(log, detection_settings(log), candidates=[3.0, 4.0, 5.0])
    with pytest.raises(DataError, match="'energy' compares is not in a log"):
        tune_log(log, config_from({"detect": {"method": "energy"}}))
