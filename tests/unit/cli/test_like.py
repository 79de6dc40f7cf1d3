"""`--like`: whose detection is taken, what may not be said beside it, and what is admitted not to come again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtspikes.cli.like import Like, given_keys, like_session
from rtspikes.config import config_from, load_config
from rtspikes.detect.changes import Blank, Change, Freeze, Mute, to_map
from rtspikes.errors import ConfigError, DataError, RtspikesError
from rtspikes.types import MARK_DTYPE, GapCause
from rtspikes.wire.batch import Batch, Missed
from tests.simulated import write_recording
from tests.unit.cli.sessions import heard, session
from tests.unit.subscribers.batches import control, gap, notice, thresholds

RATE = 20_000
ZEROS = np.zeros((RATE, 3), np.int16)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "a", ZEROS)


def like(path: Path, recording: Path, overrides: Sequence[str] = (), toml: Path | None = None, **source: Any) -> Like:
    source = {"uri": f"file:{recording}", **source}
    config = load_config(toml, overrides, {"source": source})
    return like_session(path, config, given_keys(toml, overrides, source))


SETTINGS = {
    "detect": {"threshold": 4, "filter": {"band_hz": [200, 4000], "order": 2}, "noise": {"mode": "freeze"}},
    "channels": [{"select": ["E1", 1], "dead_time_ms": 2}, {"select": "E3", "enabled": False, "sign": "both"}],
}


def test_detection_rules_and_changes_are_the_sessions(recording: Path) -> None:
    changes: list[tuple[int, Change]] = [(500, Mute(("E1", 2))), (800, Freeze())]
    path = session(recording, SETTINGS, *(control(at, **to_map(change)) for at, change in changes), end=RATE)
    found = like(path, recording, ["publish.tick_ms=5"], speed="max")
    config = config_from(SETTINGS)
    assert (found.config.detect, found.config.channels) == (config.detect, config.channels)
    assert (found.config.publish.tick_ms, found.config.source.speed) == (5, "max")
    assert found.changes == changes
    assert found.differs == []
    assert (found.config.source.start_s, found.config.source.stop_s) == (0, None)


@pytest.mark.parametrize(
    "said",
    ["detect.threshold=4", "detect.threshold=4.0", "detect.filter.order=2", 'detect.noise.mode="freeze"',
     'detect.sign="neg"', 'channels=[{select=["E1", 1], dead_time_ms=2}, {select="E3", enabled=false, sign="both"}]'],
)  # fmt: skip
def test_what_the_session_says_too_may_be_said(recording: Path, tmp_path: Path, said: str) -> None:
    path = session(recording, SETTINGS)
    toml = tmp_path / "c.toml"
    toml.write_text(said)
    for found in (like(path, recording, [said]), like(path, recording, toml=toml)):
        assert found.config.detect == config_from(SETTINGS).detect


@pytest.mark.parametrize(
    ("said", "key", "its", "ours"),
    [
        ("threshold=5", "detect.threshold", "4.0", "5.0"),  # the default, said aloud
        ("filter.order=1", "detect.filter.order", "2", "1"),
        ("filter.band_hz=[200, 4001]", "detect.filter.band_hz", r"\[200.0, 4000.0\]", r"\[200.0, 4001.0\]"),
    ],
)
def test_other_detection_than_the_sessions_is_refused(
    recording: Path, tmp_path: Path, said: str, key: str, its: str, ours: str
) -> None:
    path = session(recording, SETTINGS)
    (tmp_path / "c.toml").write_text(f"[detect]\n{said}\n")
    for arguments in ({"overrides": [f"detect.{said}"]}, {"toml": tmp_path / "c.toml"}):
        with pytest.raises(ConfigError, match=rf"^{key} is {its} in .*s\.rtspikes, got {ours}; .*leave {key} out$"):
            like(path, recording, **arguments)  # type: ignore[arg-type]


def test_other_rules_than_the_sessions_are_refused(recording: Path) -> None:
    with pytest.raises(ConfigError, match=r'^channels is \[\] in .*, got \[{"select": "E1", "enabled": false}\]; '):
        like(session(recording), recording, ['channels=[{select="E1", enabled=false}]'])


@pytest.mark.parametrize(
    ("samples", "sidecar", "message"),
    [
        (ZEROS[:, :2], {}, r"must have channels 3, got 2"),
        (ZEROS, {"sampling_rate_hz": 25000}, r"must have a sampling rate \(Hz\) of 20000\.0, got 25000"),
        (ZEROS.astype(np.float32), {}, "must have samples of int16, got float32"),
        (ZEROS, {"channel_ids": ["E1", "E2", "X"]}, "label of channel 2 must be 'E3' as in the session, got 'X'"),
        (ZEROS, {"channel_kinds": ["electrode", "aux", "electrode"]}, "kind of channel 1 must be 'electrode' as"),
        (ZEROS, {"wells": ["A", "A", "B"]}, "well of channel 0 must be None as in the session, got 'A'"),
        (ZEROS, {"gain_to_uv": 0.5}, r"gain_uv of channel 0 must be 0\.195 as .* --set source\.uv_per_unit=0\.195"),
    ],
)
def test_a_stream_of_another_layout_is_refused(
    recording: Path, tmp_path: Path, samples: Any, sidecar: dict[str, Any], message: str
) -> None:
    path = session(recording)
    other = write_recording(tmp_path / "b", samples, **sidecar)
    with pytest.raises(ConfigError, match=message) as refused:
        like(path, other)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda facts: facts["info"].pop("channel_rules"), "it lacks 'channel_rules'"),
        (lambda facts: facts["info"].pop("software"), "it lacks 'software'"),
        (lambda facts: facts["info"]["detect"].update(wisdom=1), "its settings are not this version's: unknown key"),
    ],
)
def test_a_session_that_lacks_its_settings_is_refused(recording: Path, damage: Any, message: str) -> None:
    path = session(recording)
    facts = json.loads((path / "session.json").read_bytes())
    damage(facts)
    (path / "session.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=message):
        like(path, recording)


def test_what_is_no_session_is_refused(tmp_path: Path, recording: Path) -> None:
    with pytest.raises(DataError, match="is not a session log"):
        like(tmp_path, recording)


def test_the_sessions_stretch_is_replayed_unless_another_is_asked_for(recording: Path) -> None:
    path = session(recording, None, control(2000, **to_map(Freeze())), end=15001, first_sample=4001)

    def stretch(found: Like) -> tuple[float, float]:
        return found.config.source.start_s * RATE, (found.config.source.stop_s or 1) * RATE

    assert [round(x) for x in stretch(like(path, recording))] == [4001, 15001]
    assert like(path, recording).differs == []
    found = like(path, recording, start_s=0.0, stop_s=0.9)
    assert stretch(found) == (0, 18000)
    assert found.differs == ["it began at 0.20005 s, this does at 0 s"]
    assert like(path, recording, ["source.start_s=0"]).config.source.start_s == 0
    assert like(path, recording, loop=True).config.source.stop_s is None


def test_a_session_that_was_cut_off_is_replayed_to_the_files_end(recording: Path) -> None:
    assert like(session(recording, None, heard(0)), recording).config.source.stop_s is None


def test_a_noise_file_is_compared_with_what_it_said(recording: Path, tmp_path: Path) -> None:
    file, moved = tmp_path / "sigma.json", tmp_path / "moved.json"
    file.write_text('{"E1": 6.0, "E2": 7.0, "E3": 8.1}')
    moved.write_text(file.read_text())
    settings = {"detect": {"noise": {"mode": "file", "file": str(file)}}}
    path = session(recording, settings, thresholds(0))  # σ of E1 and E2
    assert like(path, recording).differs == []
    file.write_text('{"E1": 6.0, "E2": 7.5, "E3": 8.1}')
    with pytest.raises(
        DataError, match=r"sigma\.json says σ = 7\.5 µV for channel 'E2', but said 7 to .*noise\.file=F"
    ):
        like(path, recording)
    assert like(path, recording, [f"detect.noise.file={moved}"]).config.detect.noise.file == str(moved)
    file.unlink()
    with pytest.raises(RtspikesError, match=r"cannot read .*sigma\.json"):
        like(path, recording)


def test_what_cannot_come_again_is_said(recording: Path) -> None:
    source = {"uri": "lsl:x", "live": True, "dtype": "int16"}
    batch = heard(4000, missed=(Missed("notices", 2, 3), Missed("status", 1, 7)))
    software = {"name": "rtspikes", "version": "0.0.1"}
    path = session(
        recording, None, batch, gap(5000, 300), gap(9000, 0), source=source, software=software, next_seq={"notices": 1}
    )
    differs = "; ".join(like(path, recording).differs)
    for part in (
        "it was made by rtspikes 0.0.1",
        "its source was live",
        "it had 2 gaps, the first at 0.25 s, that do not come again",
        "its logger came after the first notices",
        "3 notices did not reach it",
    ):
        assert part in differs


@pytest.mark.parametrize(
    ("cause", "same", "loop", "again"),
    [
        (GapCause.SEAM, True, True, True),
        (GapCause.SEAM, True, False, False),
        (GapCause.SOURCE, True, False, True),
        (GapCause.SOURCE, False, False, False),
        (GapCause.OVERRUN, True, False, False),
    ],
)
def test_only_gaps_that_the_source_makes_again_go_without_saying(
    recording: Path, cause: GapCause, same: bool, loop: bool, again: bool
) -> None:
    source = {"uri": f"file:{recording}" if same else "file:elsewhere.raw", "live": False, "dtype": "int16"}
    path = session(recording, None, gap(5000, 3, cause), source=source)
    found = like(path, recording, **{"loop": True} if loop else {})
    assert found.differs == ([] if again else ["it had 1 gaps, the first at 0.25 s, that do not come again"])


BLANK = [{"ms": 5, "line": ["lsl:TTL", "TTL 2"], "value": 1}, {"ms": 2.5, "line": 1001, "select": "E1"}]
LINES = [{"line": 2, "uri": "lsl:TTL"}, {"line": 1001, "channel": "D1"}, {"line": 10002, "name": "TTL 2"}]


def marked(*rows: tuple[int, int, int]) -> Batch:
    """Return marks (sample, line, value)."""
    table = np.array([(sample, 0.5, line, value) for sample, line, value in rows], MARK_DTYPE)
    return Batch("marks", "s1", 0, 0, marks=table, texts=("",) * len(rows))


def test_rules_of_blanking_are_the_sessions_and_what_is_not_in_the_samples_comes_from_its_log(recording: Path) -> None:
    late = notice(cause="blank_late", sample=300, samples=[300], lines=[10002], count=1, text="late")
    asked = Blank("E2", 7.0)
    path = session(
        recording,
        {},
        marked((200, 10002, 1), (250, 10002, 0), (260, 1001, 1), (270, 2, 1), (300, 10002, 1), (500, 10002, 1)),
        late,
        control(400, **to_map(asked)),
        blank=BLANK,
        marker_lines=LINES,
    )
    found = like(path, recording)
    by_mark = Blank("kind:electrode", 5.0)
    assert found.changes == [(200, by_mark), (400, asked), (500, by_mark)]
    assert [rule.line for rule in found.config.blank] == [(2, 10002), (1001,)]
    assert [rule.ms for rule in found.config.blank] == [5, 2.5]
    with pytest.raises(ConfigError, match="--like takes detection from the session: leave blank out"):
        like(path, recording, ["blank=[{ms=5}]"])


def test_a_session_from_before_there_was_blanking_blanks_nothing(recording: Path) -> None:
    found = like(session(recording, {}, marked((200, 10002, 1))), recording)
    assert (found.config.blank, found.changes) == ((), [])


def test_marks_that_did_not_reach_the_logger_are_told_where_they_may_blank(recording: Path) -> None:
    missed = notice(cause="missed", kind="marks", count=3, sample=0, text="", from_sample=None, to_sample=None)
    path = session(recording, {}, missed, blank=[{"ms": 5}])
    assert like(path, recording).differs == [
        "3 messages with marks did not reach it, and marks that blank may be among them"
    ]
