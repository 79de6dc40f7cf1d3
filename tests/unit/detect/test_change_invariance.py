"""Changes of detection give the same events however the input is cut, and those of the plain reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.detect.changes import Change, Follow, Freeze, Levels, Mute, Recalibrate, Threshold, Unmute
from rtspikes.detect.detector import Events
from rtspikes.detect.settings import DetectSettings, FilterSettings, NoiseSettings, ReboundSettings, StormSettings
from rtspikes.types import ChannelInfo, StreamInfo
from tests.reference import Reference
from tests.simulated import GAIN_UV, RATE_HZ, simulate
from tests.unit.detect.streaming import Segments, joined, stream

LENGTH = 14_000
SAMPLES, _ = simulate(n_channels=3, seconds=LENGTH / RATE_HZ, spikes_per_s=40, seed=2)
BLOCK = 7 * 143
"""Samples of a noise block of 0.05 s at 20 kHz."""
QUICK = NoiseSettings(initial_s=0.05, block_s=0.05, window_s=0.2)
RAW = ReboundSettings(reject=False)
CALM = StormSettings(cap_per_s=0)
"""No limit to the triggers of a channel."""
CASES = {
    "falling": DetectSettings(threshold=4, noise=QUICK, rebound=RAW),
    "both signs, many events": DetectSettings(
        threshold=2.0, sign="both", dead_time_ms=0.4, noise=QUICK, rebound=RAW, storm=CALM
    ),
    "rising, in µV": DetectSettings(threshold_uv=12.0, sign="pos", noise=QUICK, rebound=RAW, dead_time_ms=2.0),
    "frozen, no filter": DetectSettings(
        filter=FilterSettings(kind="none"), dead_time_ms=4.0, peak_ms=3.0, rebound=RAW,
        noise=NoiseSettings(mode="freeze", freeze_after_s=0.25, initial_s=0.05, block_s=0.05, window_s=0.1),
    ),
}  # fmt: skip
WIDE = (0, 299, 599)
"""Where the three channels are in a stream of 600, which is three tiles."""


def channels(n: int) -> tuple[ChannelInfo, ...]:
    """Return electrodes with the labels A, B and C, those of a wide stream among others."""
    named = dict(zip((0, 1, 2) if n == 3 else WIDE, "ABC", strict=True))
    return tuple(ChannelInfo(named.get(i, f"x{i}"), i, gain_uv=GAIN_UV) for i in range(n))


def stream_of(n: int) -> StreamInfo:
    return StreamInfo("test:", RATE_HZ, "int16", channels(n), False)


def levels(pairs: list[tuple[float | None, float | None]], n: int = 3) -> Levels:
    """Return thresholds of A, B and C; the others have none."""
    labels = ("A", "B", "C", *(c.label for c in channels(n) if c.label not in "ABC"))
    none = (None,) * (n - 3)
    return Levels(labels, (*(p[0] for p in pairs), *none), (*(p[1] for p in pairs), *none))


SELECT = st.sampled_from(["A", "B", "C", "[AB]", ("A", "C"), ("B",), "[ABC]"])
CHANGE = st.one_of(
    st.builds(Threshold, SELECT, threshold=st.floats(1.2, 9)),
    st.builds(Threshold, SELECT, threshold_uv=st.floats(5, 60)),
    st.builds(
        levels,
        st.lists(st.tuples(st.none() | st.floats(-60, -5), st.none() | st.floats(5, 30)), min_size=3, max_size=3),
    ),
    st.builds(Mute, SELECT),
    st.builds(Unmute, SELECT),
    st.sampled_from([Freeze(), Follow(), Recalibrate()]),
)
WHEN = st.integers(0, LENGTH + 2000) | st.integers(0, LENGTH // BLOCK).map(lambda k: k * BLOCK)
SCHEDULES = st.lists(st.tuples(WHEN, CHANGE), min_size=1, max_size=10)
LOST = st.integers(0, 3 * BLOCK)
GAPS = st.lists(st.tuples(st.integers(1, LENGTH - 1), LOST), max_size=3)
LATER_GAPS = st.lists(st.tuples(st.integers(2 * BLOCK, LENGTH - 1), LOST), max_size=3)
"""Gaps that leave enough of the start, so that no channel counts as dead, which the reference does not know."""


def with_gaps(gaps: list[tuple[int, int]], samples: np.ndarray, begin: int) -> Segments:
    """Return `samples` cut at the gaps' positions, with so many samples lost there."""
    borders = sorted({0, *(at for at, _ in gaps), len(samples)})
    segments: Segments = []
    for i, (a, b) in enumerate(zip(borders, borders[1:], strict=False)):
        begin += gaps[i - 1][1] if i else 0
        segments.append((a + begin, samples[a:b]))
    return segments


