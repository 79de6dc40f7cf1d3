"""What detection makes of the simulation's disturbances, in figures: the way from source to events, without processes.

With the default settings where a test does not say otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from rtspikes.detect.changes import Blank, Change
from rtspikes.detect.events import Events, joined
from rtspikes.detect.settings import ArtifactSettings, DetectSettings, NoiseSettings, StormSettings
from rtspikes.types import RejectReason, Samples, SpikeFlag, StreamInfo, UnobservedReason
from tests.unit.detect.streaming import stream
from tests.unit.devices.simulations import marked, opened, pulled, true_spikes

RATE = 20000
DEFAULT = DetectSettings()


@functools.lru_cache(maxsize=2)
def recorded(address: str) -> tuple[Samples, StreamInfo]:
    return pulled(address)[0], opened(address).info


@functools.lru_cache(maxsize=8)
def detected(
    address: str,
    settings: DetectSettings = DEFAULT,
    changes: Sequence[tuple[int, Change]] = (),
    sizes: Sequence[int] = (8192,),
) -> Events:
    """Return everything that is found in a simulation that ends."""
    samples, info = recorded(address)
    return joined(stream([(0, samples)], info, settings, sizes, changes=changes))


def electrodes(address: str) -> NDArray[np.intp]:
    return np.array([c.position for c in opened(address).info.channels if c.kind == "electrode"])


def sigma(events: Events, from_s: float = 0) -> NDArray[np.float32]:
    """Return σ (updates, channels), µV, of all updates from a time on."""
    return np.array([t.sigma_uv for t in events.thresholds if t.sample >= from_s * RATE])


def without_ids(table: NDArray[np.void]) -> NDArray[np.void]:
    """Return events with the id 0: it counts those of all channels."""
    table = table.copy()
    table["id"] = 0
    return table


def near(times: NDArray[np.int64], others: NDArray[np.int64], samples: int) -> NDArray[np.bool_]:
    """Tell for each of `times` whether one of `others`, in rising order, is at most so many samples away."""
    padded = np.concatenate([[-(10**9)], others, [10**9]])
    at = np.searchsorted(padded, times)
    return np.minimum(padded[at] - times, times - padded[at - 1]) <= samples


# hum and fields

QUIET = "64?scenario=ttx&seconds=16&hum=0"


@pytest.mark.parametrize("hz", [50, 60])
def test_hum_of_50_uv_moves_the_noise_level_by_a_tenth_at_most(hz: int) -> None:
    still, humming = (sigma(detected(a))[-1] for a in (QUIET, f"{QUIET}&hum_hz={hz}".replace("hum=0", "hum=50")))
    assert np.abs(humming / still - 1).max() <= 0.10


def test_hum_of_50_uv_makes_no_events() -> None:
    still, humming = (detected(a) for a in (QUIET, QUIET.replace("hum=0", "hum=50")))
    assert abs(len(humming.spikes) - len(still.spikes)) / 64 / 16 < 0.01


def test_field_deflections_make_less_than_an_event_in_ten_seconds_on_a_channel() -> None:
    still, deflected = (detected(f"{QUIET}{more}") for more in ("", "&fields=-300"))
    assert (len(deflected.spikes) - len(still.spikes)) / 64 / 16 < 0.1
    moved = np.abs(sigma(deflected)[-1] / sigma(still)[-1] - 1)
    assert np.median(moved) < 0.03
    assert moved.max() < 0.1


# doublets


def test_less_than_one_in_a_hundred_second_spikes_is_taken_for_a_rebound() -> None:
    address = "64?seconds=30&doublets=0.5"
    second = np.setdiff1d(true_spikes(address, 0.5, 29.9), true_spikes("64", 0.5, 29.9))
    second = second[second["amplitude_uv"] >= 40]
    events = detected(address)
    rebounds = events.rejected[events.rejected["reason"] == RejectReason.REBOUND]
    lost = found = 0
    for channel in np.unique(second["channel"]):
        times, dropped, spikes = (
            np.sort(table[name][table["channel"] == channel].astype(np.int64))
            for table, name in ((second, "sample"), (rebounds, "crossing"), (events.spikes, "crossing"))
        )
        is_found = near(times, spikes, 14)
        found += int(is_found.sum())
        lost += int((near(times, dropped, 14) & ~is_found).sum())
    assert len(second) > 500
    assert lost / len(second) < 0.01
    assert found / len(second) > 0.95


# superbursts

SUPERBURST = "60?scenario=superburst&onset=2&seconds=40"


def test_a_superburst_moves_the_noise_level_of_a_usual_channel_by_a_tenth_at_most() -> None:
    here = electrodes(SUPERBURST)
    calm = np.median(sigma(detected("60?seconds=12"), 8)[:, here], axis=0)
    moved = sigma(detected(SUPERBURST), 8)[:, here] / calm
    assert np.median(moved, axis=1).max() < 1.10
    assert moved.max() < 1.4
    np.testing.assert_allclose(np.median(moved[-1]), 1, atol=0.03, err_msg="it comes back")


def test_frozen_before_a_superburst_the_noise_level_stays_and_finds_what_the_running_one_finds_and_more() -> None:
    frozen = detected(SUPERBURST, replace(DEFAULT, noise=NoiseSettings(mode="freeze", freeze_after_s=6)))
    running = detected(SUPERBURST)
    assert len(sigma(frozen, 6.1)) == 0
    found = [((e.spikes["sample"] >= 15 * RATE) & (e.spikes["sample"] < 20 * RATE)).sum() for e in (frozen, running)]
    assert found[0] >= found[1] > 1000


# storms

STORM = "128?scenario=storm&storms=64&storm_s=2&seconds=7.5"
CALM = "128?seconds=7.5"


def storming() -> NDArray[np.intp]:
    """Return who storms: whose samples are not as in the calm."""
    return np.flatnonzero((recorded(STORM)[0] != recorded(CALM)[0]).any(axis=0))


def test_64_channels_that_storm_at_once_change_nothing_of_the_others() -> None:
    stormy, calm = detected(STORM), detected(CALM)
    others = np.setdiff1d(np.arange(128), storming())
    assert len(others) == 64
    for name in ("spikes", "crossings", "rejected"):
        a, b = (getattr(events, name) for events in (stormy, calm))
        a, b = (table[np.isin(table["channel"], others)] for table in (a, b))
        assert without_ids(a).tobytes() == without_ids(b).tobytes()
        assert name == "rejected" or len(a) > 500
    a, b = (e.waveforms[np.isin(e.spikes["channel"], others)] for e in (stormy, calm))
    assert a.tobytes() == b.tobytes()
    assert (sigma(stormy)[:, others] == sigma(calm)[:, others]).all()


def test_each_storm_is_more_than_500_events_a_second_without_a_breaker() -> None:
    spikes = detected(STORM, replace(DEFAULT, storm=StormSettings(cap_per_s=0))).spikes
    for second in (1, 2, 5, 6):
        in_it = spikes[spikes["crossing"] // RATE == second]
        assert np.bincount(in_it["channel"], minlength=128)[storming()].min() > 500


def test_storms_are_cut_off_told_and_let_go_by_themselves() -> None:
    events = detected(STORM)
    storms = events.unobserved[events.unobserved["reason"] == UnobservedReason.STORM]
    assert np.unique(storms["channel"]).tolist() == storming().tolist()
    for channel in storming():
        mine = storms[storms["channel"] == channel]
        covered = np.zeros(round(7.5 * RATE), bool)
        for row in mine:
            covered[row["sample"] : row["stop"]] = True
        assert covered[2 * RATE : 3 * RATE].all(), "a second after a storm's begin at the latest"
        assert covered[6 * RATE : 7 * RATE].all()
        assert not covered[round(4.1 * RATE) : 5 * RATE].any(), "a second after a storm's end at the latest"
        hidden = covered[events.spikes["crossing"][events.spikes["channel"] == channel]]
        assert not hidden.any()
    causes = [finding.cause for finding in events.findings]
    assert "storm" in causes
    assert "storm_over" in causes


# artifacts


def blanks(address: str, ms: float) -> tuple[tuple[int, Change], ...]:
    """Return what an engine makes of the marks inside the signal, if it blanks for so long at each stimulus."""
    return tuple((sample, Blank("kind:electrode", ms)) for sample, _, value in marked(address) if value)


def false_part(events: Events, address: str, end_s: float) -> float:
    """Return the part of the spikes up to 0.3 s after a stimulus that neither a true spike nor its rebound explains.

    That is: without a true spike of their channel from 3 ms before the crossing to 1 ms after it.
    """
    truth, spikes = true_spikes(address, 0, end_s), events.spikes
    spikes = spikes[(spikes["crossing"] >= RATE) & (since_stimulus(spikes["crossing"]) < 0.3 * RATE)]
    false = 0
    for channel in np.unique(spikes["channel"]):
        mine = np.concatenate([[-(10**9)], np.sort(truth["sample"][truth["channel"] == channel])])
        crossings = spikes["crossing"][spikes["channel"] == channel]
        false += int((crossings - mine[np.searchsorted(mine, crossings + 20) - 1] > 60).sum())
    return false / len(spikes)


def since_stimulus(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    return (samples - RATE) % (2 * RATE)


@pytest.mark.parametrize("ms", [20, 200])
def test_blanked_at_their_marks_stimuli_leave_no_event_and_no_false_one_behind_them(ms: int) -> None:
    address = f"60?scenario=artifact&artifact_ms={ms}&seconds=9.5"
    events = detected(address, changes=blanks(address, ms))
    silent = round((ms + ArtifactSettings().hold_off_ms) * RATE / 1000)
    crossings = events.spikes["crossing"]
    assert not ((crossings >= RATE) & (since_stimulus(crossings) < silent)).any()
    hidden = events.unobserved[events.unobserved["reason"] == UnobservedReason.BLANKED]
    assert sorted(hidden["channel"]) == sorted([*electrodes(address)] * 5)
    assert set(since_stimulus(hidden["sample"])) == {0}
    assert set((hidden["stop"] - hidden["sample"]).tolist()) == {silent}
    usual = false_part(detected("60?seconds=9.5"), "60", 9.5)
    assert false_part(detected(address), address, 9.5) > usual + 0.2
    assert false_part(events, address, 9.5) < usual + 0.01


def test_what_is_blanked_leaves_no_trace_whatever_it_was() -> None:
    short, long = (f"60?scenario=artifact&artifact_ms={ms}&seconds=6" for ms in (1, 200))
    one, other = (detected(address, changes=blanks(address, 201)) for address in (short, long))
    assert (recorded(short)[0] != recorded(long)[0]).any()
    for name in ("spikes", "crossings", "rejected", "waveforms", "flags", "unobserved"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    here = electrodes(short)
    assert sigma(one)[:, here].tobytes() == sigma(other)[:, here].tobytes()


def test_artifacts_of_200_ms_that_are_not_blanked_move_the_noise_level_by_less_than_2_percent() -> None:
    short, long = (f"60?scenario=artifact&artifact_ms={ms}&seconds=16" for ms in (1, 200))
    moved = np.abs(sigma(detected(long))[-1] / sigma(detected(short))[-1] - 1)[electrodes(long)]
    assert np.median(moved) < 0.02
    assert moved.max() < 0.08, "on the worst of 59 electrodes"


def test_saturation_and_slew_find_the_artifacts_by_themselves() -> None:
    address = "60?scenario=artifact&seconds=9.5"
    settings = replace(DEFAULT, artifacts=ArtifactSettings(saturation=True, slew_uv=500, hold_off_ms=20))
    events = detected(address, settings)
    hidden = events.unobserved[events.unobserved["reason"] == UnobservedReason.BLANKED]
    assert (hidden["sample"] >= RATE).all(), "nothing before the first stimulus"
    assert since_stimulus(hidden["sample"]).max() < 0.005 * RATE
    for stimulus in range(5):
        first = hidden[hidden["sample"] == RATE + 2 * RATE * stimulus]
        assert sorted(first["channel"]) == sorted(electrodes(address)), "from their very first sample on"
    assert false_part(events, address, 9.5) < false_part(detected("60?seconds=9.5"), "60", 9.5) + 0.01


def test_an_artifact_that_is_not_blanked_is_flagged_as_coincident() -> None:
    address = "60?scenario=artifact&seconds=9.5"
    events = detected(address)
    since, flagged = since_stimulus(events.spikes["crossing"]), events.flags & SpikeFlag.COINCIDENT != 0
    at_once = (since <= 8) & (events.spikes["crossing"] >= RATE)
    assert at_once.sum() >= 5 * 50
    assert flagged[at_once].mean() > 0.9
    assert flagged[since > 0.1 * RATE].mean() < 0.01


def test_cuts_change_nothing_of_what_is_blanked() -> None:
    address = "60?scenario=artifact&seconds=2.5&hum=50&fields=-300&doublets=0.5"
    settings = replace(DEFAULT, artifacts=ArtifactSettings(saturation=True, slew_uv=500))
    whole = detected(address, settings, blanks(address, 12.5), (50_000,))
    cut = detected(address, settings, blanks(address, 12.5), (20_001, 3, 1, 1, 700, 17))
    for name in ("spikes", "crossings", "rejected", "waveforms", "flags", "unobserved"):
        assert getattr(cut, name).tobytes() == getattr(whole, name).tobytes(), name
