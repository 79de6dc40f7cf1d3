"""The score against a slow plain reference, however the events come in batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtspikes.errors import WireError
from rtspikes.subscribers.score import Score, Scorer
from rtspikes.types import GAP_DTYPE, SPIKE_DTYPE, TRUTH_DTYPE, UNOBSERVED_DTYPE
from rtspikes.wire.batch import Batch, Missed

TOLERANCE = 4  # samples: 1 ms at 4 kHz
SETTLING = 6
END = 400
VISIBLE_UV = 40.0

Rows = list[tuple[int, int, float]]  # (sample, channel, µV)


class KnownTruth:
    """True spikes from a list; keeps what it was asked."""

    rate_hz, n_channels, visible_uv = 4000.0, 4, VISIBLE_UV

    def __init__(self, rows: Rows) -> None:
        self.rows = np.array([(s, c, i, uv) for i, (s, c, uv) in enumerate(rows)], TRUTH_DTYPE)
        self.rows = np.sort(self.rows, order=("sample", "channel", "unit"))
        self.asked: list[tuple[int, int]] = []

    def spikes(self, first: int, end: int) -> NDArray[np.void]:
        self.asked.append((first, end))
        return self.rows[(self.rows["sample"] >= first) & (self.rows["sample"] < end)]


class Event(NamedTuple):
    trigger: int
    sample: int
    channel: int


@dataclass
class Scene:
    """A run: what was true, what was found, and where samples were lost."""

    truth: Rows = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)  # (sample, lost)
    unobserved: list[tuple[int, int, int]] = field(default_factory=list)  # (sample, stop, channel)
    end: int = END


@dataclass
class Found:
    score: Score
    unmatched: list[tuple[int, int]]
    missed: list[tuple[int, int]]


def info(**about: Any) -> dict[str, Any]:
    return {
        "rate_hz": 4000.0,
        "settling_samples": SETTLING,
        "first_sample": 0,
        "enabled": [True, True, False, True],
        "channels": {"kind": ["electrode", "electrode", "electrode", "reference"]},
        **about,
    }


def spikes_batch(events: list[Event], from_sample: int, to_sample: int) -> Batch:
    rows = np.zeros(len(events), SPIKE_DTYPE)
    for row, event in zip(rows, sorted(events), strict=True):
        row["crossing"], row["sample"], row["channel"] = event
    return Batch("spikes", "s", from_sample, to_sample, spikes=rows)


def scored(scene: Scene, cuts: list[int] | None = None, **about: Any) -> Found:
    """Return what the scorer says of a run whose events come in batches that end at `cuts`."""
    scorer = Scorer(KnownTruth(scene.truth), info(**about))
    unmatched: list[tuple[int, int]] = []
    missed: list[tuple[int, int]] = []

    def take(result: tuple[list[tuple[int, int]], NDArray[np.void]]) -> None:
        unmatched.extend(result[0])
        missed.extend((int(row["sample"]), int(row["channel"])) for row in result[1])

    borders = [0, *sorted(cuts or []), scene.end]
    for a, b in zip(borders, borders[1:], strict=False):
        intervals = [(*interval, 1) for interval in scene.unobserved if a <= interval[0] < b]
        take(scorer.add(Batch("unobserved", "s", 0, 0, unobserved=np.array(intervals, UNOBSERVED_DTYPE))))
        told = [gap for gap in scene.gaps if a <= gap[0] < b]
        if told:
            take(scorer.add(Batch("gaps", "s", 0, 0, gaps=np.array([(*gap, 0.0, 1, 0) for gap in told], GAP_DTYPE))))
        take(scorer.add(spikes_batch([e for e in scene.events if a <= e.trigger < b], a, b)))
    take(scorer.finish(scene.end))
    return Found(scorer.score, sorted(unmatched), sorted(missed))


def reference(scene: Scene) -> Found:
    """Match one electrode after the other over the whole run: first what should be found, then the rest."""
    score, unmatched, missed = Score(), [], []
    for channel in (0, 1):
        rows = sorted((s, uv) for s, c, uv in scene.truth if c == channel)
        free = sorted(e.sample for e in scene.events if e.channel == channel)
        faint = []
        for s, uv in rows:
            in_gap = any(g - TOLERANCE <= s < g + lost + SETTLING + TOLERANCE for g, lost in scene.gaps)
            away = any(a - TOLERANCE <= s < b + TOLERANCE and c == channel for a, b, c in scene.unobserved)
            if uv < VISIBLE_UV or in_gap or away or s >= scene.end - TOLERANCE:
                faint.append(s)
                continue
            near = [e for e in free if abs(e - s) <= TOLERANCE]
            if near:
                free.remove(near[0])
                score.hits, score.found = score.hits + 1, score.found + 1
            else:
                score.missed += 1
                missed.append((s, channel))
        for e in free:
            near = [s for s in faint if abs(e - s) <= TOLERANCE]
            if near:
                faint.remove(near[0])
                score.hits += 1
            else:
                score.false += 1
                unmatched.append((e, channel))
    return Found(score, sorted(unmatched), sorted(missed))


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Return events with true spikes near them, others anywhere, and gaps."""
    height, anywhere = st.sampled_from([20.0, 40.0, 90.0]), st.tuples(st.integers(0, SHORT + 10), st.integers(0, 3))
    truth = [(*place, uv) for place, uv in draw(st.lists(st.tuples(anywhere, height), max_size=8))]
    events = []
    for channel in (0, 1):  # nothing is detected on others; triggers and peaks rise together
        trigger = -4
        for step, rise, near, uv in draw(st.lists(st.tuples(STEP, st.integers(0, 3), NEAR, height), max_size=12)):
            trigger += step
            if trigger + rise < SHORT:
                events.append(Event(trigger, trigger + rise, channel))
                truth += [(trigger + rise + shift, channel, uv) for shift in near if trigger + rise + shift >= 0]
    gaps, at = [], 0
    for step, lost in draw(st.lists(st.tuples(st.integers(5, 60), st.integers(0, 20)), max_size=2)):
        gaps.append((at + step, lost))
        at += step + lost
    intervals = st.tuples(st.integers(0, SHORT - 1), st.integers(0, 40), st.integers(0, 3))
    unobserved = sorted((a, a + length, channel) for a, length, channel in draw(st.lists(intervals, max_size=4)))
    return Scene(truth, events, [gap for gap in gaps if gap[0] < SHORT], unobserved, SHORT)