def check_reference(results: list[Events], reference: Reference) -> None:
    """Compare all events byte for byte, and the thresholds in force wherever they may have changed."""
    spikes, waveforms, rejected = reference.detect()
    np.testing.assert_array_equal(np.concatenate([e.spikes for e in results]), spikes)
    np.testing.assert_array_equal(np.concatenate([e.waveforms for e in results]), waveforms)
    ended = np.concatenate([e.rejected for e in results])
    assert [(int(r["crossing"]), int(r["channel"])) for r in ended] == rejected
    told = [u for e in results for u in e.thresholds]
    assert [u.sample for u in told] == sorted(u.sample for u in told)
    for cut in reference.cuts:
        at = min([max(cut, first) for first, x in reference.segments if cut < first + len(x)], default=None)
        if at is None:
            break
        now = [u for u in told if u.sample <= at][-1]
        expected = np.array([reference.levels(at, c) for c in range(len(now.below_uv))]).T
        np.testing.assert_array_equal([-now.below_uv, now.above_uv], expected)


@settings(max_examples=12, deadline=None)
@given(schedule=SCHEDULES, gaps=LATER_GAPS, begin=st.sampled_from([0, 700]), case=st.sampled_from(sorted(CASES)))
def test_random_changes_give_what_the_plain_reference_gives(
    schedule: list[tuple[int, Change]], gaps: list[tuple[int, int]], begin: int, case: str
) -> None:
    segments = with_gaps(gaps, SAMPLES, begin)
    changes = [(at + begin, change) for at, change in schedule]
    results = stream(segments, stream_of(3), CASES[case], [1000], changes=changes)
    check_reference(results, Reference(segments, GAIN_UV, RATE_HZ, CASES[case], GAIN_UV, channels(3), changes))


@settings(max_examples=15, deadline=None)
@given(
    schedule=SCHEDULES,
    gaps=GAPS,
    begin=st.sampled_from([0, 700]),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    late=st.booleans(),
    case=st.sampled_from(sorted(CASES)),
)
def test_neither_cuts_nor_the_time_of_scheduling_change_the_events(
    schedule: list[tuple[int, Change]], gaps: list[tuple[int, int]], begin: int, sizes: list[int], late: bool, case: str
) -> None:
    segments = with_gaps(gaps, SAMPLES, begin)
    changes = [(at + begin, change) for at, change in schedule]
    whole = joined(stream(segments, stream_of(3), CASES[case], [2**20], changes=changes))
    assert joined(stream(segments, stream_of(3), CASES[case], sizes, changes=changes, late=late)) == whole


MIXED: list[tuple[int, Change]] = [
    (0, Threshold("[AB]", threshold=3.5)),
    (2 * BLOCK, Recalibrate()),
    (2500, levels([(-20.0, 15.0), (None, 12.0), (-14.0, None)])),
    (2501, Threshold("C", threshold=3)),
    (3 * BLOCK, Freeze()),
    (4096, Mute("A")),
    (4097, Threshold("B", threshold=2)),
    (4128, Unmute("A")),
    (5 * BLOCK, Follow()),
    (5 * BLOCK, Recalibrate()),
    (6000, Threshold("[AC]", threshold_uv=14.0)),
    (6000, Mute("C")),
    (7777, Unmute("C")),
    (8 * BLOCK - 1, Freeze()),
    (8 * BLOCK, Recalibrate()),
    (9500, Threshold("[ABC]", threshold=4)),
]
SPLIT: Segments = [(0, SAMPLES[:4100]), (4110, SAMPLES[4110:5990]), (6100, SAMPLES[6100:])]


