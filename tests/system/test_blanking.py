"""Marks blank: those inside the signal at exactly their samples, live, replayed and offline alike, and so again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rtspikes as package
from rtspikes.clock import LslClock
from rtspikes.config import Config, config_from, load_config
from rtspikes.detect.changes import Blank, Change
from rtspikes.engine import Engine
from rtspikes.protocols import Mark, Source
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.record import record_session
from rtspikes.subscribers.log.writer import LOGGED_KINDS
from rtspikes.types import ChannelInfo, StreamInfo
from tests.simulated import GAIN_UV, simulate, stream_info, write_recording
from tests.system.markers import FakeMarkers, Marker
from tests.system.processes import Running, rtspikes, wait_until
from tests.system.sources import ArraySource
from tests.system.test_remarks import Anchored

ELECTRODES, _ = simulate(n_channels=4, seconds=2.0, spikes_per_s=60)

EDGES = [(3_000, 1), (3_100, 0), (12_000, 1), (12_040, 0), (12_288, 1), (20_480, 5), (31_111, 1)]
"""Where the trigger channel changes, and to what."""

MS = 40.0

STOP = 800
"""Samples in MS."""


def with_trigger() -> NDArray[np.int16]:
    """Return the electrodes and, behind the second, the trigger channel."""
    word = np.zeros(len(ELECTRODES), np.int16)
    for sample, value in EDGES:
        word[sample:] = value
    return np.insert(ELECTRODES, 2, word, axis=1)


SAMPLES = with_trigger()

RULES = [{"line": "D1", "value": 1, "ms": MS}, {"line": "D1", "value": 5, "ms": MS, "select": "E2"}]

BLANKS: list[tuple[int, Change]] = [
    (sample, Blank("kind:electrode", MS) if value == 1 else Blank("E2", MS)) for sample, value in EDGES if value
]
"""What RULES make of EDGES."""


def info(live: bool = False, **facts: Any) -> StreamInfo:
    names = ("E1", "E2", "D1", "E3", "E4")
    channels = tuple(
        ChannelInfo(name, i, "trigger" if name == "D1" else "electrode", gain_uv=GAIN_UV)
        for i, name in enumerate(names)
    )
    return replace(stream_info(5, live=live), channels=channels, facts=facts)


def config(*rules: dict[str, Any], **more: Any) -> Config:
    tree = {"publish": {"endpoint": "tcp://127.0.0.1:0"}, "detect": {"threshold": 4}, "blank": list(rules)}
    return config_from(tree | more)


def logged(
    folder: Path,
    settings: Config,
    source: Source | None = None,
    meanwhile: Callable[[Engine], None] = lambda engine: None,
    **engine: Any,
) -> Session:
    """Return the log of a run."""
    with Engine(settings, source=source, **engine) as running:
        with package.subscribe(running.endpoint, kinds=LOGGED_KINDS, lossless=True) as subscriber:
            ready = threading.Event()
            logger = threading.Thread(
                target=record_session, args=(subscriber, folder, LslClock()), kwargs={"ready": lambda log: ready.set()}
            )
            logger.start()
            running.start()
            wait_until(lambda: ready.is_set() and running.subscribers, "the logger's readiness")
            running.release()
            meanwhile(running)
            wait_until(lambda: running.wait(0.05), "the end of the run")
            logger.join()
    return read_session(folder)


def recording(folder: Path) -> Path:
    kinds = [c.kind for c in info().channels]
    return write_recording(folder / "a", SAMPLES, channel_ids=info().labels, channel_kinds=kinds)


def events(table: NDArray[np.void]) -> bytes:
    """Return all of a table but its times."""
    table = np.array(table)
    table["time"] = 0
    return table.tobytes()


def marks(session: Session) -> list[tuple[int, int, int]]:
    return [(int(m["sample"]), int(m["line"]), int(m["value"])) for m in session.marks]


def assert_blanked(spikes: NDArray[np.void]) -> None:
    """Check that no spike was found in what RULES blank, and many elsewhere."""
    assert len(spikes) > 100
    crossing, channel = spikes["crossing"], spikes["channel"]
    for sample, value in EDGES:
        inside = (crossing >= sample) & (crossing < sample + STOP)
        if value:
            assert not (inside & ((channel == 1) | (value == 1))).any()


@pytest.fixture(scope="module")
def offline() -> tuple[NDArray[np.void], NDArray[np.float32]]:
    """Return what offline detection finds in the array, blanked by a list of changes."""
    spikes, waveforms = package.detect(
        np.delete(SAMPLES, 2, axis=1),
        {"detect": {"threshold": 4}},
        rate_hz=20_000,
        uv_per_unit=GAIN_UV,
        changes=[(s, Blank("1", MS) if c.select == "E2" else c) for s, c in BLANKS],  # type: ignore[union-attr]
    )
    spikes["channel"] += spikes["channel"] >= 2
    return spikes, waveforms


def test_offline_detection_sees_the_marks_in_the_signal(tmp_path: Path, offline: Any) -> None:
    settings = {"detect": {"threshold": 4}, "blank": RULES}
    spikes, waveforms = package.detect(recording(tmp_path), settings)
    assert_blanked(spikes)
    assert events(spikes) == events(offline[0])
    assert waveforms.tobytes() == offline[1].tobytes()
    assert len(package.detect(recording(tmp_path), {"detect": {"threshold": 4}})[0]) > len(spikes) + 10


@pytest.mark.parametrize("sizes", [[64], [4096, 1, 7, 333], [12_287, 2, 900]], ids=str)
@pytest.mark.parametrize("live", [False, True], ids=["paced", "live"])
def test_edges_blank_at_their_samples_however_the_signal_comes(
    tmp_path: Path, offline: Any, sizes: list[int], live: bool
) -> None:
    session = logged(tmp_path / "a.rtspikes", config(*RULES), ArraySource(info(live), SAMPLES, sizes))
    assert marks(session) == [(sample, 1001, value) for sample, value in EDGES]
    assert events(session.spikes) == events(offline[0])
    assert session.waveforms.tobytes() == offline[1].tobytes()
    assert session.info["marker_lines"] == [{"line": 1001, "channel": "D1"}]
    assert session.changes == []


def test_marks_of_pulls_blank_as_edges_do(tmp_path: Path, offline: Any) -> None:
    said = {sample: [Mark(0, 2, value, "word")] for sample, value in EDGES}
    rules = [{**rule, "line": "TTL 2"} for rule in RULES]
    source = ArraySource(info(True, lines=["TTL 1", "TTL 2"]), SAMPLES, [700, 3], marks=said)
    session = logged(tmp_path / "a.rtspikes", config(*rules), source)
    assert [m for m in marks(session) if m[1] > 10_000] == [(sample, 10_002, value) for sample, value in EDGES]
    assert events(session.spikes) == events(offline[0])
    assert session.changes == []
    assert {"line": 10_002, "name": "TTL 2"} in session.info["marker_lines"]


def test_behind_a_gap_a_changed_word_blanks_from_the_first_sample_on(tmp_path: Path) -> None:
    source = ArraySource(info(), SAMPLES, [500], {12_000: 100, 3_050: 20})
    session = logged(tmp_path / "a.rtspikes", config(*RULES), source)
    shift = [20 * (s > 3_050) + 100 * (s >= 12_000) for s, _ in EDGES]
    assert marks(session) == [(s + by, 1001, value) for (s, value), by in zip(EDGES, shift, strict=True)]
    crossing = session.spikes["crossing"]
    assert not ((crossing >= 12_120) & (crossing < 12_120 + STOP)).any()


def test_a_replay_like_the_session_blanks_the_same_once(tmp_path: Path, offline: Any) -> None:
    file = recording(tmp_path)
    own = logged(tmp_path / "own.rtspikes", config(*RULES, source={"uri": f"file:{file}", "speed": "max"}))
    said = {sample: [Mark(0, 1, value)] for sample, value in EDGES}
    rules = [{**rule, "line": "TTL*"} for rule in RULES]
    source = ArraySource(info(lines=["TTL 1"]), SAMPLES, [700], marks=said)
    given = logged(tmp_path / "given.rtspikes", config(*rules), source)
    for first, changes in ((own, []), (given, BLANKS)):
        like = first
        for name in ("again", "third"):
            folder = tmp_path / f"{first.path.stem}-{name}.rtspikes"
            done = rtspikes(
                "replay", file, "--like", like.path, "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--log", folder
            )
            assert done.returncode == 0, done.stderr
            like = read_session(folder)
            assert events(like.spikes) == events(offline[0])
            assert like.changes == changes
            assert (like.observed_s == first.observed_s).all()


def test_markers_blank_from_an_announced_sample_on_and_a_replay_repeats_it(tmp_path: Path) -> None:
    markers = FakeMarkers()
    source = Anchored(info(), SAMPLES, [500], gate_at=21_000)
    rules = [{"line": 1, "text": "stim*", "ms": MS}]
    at = [0.4, 1.1, 1.2]

    def mark(engine: Engine) -> None:
        wait_until(lambda: engine.status.get("to_sample") == 21_000, "the gate")
        markers.add(*(Marker(1000 + s, 1, 0, text) for s, text in zip(at, ("stim late", "stim", "else"), strict=True)))
        wait_until(lambda: not markers.waiting, "the marks")
        source.gate.set()

    first = logged(tmp_path / "a.rtspikes", config(*rules), source, mark, markers=markers)
    assert first.changes == [(22_000, Blank("kind:electrode", MS))]
    (late,) = [n for n in first.notices if n["cause"] == "blank_late"]
    assert (late["samples"], late["lines"]) == ([8_000], [1])
    crossing = first.spikes["crossing"]
    assert not ((crossing >= 22_000) & (crossing < 22_000 + STOP)).any()
    done = rtspikes(
        "replay", recording(tmp_path), "--like", first.path, "--speed", "max",
        "--publish", "tcp://127.0.0.1:0", "--log", tmp_path / "b",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = read_session(tmp_path / "b.rtspikes")
    assert events(again.spikes) == events(first.spikes)
    assert again.changes == first.changes


def test_a_person_blanks_by_command_and_by_mark(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        '[publish]\nendpoint = "tcp://127.0.0.1:0"\n[[blank]]\nline = 0\ntext = "flush*"\nms = 500\nselect = "E1"\n'
    )
    file = recording(tmp_path)
    with Running("replay", file, "--config", tmp_path / "run.toml", "--log", tmp_path / "a", "--loop") as run:
        with package.control(run.endpoint()) as control, package.subscribe(run.endpoint()) as subscriber:
            assert any(batch.to_sample > 0 for batch in subscriber)
            done = rtspikes("control", run.endpoint(), "blank", "E*", 12.5)
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("E* blanked for 12.5 ms: in force from sample ")
            refused = rtspikes("control", run.endpoint(), "blank", "E1", 60_001)
            assert refused.returncode == 2
            assert "ms of a blanking must be > 0 and ≤ 60000" in refused.stderr
            marked = control.mark("flush of medium")
            asked = control.blank(["E3"], 7, at_sample=marked.sample + 100_000)
            control.shutdown()
        assert run.finish() == 0, run.err
    session = read_session(tmp_path / "a.rtspikes")
    assert [change for _, change in session.changes] == [Blank("E*", 12.5), Blank("E1", 500.0), Blank(("E3",), 7.0)]
    assert session.changes[2][0] == asked.sample
    assert [n["by"] for n in session.controls][1] == f"the mark at sample {marked.sample} on line 0"
    assert session.info["blank"] == [
        {"ms": 500.0, "line": 0, "value": None, "text": "flush*", "select": "E1"}
    ]  # fmt: skip


def test_a_rule_for_a_line_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = recording(tmp_path)
    done = rtspikes("replay", file, "--set", 'blank=[{ms=5, line="D2"}]', "--publish", "tcp://127.0.0.1:0")
    assert done.returncode == 2
    assert "blank, rule 1: line 'D2' matches no line of marks; did you mean 'D1'?" in done.stderr


def test_rules_survive_configuration_files(tmp_path: Path) -> None:
    text = "\n".join("[[blank]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in rule.items()) for rule in RULES)
    (tmp_path / "run.toml").write_text(text)
    assert load_config(tmp_path / "run.toml").blank == config(*RULES).blank
