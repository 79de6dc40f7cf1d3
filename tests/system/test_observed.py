"""Observed time of a run with storms, gaps, blanks and mutes: the same in `status`, in the log and in its exports."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import rtspikes
from rtspikes.activity import spread
from rtspikes.subscribers.log.reader import Session
from rtspikes.types import UnobservedReason
from rtspikes.wire.batch import Batch
from tests.system.processes import Running
from tests.system.processes import rtspikes as run_to_end

SETTINGS = ("source.speed=4", "detect.storm.cap_per_s=50")
CHANGES = ((2, "blank", "1*", 300), (4, "mute", "2*"), (6, "blank", "*", 50), (8, "unmute", "2*"))
"""When (s, at the earliest) and what."""


class Heard(NamedTuple):
    """A run as its log and its subscriber have it."""

    session: Session
    batches: list[Batch]
    status: dict[str, Any]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    log = tmp_path_factory.mktemp("observed") / "s"
    source = ("--source", "sim:60?seconds=18&scenario=storm&gaps=20", "--publish", "tcp://127.0.0.1:0", "--log", log)
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    changes = list(CHANGES)
    batches = []
    kinds = ("spikes", "unobserved", "notices", "status")
    with (
        Running("run", *source, *options, "--wait-subscribers", 1) as run,
        rtspikes.subscribe(run.endpoint(), kinds=kinds, connect_timeout_s=60) as subscriber,
    ):
        for batch in subscriber:
            batches.append(batch)
            if changes and batch.to_sample > changes[0][0] * 20_000:
                _, name, *arguments = changes.pop(0)
                with rtspikes.control(subscriber.endpoint) as engine:
                    getattr(engine, name)(*arguments)
        assert run.finish() == 0, run.err
    status = [batch.fields for batch in batches if batch.kind == "status"][-1]
    return Heard(rtspikes.read_session(log.with_suffix(".rtspikes")), batches, status)


def column(status: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(status["observed"], "<f4")


def test_every_reason_occurs(heard: Heard) -> None:
    assert set(heard.session.unobserved["reason"].tolist()) == set(UnobservedReason)
    assert len(heard.session.gaps) > 2
    assert {n["change"]["change"] for n in heard.session.controls} == {"blank", "mute", "unmute"}


def test_the_log_has_what_was_published(heard: Heard) -> None:
    for name in ("spikes", "flags", "unobserved"):
        sent = np.concatenate([getattr(batch, name) for batch in heard.batches if batch.kind in (name, "spikes")])
        assert getattr(heard.session, name).tobytes() == sent.tobytes()


def test_status_and_log_say_the_same_observed_time(heard: Heard) -> None:
    np.testing.assert_array_equal(column(heard.status), heard.session.observed_s.astype(np.float32))
    enabled = np.array(heard.session.info["enabled"])
    assert heard.status["observed_s"] == spread(heard.session.observed_s[enabled])
    assert heard.status["active_electrodes"] == int(heard.session.active.sum()) > 0


def test_storms_are_noticed_with_their_channels(heard: Heard) -> None:
    storms = [n for n in heard.session.notices if n["cause"] == "storm"]
    assert storms
    stormed = heard.session.unobserved["channel"][heard.session.unobserved["reason"] == UnobservedReason.STORM]
    assert {channel for n in storms for channel in n["channels"]} == set(stormed.tolist())
    over = sum(n["count"] for n in heard.session.notices if n["cause"] == "storm_over")
    assert 0 < over <= heard.status["suppressed"]


def test_info_and_export_say_it_too(heard: Heard, tmp_path: Path) -> None:
    folder = heard.session.path
    facts = json.loads(run_to_end("info", folder, "--json").stdout)
    assert facts["active_electrodes"] == heard.status["active_electrodes"]
    assert facts["observed_s"] == heard.status["observed_s"]
    assert facts["rejected_by_reason"] == {k: n for k, n in heard.status["rejected"].items() if n}
    assert sum(facts["flagged"].values()) == heard.status["counts"]["flagged"]
    done = run_to_end("export", folder, "--to", "csv", "-o", tmp_path / "a.csv")
    assert str(tmp_path / "a-channels.csv") in done.stdout
    with open(tmp_path / "a-channels.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["observed_s"]) for row in rows] == heard.session.observed_s.tolist()
    assert [int(row["spikes"]) for row in rows] == heard.session.counts.tolist()
    assert sum(int(row["active"]) for row in rows) == heard.status["active_electrodes"]
