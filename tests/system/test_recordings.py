"""Accuracy on real recordings with truth, and live = replay = offline on every one of them.

Each has its simulated twin, which always runs: `tests/unit/detect/test_accuracy_simulated.py` for accuracy,
`test_commands.py` for equality.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rtspikes
from tests.recorded import events, make_hybrid, near
from tests.system.processes import rtspikes as command

NAMES = [
    "locust20010201_trial_01",
    "purkinje_cell_attached_first_half",
    "byb_rate_coding_2022-01-13_47s",
    "mcs_w8_20kHz_2014-02-27",
    "axion_maestro_well_A1_2s",
    "axion_maestro_well_B3_2s",
    "axion_maestro_well_C1_2s",
    "sim_martinez2009_simulation1_4s",
    "sim_quiroga2004_C_Easy1_like_10s_nogt",
    "yass_neuropixel_10ch_0.33s",
]
ORDER_1 = {"filter": {"order": 1}, "rebound": {"reject": False}}
"""The band-pass alone: what test_accuracy.py shows of the defaults is more than this."""


def test_purkinje_every_large_spike_is_found_and_no_other(recordings: Path) -> None:
    name = "purkinje_cell_attached_first_half"
    spikes, _ = rtspikes.detect(recordings / f"{name}.raw", {"detect": {"threshold": 8, "filter": {"order": 1}}})
    rows = events(recordings, name, "reference_height_sigma")
    at = np.array([int(r["sample"]) for r in rows])
    large = at[np.array([float(r["label"]) for r in rows]) >= 12]
    assert len(large) == 508
    assert near(large, spikes["sample"], 15).all()
    heights = spikes["amplitude_uv"] / spikes["threshold_uv"] * 8
    assert near(spikes["sample"][heights >= 12], at, 15).all()


def test_mcs_gives_the_vendors_events_exactly(recordings: Path) -> None:
    name = "mcs_w8_20kHz_2014-02-27"
    meta = json.loads((recordings / f"{name}.json").read_text())
    heights = [t * meta["gain_to_uv"] for t in meta["vendor_threshold_counts"]]
    settings = {
        "detect": {"filter": {"kind": "none"}, "align": "crossing", "dead_time_ms": 61 / 20},
        "channels": [{"select": [i], "threshold_uv": height} for i, height in enumerate(heights)],
    }
    spikes, _ = rtspikes.detect(recordings / f"{name}.raw", settings)
    vendor = {(int(r["sample"]), int(r["channel"])) for r in events(recordings, name, "vendor")}
    assert len(vendor) == 225
    assert {(int(s["sample"]), int(s["channel"])) for s in spikes} == vendor
    assert len(spikes) == 225


def test_locust_positive_spikes_of_all_channels(recordings: Path) -> None:
    name = "locust20010201_trial_01"
    settings = {"detect": {"sign": "pos", "threshold": 4, **ORDER_1}}
    spikes, _ = rtspikes.detect(recordings / f"{name}.raw", settings)
    reference = np.array([int(r["sample"]) for r in events(recordings, name, "ref_box3_thr4")])
    assert near(reference, spikes["sample"], 15).mean() >= 0.861
    assert (~near(spikes["sample"], reference, 15)).sum() <= 202


def test_hybrid_recall_and_precision(recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="the hybrid is made with h5py")
    hybrid = make_hybrid(recordings, tmp_path / "hybrid", seed=1, start_s=100)
    if hybrid is None:
        pytest.skip("no make_hybrid.py beside the recordings")
    spikes, _ = rtspikes.detect(hybrid.raw, {"detect": {"threshold": 5, **ORDER_1}})
    score = hybrid.score(spikes["sample"], spikes["channel"])
    assert score.recall >= 0.935
    assert score.precision >= 0.998


@pytest.mark.parametrize("name", NAMES)
def test_offline_and_replay_at_max_and_fast_are_the_same_bytes(name: str, recordings: Path, tmp_path: Path) -> None:
    raw = recordings / f"{name}.raw"
    spikes, waveforms = rtspikes.detect(raw)
    for speed in ("max", "20")[: 2 if NAMES.index(name) % 4 == 0 else 1]:
        log = tmp_path / speed
        done = command("replay", raw, "--speed", speed, "--log", log, "--publish", "tcp://127.0.0.1:0")
        assert done.returncode == 0, done.stderr
        session = rtspikes.read_session(log.with_suffix(".rtspikes"))
        logged = np.array(session.spikes)
        logged["time"] = spikes["time"]
        assert logged.tobytes() == spikes.tobytes()
        assert session.waveforms.tobytes() == waveforms.tobytes()
        assert (session.ended, session.missed, len(session.gaps)) == ("end", 0, 0)
