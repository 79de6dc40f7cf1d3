"""A simulation's truth, live and afterwards: `listen --truth`, and what `info` says of a session."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import rtspikes
from rtspikes.subscribers.score import Score, score_session
from tests.simulated import simulate, write_recording
from tests.system.processes import Running, said
from tests.system.processes import rtspikes as run_to_end

OPTIONS = ("--publish", "tcp://127.0.0.1:0", "--set", "source.speed=4")


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[dict[str, object]], str]:
    """Return a session of a simulation with gaps, and what two listeners made of it live: text, JSON, and summary."""
    log = tmp_path_factory.mktemp("truth") / "s"
    arguments = ("--source", "sim:60?seconds=6&gaps=60", "--log", log, "--wait-subscribers", 2)
    with Running("run", *arguments, *OPTIONS) as run:
        endpoint = run.endpoint()
        with (
            Running("listen", endpoint, "--truth") as text,
            Running("listen", endpoint, "--truth", "--json", "--topic", "gaps") as lines,
        ):
            assert [p.finish() for p in (run, text, lines)] == [0, 0, 0], (run.err, text.err, lines.err)
            assert said(text.err) == said(lines.err)
            return log.with_suffix(".rtspikes"), text.out, [json.loads(x) for x in lines.out], text.err[-1]


Heard = tuple[Path, list[str], list[dict[str, object]], str]


def scored(folder: Path) -> Score:
    score = score_session(rtspikes.read_session(folder))
    assert score is not None
    return score


def test_hits_and_misses_are_told_as_they_happen(heard: Heard) -> None:
    folder, text, events, _ = heard
    session, score = rtspikes.read_session(folder), scored(folder)
    assert score.false > 0
    assert score.missed > 0
    told = {kind: [e for e in events if e["kind"] == kind] for kind in ("false", "missed", "gaps", "spikes")}
    assert len(told["gaps"]) == len(session.gaps) == 6
    assert not told["spikes"]
    assert (len(told["false"]), len(told["missed"])) == (score.false, score.missed)
    assert sum("FALSE: no true spike" in line for line in text) == len(told["false"])
    assert sum("MISSED: " in line for line in text) == len(told["missed"])
    assert sum("(threshold" in line for line in text) == len(session.spikes)
    found = set(zip(session.spikes["sample"].tolist(), session.spikes["channel"].tolist(), strict=True))
    assert all((e["sample"], e["channel"]) in found for e in told["false"])


def test_the_summary_is_that_of_the_log(heard: Heard) -> None:
    folder, _, _, summary = heard
    score = scored(folder)
    assert summary == (
        f"recall {score.recall:.3f} ({score.missed} of {score.found + score.missed} missed), "
        f"precision {score.precision:.3f} ({score.false} of {score.hits + score.false} false)"
    )
    assert min(score.recall, score.precision) > 0.95


def test_info_says_how_a_simulated_session_compares(heard: Heard) -> None:
    folder = heard[0]
    facts = json.loads(run_to_end("info", folder, "--json").stdout)
    score = scored(folder)
    assert facts["true_spikes"] == score.found + score.missed
    assert (facts["recall"], facts["precision"]) == (round(score.recall, 4), round(score.precision, 4))
    assert 5.5 < facts["observed_s"]["median"] < 6.0


def test_a_real_signal_has_no_truth(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "r", simulate(1, 1.0)[0])
    with Running("replay", recording, "--loop", *OPTIONS) as run:
        listened = run_to_end("listen", run.endpoint(), "--truth")
    assert listened.returncode == 2
    assert re.fullmatch(r"rtspikes: --truth needs .* such as sim:60, got file:.*r\.raw\n", listened.stderr)
    assert run_to_end("replay", recording, "--log", tmp_path / "s", *OPTIONS).returncode == 0
    assert "recall" not in run_to_end("info", tmp_path / "s.rtspikes").stdout


def test_a_logger_that_joins_late_is_scored_from_there(tmp_path: Path) -> None:
    options = ("--publish", "tcp://127.0.0.1:0", "--set", "source.speed=4")
    with Running("run", "--source", "sim:60?seconds=16", *options) as run:
        run.wait_line(" spikes/s")
        with Running("log", run.endpoint(), tmp_path / "late") as log:
            assert [run.finish(), log.finish()] == [0, 0]
    facts = json.loads(run_to_end("info", tmp_path / "late.rtspikes", "--json").stdout)
    assert facts["length_s"] == 16
    assert 1 < facts["observed_s"]["median"] < 15
    assert min(facts["recall"], facts["precision"]) > 0.95


def test_info_of_a_simulation_of_another_version_has_all_but_the_score(heard: Heard, tmp_path: Path) -> None:
    shutil.copytree(heard[0], tmp_path / "s.rtspikes")
    text = (tmp_path / "s.rtspikes" / "session.json").read_text("utf-8")
    (tmp_path / "s.rtspikes" / "session.json").write_text(text.replace("&gaps=60", "&gaps=60&moon=full"), "utf-8")
    done = run_to_end("info", tmp_path / "s.rtspikes", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["spikes"] > 0
    assert "recall" not in facts
