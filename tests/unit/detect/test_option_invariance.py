"""Every method and every option gives the same however the input is cut, with gaps, marks and changes anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtspikes.detect.changes import Blank, Change, Follow, Freeze, Mute, Recalibrate, Threshold, Unmute
from rtspikes.detect.rebound import Rebound, design_rebound
from rtspikes.types import ChannelInfo, RejectReason, StreamInfo, UnobservedReason
from tests.simulated import GAIN_UV
from tests.unit.detect.options import CASES, CHANNELS, INFO, in_float, recording
from tests.unit.detect.streaming import Results, Segments, joined, stream
from tests.unit.detect.test_change_invariance import with_gaps

LENGTH = 8000
SAMPLES = recording(LENGTH)
IN_FLOAT, FLOAT_INFO = in_float(SAMPLES)
BLOCK = 7 * 143
"""Samples of a noise block of 0.05 s at 20 kHz."""

SELECT = st.sampled_from(["A*", "B*", "A1", "A10", ("A1", "A2", "A5", "B0"), "#0-9", "well:B", "*"])
CHANGE = st.one_of(
    st.builds(Threshold, SELECT, threshold=st.floats(2, 8)),
    st.builds(Threshold, SELECT, threshold_uv=st.floats(15, 60)),
    st.builds(Mute, SELECT),
    st.builds(Unmute, SELECT),
    st.builds(Blank, SELECT, ms=st.floats(0.01, 20)),
    st.builds(Blank, SELECT, ms=st.sampled_from([0.05, 1.0, 30.0])),
    st.sampled_from([Freeze(), Follow(), Recalibrate()]),
)
WHEN = st.integers(0, LENGTH + 2000) | st.integers(0, LENGTH // BLOCK).map(lambda k: k * BLOCK)
SCHEDULES = st.lists(st.tuples(WHEN, CHANGE), max_size=6)
LOST = st.integers(0, 300) | st.sampled_from([0, 1, 2000, 30_000])
GAPS = st.lists(st.tuples(st.integers(1, LENGTH - 1), LOST), max_size=3)
SIZES = st.builds(
    lambda some, rest: [*some, rest], st.lists(st.integers(1, 2500), max_size=20), st.sampled_from([97, 333, 2500])
)


@pytest.fixture(scope="module", autouse=True)
def _quick_design() -> Iterator[None]:
    """Design the rebound rule once for each filter: it takes longer than most runs here."""
    known: dict[tuple[bytes, float], Rebound] = {}

    def once(sections: NDArray[np.float32], rate_hz: float) -> Rebound:
        key = sections.tobytes(), rate_hz
        if key not in known:
            known[key] = design_rebound(sections, rate_hz)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("rtspikes.detect.detector"), "design_rebound", once)
        yield


def check_promises(results: Results) -> None:
    """Look at what is told along the way: how far events are out, ids without holes, intervals that do not overlap."""
    for name, to in (("crossings", "crossings_to"), ("spikes", "spikes_to"), ("rejected", "spikes_to")):
        told = 0
        for e in results:
            assert (getattr(e, name)["crossing"] >= told).all(), name
            assert getattr(e, to) >= told
            told = getattr(e, to)
    crossings, spikes, rejected, intervals = (
        np.concatenate([getattr(e, name) for e in results])
        for name in ("crossings", "spikes", "rejected", "unobserved")
    )
    np.testing.assert_array_equal(crossings["id"], np.arange(len(crossings)))
    np.testing.assert_array_equal(np.sort(np.r_[spikes["id"], rejected["id"]]), crossings["id"])
    np.testing.assert_array_equal(results.counts, np.bincount(spikes["channel"], minlength=len(results.counts)))
    assert (intervals["sample"] < intervals["stop"]).all()
    for channel in np.unique(intervals["channel"]):
        for reason in UnobservedReason:
            own = np.sort(
                intervals[(intervals["channel"] == channel) & (intervals["reason"] == reason)], order="sample"
            )
            assert (own["sample"][1:] >= own["stop"][:-1]).all(), (channel, reason)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    schedule=SCHEDULES,
    gaps=GAPS,
    begin=st.sampled_from([0, 700]),
    sizes=SIZES,
    late=st.booleans(),
    in_float32=st.booleans(),
)
def test_no_cut_changes_what_is_found(
    case: str,
    schedule: list[tuple[int, Change]],
    gaps: list[tuple[int, int]],
    begin: int,
    sizes: list[int],
    late: bool,
    in_float32: bool,
) -> None:
    samples, info = (IN_FLOAT, FLOAT_INFO) if in_float32 else (SAMPLES, INFO)
    segments = with_gaps(gaps, samples, begin)
    changes = [(at + begin, change) for at, change in schedule]
    whole = joined(stream(segments, info, CASES[case], [2**20], changes=changes))
    pieces = stream(segments, info, CASES[case], sizes, changes=changes, late=late)
    assert joined(pieces) == whole
    check_promises(pieces)


MIXED: list[tuple[int, Change]] = [
    (0, Threshold("A*", threshold=3.5)),
    (1200, Blank("#0-9", 3.0)),
    (1230, Blank("A1*", 1.0)),
    (2 * BLOCK, Blank("*", 0.05)),
    (2500, Mute("A2")),
    (2800, Unmute("A2")),
    (3 * BLOCK, Recalibrate()),
    (4 * BLOCK - 10, Blank("B*", 4.0)),
    (4500, Freeze()),
    (6000, Threshold("B*", threshold_uv=30.0)),
    (7990, Blank("A1", 5.0)),
]
SPLIT: Segments = [(0, SAMPLES[:1225]), (1235, SAMPLES[1235:5990]), (6100, SAMPLES[6100:])]


@pytest.mark.parametrize("case", CASES)
def test_single_samples_bring_the_same(case: str) -> None:
    short = [(first, x[: max(0, 3000 - first)]) for first, x in SPLIT if first < 3000]
    for segments, sizes in ((short, [1]), (SPLIT, [31, 32, 33])):
        plain = joined(stream(segments, INFO, CASES[case], [555], changes=MIXED))
        assert joined(stream(segments, INFO, CASES[case], sizes, changes=MIXED, late=True)) == plain


STRIDE = 15
"""The channels are so far apart in a wide stream, which is two tiles."""


def spread() -> StreamInfo:
    """Return the stream of 300 channels: those of INFO among others, which are no electrodes."""
    between = [ChannelInfo(f"x{i}", i, kind="aux", gain_uv=GAIN_UV) for i in range(STRIDE * CHANNELS)]
    for c in INFO.channels:
        between[c.position * STRIDE] = replace(c, position=c.position * STRIDE)
    return replace(INFO, channels=tuple(between))


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_same_when_the_electrodes_of_a_well_are_in_several_tiles(case: str) -> None:
    changes: list[tuple[int, Change]] = [(1200, Blank("A*", 3.0)), (1230, Blank("A1*", 1.0)), (2500, Mute("A2"))]
    narrow = stream(SPLIT, INFO, CASES[case], [1000], changes=changes)
    rows = np.zeros((SPLIT[-1][0] + len(SPLIT[-1][1]), STRIDE * CHANNELS), np.int16)
    segments = [(first, rows[first : first + len(x)]) for first, x in SPLIT]
    for (_, row), (_, x) in zip(segments, SPLIT, strict=True):
        row[:, ::STRIDE] = x
    wide = stream(segments, spread(), CASES[case], [1000], changes=changes)
    np.testing.assert_array_equal(wide.observed[::STRIDE], narrow.observed)
    for e in wide:
        for table in (e.crossings, e.spikes, e.rejected, e.unobserved):
            table["channel"] //= STRIDE
        e.thresholds, e.findings = [], []
    wide.counts, wide.observed = wide.counts[::STRIDE], wide.observed[::STRIDE]
    for e in narrow:
        e.thresholds, e.findings = [], []
    assert joined(wide) == joined(narrow)


def reasons(results: Results) -> set[int]:
    return set(np.concatenate([e.rejected for e in results])["reason"].tolist())


def test_every_option_has_something_to_do_here() -> None:
    found = {case: stream([(0, SAMPLES)], INFO, settings_, [5000]) for case, settings_ in CASES.items()}
    plain = joined(found["threshold"])
    for case, results in found.items():
        assert results.counts.sum() > 20, case
        assert case == "threshold" or joined(results) != plain, case
    for name, reason in (
        ("coincidence rejects", RejectReason.COINCIDENCE),
        ("exclusive", RejectReason.NEIGHBOUR),
        ("blanking", RejectReason.BLANKED),
        ("rebound", RejectReason.REBOUND),
    ):
        assert reason in reasons(found[name]), name
    assert {RejectReason.COINCIDENCE, RejectReason.NEIGHBOUR} <= reasons(found["everything, threshold"])
    assert any(e.flags.any() for e in found["coincidence flags"])
    for name in ("storm", "everything, threshold"):
        assert [f.cause for e in found[name] for f in e.findings if f.cause.startswith("storm")], name
        intervals = np.concatenate([e.unobserved for e in found[name]])
        assert UnobservedReason.STORM in intervals["reason"], name
