"""NAME.raw + NAME.json: what is read, and what is refused with which words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtspikes.errors import DataError, RtspikesError
from rtspikes.sources.formats import open_recording
from rtspikes.sources.formats.raw import RawRecording
from rtspikes.types import ChannelInfo
from tests.simulated import GAIN_UV, write_recording

SAMPLES = np.arange(-6, 6, dtype=np.int16).reshape(4, 3)


def read(recording: RawRecording, start: int = 0, n: int | None = None) -> np.ndarray:
    total = recording.info.n_samples or 0
    destination = np.full((total - start if n is None else n, recording.info.n_channels), 77, recording.info.dtype)
    recording.read(start, destination)
    return destination


def microvolts(recording: RawRecording) -> np.ndarray:
    channels = recording.info.channels
    return read(recording) * np.array([c.gain_uv for c in channels]) + np.array([c.offset_uv for c in channels])


def test_samples_and_layout_are_those_of_the_file(tmp_path: Path) -> None:
    recording = RawRecording(write_recording(tmp_path / "a", SAMPLES))
    info = recording.info
    assert (info.rate_hz, info.dtype, info.n_samples, info.live) == (20000.0, "int16", 4, False)
    assert info.channels[1] == ChannelInfo("E2", 1, gain_uv=GAIN_UV)
    np.testing.assert_array_equal(read(recording), SAMPLES)
    np.testing.assert_array_equal(read(recording, 1, 2), SAMPLES[1:3])


def test_properties_of_channels_come_from_the_sidecar(tmp_path: Path) -> None:
    sidecar = {
        "channel_ids": [12, "Ref", "x"],
        "channel_kinds": ["electrode", "reference", "aux"],
        "wells": ["A1", None, 7],
        "positions_um": [[0, 200.5], [None, None], [1, 2, 3]],
    }
    info = RawRecording(write_recording(tmp_path / "a", SAMPLES, **sidecar)).info
    assert info.channels == (
        ChannelInfo("12", 0, well="A1", x_um=0.0, y_um=200.5, gain_uv=GAIN_UV),
        ChannelInfo("Ref", 1, "reference", gain_uv=GAIN_UV),
        ChannelInfo("x", 2, "aux", well="7", x_um=1.0, y_um=2.0, gain_uv=GAIN_UV),
    )


def test_channels_without_ids_are_labelled_by_position(tmp_path: Path) -> None:
    info = RawRecording(write_recording(tmp_path / "a", SAMPLES, channel_ids=None)).info
    assert info.labels == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("dtype", "values", "stored_as", "stored"),
    [
        ("int16", [-32768, 0, 32767], "int16", [-32768, 0, 32767]),
        ("uint16", [0, 32768, 65535], "int16", [-32768, 0, 32767]),
        ("int32", [-(2**24), 5, 2**24], "float32", [-(2.0**24), 5.0, 2.0**24]),
        ("float32", [-1.5, 0.0, 1e30], "float32", [-1.5, 0.0, np.float32(1e30)]),
        ("float64", [-1.5, 0.1, 1e6], "float32", [-1.5, np.float32(0.1), 1e6]),
    ],
)
def test_every_sample_type_keeps_its_voltage(
    tmp_path: Path, dtype: str, values: list[float], stored_as: str, stored: list[float]
) -> None:
    samples = np.array(values, dtype)[:, None]
    recording = RawRecording(write_recording(tmp_path / "a", samples, gain_to_uv=[0.5], offset_to_uv=[10]))
    assert recording.info.dtype == stored_as
    np.testing.assert_array_equal(read(recording)[:, 0], np.array(stored, stored_as))
    np.testing.assert_allclose(microvolts(recording)[:, 0], np.array(values) * 0.5 + 10, rtol=1e-6)
    converted = None if stored_as == dtype else f"{dtype} to {stored_as}"
    assert recording.info.facts.get("conversion") == converted, "a conversion copy is stated"


def test_values_beyond_float32_become_infinite_without_a_warning(tmp_path: Path) -> None:
    recording = RawRecording(write_recording(tmp_path / "a", np.array([[1e300], [-1e300]])))
    np.testing.assert_array_equal(read(recording)[:, 0], [np.inf, -np.inf])


def test_gains_and_offsets_may_differ_by_channel(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a", SAMPLES, gain_to_uv=[1, -2, 0.5], offset_to_uv=[0, 1, 2])
    np.testing.assert_allclose(microvolts(RawRecording(path)), SAMPLES * [1, -2, 0.5] + [0, 1, 2])


@pytest.mark.parametrize(
    ("unit", "gain"),
    [
        ("uV", 1),
        ("µV", 1),
        ("\u03bcV", 1),
        ("Microvolts", 1),
        (" mV ", 1e3),
        ("millivolts", 1e3),
        ("V", 1e6),
        ("volts", 1e6),
    ],
)
def test_a_known_unit_needs_no_gain(tmp_path: Path, unit: str, gain: float) -> None:
    info = RawRecording(write_recording(tmp_path / "a", SAMPLES, gain_to_uv=None, unit=unit)).info
    assert {c.gain_uv for c in info.channels} == {gain}
    assert info.facts["unit"] == unit


@pytest.mark.parametrize("unit", ["counts", "", None, 5])
def test_an_unknown_unit_is_refused_unless_the_user_says_its_size(tmp_path: Path, unit: object) -> None:
    path = write_recording(tmp_path / "a", SAMPLES, gain_to_uv=None, unit=unit)
    with pytest.raises(DataError, match=r"no known size and gain_to_uv is missing.*source\.uv_per_unit"):
        RawRecording(path)
    assert RawRecording(path, 0.25).info.channels[2].gain_uv == 0.25


def test_uv_per_unit_overrides_the_sidecar(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a", SAMPLES.astype(np.uint16), gain_to_uv=[1, 2, 3])
    info = RawRecording(path, -0.5).info
    assert [(c.gain_uv, c.offset_uv) for c in info.channels] == [(-0.5, 32768 * -0.5)] * 3


@pytest.mark.parametrize("uv_per_unit", [0.0, float("nan"), float("inf")])
def test_a_useless_uv_per_unit_is_blamed_on_the_setting_not_on_the_file(tmp_path: Path, uv_per_unit: float) -> None:
    with pytest.raises(RtspikesError, match=r"source\.uv_per_unit must be .*got"):
        RawRecording(write_recording(tmp_path / "a", SAMPLES), uv_per_unit)


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown format '\.xyz'; known: \.raw"):
        open_recording(tmp_path / "a.xyz")


def test_the_suffix_may_be_upper_case(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a", SAMPLES)
    assert open_recording(path.rename(tmp_path / "a.RAW")).info.n_samples == 4


def test_a_missing_file_a_missing_sidecar_and_an_empty_file_are_told_apart(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a", SAMPLES)
    with pytest.raises(DataError, match="no such file"):
        RawRecording(tmp_path / "b.raw")
    with pytest.raises(DataError, match="directory|denied"):
        RawRecording(tmp_path)
    path.with_suffix(".json").rename(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"its sidecar a\.json is missing; it must give sampling_rate_hz"):
        RawRecording(path)
    (tmp_path / "b.json").rename(path.with_suffix(".json"))
    path.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        RawRecording(path)


def test_a_torn_file_is_refused_with_the_size_to_cut_it_to(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a", SAMPLES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"23 bytes are not a whole number of frames of 3 × int16 .*18 bytes"):
        RawRecording(path)


def test_a_file_cut_at_a_frame_is_refused_unless_the_sidecar_agrees(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a", SAMPLES)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"holds 3 samples but a\.json says 4; the file is truncated"):
        RawRecording(path)
    sidecar = path.with_suffix(".json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"n_samples": 3}))
    assert RawRecording(path).info.n_samples == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "the sidecar must be a JSON object, got []"),
        (b"null", "the sidecar must be a JSON object, got nothing"),
        (None, "a.json"),  # a folder
    ],
)
def test_a_sidecar_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = write_recording(tmp_path / "a", SAMPLES)
    sidecar = path.with_suffix(".json")
    if content is None:
        sidecar.unlink()
        sidecar.mkdir()
    else:
        sidecar.write_bytes(content)
    with pytest.raises(DataError) as caught:
        RawRecording(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_channels", None, "n_channels must be a whole number 1 … 1000000, got nothing"),
        ("n_channels", 0, "got 0"),
        ("n_channels", -3, "got -3"),
        ("n_channels", 3.0, "got 3.0"),
        ("n_channels", True, "got True"),
        ("n_channels", "3", "got '3'"),
        ("n_channels", 10**9, "got 1000000000"),
        ("n_channels", 5, "24 bytes are not a whole number of frames of 5 × int16"),
        ("n_channels", 2, "the file holds 6 samples but a.json says 4"),
        ("dtype", None, "dtype must be one of int16, float32, uint16, int32, float64, got nothing"),
        ("dtype", "int8", "got 'int8'"),
        ("dtype", ["int16"], "dtype must be one of"),
        ("dtype", "float64", "the file holds 1 samples but a.json says 4"),
        ("byte_order", "big", "byte_order must be \"little\", got 'big'"),
        ("sampling_rate_hz", None, "sampling_rate_hz must be a finite number > 0, got nothing"),
        ("sampling_rate_hz", 0, "got 0"),
        ("sampling_rate_hz", float("nan"), "got nan"),
        ("sampling_rate_hz", float("inf"), "got inf"),
        ("sampling_rate_hz", "20000", "got '20000'"),
        pytest.param("sampling_rate_hz", 10**400, "sampling_rate_hz must be a finite number", id="rate of 400 digits"),
        ("n_samples", 5, "the file holds 4 samples but a.json says 5"),
        ("n_samples", "4", "says '4'"),
        ("gain_to_uv", 0, "gain_to_uv must be finite and not 0, got 0"),
        ("gain_to_uv", float("inf"), "gain_to_uv must be a finite number, got inf"),
        ("gain_to_uv", "1", "gain_to_uv must be a finite number, got '1'"),
        ("gain_to_uv", [1, 2], "gain_to_uv must be a list of 3 (n_channels), got 2"),
        ("gain_to_uv", [1, 2, "x"], "got 'x'"),
        ("gain_to_uv", [1, 0, 1], "finite and not 0"),
        ("offset_to_uv", float("nan"), "offset_to_uv must be a finite number, got nan"),
        ("offset_to_uv", [1], "offset_to_uv must be a list of 3 (n_channels), got 1"),
        ("channel_ids", ["a", "b"], "channel_ids must be a list of 3 (n_channels), got 2"),
        ("channel_ids", "abc", "got 'abc'"),
        ("channel_ids", ["a", "b", "a"], "channel_ids must be unique, got 'a'"),
        ("channel_ids", [1, "1", 2], "channel_ids must be unique, got '1'"),
        ("channel_kinds", ["electrode", "lfp", "aux"], "each of channel_kinds must be one of electrode"),
        ("channel_kinds", [[], {}, 1], "each of channel_kinds must be one of electrode"),
        ("wells", ["A1"], "wells must be a list of 3 (n_channels), got 1"),
        ("positions_um", [[0, 0]], "positions_um must be a list of 3 (n_channels), got 1"),
        ("positions_um", [[0, 0], [0], [0, 0]], "positions_um must be pairs of µm, got [0]"),
        ("positions_um", [[0, 0], [0, "x"], [0, 0]], "positions_um must be a finite number, got 'x'"),
        ("positions_um", [0, 1, 2], "positions_um must be pairs of µm, got 0"),
    ],
)
def test_a_wrong_or_contradicting_sidecar_is_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    path = write_recording(tmp_path / "a", SAMPLES, **{key: value})
    with pytest.raises(DataError) as caught:
        RawRecording(path)
    assert message in str(caught.value)
    assert "a.json" in str(caught.value) or "a.raw" in str(caught.value)


def test_a_file_that_is_cut_while_it_is_open_is_told(tmp_path: Path) -> None:
    samples = np.arange(4000, dtype=np.int16).reshape(1000, 4)
    path = write_recording(tmp_path / "r", samples)
    recording = RawRecording(path)
    block = np.zeros((500, 4), np.int16)
    recording.read(0, block)
    assert (block == samples[:500]).all()
    os.truncate(path, 700 * 8)
    with pytest.raises(DataError, match=r"another program has cut it: it ends before sample 1000, but held 1000"):
        recording.read(500, block)