SHORT = 120
STEP, NEAR = st.integers(4, 20), st.lists(st.integers(-TOLERANCE - 1, TOLERANCE + 1), max_size=2)
EVERY_SAMPLE = list(range(1, SHORT))


@settings(deadline=None, max_examples=400)
@given(scene=scenes(), cuts=st.lists(st.integers(0, SHORT), max_size=40) | st.just(EVERY_SAMPLE))
def test_it_says_the_same_as_a_plain_reference_however_batches_are_cut(scene: Scene, cuts: list[int]) -> None:
    assert scored(scene, cuts) == reference(scene)


def test_what_is_still_open_at_a_batchs_end_is_not_settled() -> None:
    for shift in range(-TOLERANCE - 1, TOLERANCE + 2):
        for uv in (20.0, 90.0):
            scene = Scene([(60 + shift, 0, uv)], [event(60)], end=SHORT)
            for cuts in ([cut] for cut in range(40, 80)):
                assert scored(scene, cuts) == reference(scene)


def event(sample: int, channel: int = 0) -> Event:
    return Event(sample, sample, channel)


def test_a_spike_and_its_event_match_within_a_millisecond_and_no_further() -> None:
    for shift, hit in ((-5, 0), (-4, 1), (0, 1), (4, 1), (5, 0)):
        found = scored(Scene([(100, 0, 90.0)], [event(100 + shift)])).score
        assert (found.hits, found.found) == (hit, hit)
        assert (found.false, found.missed) == (1 - hit, 1 - hit)


def test_electrodes_are_apart() -> None:
    found = scored(Scene([(100, 0, 90.0)], [event(100, 1)]))
    assert found == Found(Score(hits=0, false=1, found=0, missed=1), [(100, 1)], [(100, 0)])