@pytest.mark.parametrize("late", [False, True], ids=["scheduled early", "scheduled late"])
@pytest.mark.parametrize("sizes", [[1], [7], [31, 32, 33, 1], [2048, 2049], [100_000]], ids=str)
@pytest.mark.parametrize("segments", [[(0, SAMPLES)], SPLIT], ids=["whole", "with gaps"])
@pytest.mark.parametrize("case", CASES)
def test_all_kinds_of_changes_do_not_depend_on_the_chunks(
    case: str, segments: Segments, sizes: list[int], late: bool
) -> None:
    plain = joined(stream(segments, stream_of(3), CASES[case], [555], changes=MIXED))
    assert joined(stream(segments, stream_of(3), CASES[case], sizes, changes=MIXED, late=late)) == plain


def wide(segments: Segments, between: np.ndarray | None = None) -> Segments:
    """Return the three channels among 600; what lies between is silent, or that noise."""
    found: Segments = []
    for first, x in segments:
        out = np.zeros((len(x), 600), np.int16) if between is None else between[first : first + len(x)].copy()
        out[:, WIDE] = x
        found.append((first, out))
    return found


def among_600(change: Change) -> Change:
    if not isinstance(change, Levels):
        return change
    return levels(list(zip(change.negative_uv, change.positive_uv, strict=True)), 600)


@pytest.mark.parametrize("case", CASES)
def test_the_channels_of_other_tiles_change_at_the_same_samples(case: str) -> None:
    changes = [(at, among_600(change)) for at, change in MIXED]
    results = stream(wide(SPLIT), stream_of(600), CASES[case], [1000], changes=changes)
    for e in results:
        for table in (e.spikes, e.rejected):
            table["channel"] = np.searchsorted(WIDE, table["channel"])
        e.thresholds = [
            type(u)(u.sample, u.sigma_uv[[*WIDE]], u.below_uv[[*WIDE]], u.above_uv[[*WIDE]]) for u in e.thresholds
        ]
    check_reference(results, Reference(SPLIT, GAIN_UV, RATE_HZ, CASES[case], GAIN_UV, channels(3), MIXED))


@settings(max_examples=6, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=8),
    multiples=st.lists(st.floats(2.5, 6), min_size=4, max_size=4),
    at=st.lists(st.integers(0, LENGTH), min_size=8, max_size=8),
    late=st.booleans(),
)
def test_many_events_on_several_tiles_do_not_depend_on_the_chunks(
    sizes: list[int], multiples: list[float], at: list[int], late: bool
) -> None:
    noise = np.random.default_rng(8).normal(0, 40, (LENGTH, 600)).astype(np.int16)
    kinds: list[Change] = [
        *(Threshold(s, threshold=m) for s, m in zip(("*", "#100-400", "x3*", "#256-599"), multiples, strict=True)),
        Mute("x2*"), Unmute("#200-270"), Freeze(), Recalibrate(),
    ]  # fmt: skip
    changes: list[tuple[int, Change]] = list(zip(at, kinds, strict=True))
    segments, case = wide(SPLIT, noise), CASES["both signs, many events"]
    results = stream(segments, stream_of(600), case, [2**20], changes=changes)
    found = np.concatenate([e.spikes for e in results])
    assert len(np.unique(found["channel"] // 256)) == 3
    assert math.prod(np.bincount(found["channel"] // 200)) > 0
    assert joined(stream(segments, stream_of(600), case, sizes, changes=changes, late=late)) == joined(results)


def test_the_schedule_above_makes_a_difference_to_every_case() -> None:
    for case in CASES.values():
        plain: Any = joined(stream(SPLIT, stream_of(3), case, [1000]))
        changed: Any = joined(stream(SPLIT, stream_of(3), case, [1000], changes=MIXED))
        assert plain["spikes"] != changed["spikes"]
        assert len(plain["thresholds"]) < len(changed["thresholds"])
