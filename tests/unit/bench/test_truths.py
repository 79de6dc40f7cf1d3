"""What is known of recordings: twins, folders of recordings that nobody has seen before, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.scoring import ANYWHERE
from bench.truths import TWINS, HybridError, hybrids, recorded, recorded_with_truth, twin
from rtspikes.errors import DataError
from tests.unit.bench.test_by_hand import RATE_HZ, planted


def write(
    folder: Path, name: str, sign: int = -1, early: int = 0, kind: str = "ground_truth", column: str = "channel"
) -> Path:
    """Write planted spikes as a recording whose labels come `early` (samples)."""
    recording = planted(80, sign)
    raw = folder / f"{name}.raw"
    (recording.samples / 0.25).astype("<i2").tofile(raw)
    meta = {"sampling_rate_hz": RATE_HZ, "n_channels": 3, "dtype": "int16", "gain_to_uv": 0.25}
    raw.with_suffix(".json").write_text(json.dumps(meta))
    truth = recording.truth
    lines = ["kind,sample,channel,label,snr"]
    for sample, channel in zip(truth.sample.tolist(), truth.channel.tolist(), strict=True):
        lines.append(f"{kind},{sample - early},{channel if column == 'channel' else ''},7,9.5")
    raw.with_suffix(".events.csv").write_text("\n".join(lines) + "\n")
    return raw


@pytest.mark.parametrize(("sign", "name"), [(-1, "neg"), (1, "pos")])
@pytest.mark.parametrize("early", [0, 22])
def test_which_way_spikes_go_and_where_their_extremum_is_are_seen(
    sign: int, name: str, early: int, tmp_path: Path
) -> None:
    recording = recorded(write(tmp_path, "unseen", sign, early))
    assert recording is not None
    assert (recording.known, recording.sign) == ("exact", name)
    shifted = recording.truth.sample - planted(80, sign).truth.sample
    assert np.abs(shifted).max() <= 2
    assert (recording.truth.snr == 9.5).all()


def test_labels_without_a_channel_are_of_any_electrode(tmp_path: Path) -> None:
    recording = recorded(write(tmp_path, "anywhere", column=""))
    assert recording is not None
    assert (recording.truth.channel == ANYWHERE).all()
    assert recording.sign == "neg"


def test_what_is_known_is_said(tmp_path: Path) -> None:
    write(tmp_path, "a_truth")
    write(tmp_path, "b_vendor", kind="vendor")
    write(tmp_path, "c_no_events", kind="stimulus")
    write(tmp_path, "d_without").with_suffix(".events.csv").unlink()
    told: list[str] = []
    known = {r.name: r.known for r in recorded_with_truth(tmp_path, told.append)}
    assert known == {"a_truth": "exact", "b_vendor": "reference detector"}
    assert not told
    list(recorded_with_truth(tmp_path, told.append, tell_all=True))
    assert told == [
        "c_no_events.raw is left out: c_no_events.events.csv has no true spike that counts: kind must be ground_truth, "
        "or begin with reference, ref_, vendor, other_detector",
        "d_without.raw is left out: its spikes are not known: there is no d_without.events.csv",
    ]


def test_a_recording_without_sidecar_is_told(tmp_path: Path) -> None:
    write(tmp_path, "alone").with_suffix(".json").unlink()
    told: list[str] = []
    assert list(recorded_with_truth(tmp_path, told.append)) == []
    assert len(told) == 1
    assert told[0].startswith("alone.raw is left out: ")
    assert "alone.json" in told[0]


def test_heights_in_sigma_say_which_reference_events_are_wanted(tmp_path: Path) -> None:
    raw = write(tmp_path, "heights", kind="reference_height_sigma")
    path = raw.with_suffix(".events.csv")
    path.write_text(path.read_text().replace(",7,9.5", ",11.9,").replace(",11.9,", ",12.5,", 50))
    recording = recorded(raw)
    assert recording is not None
    assert recording.truth.wanted.sum() == 50


def test_a_recording_that_cannot_be_read_is_told_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, "good")
    raw = write(tmp_path, "bad")
    path = raw.with_suffix(".events.csv")
    path.write_text(path.read_text().replace(",2,7", ",3,7"))
    with pytest.raises(DataError, match=r"line \d+: channel must be 0 … 2"):
        recorded(raw)
    told: list[str] = []
    assert [r.name for r in recorded_with_truth(tmp_path, told.append)] == ["good"]
    assert len(told) == 1
    assert told[0].startswith("bad.raw is left out: ")


def test_without_their_tool_there_are_no_hybrids(tmp_path: Path) -> None:
    with pytest.raises(HybridError, match="make_hybrid"):
        list(hybrids(tmp_path / "data" / "recordings", tmp_path))


@pytest.mark.parametrize("name", ["culture", "small spikes"])
def test_twins_know_their_spikes(name: str) -> None:
    recording = twin(name)
    assert recording.samples.shape == (15 * 20000, 16)
    wanted = recording.truth.only(recording.truth.wanted)
    assert len(wanted.sample) > 200
    assert wanted.snr.min() >= (5 if name == "small spikes" else 8)
    assert name in TWINS