def test_one_event_finds_one_spike_and_one_spike_explains_one_event() -> None:
    assert scored(Scene([(100, 0, 90.0), (102, 0, 90.0)], [event(101)])).score == Score(1, 0, 1, 1)
    assert scored(Scene([(101, 0, 90.0)], [event(98), event(104)])).score == Score(1, 1, 1, 0)
    assert scored(Scene([(101, 0, 20.0)], [event(98), event(104)])).score == Score(1, 1, 0, 0)


def test_faint_spikes_may_be_found_and_are_never_missed() -> None:
    assert scored(Scene([(100, 0, VISIBLE_UV - 0.1)])).score == Score()
    assert scored(Scene([(100, 0, VISIBLE_UV - 0.1)], [event(101)])).score == Score(hits=1)
    assert scored(Scene([(100, 0, VISIBLE_UV)])).score == Score(missed=1)


def test_an_event_belongs_to_what_should_be_found_before_what_is_faint() -> None:
    assert scored(Scene([(99, 0, 20.0), (103, 0, 90.0)], [event(100)])).score == Score(hits=1, found=1)


@pytest.mark.parametrize(("sample", "counts"), [(195, True), (196, False), (239, False), (240, True)])
def test_spikes_in_a_gap_and_until_the_filter_has_settled_may_be_missed(sample: int, counts: bool) -> None:
    scene = Scene([(sample, 0, 90.0)], gaps=[(200, 30)])
    assert scored(scene, [200, 300]).score == Score(missed=int(counts))
    scene.events = [event(sample)]
    assert scored(scene, [200, 300]).score == Score(hits=1, found=int(counts))


def test_a_gap_is_forgotten_once_it_is_over() -> None:
    scene = Scene([(s, 0, 90.0) for s in range(10, 390, 40)], gaps=[(50, 2), (200, 5)])
    assert scored(scene, list(range(0, END, 7))) == reference(scene)


def test_channels_that_are_not_detected_are_not_scored() -> None:
    scene = Scene([(100, 0, 90.0), (100, 2, 90.0), (100, 3, 90.0)], [event(100)])
    assert scored(scene).score == Score(hits=1, found=1)
    assert scored(scene, enabled=[True] * 4).score == Score(hits=1, found=1, missed=1), "3 is the reference"


def test_the_end_settles_what_is_left_and_misses_nothing_that_it_may_have_cut() -> None:
    scene = Scene([(END - 5, 0, 90.0), (END - 4, 1, 90.0)])
    assert scored(scene).missed == [(END - 5, 0)]
    scene.events = [event(END - 4), event(END - 1, 1)]
    assert scored(scene).score == Score(hits=2, found=1)


def test_nothing_is_said_before_it_is_settled() -> None:
    scorer = Scorer(KnownTruth([(100, 0, 90.0), (101, 1, 90.0)]), info())
    unmatched, missed = scorer.add(spikes_batch([event(100)], 0, 104))
    assert (unmatched, len(missed)) == ([], 0)
    assert scorer.score == Score()
    _, missed = scorer.add(spikes_batch([], 104, 105))
    assert (scorer.score.found, len(missed)) == (1, 0)
    _, missed = scorer.add(spikes_batch([], 105, 106))
    assert missed[["sample", "channel"]].tolist() == [(101, 1)]


def test_a_session_that_begins_later_is_scored_from_there() -> None:
    truth = KnownTruth([(100, 0, 90.0), (300, 0, 90.0)])
    scorer = Scorer(truth, info(first_sample=200))
    scorer.add(spikes_batch([], 200, END))
    assert scorer.score == Score(missed=1)
    assert min(first for first, end in truth.asked if end > first) == 200


def test_other_messages_change_nothing() -> None:
    scorer = Scorer(KnownTruth([(100, 0, 90.0)]), info())
    for kind in ("crossings", "status", "thresholds", "notices", "end"):
        unmatched, missed = scorer.add(Batch(kind, "s", 0, END))
        assert (unmatched, len(missed)) == ([], 0)
    assert scorer.score == Score()


def test_truth_is_asked_forwards_and_for_every_stretch_once() -> None:
    truth = KnownTruth([(100, 0, 90.0)])
    scorer = Scorer(truth, info())
    for at in range(0, END, 20):
        scorer.add(Batch("status", "s", 0, 0))
        scorer.add(spikes_batch([], at, at + 20))
    scorer.finish(END)
    assert [first for first, _ in truth.asked] == [0, *[end for _, end in truth.asked[:-1]]]
    assert truth.asked[-1][1] == END + 2 * TOLERANCE


