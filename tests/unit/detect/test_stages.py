"""Every method and option against the plain reference of the stages, byte for byte, for a σ that is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_
from numpy.typing import NDArray

from rtspikes.detect.changes import Blank, Change, Mute, Threshold, Unmute
from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import ArtifactSettings, DetectSettings, NoiseSettings
from rtspikes.types import StreamInfo, UnobservedReason
from tests.reference_stages import Stages
from tests.simulated import stream_info
from tests.unit.detect import options
from tests.unit.detect.options import BLANKS, CHANNELS, INFO, PLAIN, QUICK, in_float, of, recording
from tests.unit.detect.streaming import Results, Segments, cut, stream
from tests.unit.detect.test_change_invariance import with_gaps

CASES = {name: case for name, case in options.CASES.items() if case.method != "matched"}
"""A matched filter is learnt: that has a reference of its own."""

LENGTH = 3000
SAMPLES = recording(LENGTH, seed=3)
IN_FLOAT, FLOAT_INFO = in_float(SAMPLES)
SIGMA = np.linspace(4.0, 6.0, CHANNELS).astype(np.float32)
GIVEN = NoiseSettings(mode="file", block_s=60.0)
CHANGES: list[tuple[int, Change]] = [
    (400, Threshold("A*", threshold=3.5)),
    (900, Blank("A1*", 3.0)),
    (905, Mute("A2")),
    (1403, Blank("#5-12", 1.0)),
    (1420, Blank("#6-9", 2.0)),
    (1500, Unmute("A2")),
    (2000, Threshold("B*", threshold_uv=25.0)),
    (2650, Blank("*", 0.05)),
]
SPLIT: Segments = [(40, SAMPLES[:1300]), (1345, SAMPLES[1300:1750]), (1850, SAMPLES[1750:])]


def check(results: Results, expected: Any, begin: int, segments: Segments) -> None:
    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(e, name) for e in results])

    for name in ("crossings", "rejected", "spikes", "waveforms", "flags", "neighbours"):
        np.testing.assert_array_equal(all_of(name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(results.counts, expected.counts)
    np.testing.assert_array_equal(results.observed, expected.observed)
    told = [(f.sample, f.cause, f.amount, f.facts["channels"]) for e in results for f in e.findings]
    assert [f for f in told if f[1].startswith("storm")] == expected.storms
    intervals = all_of("unobserved")
    for reason, where in ((UnobservedReason.BLANKED, expected.hidden), (UnobservedReason.STORM, expected.stormy)):
        found = np.zeros_like(where)
        for row in intervals[intervals["reason"] == reason]:
            found[row["sample"] - begin : row["stop"] - begin, row["channel"]] = True
        for first, x in segments:
            there = slice(first - begin, first - begin + len(x))
            np.testing.assert_array_equal(found[there], where[there], err_msg=reason.name)


def compare(
    segments: Segments,
    info: StreamInfo,
    case: DetectSettings,
    changes: list[tuple[int, Change]],
    sizes: list[int],
) -> None:
    case = with_(case, noise=GIVEN)
    results = stream(segments, info, case, sizes, sigma_uv=SIGMA, changes=changes)
    check(results, Stages(segments, info, case, SIGMA, changes).detect(), segments[0][0], segments)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_stages(case: str) -> None:
    compare(SPLIT, INFO, CASES[case], CHANGES, [700])


@pytest.mark.parametrize("case", [c for c in CASES if "blanking" in c or "everything" in c or c == "hoop"])
def test_equals_the_plain_stages_with_samples_that_are_no_voltage(case: str) -> None:
    compare([(0, IN_FLOAT[:2000]), (2300, IN_FLOAT[2000:])], FLOAT_INFO, CASES[case], CHANGES, [211])


SELECT = st.sampled_from(["A*", "B*", "A1", "A10", ("A1", "A2", "A5", "B0"), "#0-9", "*"])
CHANGE = st.one_of(
    st.builds(Threshold, SELECT, threshold=st.floats(2, 8)),
    st.builds(Mute, SELECT),
    st.builds(Unmute, SELECT),
    st.builds(Blank, SELECT, ms=st.floats(0.01, 10)),
)
SHORT = 1500


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@example(schedule=[], gaps=[(160, 3000)], start=310, size=2000, in_float32=True, case="rails in µV, no hold-off")
@given(
    schedule=st.lists(st.tuples(st.integers(0, SHORT + 100), CHANGE), max_size=6),
    gaps=st.lists(st.tuples(st.integers(1, SHORT - 1), st.sampled_from([0, 1, 90, 3000])), max_size=3),
    start=st.integers(0, LENGTH - SHORT),
    size=st.integers(1, 2000),
    in_float32=st.booleans(),
    case=st.sampled_from(sorted(CASES)),
)
def test_random_marks_and_gaps_give_what_the_plain_stages_give(
    schedule: list[tuple[int, Change]],
    gaps: list[tuple[int, int]],
    start: int,
    size: int,
    in_float32: bool,
    case: str,
) -> None:
    samples, info = (IN_FLOAT, FLOAT_INFO) if in_float32 else (SAMPLES, INFO)
    segments = with_gaps(gaps, samples[start : start + SHORT], start)
    compare(segments, info, CASES[case], [(at + start, change) for at, change in schedule], [size])


@pytest.mark.parametrize("method", ["threshold", "energy"])
@pytest.mark.parametrize("in_float32", [False, True], ids=["int16", "float32"])
def test_the_noise_level_does_not_see_what_is_held_or_blanked_and_its_hold_off(method: str, in_float32: bool) -> None:
    samples, info = (IN_FLOAT, FLOAT_INFO) if in_float32 else (SAMPLES, INFO)
    case = of(artifacts=BLANKS, method=method, noise=with_(QUICK, block_s=0.2))
    changes: list[tuple[int, Change]] = [(300, Blank("A*", 2.0)), (700, Blank("B1", 9.0))]
    detector = Detector(info, case, (), 0, SIGMA)
    for at, change in changes:
        detector.schedule(change, at)
    for a, b in cut(2500, [333]):
        detector.process(samples[a:b], a)
    assert detector.noise.boundary > 2500
    rows = detector.noise.rows
    stages = Stages([(0, samples)], info, with_(case, noise=GIVEN), SIGMA, changes)
    kinds = stages.kinds[0]
    held = kinds != 0
    for n, channel in zip(*np.nonzero(kinds == 2), strict=True):
        held[n : n + 1 + stages.hold_off, channel] = True
    at = np.arange(0, 2500, rows.stride)
    kept = np.concatenate(list(rows.rows), axis=1)[: len(at), :CHANNELS]
    np.testing.assert_array_equal(np.isnan(kept), held[at])
    assert held[at].any()


def test_every_case_has_events_to_compare() -> None:
    for name, case in CASES.items():
        results = stream(SPLIT, INFO, with_(case, noise=GIVEN), [700], sigma_uv=SIGMA, changes=CHANGES)
        assert results.counts.sum() > 15, name
    assert PLAIN.noise is QUICK


def test_without_a_hold_off_every_sample_may_be_an_interval() -> None:
    info = stream_info(40)
    settings = of(artifacts=ArtifactSettings(hold_off_ms=0.0, coincidence="off"))
    samples = np.random.default_rng(3).integers(-40, 40, (9000, 40)).astype(np.int16)
    results = stream([(0, samples)], info, settings, [9000], changes=[(2000, Blank("*", 300.0))])
    hidden = np.concatenate([e.unobserved for e in results])
    length = round(0.3 * info.rate_hz)
    assert (hidden["stop"] - hidden["sample"]).sum() == 40 * length
    assert (results.observed == 9000 - length).all()
