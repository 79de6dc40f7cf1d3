"""A session log as pages see it: at any place the same as counted by hand, however they got there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.view import session_spikes
from rtspikes.subscribers.view.activity_codes import LOWEST_HZ, PER_OCTAVE, activity_codes
from rtspikes.subscribers.view.session import SessionScene
from rtspikes.subscribers.view.session_viewer import SessionViewer
from rtspikes.subscribers.view.tally import ISI_EDGES_MS
from rtspikes.types import MARK_DTYPE, THRESHOLD_DTYPE
from tests.unit.subscribers.sessions import RATE_HZ, session
from tests.unit.subscribers.view.pages import unpack

WIDTH = 40  # samples of a column: 10 ms
FIRST, END = 1010, 1010 + 40 * 4000
DROPPED = 52_000
N = 5
"""Channels, of which the fourth is no electrode."""


def log(**about: Any) -> Session:
    """Return 40 s of busy and silent channels, with a gap."""
    rng = np.random.default_rng(3)
    events = [
        (int(sample), channel)
        for channel, n in enumerate((3000, 400, 60, 100, 1))
        for sample in np.unique(rng.integers(FIRST + 300, END - 1, n))
        if not DROPPED - 40 <= sample < DROPPED + 4000
    ]
    found = session(
        events, first=FIRST, end=END, enabled=[True] * N, gaps=[(DROPPED, 3900)],
        heights=rng.uniform(1, 3, len(events)), session_keys={"culture": "C7"}, **about,
    )  # fmt: skip
    spikes = found.spikes.copy()
    spikes["sample"] += np.arange(len(spikes)) % 7  # peaks are not in the order of triggers
    found.info["channels"]["kind"][3] = "aux"
    return replace(found, spikes=spikes)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a short log have many checkpoints and blocks."""
    monkeypatch.setattr(session_spikes, "BLOCK", 64)
    monkeypatch.setattr(session_spikes, "MOST_BLOCKS", 10_000)


@pytest.fixture
def scene() -> SessionScene:
    return SessionScene(log())


class Page:
    """Keeps what a viewer sends, as the page does."""

    def __init__(self, viewer: SessionViewer) -> None:
        self.viewer = viewer
        self.now_s = 100.0
        self.columns: dict[int, list[int]] = {}
        self.rate: dict[int, int] = {}
        self.spikes: list[tuple[int, int]] = []
        self.last: dict[str, Any] = {}
        self.told: list[str] = []
        self.frames: list[dict[str, Any]] = []

    def look(self, after_s: float = 1.0) -> Page:
        self.now_s += after_s
        self.told = []
        for message in self.viewer.messages(self.now_s):
            head, arrays = unpack(message)
            self._take(head | arrays)
        return self

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["t"]
        self.told.append(kind)
        self.last[kind] = message
        if kind == "frame":
            self.frames.append(message)
            if message["fresh"]:
                self.columns, self.rate, self.spikes = {}, {}, []
            for i, (column, rate) in enumerate(zip(message["columns"], message["rate"], strict=True)):
                self.columns[message["column"] + i] = column.tolist()
                self.rate[message["column"] + i] = int(rate)
        if kind == "detail":
            assert message["runs"] == []
            self.spikes += zip(
                message["spike_channel"].tolist(), message["spike_sample"].astype(int).tolist(), strict=True
            )


def at(scene: SessionScene, sample: int, window_s: float = 10.0, select: Sequence[int] = ()) -> Page:
    """Return a page that went to a sample."""
    page = Page(scene.viewer())
    page.viewer.select(select, "filtered")
    page.viewer.seek(sample, window_s)
    return page.look()


