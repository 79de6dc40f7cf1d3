"""How right detection is on simulated signals with known spikes: figures of the default settings.

The twin of `tests/system/test_accuracy.py`, which needs real recordings. What whole scenarios of `sim:` give is in
`tests/system/test_scenarios.py`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from rtspikes.detect.events import Events
from rtspikes.detect.events import joined as one
from rtspikes.detect.settings import (
    ArtifactSettings,
    DetectSettings,
    FilterSettings,
    NeighbourSettings,
    NoiseSettings,
    ReboundSettings,
    StormSettings,
)
from rtspikes.types import ChannelInfo, RejectReason, SpikeFlag, StreamInfo
from tests.recorded import near
from tests.simulated import spike_shape, stream_info
from tests.simulated_truth import score_simulation, simulated
from tests.unit.detect.streaming import stream
from tests.unit.devices.simulations import true_spikes

RATE_HZ = 20000.0
DEFAULT = DetectSettings()
NO_RULE = ReboundSettings(reject=False)
NOISE_UV = 5.0


@functools.lru_cache(maxsize=4)
def noise(rate_hz: float, seconds: float, channels: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, NOISE_UV, (round(seconds * rate_hz), channels)).astype(np.float32)


def detected(uv: NDArray[np.floating], rate_hz: float, settings: DetectSettings = DEFAULT) -> Events:
    info = stream_info(uv.shape[1], rate_hz, "float32", gain_uv=1.0)
    return one(stream([(0, uv.astype(np.float32))], info, settings, [8192]))


# hum and fields


@pytest.mark.parametrize("hz", [50, 60])
@pytest.mark.parametrize("rate", [10000.0, 12500.0, 25000.0, 30000.0])
def test_hum_moves_the_noise_level_by_a_tenth_at_most_at_any_rate(rate: float, hz: int) -> None:
    still = noise(rate, 10, 6)
    hum = 50 * np.sin(2 * np.pi * hz * np.arange(len(still)) / rate)
    before, after = (
        np.mean([t.sigma_uv for t in detected(x, rate).thresholds if t.sample >= 4.5 * rate])
        for x in (still, still + hum[:, None])
    )
    assert after / before <= 1.10


def deflections(rate_hz: float) -> dict[str, NDArray[np.float64]]:
    """Return slow courses of unit height, 20 ms wide."""
    n = round(20e-3 * rate_hz)
    part = (np.arange(n) + 0.5) / n
    ms = np.arange(-30, 30, 1e3 / rate_hz)
    return {
        "half sine": np.sin(np.pi * part),
        "raised cosine": np.sin(np.pi * part) ** 2,
        "gaussian": np.exp(-((ms / 10) ** 2) * np.log(2)),
    }


@pytest.mark.parametrize("shape", ["half sine", "raised cosine", "gaussian"])
@pytest.mark.parametrize(("rate", "uv"), [(12500.0, -300), (20000.0, -300), (20000.0, 300), (30000.0, -300)])
def test_fields_of_any_course_make_less_than_an_event_in_ten_seconds(rate: float, uv: int, shape: str) -> None:
    still, course = noise(rate, 20, 12), uv * deflections(rate)[shape]
    field = np.zeros(len(still), np.float32)
    for second in range(20):
        at = round((second + 0.35) * rate)
        field[at : at + len(course)] += course
    flat, deflected = (len(detected(x, rate).spikes) / 20 / 12 for x in (still, still + field[:, None]))
    assert deflected - flat < 0.1


# rebounds


@functools.lru_cache(maxsize=3)
def doublets(height_uv: float) -> tuple[NDArray[np.float32], list[NDArray[np.int64]]]:
    """Return noise with spikes of many shapes, each with a second one 2 to 5 ms later, and its troughs by channel."""
    rng = np.random.default_rng(7)
    uv = noise(RATE_HZ, 25, 8).copy()
    ms = np.arange(-1, 4, 1e3 / RATE_HZ)
    seconds: list[NDArray[np.int64]] = []
    for channel in range(8):
        troughs = []
        for first in range(20000, len(uv) - 1000, 800):
            width, late, hump = rng.uniform(0.1, 0.25), rng.uniform(0.4, 0.9), rng.uniform(0, 0.4)
            shape = -np.exp(-((ms / width) ** 2)) + hump * np.exp(-(((ms - late) / rng.uniform(0.3, 0.45)) ** 2))
            second = first + rng.integers(40, 101)
            for at, height in ((first, height_uv), (second, height_uv * rng.uniform(0.7, 1))):
                uv[at - 20 : at + 80, channel] += height * shape
            troughs.append(second)
        seconds.append(np.array(troughs))
    return uv, seconds


@pytest.mark.parametrize("height_uv", [40.0, 80.0, 200.0])
def test_less_than_one_in_a_hundred_second_spikes_is_lost_to_the_rebound_rule(height_uv: float) -> None:
    uv, seconds = doublets(height_uv)
    hits = []
    for settings in (replace(DEFAULT, rebound=NO_RULE), DEFAULT):
        spikes = detected(uv, RATE_HZ, settings).spikes
        trains = [spikes["sample"][spikes["channel"] == c] for c in range(8)]
        hits.append(np.concatenate([near(a, b, 14) for a, b in zip(seconds, trains, strict=True)]))
    without, with_rule = hits
    assert len(without) > 4000
    assert (without & ~with_rule).sum() / without.sum() < 0.01


@pytest.mark.parametrize("seed", [1, 2])
def test_recall_and_precision_on_a_simulated_culture(seed: int) -> None:
    score = score_simulation(f"60?seconds=30&seed={seed}", {})
    assert score.found > 2000
    assert score.recall >= 0.985
    assert score.precision >= 0.975


def test_the_rule_takes_the_rebounds_of_a_steeper_band_pass_and_leaves_the_spikes() -> None:
    settings: Mapping[str, Any] = {"filter": {"order": 2}}
    swings = score_simulation("60?seconds=30", {**settings, "rebound": {"reject": False}})
    without = score_simulation("60?seconds=30", settings)
    assert swings.precision < 0.8
    assert without.precision > 0.97
    assert without.recall > swings.recall - 0.002


# neighbours

DENSE = "8x8?seconds=20"


@functools.cache
def grid_events(exclusive: bool) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Return the spikes of a dense array and where (µm) its electrodes are."""
    samples, info = simulated(DENSE)
    settings = replace(DEFAULT, neighbours=NeighbourSettings(exclusive=exclusive))
    places = np.array([(c.x_um, c.y_um) for c in info.channels], float)
    return one(stream([(0, samples)], info, settings, [8192])).spikes, places


