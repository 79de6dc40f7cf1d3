"""Amplitudes of neighbours: from the settings to subscribers, the log and its exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import rtspikes
from tests.system.processes import Running
from tests.system.processes import rtspikes as run_to_end

COUNT = 5


def test_neighbours_amplitudes_come_with_every_spike(tmp_path: Path) -> None:
    source = ("--source", "sim:60?seconds=4", "--set", "source.speed=max", "--publish", "tcp://127.0.0.1:0")
    options = ("--set", f"detect.neighbours.amplitudes={COUNT}", "--set", "detect.neighbours.radius_um=300")
    with (
        Running("run", *source, *options, "--log", tmp_path / "s", "--wait-subscribers", 1) as run,
        rtspikes.subscribe(run.endpoint(), connect_timeout_s=60) as subscriber,
    ):
        batches = list(subscriber)
        assert run.finish() == 0, run.err
        assert (subscriber.malformed, subscriber.missed_total) == (0, 0)
    log = rtspikes.read_session(tmp_path / "s.rtspikes")
    assert len(log.spikes) > 20
    near = np.concatenate([batch.neighbours for batch in batches])
    assert near.shape == (len(log.spikes), COUNT)
    assert log.neighbours.tobytes() == near.tobytes()
    lists = log.info["neighbours"]
    assert (len(lists), log.info["neighbour_count"]) == (60, COUNT)
    has = np.array([len(lists[channel]) for channel in log.spikes["channel"]])
    assert set(has.tolist()) > {COUNT}, "electrodes at the border have fewer"
    assert (np.isfinite(near).sum(axis=1) == has).all()
    assert not np.isfinite(near[np.arange(COUNT) >= has[:, None]]).any(), "what is missing stands at the end"
    run_to_end("export", log.path, "--to", "npz", "-o", tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["neighbours"].tobytes() == near.tobytes()
        assert json.loads(str(arrays["info"]))["neighbours"] == lists