def test_spikes_whose_messages_did_not_come_do_not_count() -> None:
    scorer = Scorer(KnownTruth([(s, 0, 90.0) for s in range(10, 200, 20)]), info())
    scorer.add(spikes_batch([], 0, 50))
    late = spikes_batch([], 150, 200)
    scorer.add(replace(late, missed=(Missed("spikes", 1, 1, 50, 150), Missed("status", 1, 7))))
    scorer.finish(200)
    assert scorer.score == Score(missed=4), "10, 30, 170 and 190 were seen not to be found"


def test_what_an_electrode_could_not_report_does_not_count_on_that_one_alone() -> None:
    truth = [(s, channel, 90.0) for s in (50, 100, 150) for channel in (0, 1)]
    found = scored(Scene(truth, [event(100)], unobserved=[(60, 145, 0), (60, 70, 1)]))
    assert found.score == Score(hits=1, missed=5), "what was found nevertheless is not false"
    assert found.missed == [(50, 0), (50, 1), (100, 1), (150, 0), (150, 1)]


def test_a_tail_that_did_not_come_does_not_count() -> None:
    scorer = Scorer(KnownTruth([(s, 0, 90.0) for s in range(10, 200, 20)]), info())
    scorer.add(spikes_batch([], 0, 100))
    scorer.add(Batch("end", "s", 0, 0, missed=(Missed("spikes", 1, 1, 100),)))
    scorer.finish(200)
    assert scorer.score == Score(missed=5)


def test_who_joins_late_scores_from_there() -> None:
    scorer = Scorer(KnownTruth([(s, 0, 90.0) for s in range(10, 200, 20)]), info())
    scorer.add(spikes_batch([event(130)], 100, 200))
    scorer.finish(200)
    assert scorer.score == Score(hits=1, found=1, missed=4), "what came before 100 was not seen"


def test_without_anything_to_find_everything_was_found() -> None:
    assert (Score().recall, Score().precision) == (1.0, 1.0)
    assert Score(hits=3, false=1, found=2, missed=6).recall == 0.25
    assert Score(hits=3, false=1, found=2, missed=6).precision == 0.75
    assert (Score(missed=2).recall, Score(false=2).precision) == (0.0, 0.0)
    assert (Score(found=2).recall, Score(hits=2).precision) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("first", "end"), [(0, 2**60), (2**50, 2**50 + 100), (0, 61 * 4000), (4 * 10**9, 4 * 10**9 + 1)]
)
def test_indices_that_no_simulation_reaches_are_refused_at_once(first: int, end: int) -> None:
    scorer = Scorer(KnownTruth([]), info())
    with pytest.raises(WireError, match="further than any simulation goes"):
        scorer.add(spikes_batch([], first, end))


def test_a_long_silence_is_passed_over_and_not_counted() -> None:
    truth = KnownTruth([(s, 0, 90.0) for s in range(1000, 10_000_000, 100_000)])
    scorer = Scorer(truth, info())
    scorer.add(spikes_batch([], 0, 50))
    late = spikes_batch([], 9_000_000, 9_001_100)
    scorer.add(replace(late, missed=(Missed("spikes", 1, 1, 50, 9_000_000),)))
    scorer.finish(9_001_100)
    assert scorer.score == Score(missed=1), "only the one at 9,001,000"
    assert max(end - first for first, end in truth.asked) < 2000


@pytest.mark.parametrize("about", [{"rate_hz": 20000.0}, {"enabled": [True] * 5}])
def test_a_stream_that_is_not_its_addresss_is_refused(about: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="not the simulation that it says"):
        Scorer(KnownTruth([]), info(**about))


def test_nothing_stays_open_where_nothing_happens() -> None:
    scorer = Scorer(KnownTruth([(100, 0, 90.0), (110, 1, 1.0)]), info())
    for at in range(0, 1000, 20):
        scorer.add(spikes_batch([], at, at + 20))
    assert not scorer._open  # noqa: SLF001
