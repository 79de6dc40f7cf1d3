"""What control requests do: announced before they act, for a sample to come, or refused with the rule."""

from __future__ import annotations

import math
import queue
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.blanking import BlankRules
from rtspikes.clock import SampleClock
from rtspikes.commands import LEAD_S, MOST_SCHEDULED, Commands, describe
from rtspikes.config import config_from
from rtspikes.detect.changes import from_map
from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import DetectSettings
from rtspikes.errors import ConfigError
from rtspikes.types import MARK_DTYPE
from rtspikes.wire.codec import MOST_TEXT
from rtspikes.wire.reply import Command
from tests.clocks import BEGUN_S, HandClock
from tests.simulated import simulate, stream_info

RATE_HZ = 20000.0
LEAD = round(LEAD_S * RATE_HZ)


class Service:
    """Takes commands and keeps what they were answered with."""

    def __init__(self) -> None:
        self.commands: queue.Queue[Command] = queue.Queue()
        self.outcomes: list[dict[str, Any]] = []

    def settle(self, command: Command, outcome: dict[str, Any]) -> None:
        self.outcomes.append(outcome)


class Announcer:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []
        self.said: list[tuple[Any, ...]] = []

    def notice(self, cause: str, text: str, count: int, sample: int, **more: Any) -> None:
        self.notices.append({"cause": cause, "text": text, "sample": sample, **more})

    def marks(self, table: Any, texts: list[str]) -> None:
        self.said += [(row, [text]) for row, text in zip(table.tolist(), texts, strict=True)]


