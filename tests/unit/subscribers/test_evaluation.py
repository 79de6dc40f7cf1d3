"""An evaluation against a slow plain reference, and against the score of a simulation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.sources.truth import find_truth
from rtspikes.subscribers.evaluation import Evaluation, Event, Tally, TrueSpike, evaluate
from rtspikes.subscribers.labelled import Labelled
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.score import score_session
from tests.system.processes import rtspikes as run_to_end
from tests.unit.subscribers.sessions import RATE_HZ, SETTLING, labelled, session

TOLERANCE = 4  # samples: 1 ms
SHORT = 160

Place = tuple[int, int]


class Scene(NamedTuple):
    truth: list[Place]
    events: list[Place]
    about: dict[str, Any]


def compared(truth: list[Place], events: list[Place], **about: Any) -> Evaluation:
    return evaluate(session(events, **about), labelled(truth))


def tally(truth: list[Place], events: list[Place], **about: Any) -> Tally:
    return compared(truth, events, **about).total


def is_excused(at: int, channel: int, about: dict[str, Any]) -> bool:
    """Say by the rules, one by one, that a spike could not be seen."""
    first, end = about["first"], about["end"]
    if at < first or at >= end - TOLERANCE or not about["enabled"][channel]:
        return True
    away = [(g, g + lost + SETTLING) for g, lost in about["gaps"]] + [(first, about["joined"])]
    away = [(max(a, first), min(b, end)) for a, b in away]  # as `unseen` tells it: within the session
    away = [(a, b) for a, b in away if a < b]
    away += [(a, b) for a, b, c in about["unobserved"] if c == channel]
    muted = None
    for sample, change, which in sorted(about["mutings"], key=lambda m: m[0]):
        if which == channel and change == "mute" and muted is None:
            muted = sample
        elif which == channel and change == "unmute" and muted is not None:
            away.append((muted, sample))
            muted = None
    if muted is not None:
        away.append((muted, 10**9))
    return any(a - TOLERANCE <= at < b + TOLERANCE for a, b in away)


def reference(scene: Scene) -> tuple[list[str], list[str]]:
    """Return what each true spike and each event is, one after the other."""
    spikes = ["excused" if is_excused(*place, scene.about) else "missed" for place in scene.truth]
    events = ["unmatched"] * len(scene.events)
    for wanted, now, what in (("missed", "found", "matched"), ("excused", "excused", "near_excused")):
        for i in sorted(range(len(spikes)), key=lambda i: scene.truth[i][0]):
            at, channel = scene.truth[i]
            near = [
                k for k, (sample, c) in enumerate(scene.events)
                if c == channel and abs(sample - at) <= TOLERANCE and events[k] == "unmatched"
            ]  # fmt: skip
            if spikes[i] == wanted and near:
                spikes[i], events[near[0]] = now, what
    return spikes, events


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    at, channel, length = st.integers(-5, SHORT + 5), st.integers(0, 2), st.integers(0, 30)
    events = sorted(draw(st.lists(st.tuples(st.integers(0, SHORT - 1), channel), max_size=12)))
    near = st.tuples(st.sampled_from(events or [(0, 0)]), st.integers(-TOLERANCE - 1, TOLERANCE + 1))
    truth = draw(st.lists(st.tuples(at, channel), max_size=8))
    truth += [(sample + shift, c) for (sample, c), shift in draw(st.lists(near, max_size=12))]
    first = draw(st.sampled_from([0, 20]))
    mutings = draw(st.lists(st.tuples(st.integers(0, SHORT), st.sampled_from(["mute", "unmute"]), channel), max_size=4))
    gaps, reached = [], first
    for step, lost in draw(st.lists(st.tuples(st.integers(5, 60), length), max_size=2)):
        gaps.append((reached + step, lost))
        reached += step + lost
    about = {
        "end": SHORT,
        "first": first,
        "joined": first + draw(st.sampled_from([0, 15])),
        "enabled": draw(st.sampled_from([(True, True, True), (True, False, True)])),
        "gaps": [gap for gap in gaps if gap[0] < SHORT],
        "unobserved": [(a, a + n, c) for a, n, c in draw(st.lists(st.tuples(at, length, channel), max_size=4))],
        "mutings": mutings,
    }
    return Scene(truth, events, about)


@settings(max_examples=400)
@given(scene=scenes())
def test_it_says_the_same_as_a_plain_reference(scene: Scene) -> None:
    found = compared(scene.truth, scene.events, **scene.about)
    spikes, events = reference(scene)
    assert [TrueSpike(state).name.lower() for state in found.spikes] == spikes
    # of events at the same sample of a channel it does not matter which one is matched
    told = zip(scene.events, [Event(state).name.lower() for state in found.events], strict=True)
    assert sorted(told) == sorted(zip(scene.events, events, strict=True))
    assert found.total == Tally(
        *(spikes.count(name) for name in ("found", "missed", "excused")),
        *(events.count(name) for name in ("unmatched", "near_excused")),
    )


@given(scene=scenes())
def test_parts_add_up_and_partners_are_partners(scene: Scene) -> None:
    snr = [float(i % 15) for i in range(len(scene.truth))]
    unit = [f"u{i % 3}" for i in range(len(scene.truth))]
    found = evaluate(session(scene.events, **scene.about), labelled(scene.truth, snr, unit))
    total = found.total

    def added(parts: dict[Any, Tally], names: tuple[str, ...]) -> list[int]:
        return [sum(getattr(part, name) for part in parts.values()) for name in names]

    three = ("found", "missed", "excused")
    all_of = (*three, "unmatched", "near_excused")
    assert added(found.by_channel, all_of) == [getattr(total, name) for name in all_of]
    assert not scene.truth or added(found.by_snr, three) == [getattr(total, name) for name in three]
    if len(scene.truth) > 1:
        assert added(found.by_unit, three) == [getattr(total, name) for name in three]
    paired = np.flatnonzero(found.partner >= 0)
    assert len({*found.partner[paired].tolist()}) == len(paired) == total.found + total.near_excused
    partners = found.session.spikes[found.partner[paired]]
    assert (partners["channel"] == found.truth.channel[paired]).all()
    assert (np.abs(partners["sample"] - found.truth.sample[paired]) <= TOLERANCE).all()


def test_unsorted_labels_count_the_same() -> None:
    truth = [(900, 1), (100, 0), (500, 1), (104, 0), (96, 0)]
    events = [(100, 0), (103, 0), (498, 1), (700, 1)]
    assert tally(truth, events) == tally(sorted(truth), events) == Tally(3, 2, 0, 1, 0)


def test_what_counts_is_matched_before_what_is_excused() -> None:
    about = {"unobserved": [(100, 110, 0)]}
    assert tally([(113, 0), (114, 0)], [(112, 0)], **about) == Tally(1, 0, 1, 0, 0)
    assert tally([(113, 0)], [(112, 0)], **about) == Tally(0, 0, 1, 0, 1)


def test_the_tolerance_is_the_callers() -> None:
    for ms, found in ((1.0, 0), (1.25, 1), (2.0, 1)):
        assert evaluate(session([(105, 0)]), labelled([(100, 0)]), ms * 1e-3).total.found == found


def test_figures_without_anything_to_count_are_not_numbers() -> None:
    nothing = tally([], [])
    assert all(math.isnan(value) for value in (nothing.recall, nothing.precision, nothing.f1))
    some = Tally(found=3, missed=1, excused=9, unmatched=2, near_excused=9)
    assert (some.recall, some.precision, some.f1) == (0.75, 0.6, 6 / 9)


def test_bands_of_snr_begin_at_their_edges() -> None:
    snr = [4.99, 5.0, 5.99, 6.0, 8.0, 11.9, 12.0, 100.0, math.nan]
    truth = labelled([(100 * (i + 1), 0) for i in range(len(snr))], snr)
    found = evaluate(session([(100, 0), (800, 0)]), truth).by_snr
    assert {name: (part.found, part.missed) for name, part in found.items()} == {
        "< 5": (1, 0), "5–6": (0, 2), "6–8": (0, 1), "8–12": (0, 2), "≥ 12": (1, 1), "unknown": (0, 1)
    }  # fmt: skip
    assert evaluate(session(), labelled([(1, 0)])).by_snr == {}


def test_units_are_told_unless_they_are_no_units() -> None:
    names = ["a", "b", "a", ""]
    found = evaluate(session([(100, 0)]), labelled([(100 * (i + 1), 0) for i in range(4)], unit=names)).by_unit
    assert {name: (part.found, part.missed) for name, part in found.items()} == {"": (0, 1), "a": (1, 1), "b": (0, 1)}
    heights = [str(i) for i in range(30)]
    assert evaluate(session(), labelled([(i, 0) for i in range(30)], unit=heights)).by_unit == {}


def test_false_events_are_told_by_observed_time_of_all_channels() -> None:
    found = compared([(100, 0)], [(100, 0), (500, 0), (900, 1)], enabled=(True, True, False), unobserved=[(0, 2000, 1)])
    assert found.false_per_s == 2 / (1.0 + 0.5)


def test_how_late_events_are() -> None:
    np.testing.assert_allclose(compared([(100, 0), (200, 1), (300, 0)], [(102, 0), (199, 1)]).late_s * RATE_HZ, [2, -1])


@pytest.mark.parametrize("shift", [-18, -6, 7, 19])
def test_a_constant_shift_that_would_match_nearly_all_is_found(shift: int) -> None:
    rng = np.random.default_rng(3)
    events = [
        (int(sample), int(channel))
        for sample, channel in zip(range(50, 3900, 60), rng.integers(0, 3, 65), strict=False)
    ]
    truth = [(sample - shift + int(rng.integers(-1, 2)), channel) for sample, channel in events[5:]]
    found = compared(truth, events)
    assert found.total.found == 0
    better = found.better_shift_s()
    assert better is not None
    assert abs(better[0] * RATE_HZ - shift) <= 1
    assert better[1] >= 60


def test_no_shift_is_found_where_there_is_none() -> None:
    rng = np.random.default_rng(4)
    truth, events = ([(int(s), 0) for s in rng.integers(0, 400000, 60)] for _ in range(2))
    assert compared(truth, events, end=400000).better_shift_s() is None
    assert compared(events, events, end=400000).better_shift_s() is None, "they match as they are"
    assert compared([(100, 0)], [(110, 0)]).better_shift_s() is None, "one is not many"
    assert compared(truth, [], end=400000).better_shift_s() is None


def test_a_simulation_is_evaluated_as_it_is_scored(tmp_path: Path) -> None:
    uri = "sim:60?seconds=6&gaps=60"
    done = run_to_end(
        "run", "--source", uri, "--publish", "tcp://127.0.0.1:0", "--set", "source.speed=8", "--log", tmp_path / "s"
    )
    assert done.returncode == 0, done.stderr
    log, truth = read_session(tmp_path / "s.rtspikes"), find_truth(uri)
    score = score_session(log)
    assert truth is not None
    assert score is not None
    rows = truth.spikes(0, log.to_sample)
    n = len(rows)
    labels = Labelled("", rows["sample"], rows["channel"].astype(np.int64), [""] * n, np.full(n, np.nan))
    found = evaluate(log, labels, wanted=rows["amplitude_uv"] >= truth.visible_uv).total
    assert (found.found, found.missed, found.unmatched) == (score.found, score.missed, score.false)
    assert found.found + found.near_excused == score.hits
    assert min(score.missed, score.false, found.near_excused) > 0