def apart_um(places: NDArray[np.float64], a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.hypot(*(places[a][:, None] - places[b][None]).transpose(2, 0, 1))


def pairs_near_by(spikes: NDArray[np.void], places: NDArray[np.float64]) -> int:
    """Return how many pairs of events on two electrodes are within 50 µm and 1 ms."""
    apart = apart_um(places, spikes["channel"], spikes["channel"])
    together = np.abs(spikes["sample"][:, None] - spikes["sample"][None]) <= 20
    return int((together & (apart > 0) & (apart <= 50)).sum()) // 2


def test_exclusive_leaves_no_two_events_within_50_um_and_1_ms_where_there_were_many() -> None:
    (every, places), (exclusive, _) = (grid_events(own) for own in (False, True))
    assert pairs_near_by(every, places) > 500
    assert pairs_near_by(exclusive, places) == 0
    assert len(exclusive) < len(every)


def test_exclusive_leaves_an_event_of_every_spike_near_its_neuron() -> None:
    truth = true_spikes(DENSE, 0.5, 19.9)
    truth = truth[np.lexsort((-truth["amplitude_uv"], truth["sample"], truth["unit"]))]
    is_first = np.r_[True, (np.diff(truth["unit"]) != 0) | (np.diff(truth["sample"]) > 0)]
    nearest = truth[is_first & (truth["amplitude_uv"] >= 40)]
    (every, places), (exclusive, _) = (grid_events(own) for own in (False, True))

    def is_found(spikes: NDArray[np.void]) -> NDArray[np.bool_]:
        close = apart_um(places, nearest["channel"], spikes["channel"]) <= 50
        return (close & (np.abs(nearest["sample"][:, None] - spikes["sample"][None]) <= 20)).any(axis=1)

    before, after = is_found(every), is_found(exclusive)
    assert len(nearest) > 500
    assert before.mean() > 0.99
    assert after.mean() > before.mean() - 0.01


# coincidence


def coincident(electrodes: int, at_once: int, spread: int = 0, mode: str = "flag") -> tuple[Events, int]:
    """Return what is found of 20 moments at which `at_once` electrodes of one well spike, `spread` samples long."""
    rng = np.random.default_rng(3)
    uv = noise(RATE_HZ, 3, electrodes).copy()
    shape = 200 * spike_shape()
    for moment in range(20):
        chosen = rng.permutation(electrodes)[:at_once]
        for i, channel in enumerate(chosen):
            at = 20000 + 1500 * moment + i * spread // max(1, at_once - 1)
            uv[at : at + len(shape), channel] += shape
    channels = tuple(ChannelInfo(f"E{i}", i, well="A") for i in range(electrodes))
    info = StreamInfo("test:", RATE_HZ, "float32", channels, False)
    settings = replace(DEFAULT, threshold=8.0, artifacts=ArtifactSettings(coincidence=mode))  # type: ignore[arg-type]
    return one(stream([(0, uv)], info, settings, [8192])), 20 * at_once


@pytest.mark.parametrize(("electrodes", "least"), [(16, 8), (40, 8), (60, 9), (100, 15)])
def test_coincidence_flags_from_8_electrodes_or_15_percent_on(electrodes: int, least: int) -> None:
    for at_once, is_flagged in ((least, True), (least - 1, False)):
        events, n = coincident(electrodes, at_once)
        assert len(events.spikes) == n
        assert (events.flags & SpikeFlag.COINCIDENT != 0).mean() == is_flagged


def test_coincidence_is_off_in_small_wells_and_for_what_is_not_at_once() -> None:
    for events, n in (coincident(15, 15), coincident(40, 12, spread=60)):
        assert len(events.spikes) == n
        assert not (events.flags & SpikeFlag.COINCIDENT).any()


def test_coincidence_rejects_on_request_with_its_reason() -> None:
    events, n = coincident(40, 12, mode="reject")
    assert len(events.spikes) == 0
    assert (events.rejected["reason"] == RejectReason.COINCIDENCE).sum() == n


# storms

STORM = "16?scenario=storm&storms=4&storm_s=1.5&seconds=7"


def test_what_a_storm_suppresses_is_counted_to_the_last_trigger() -> None:
    samples, info = simulated(STORM)
    frozen = replace(DEFAULT, noise=NoiseSettings(mode="freeze", freeze_after_s=0.6))
    limited = stream([(0, samples)], info, frozen, [8192])
    every = stream([(0, samples)], info, replace(frozen, storm=StormSettings(cap_per_s=0)), [8192])
    told = [f for f in one(limited).findings if f.cause == "storm_over"]
    missing = len(one(every).crossings) - len(one(limited).crossings)
    assert missing > 1000
    assert sum(f.amount for f in told) == missing


def test_a_neuron_that_fires_fast_is_no_storm() -> None:
    """100 spikes in a second, in bursts at 300 per second."""
    uv = noise(RATE_HZ, 6, 2).copy()
    shape = 150 * spike_shape()
    starts = [
        20000 + 20000 * second + 4000 * burst + 66 * i
        for second, burst, i in itertools.product(range(4), range(4), range(25))
    ]
    for at in starts:
        uv[at : at + len(shape), 0] += shape
    events = detected(uv, RATE_HZ)
    assert not len(events.unobserved)
    trough = int(shape.argmin())
    assert near(np.array(starts) + trough, events.spikes["sample"][events.spikes["channel"] == 0], 10).mean() > 0.99


def test_the_defaults_are_those_that_were_measured() -> None:
    assert DEFAULT.filter == FilterSettings()
    assert DEFAULT.filter.resolved_kind == "spike"
    assert (DEFAULT.method, DEFAULT.dead_time_ms, DEFAULT.rebound.reject) == ("threshold", 1.0, True)