class Run:
    """Commands over a real detector that has seen a second of four channels; with rules of blanking."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.samples = simulate(n_channels=4, seconds=2.0)[0]
        info = stream_info(4)
        self.detector = Detector(info, DetectSettings())
        self.detector.learn([(self.samples[: self.detector.initial_samples], 0)])
        self.detector.process(self.samples[:20000], 0)
        self.service, self.announcer, self.clock = Service(), Announcer(), SampleClock(RATE_HZ)
        self.stopped = False
        self.commands = Commands(
            self.service, self.detector, self.announcer, info, self.clock, HandClock(),  # type: ignore[arg-type]
            lambda: 21000, self.stop, "s2", BlankRules(config_from({"blank": list(rules)}).blank, (), info.channels),
        )  # fmt: skip

    def stop(self) -> None:
        self.stopped = True

    def ask(self, command: str, **entries: Any) -> dict[str, Any]:
        self.service.commands.put(Command(1, "anna", {"command": command, **entries}))
        self.commands.handle()
        return self.service.outcomes[-1]


@pytest.mark.parametrize(
    ("command", "entries", "text"),
    [
        ("threshold", {"select": "E1", "threshold": 4.5}, "threshold 4.5 σ for E1 from sample 20400 on (by anna)"),
        ("threshold", {"select": ["E1", 2], "threshold_uv": -60.0}, "threshold -60 µV for E1, 2 from sample 20400 on"),
        ("freeze", {}, "thresholds frozen from sample 20400 on (by anna)"),
        ("follow", {}, "thresholds follow the noise from sample 20400 on (by anna)"),
        ("recalibrate", {}, "noise level learnt anew from sample 20400 on (by anna)"),
        ("mute", {"select": "E*"}, "mute E* from sample 20400 on (by anna)"),
        ("blank", {"select": ["E1", 2], "ms": 50}, "E1, 2 blanked for 50 ms from sample 20400 on (by anna)"),
        ("unmute", {"select": 0}, "unmute 0 from sample 20400 on (by anna)"),
    ],
)  # fmt: skip
def test_a_change_is_announced_for_a_sample_that_is_still_to_come(
    command: str, entries: dict[str, Any], text: str
) -> None:
    run = Run()
    assert run.ask(command, **entries) == {"ok": True, "sample": 20000 + LEAD, "time": None}
    (notice,) = run.announcer.notices
    assert (notice["cause"], notice["sample"], notice["by"]) == ("control", 20000 + LEAD, "anna")
    assert notice["text"].startswith(text)
    assert describe(from_map(notice["change"])) in text
    later = run.detector.process(run.samples[20000:30000], 20000)
    if command in ("threshold", "mute"):
        assert later.thresholds[0].sample == 20000 + LEAD


def test_a_command_for_another_session_is_not_carried_out() -> None:
    run = Run()
    assert run.ask("mute", select="E1", session="s2")["ok"]
    outcome = run.ask("mute", select="E2", session="s1")
    assert (outcome["ok"], outcome["error"], outcome["session"]) == (False, "unknown_session", "s2")
    assert run.detector.next_sample == 20000
    assert len(run.announcer.notices) == 1
    assert (run.commands.done, run.commands.refused) == (1, 1)


def test_what_was_announced_is_what_replays_repeat() -> None:
    run, again = Run(), Run()
    run.ask("mute", select="E2")
    (notice,) = run.announcer.notices
    again.commands.schedule([(notice["sample"], from_map(notice["change"]))], "a replay")
    live = run.detector.process(run.samples[20000:], 20000)
    replayed = again.detector.process(again.samples[20000:], 20000)
    assert live.spikes.tobytes() == replayed.spikes.tobytes()
    muted = live.crossings[(live.crossings["channel"] == 1) & (live.crossings["crossing"] >= 20000 + LEAD)]
    assert len(muted) == 0
    assert len(live.spikes)


def test_a_sample_may_be_chosen_but_not_one_that_has_passed() -> None:
    run = Run()
    assert run.ask("freeze", at_sample=30000)["sample"] == 30000
    refused = run.ask("follow", at_sample=19999)
    assert (refused["ok"], refused["error"]) == (False, "too_late")
    assert "20000" in refused["text"]
    assert len(run.announcer.notices) == 1


def test_changes_for_later_are_bounded() -> None:
    run = Run()
    for n in range(MOST_SCHEDULED):
        assert run.ask("freeze", at_sample=30000 + n)["ok"]
    assert "wait for their samples already" in run.ask("freeze", at_sample=40000)["text"]
    run.detector.process(run.samples[20000:31000], 20000)
    assert run.ask("freeze", at_sample=40000)["ok"]


def test_thresholds_of_a_file_are_columns() -> None:
    run = Run()
    columns = {
        "negative_uv": np.array([-50, -60, math.nan, -80], "<f4").tobytes(),
        "positive_uv": np.full(4, math.nan, "<f4").tobytes(),
    }
    assert run.ask("load", labels=["E1", "E2", "E3", "E4"], **columns)["ok"]
    run.detector.process(run.samples[20000:30000], 20000)
    head = run.ask("levels")
    assert np.frombuffer(head["columns"]["negative_uv"], "<f4").tolist()[:2] == [-50, -60]
    assert (head["first_channel"], head["n_channels"], head["n"]) == (0, 4, 4)
    assert 20000 + LEAD <= head["sample"] < 30000
    assert run.ask("levels", first_channel=3)["n"] == 1


@pytest.mark.parametrize(
    ("command", "entries", "rule"),
    [
        ("explode", {}, "change must be one of"),
        ("threshold", {"select": "E9", "threshold": 4.5}, "selector 'E9' matches no channel"),
        ("threshold", {"select": "E1", "threshold": 0}, "threshold must be > 0"),
        ("threshold", {"select": "E1"}, "either threshold"),
        ("mute", {}, "must have the key 'select'"),
        ("mute", {"select": "E1", "for": "ever"}, "unknown key 'for'"),
        ("blank", {"select": "E1"}, "must have the key 'ms'"),
        ("blank", {"select": "E1", "ms": 0}, "ms of a blanking must be > 0"),
        ("blank", {"select": "E9", "ms": 5}, "selector 'E9' matches no channel"),
        ("freeze", {"at_sample": "soon"}, "at_sample must be an absolute sample"),
        ("load", {"labels": ["E1"]}, "negative_uv must be float32 as bytes"),
        ("load", {"labels": ["E1"], "negative_uv": b"12345", "positive_uv": b""}, "negative_uv must be float32"),
        ("load", {"labels": ["E1"], "negative_uv": b"", "positive_uv": b""}, "must be equally long"),
        ("levels", {"first_channel": 4}, "first_channel must be 0 … 3"),
        ("mark", {"text": ""}, "a mark's text must have 1 … 1000 characters"),
        ("mark", {"text": "x" * (MOST_TEXT + 1)}, "a mark's text must have"),
        ("mark", {}, "a mark's text must have"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_with_the_rule_and_changes_nothing(
    command: str, entries: dict[str, Any], rule: str
) -> None:
    run = Run()
    refused = run.ask(command, **entries)
    assert (refused["ok"], refused["error"]) == (False, "refused")
    assert rule in refused["text"]
    assert (run.announcer.notices, run.announcer.said, run.commands.refused) == ([], [], 1)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(
    st.sampled_from(["threshold", "freeze", "mute", "load", "levels", "mark", "recalibrate"]) | VALUES,
    st.dictionaries(
        st.sampled_from(["select", "threshold", "threshold_uv", "labels", "negative_uv", "positive_uv", "text"])
        | st.sampled_from(["at_sample", "first_channel", "change"])
        | st.text(max_size=5),
        VALUES,
        max_size=4,
    ),
)
def test_any_request_is_done_or_refused(command: Any, entries: dict[str, Any]) -> None:
    outcome = FUZZED.ask(command, **{k: v for k, v in entries.items() if k != "command"})
    assert outcome["ok"] is True or outcome["error"] in ("refused", "too_late")


FUZZED = Run()


def test_a_mark_is_where_the_newest_sample_is() -> None:
    run = Run()
    assert run.ask("mark", text="10 µM bicuculline") == {"ok": True, "sample": 21000, "time": None}
    run.clock.anchor(0, 100.0)
    run.ask("mark", text="washout")
    assert run.announcer.said == [((21000, BEGUN_S, 0, 0), ["10 µM bicuculline"]), ((21000, 101.05, 0, 0), ["washout"])]


def marked(run: Run, *marks: tuple[int, int, int, str]) -> list[dict[str, Any]]:
    """Let markers (sample, line, value, text) come; return the new notices."""
    before = len(run.announcer.notices)
    table = np.zeros(len(marks), MARK_DTYPE)
    for row, (sample, line, value, _) in zip(table, marks, strict=True):
        row["sample"], row["line"], row["value"] = sample, line, value
    run.commands.marks(table, [mark[3] for mark in marks])
    assert len(run.announcer.said) >= len(marks)
    return run.announcer.notices[before:]


def test_a_mark_beside_the_signal_blanks_from_an_announced_sample_on() -> None:
    run = Run({"ms": 100, "line": 1, "text": "stim*", "select": "E1"}, {"ms": 500, "line": [1, 2], "value": 3})
    (now,) = marked(run, (20000, 1, 0, "stim 1"))
    assert (now["cause"], now["sample"], now["change"]) == (
        "control", 20000 + LEAD, {"change": "blank", "select": "E1", "ms": 100.0}
    )  # fmt: skip
    assert now["text"] == "E1 blanked for 100 ms from sample 20400 on (by the mark at sample 20000 on line 1)"
    both = marked(run, (30000, 1, 3, "stim 2"))
    assert [(n["sample"], n["change"]["ms"]) for n in both] == [(30000, 100), (30000, 500)]  # still to come
    assert marked(run, (20000, 2, 1, ""), (20000, 5, 3, "stim")) == []
    later = run.detector.process(run.samples[20000:25000], 20000)
    blanked = later.crossings["channel"] == 0
    assert not ((later.crossings["crossing"][blanked] >= 20400) & (later.crossings["crossing"][blanked] < 22400)).any()


def test_a_mark_whose_time_to_blank_is_over_is_told_and_blanks_nothing() -> None:
    run = Run({"ms": 5})
    (late,) = marked(run, (20300, 1, 0, ""), (20299, 2, 0, ""), (20301, 3, 0, ""))[:1]
    assert late["cause"] == "control"
    assert late["sample"] == 20400
    assert late["text"].endswith("(by the mark at sample 20301 on line 3)")
    told = run.announcer.notices[-1]
    assert (told["cause"], told["sample"], told["samples"], told["lines"]) == (
        "blank_late", 20300, [20300, 20299], [1, 2]
    )  # fmt: skip
    assert "2 marks came too late to blank" in told["text"]


def test_what_somebody_marks_blanks_from_now_on_however_short() -> None:
    run = Run({"ms": 0.5, "line": 0, "text": "*flush*"})
    assert run.ask("mark", text="medium flushed") == {"ok": True, "sample": 21000, "time": None}
    run.ask("mark", text="washout")
    (notice,) = run.announcer.notices
    assert (notice["sample"], notice["change"]) == (
        20000 + LEAD, {"change": "blank", "select": "kind:electrode", "ms": 0.5}
    )  # fmt: skip


def test_more_marks_than_may_wait_blank_no_more_and_are_told() -> None:
    run = Run({"ms": 100})
    notices = marked(run, *((30000 + n, 1, 0, "") for n in range(MOST_SCHEDULED + 7)))
    assert [n["cause"] for n in notices] == ["control"] * MOST_SCHEDULED + ["blank_late"]
    assert notices[-1]["samples"] == [30000 + MOST_SCHEDULED + n for n in range(7)]


def test_shutdown_is_said_and_done() -> None:
    run = Run()
    assert run.ask("shutdown")["ok"]
    assert run.stopped
    assert run.announcer.notices[0]["change"] == {"change": "shutdown"}


def test_a_change_that_no_message_holds_is_refused() -> None:
    run = Run()
    labels = [f"E{n}" + "x" * 60 for n in range(5000)]
    column = np.full(5000, math.nan, "<f4").tobytes()
    assert "must fit into one message" in run.ask("load", labels=labels, negative_uv=column, positive_uv=column)["text"]


def test_changes_given_beforehand_that_do_not_fit_end_the_start() -> None:
    with pytest.raises(ConfigError, match="matches no channel"):
        Run().commands.schedule([(30000, from_map({"change": "mute", "select": "E9"}))], "a replay")
