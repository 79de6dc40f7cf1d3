"""`sim:` addresses: which arrays there are, and what is refused, in one line that says why."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtspikes_devices.sim.address import Simulation, parse_address
from rtspikes_devices.sim.layouts import make_layout
from rtspikes_devices.sim.scenarios import SCENARIOS
from rtspikes_devices.sim.source import SimTruth, open_sim

from rtspikes.clock import LslClock
from rtspikes.errors import ConfigError
from rtspikes.sources import open_source
from rtspikes.sources.settings import SourceSettings
from rtspikes.sources.truth import find_truth
from rtspikes.types import ChannelInfo


def channels(address: str, **settings: Any) -> tuple[ChannelInfo, ...]:
    return open_sim(address, SourceSettings(**settings), LslClock()).info.channels


def refusal(address: str) -> str:
    with pytest.raises(ConfigError) as caught:
        channels(address)
    text = str(caught.value)
    assert text.startswith("sim: ")
    assert "\n" not in text
    return text


def test_60_is_the_mcs_array_named_column_then_row() -> None:
    array = channels("60")
    assert len(array) == 60
    by_label = {c.label: c for c in array}
    assert len(by_label) == 60
    assert not {"11", "18", "81", "88"} & set(by_label)
    assert [array[0].label, array[-1].label] == ["12", "87"]
    assert (by_label["12"].x_um, by_label["12"].y_um) == (0, 200)
    assert (by_label["87"].x_um, by_label["87"].y_um) == (1400, 1200)
    assert [c.label for c in array if c.kind != "electrode"] == ["15"]
    assert by_label["15"].kind == "reference"


def test_64_has_corners_and_no_reference() -> None:
    array = channels("64")
    assert [c.label for c in array] == [f"{column}{row}" for column in range(1, 9) for row in range(1, 9)]
    assert {c.kind for c in array} == {"electrode"}


@pytest.mark.parametrize(
    ("address", "n", "pitch_um"),
    [("64x64", 4096, 42), ("3x2", 6, 42), ("128x128", 16384, 42), ("1", 1, 200), ("10", 10, 200), ("1024", 1024, 200)],
)
def test_grids_have_as_many_electrodes_as_asked_for_each_at_a_place_of_its_own(
    address: str, n: int, pitch_um: float
) -> None:
    array = channels(address)
    assert len(array) == n
    assert len({c.label for c in array}) == len({(c.x_um, c.y_um) for c in array}) == n
    assert [c.position for c in array] == list(range(n))
    assert {c.well for c in array} == {None}
    nearest = {c.x_um - array[0].x_um for c in array[1:2]}  # type: ignore[operator]
    assert nearest <= {pitch_um}


def test_a_grid_is_named_by_column_and_row() -> None:
    assert [c.label for c in channels("3x2")] == ["1-1", "2-1", "3-1", "1-2", "2-2", "3-2"]
    assert [c.label for c in channels("3")] == ["E1", "E2", "E3"]


@pytest.mark.parametrize(("wells", "last"), [(6, "B3"), (12, "C4"), (24, "D6"), (48, "F8"), (96, "H12")])
def test_plates_have_wells_of_their_own_culture(wells: int, last: str) -> None:
    array = channels(f"wells:{wells}x16")
    names = list(dict.fromkeys(c.well for c in array))
    assert len(array) == wells * 16
    assert (len(names), names[0], names[-1]) == (wells, "A1", last)
    assert [c.label for c in array[:5]] == ["A1_11", "A1_21", "A1_31", "A1_41", "A1_12"]
    assert len({c.label for c in array}) == len({(c.x_um, c.y_um) for c in array}) == len(array)


def test_wells_are_further_apart_than_their_electrodes() -> None:
    array = channels("wells:6x4")
    distances = [
        math.hypot(a.x_um - b.x_um, a.y_um - b.y_um)  # type: ignore[operator]
        for a in array
        for b in array
        if a.well != b.well
    ]
    assert min(distances) > 2 * 350


@pytest.mark.parametrize("wells", [121, 400])
def test_labels_are_unique_in_wells_of_any_size(wells: int) -> None:
    array = channels(f"wells:6x{wells}")
    assert len({c.label for c in array}) == len(array)


def test_all_channels_have_the_gain_and_pitch_moves_them() -> None:
    for address in ("60", "3x2", "wells:6x4", "5"):
        assert {(c.gain_uv, c.offset_uv) for c in channels(address)} == {(0.195, 0.0)}
        joiner = "&" if "?" in address else "?"
        assert channels(f"{address}{joiner}pitch=30")[1] != channels(address)[1]


def test_the_address_says_everything_and_nothing_is_the_default() -> None:
    assert parse_address("") == parse_address("60") == parse_address("60?") == Simulation()
    assert parse_address("5?rate=30e3&seed=7&scenario=ttx&onset=2.5&seconds=9&pitch=20&noise=3&gaps=6&live=1") == (
        Simulation("5", 30000, 7, "ttx", 2.5, 9, 20, 3, 6, True)
    )
    assert parse_address("60?hum=50&hum_hz=60&fields=-300&doublets=0.5&storms=64&storm_s=2&artifact_ms=200") == (
        Simulation(hum=50, hum_hz=60, fields=-300, doublets=0.5, storms=64, storm_s=2, artifact_ms=200)
    )
    assert parse_address("60?live").live
    assert not parse_address("60?live=0").live
    assert parse_address("60?scenario=b%69cuculline").scenario == "bicuculline"


def test_every_scenario_has_a_word_for_the_user() -> None:
    assert {"baseline", "bicuculline", "ttx", "artifact", "deadelectrode", "storm", "superburst"} == set(SCENARIOS)
    assert all(s.text for s in SCENARIOS.values())


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("60?rate=999", "sim: rate must be a multiple of 1000, 1000 … 100000 (Hz), got 999.0"),
        ("60?rate=20500", "sim: rate must be a multiple of 1000, 1000 … 100000 (Hz), got 20500.0"),
        ("60?rate=101000", "sim: rate must be a multiple of 1000, 1000 … 100000 (Hz), got 101000.0"),
        ("60?rate=fast", "sim: rate must be a number, got 'fast'"),
        ("60?rate=nan", "sim: rate must be a number, got 'nan'"),
        ("60?rate=inf", "sim: rate must be a number, got 'inf'"),
        ("60?rate=1e999", "sim: rate must be a multiple of 1000, 1000 … 100000 (Hz), got inf"),
        ("60?seed=-1", "sim: seed must be a whole number 0 … 4294967295, got '-1'"),
        ("60?seed=1.5", "sim: seed must be a whole number 0 … 4294967295, got '1.5'"),
        ("60?seed=", "sim: seed must be a whole number 0 … 4294967295, got ''"),
        ("60?seed=٣", "sim: seed must be a whole number 0 … 4294967295, got '٣'"),
        ("60?seed=4294967296", "sim: seed must be a whole number 0 … 4294967295, got 4294967296"),
        ("60?scenario=", "one of baseline, bicuculline, ttx, artifact, deadelectrode, storm, superburst, got ''"),
        ("60?scenario=TTX", "got 'TTX'"),
        ("60?onset=-1", "sim: onset must be 0 … 1e6 (s), in whole ms, got -1.0"),
        ("60?onset=nan", "got 'nan'"),
        ("60?seconds=0", "sim: seconds must be 0.001 … 1e6 (s), got 0.0"),
        ("60?seconds=inf", "got 'inf'"),
        ("60?pitch=4.9", "sim: pitch must be 5 … 2000 (µm), got 4.9"),
        ("60?pitch=0", "got 0.0"),
        ("60?noise=-1", "sim: noise must be 0 … 100 (µV), got -1.0"),
        ("60?noise=101", "got 101.0"),
        ("60?gaps=601", "sim: gaps must be 0 … 600 (per minute), got 601.0"),
        ("60?gaps=-1", "got -1.0"),
        ("60?hum=-1", "sim: hum must be 0 … 5000 (µV), got -1.0"),
        ("60?hum=5001", "got 5001.0"),
        ("60?hum=", "sim: hum must be a number, got ''"),
        ("60?hum_hz=55", "sim: hum_hz must be 50 or 60 (Hz), got 55.0"),
        ("60?fields=5001", "sim: fields must be -5000 … 5000 (µV), got 5001.0"),
        ("60?fields=-5001", "got -5001.0"),
        ("60?doublets=1.01", "sim: doublets must be 0 … 1 (part of the spikes), got 1.01"),
        ("60?doublets=-0.1", "got -0.1"),
        ("60?storms=-1", "sim: storms must be a whole number 0 … 16384, got '-1'"),
        ("60?storms=16385", "sim: storms must be 0 … 16384 (electrodes), got 16385"),
        ("60?storm_s=4.01", "sim: storm_s must be 0.01 … 4 (s), got 4.01"),
        ("60?storm_s=0", "got 0.0"),
        ("60?artifact_ms=1001", "sim: artifact_ms must be 1 … 1000 (ms), got 1001.0"),
        ("60?artifact_ms=0.5", "got 0.5"),
        ("60?live=yes", "sim: live must be 1 or 0, got 'yes'"),
        ("0", "sim: a layout must have 1 … 16384 electrodes, got 0"),
        ("16385", "got 16385"),
        ("129x128", "got 16512"),
        ("99999x99999", "got 9999800001"),
        ("wells:96x171", "got 16416"),
        ("wells:24x0", "got 0"),
        ("wells:7x4", "sim: a plate must have one of 6, 12, 24, 48, 96 wells, got 7"),
        ("wells", "sim: the layout must be 60, 64, COLUMNSxROWS such as 64x64, wells:24x16, or a number of electrodes, "
         "got 'wells'"),
        ("60 ", "got '60 '"),
        ("60\n", "got '60\\n'"),
        ("-1", "got '-1'"),
        ("64X64", "got '64X64'"),
        ("1e3", "got '1e3'"),
        ("9999999", "sim: a layout must have 1 … 16384 electrodes, got 9999999"),
        ("60?seed=1&seed=2", "sim: seed must be given once, got it again in 'seed=2'"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused_with_name_rule_and_value(address: str, text: str) -> None:
    refused = refusal(address)
    assert text in refused
    with pytest.raises(ConfigError) as caught:
        SimTruth(address)
    assert str(caught.value) == refused


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("60?sed=2", "sim: unknown parameter 'sed'; did you mean 'seed'?"),
        ("60?Noise=2", "sim: unknown parameter 'Noise'; did you mean 'noise'?"),
        ("60?szenario=ttx", "sim: unknown parameter 'szenario'; did you mean 'scenario'?"),
        ("60?layout=64", "sim: unknown parameter 'layout'; known: rate, seed, scenario, onset, seconds, pitch,"),
        ("60?=1", "sim: unknown parameter ''; known: rate"),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_nearest_known_one(address: str, hint: str) -> None:
    assert hint in refusal(address)


@pytest.mark.parametrize(
    "settings", [{"start_s": 1.0}, {"stop_s": 1.0}, {"loop": True}, {"uv_per_unit": 0.1}, {"uv_per_unit": 0.0}]
)
def test_settings_that_are_for_files_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^sim: source\.start_s, stop_s, loop and uv_per_unit are for files; "):
        channels("60", **settings)


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, 1e7])
def test_a_pace_that_cannot_be_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match=r"source\.speed"):
        channels("60", speed=speed)


LONG = 10_000


@pytest.mark.parametrize(
    "address",
    [
        "9" * LONG,
        "x" * LONG,
        "9" * LONG + "x" + "9" * LONG,
        "wells:" + "9" * LONG + "x16",
        "60?" + "k" * LONG + "=1",
        "60?rate=" + "9" * LONG,
        "60?onset=1e" + "9" * LONG,
        "60?seed=" + "9" * LONG,
        "60?scenario=" + "s" * LONG,
        "60?live=" + "1" * LONG,
        "60?seconds=%FF%FE%00",
        "60?" + "&".join(["noise=nan"] * 1000),
    ],
    ids=lambda address: address[:12],
)
def test_hostile_addresses_are_refused(address: str) -> None:
    refusal(address)


def test_a_refusal_of_something_long_is_short() -> None:
    for address in ("x" * LONG, "60?rate=" + "z" * LONG, "60?scenario=" + "s" * LONG, "60?" + "k" * LONG + "=1"):
        assert len(refusal(address)) < 300


def test_a_number_is_read_to_its_end() -> None:
    assert "seconds must be a number" in refusal("60?seconds=1." + "0" * 62 + "minutes")


@pytest.mark.parametrize("address", ["６０", "٦٤x٦٤", "60?rate=２００００", "60?rate=20_000", "60?noise= 5"])
def test_numbers_are_plain_digits(address: str) -> None:
    refusal(address)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=40), st.sampled_from(["", "60?", "60?rate=", "60?seed=", "60?seconds=", "60?live=", "wells:"]))
def test_any_text_is_an_address_or_refused_as_one(text: str, before: str) -> None:
    with contextlib.suppress(ConfigError):
        simulation = parse_address(before + text)
        make_layout(simulation.layout, simulation.pitch)


def test_the_scheme_is_found_by_name_and_so_is_the_truth() -> None:
    source = open_source(SourceSettings(uri="sim:wells:6x1?seed=3"), LslClock())
    assert source.info.uri == "sim:wells:6x1?seed=3"
    assert isinstance(find_truth(source.info.uri), SimTruth)
    assert isinstance(find_truth("sim:"), SimTruth)
    assert find_truth("file:sim") is None
    assert find_truth("") is None