def by_hand(found: Session, first: int, stop: int) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Return spikes per row, and of all channels, of the columns of samples [first, stop)."""
    row = {0: 0, 1: 1, 2: 2, 4: 3}
    columns = {c: [0] * 4 for c in range(first // WIDTH, -(-stop // WIDTH))}
    rate = dict.fromkeys(columns, 0)
    for sample, channel in zip(found.spikes["sample"].tolist(), found.spikes["channel"].tolist(), strict=True):
        if sample // WIDTH in columns and sample < stop:
            rate[sample // WIDTH] += 1
            if channel in row:
                columns[sample // WIDTH][row[channel]] += 1
    return columns, rate


PLACES = st.integers(FIRST - 10, END + 10)


@hypothesis_settings(max_examples=30, deadline=None)
@given(places=st.lists(st.tuples(PLACES, st.sampled_from([0.5, 3.0, 60.0])), min_size=1, max_size=4))
def test_seek_anywhere_is_counting_by_hand(places: list[tuple[int, float]]) -> None:
    found = log()
    page = Page(SessionScene(found).viewer())
    for sample, window_s in places:
        page.viewer.seek(sample, window_s)
        page.look()
        now = min(max(sample, FIRST), END)
        assert (page.last["frame"]["now"], page.last["frame"]["fresh"]) == (now, True)
        first = max(FIRST, now - round(window_s * RATE_HZ))
        assert (page.columns, page.rate) == by_hand(found, first, now)


def test_the_first_picture_is_whole(scene: SessionScene) -> None:
    page = Page(scene.viewer()).look()
    assert page.told == ["facts", "happened", "overview", "trends", "health", "frame", "levels"]
    facts = page.last["facts"]
    assert [facts[name] for name in ("mode", "read_only", "name", "n", "rows", "column_samples", "signals")] == [
        "session", True, "a", N, 4, WIDTH, []
    ]  # fmt: skip
    assert (facts["first_sample"], facts["to_sample"]) == (FIRST, END)
    assert page.last["frame"]["now"] == FIRST + 10 * 4000
    assert page.look().told == []


@pytest.mark.parametrize("speed", [0.7, 1.0, 8.0])
def test_playing_comes_to_the_same_as_seeking(scene: SessionScene, speed: float) -> None:
    page = at(scene, DROPPED - 3000, 2.0, select=[0, 2])
    page.viewer.play(speed)
    for _ in range(40):
        page.look(0.05)
    now = page.last["frame"]["now"]
    assert now == pytest.approx(DROPPED - 3000 + 40 * 0.05 * speed * RATE_HZ, abs=1)
    sought = at(scene, now, 2.0, select=[0, 2])
    assert {c: page.columns[c] for c in sought.columns} == sought.columns
    assert {c: page.rate[c] for c in sought.rate} == sought.rate
    recent = [spike for spike in page.spikes if spike[1] >= now - 2 * RATE_HZ]
    assert recent == [spike for spike in sought.spikes if spike[1] >= now - 2 * RATE_HZ]
    page.viewer.play(0)
    assert {"frame", "detail"} & set(page.look(0.5).told) == set()
    assert page.last["shapes"]["isi"].tolist() == sought.last["shapes"]["isi"].tolist()
    assert page.last["shapes"]["waveforms"].tolist() == sought.last["shapes"]["waveforms"].tolist()


def test_playing_ends_where_the_log_ends_and_a_seek_goes_on_from_there(scene: SessionScene) -> None:
    page = at(scene, END - 100)
    page.viewer.play(1.0)
    assert page.look(5.0).last["frame"]["now"] == END
    assert "frame" not in page.look(5.0).told
    page.viewer.seek(FIRST + 4000, 1.0)
    assert page.look().last["frame"]["now"] == FIRST + 4000


def test_pictures_come_no_faster_than_they_may(scene: SessionScene) -> None:
    page = at(scene, FIRST)
    page.viewer.play(1.0)
    before = len(page.frames)
    for _ in range(100):
        page.look(0.01)
    assert 20 <= len(page.frames) - before <= 30
    assert [frame["n"] for frame in page.frames] == list(range(1, len(page.frames) + 1))
    assert page.viewer.sent == len(page.frames)


def test_a_page_that_slept_gets_a_fresh_picture_of_its_window(scene: SessionScene) -> None:
    page = at(scene, FIRST + 4000, 2.0)
    page.viewer.play(1.0)
    page.look(10.0)
    assert page.last["frame"]["fresh"]
    assert len(page.columns) == pytest.approx(200, abs=1)


def test_details_are_the_spikes_of_the_last_ten_seconds_with_their_waveforms(scene: SessionScene) -> None:
    found = log()
    now = DROPPED + 12_000
    page = at(scene, now, 2.0, select=[1, 2])
    samples = found.spikes["sample"]
    rows = np.flatnonzero(np.isin(found.spikes["channel"], [1, 2]) & (samples >= now - 40_000) & (samples < now))
    assert page.spikes == [(int(c), int(s)) for c, s in zip(found.spikes["channel"][rows], samples[rows], strict=True)]
    detail = page.last["detail"]
    assert detail["spike_waveform"].tolist() == found.waveforms[rows].astype(np.float32).tolist()
    assert detail["spike_amplitude"].tolist() == found.spikes["amplitude_uv"][rows].tolist()


def test_of_one_more_channel_the_last_seconds_come_and_of_the_others_nothing_twice(scene: SessionScene) -> None:
    now = DROPPED + 12_000
    page = at(scene, now, 2.0, select=[1])
    page.viewer.select([1, 2], "filtered")
    assert "frame" not in page.look().told
    assert sorted(page.spikes) == sorted(at(scene, now, 2.0, select=[1, 2]).spikes)


def test_a_page_that_is_told_to_forget_gets_the_last_seconds_again(scene: SessionScene) -> None:
    page = at(scene, DROPPED + 4000, 0.5, select=[1])
    page.viewer.play(2.0)
    page.look(0.0).look(1.0)
    assert page.last["frame"]["fresh"]
    assert page.spikes == at(scene, page.last["frame"]["now"], 0.5, select=[1]).spikes


def test_of_very_many_spikes_the_newest_are_shown(scene: SessionScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspikes.subscribers.view.session_viewer.MOST_SPIKES", 7)
    whole = at(scene, DROPPED + 12_000, 2.0, select=[0])
    assert len(whole.spikes) == 7
    monkeypatch.undo()
    assert at(scene, DROPPED + 12_000, 2.0, select=[0]).spikes[-7:] == whole.spikes


def intervals(found: Session, channel: int, stop: int) -> list[int]:
    """Return how many intervals before a sample are in each bin; none goes across the gap."""
    own = found.spikes["sample"][found.spikes["channel"] == channel]
    own = own[own < stop]
    ms = [
        1e3 * (b - a) / RATE_HZ for a, b in zip(own[:-1], own[1:], strict=True) if not a < DROPPED <= b
    ]  # fmt: skip
    inner = [-np.inf, *ISI_EDGES_MS[1:-1], np.inf]
    return np.histogram(ms, inner)[0].tolist()


@pytest.mark.parametrize("stop", [FIRST, FIRST + 9000, DROPPED, DROPPED + 3900, END])
def test_intervals_and_the_newest_waveforms_before_a_place(scene: SessionScene, stop: int) -> None:
    found, selected = log(), [2, 0, 4]
    shapes = at(scene, stop, select=selected).last["shapes"]
    assert shapes["channels"] == selected
    assert shapes["isi_edges_ms"] == ISI_EDGES_MS.tolist()
    assert shapes["isi"].tolist() == [intervals(found, c, stop) for c in selected]
    rows = [np.flatnonzero((found.spikes["channel"] == c) & (found.spikes["sample"] < stop)) for c in selected]
    assert shapes["spikes"].tolist() == [len(each) for each in rows]
    newest = [each[-50:] for each in rows]
    assert shapes["of"].tolist() == [c for c, each in zip(selected, newest, strict=True) for _ in each]
    assert shapes["waveforms"].tolist() == found.waveforms[np.concatenate(newest)].astype(np.float32).tolist()
    for mean, each in zip(shapes["mean"], newest, strict=True):
        expected = found.waveforms[each].mean(axis=0) if len(each) else np.full(12, np.nan)
        assert mean == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_what_does_not_exist_cannot_be_selected(scene: SessionScene) -> None:
    assert at(scene, END, select=[2, 2, -1, N, 99]).last["shapes"]["channels"] == [2]
    page = at(scene, END, select=[-1])
    assert "shapes" not in page.last


def test_activity_is_that_just_before_the_place(scene: SessionScene) -> None:
    found = log()
    codes = at(scene, DROPPED - 500).last["frame"]["activity"]
    age_s = (DROPPED - 500 - found.spikes["sample"]) / RATE_HZ
    for channel in range(N):
        own = age_s[(found.spikes["channel"] == channel) & (age_s > 0)]
        rate = np.exp(-own).sum()
        shown = 0.0 if codes[channel] == 0 else LOWEST_HZ * 2 ** ((codes[channel] - 1) / PER_OCTAVE)
        assert shown == pytest.approx(rate, rel=0.1, abs=LOWEST_HZ)


def test_codes_of_activity() -> None:
    rates = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 1e9])
    assert activity_codes(rates).tolist() == [0, 0, 1, 17, 33, 255]


def thresholds(rows: Iterable[tuple[int, int, float, float]]) -> NDArray[np.void]:
    return np.array([(*row, np.nan) for row in rows], THRESHOLD_DTYPE)


def test_levels_are_those_in_force_at_the_place_and_rates_of_the_whole_session() -> None:
    told = thresholds(
        [(FIRST, c, 4.0 + c, -20.0) for c in range(4)]
        + [(FIRST + 8000, c, 5.0 + c, -25.0) for c in range(4)]
        + [(FIRST + 20_000, 1, 6.0, np.nan)]
    )
    found = replace(log(), thresholds=told)
    scene = SessionScene(found)
    nan = np.nan
    for sample, sigma, negative, flags in (
        (FIRST, [4, 5, 6, 7, 0], [-20, -20, -20, -20, nan], [0, 0, 0, 0, 0]),
        (FIRST + 7999, [4, 5, 6, 7, 0], [-20, -20, -20, -20, nan], [0, 0, 0, 0, 0]),
        (FIRST + 8000, [5, 6, 7, 8, 0], [-25, -25, -25, -25, nan], [0, 0, 0, 0, 0]),
        (END, [5, 6, 7, 8, 0], [-25, nan, -25, -25, nan], [0, 1, 0, 0, 0]),
    ):
        levels = at(scene, sample).last["levels"]
        assert levels["sigma"].tolist() == sigma
        assert levels["negative"] == pytest.approx(negative, nan_ok=True)
        assert np.isnan(levels["positive"]).all()
        assert levels["flags"].tolist() == flags
        assert levels["count"].tolist() == found.counts.tolist()
        assert levels["observed_s"] == pytest.approx(found.observed_s)
        assert levels["rate"] == pytest.approx(found.counts / found.observed_s)


def test_states_of_channels_are_those_at_the_place() -> None:
    notices = [
        {"cause": "dead", "sample": FIRST + 1000, "all": [1, 2]},
        {"cause": "storm", "sample": FIRST + 2000, "channels": [0, 1, 77]},
        {"cause": "dead", "sample": FIRST + 3000, "all": [2]},
        {"cause": "storm_over", "sample": FIRST + 4000, "channels": [1], "count": 30},
        {"cause": "drifting", "sample": FIRST + 4000, "all": "nonsense"},
    ]
    scene = SessionScene(replace(log(), notices=notices))
    for after, flags in ((999, [0, 0, 0]), (1000, [0, 4, 4]), (2000, [2, 6, 4]), (3000, [2, 2, 4]), (4000, [2, 0, 4])):
        assert at(scene, FIRST + after).last["levels"]["flags"][:3].tolist() == flags


def test_levels_are_sent_when_they_change() -> None:
    told = thresholds([(FIRST + s * 4000, c, 5.0, -20.0) for s in range(3) for c in range(N)])
    page = at(SessionScene(replace(log(), thresholds=told)), FIRST)
    page.viewer.play(1.0)
    seen = [("levels" in page.look(0.25).told) for _ in range(16)]
    assert sum(seen) == 2


def test_marks_gaps_and_notices_are_told_whole() -> None:
    marks = np.array([(FIRST + 5, 0.0, 0, 0), (FIRST + 9, 0.0, 3, 1)], MARK_DTYPE)
    notices = [
        {"cause": "control", "sample": FIRST + 7, "text": "frozen", "change": {"change": "freeze"}},
        {"cause": "missed", "kind": "spikes", "count": 4, "from_sample": FIRST + 50, "to_sample": FIRST + 90},
        {"cause": "odd"},
    ]
    about = log(gap_causes={"1": "source"})
    told = at(SessionScene(replace(about, marks=marks, mark_texts=["drug", ""], notices=notices)), FIRST).last[
        "happened"
    ]
    assert told == {
        "t": "happened",
        "all": True,
        "marks": [
            {"sample": FIRST + 5, "text": "drug", "line": 0},
            {"sample": FIRST + 9, "text": "line 3 = 1", "line": 3},
        ],
        "gaps": [{"sample": DROPPED, "lost": 3900, "cause": "source", "uncertain": 0}],
        "notices": [
            {"sample": FIRST + 7, "cause": "control", "text": "frozen"},
            {"sample": FIRST + 50, "cause": "missed", "text": "4 spikes messages did not reach the log"},
            {"sample": FIRST, "cause": "odd", "text": "odd"},
        ],
    }


def test_the_course_of_the_session() -> None:
    notices = [{"cause": "missed", "kind": "spikes", "count": 4, "from_sample": FIRST, "to_sample": FIRST + 90}]
    found = replace(log(), notices=notices)
    page = at(SessionScene(found), FIRST)
    overview, trends = page.last["overview"], page.last["trends"]
    assert overview["step_samples"] == 400  # 0.1 s
    assert trends["step_s"] == pytest.approx(0.1)
    steps = np.bincount((found.spikes["crossing"] - FIRST) // 400, minlength=400)
    assert overview["rate"] == pytest.approx(steps / 0.1)
    assert trends["rate"] == pytest.approx(steps / 0.1)
    assert trends["sigma"].tolist() == [4.0] * 400
    lost = np.zeros(400)
    lost[(DROPPED - FIRST) // 400], lost[0] = 3900, 4
    assert trends["lost"].tolist() == lost.tolist()


def test_health_is_what_the_log_knows(tmp_path: Path) -> None:
    (tmp_path / "spikes.bin").write_bytes(bytes(100))
    notices = [
        {"cause": "storm_over", "sample": FIRST, "count": 30, "channels": []},
        {"cause": "bad_samples", "count": 2},
    ]
    found = replace(log(), notices=notices, path=tmp_path)
    scene = SessionScene(found)
    told = at(scene, FIRST).last["health"]
    assert (told["state"], told["text"], told["electrodes"], told["viewers"]) == (
        "session",
        "a finished session (end)",
        4,
        1,
    )
    assert told["signal_s"] == 40.0
    unseen_s = 3906 / RATE_HZ
    assert told["spikes_per_s"] == pytest.approx(len(found.spikes) / (40 - unseen_s), abs=0.001)
    assert told["recording"]["bytes"] == 100
    losses = {each["name"]: each["amount"] for each in told["losses"] if each["amount"]}
    assert losses == {"lost by source": 3900, "storm triggers": 30, "bad samples": 2}
    page = at(scene, FIRST)
    assert page.last["health"]["viewers"] == 2
    page.viewer.close()
    assert scene.viewers == 1


def test_a_log_that_is_still_written_says_so() -> None:
    told = at(SessionScene(replace(log(), facts={"ended": None}, torn_bytes=7)), FIRST).last["health"]["text"]
    assert "still being written" in told
    assert "7 bytes" in told


@pytest.mark.parametrize("end", [FIRST, FIRST + 30, FIRST + 4000])
def test_an_empty_session_can_be_looked_at(end: int) -> None:
    scene = SessionScene(session(first=FIRST, end=end, session_keys={}))
    page = at(scene, end, select=[0, 1])
    assert page.last["frame"]["now"] == end
    assert sum(page.rate.values()) == 0
    assert page.last["shapes"]["isi"].sum() == 0
    assert page.last["shapes"]["spikes"].tolist() == [0, 0]
    page.viewer.play(2.0)
    page.look(10.0)
    assert np.isnan(page.last["levels"]["rate"]).all() if end == FIRST else (page.last["levels"]["rate"] == 0).all()


def test_a_busy_row_is_no_brighter_than_can_be() -> None:
    begin = FIRST // WIDTH * WIDTH + WIDTH
    scene = SessionScene(session([(begin + i // 20, 0) for i in range(390)], first=FIRST, end=FIRST + 400))
    page = at(scene, FIRST + 400)
    assert page.columns[begin // WIDTH] == [255, 0, 0]
    assert page.rate[begin // WIDTH] == 390
