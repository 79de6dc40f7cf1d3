"""The detector against the plain reference, however its input is cut, and its rules one by one."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import (
    ChannelRule,
    DetectSettings,
    FilterSettings,
    NoiseSettings,
    ReboundSettings,
    StormSettings,
)
from rtspikes.errors import ConfigError
from rtspikes.types import ChannelInfo, RejectReason, StreamInfo
from tests.reference import Reference
from tests.simulated import GAIN_UV, RATE_HZ, simulate, stream_info
from tests.unit.detect.streaming import Segments, joined, stream

CALM = StormSettings(cap_per_s=0)
"""No limit to the triggers of a channel."""
RAW = ReboundSettings(reject=False)


def plain(**settings: Any) -> DetectSettings:
    """Return settings without what speaks against an event once it is found: its tests are in test_option_*.py."""
    return DetectSettings(rebound=RAW, **settings)


CASES = {
    "default": plain(),
    "positive": plain(sign="pos", threshold=4),
    "both signs, long dead time": plain(sign="both", threshold=3.5, dead_time_ms=3.0),
    "many events, short dead time": plain(sign="both", threshold=1.5, dead_time_ms=0.2, storm=CALM),
    "order 2": plain(filter=FilterSettings(order=2), threshold=4),
    "steep high-pass, no low-pass": plain(filter=FilterSettings(highpass_order=3, lowpass_order=0)),
    "no filter, in µV, at the crossing": plain(
        filter=FilterSettings(kind="none"), threshold_uv=-230.0, align="crossing"
    ),
    "no filter, at the peak, dead time beyond the gaps": plain(
        filter=FilterSettings(kind="none"), threshold_uv=-30.0, dead_time_ms=6.0, peak_ms=6.0
    ),
    "short noise blocks": plain(noise=NoiseSettings(initial_s=0.1, block_s=0.1, window_s=0.5), threshold=4),
    "frozen": plain(noise=NoiseSettings(mode="freeze", freeze_after_s=0.6, block_s=0.1)),
    "short snippet, late peak": plain(snippet_ms=(0.0, 0.1), peak_ms=3.0, dead_time_ms=5.0, threshold=3),
}
SAMPLES, TRUTH = simulate(n_channels=3, seconds=1.6)
WHOLE: Segments = [(0, SAMPLES)]
WITH_GAPS: Segments = [(700, SAMPLES[:4000]), (5100, SAMPLES[4000:15000]), (16100, SAMPLES[15000:15010]),
                       (17000, SAMPLES[15010:])]  # fmt: skip


@pytest.mark.parametrize("segments", [WHOLE, WITH_GAPS], ids=["whole", "with gaps"])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_reference_byte_for_byte(case: str, segments: Segments) -> None:
    spikes, waveforms, rejected = Reference(segments, GAIN_UV, RATE_HZ, CASES[case], GAIN_UV).detect()
    results = stream(segments, stream_info(3), CASES[case], [1000])
    found = np.concatenate([e.spikes for e in results])
    assert len(spikes) > 5
    np.testing.assert_array_equal(found, spikes)
    np.testing.assert_array_equal(np.concatenate([e.waveforms for e in results]), waveforms)
    cut_events = np.concatenate([e.rejected for e in results])
    assert [(int(r["crossing"]), int(r["channel"])) for r in cut_events] == rejected
    assert set(cut_events["reason"]) <= {RejectReason.CUT}


SIZES = [[1], [7], [20], [1000], [31, 32, 33, 1], [2048, 2049], [100_000]]
CUTS = [("with gaps", sizes) for sizes in SIZES] + [("whole", sizes) for sizes in ([1], [100_000])]


@pytest.mark.parametrize(("segments", "sizes"), CUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_chunking_never_changes_the_events(case: str, segments: str, sizes: list[int]) -> None:
    short = sizes[-1] == 1
    found = joined(stream(cut_short(segments, short), stream_info(3), CASES[case], sizes))
    assert found == usual(case, segments, short)


def cut_short(segments: str, short: bool) -> Segments:
    chosen = WHOLE if segments == "whole" else WITH_GAPS
    return [(first, x[:8000] if short else x) for first, x in chosen]


@functools.cache
def usual(case: str, segments: str, short: bool) -> bytes:
    """Return what chunks of a usual length bring."""
    return joined(stream(cut_short(segments, short), stream_info(3), CASES[case], [555]))


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    gaps=st.lists(st.tuples(st.integers(1, 30000), st.integers(0, 30000)), max_size=3),
    case=st.sampled_from(sorted(CASES)),
)
def test_random_cuts_and_gaps_never_change_the_events(sizes: list[int], gaps: list[tuple[int, int]], case: str) -> None:
    borders = sorted({0, *(at for at, _ in gaps), len(SAMPLES)})
    lost = [0, *(n for _, n in gaps)]
    segments: Segments = []
    shift = 0
    for i, (a, b) in enumerate(zip(borders, borders[1:], strict=False)):
        shift += lost[i] if i else 0
        segments.append((a + shift, SAMPLES[a:b]))
    info = stream_info(3)
    assert joined(stream(segments, info, CASES[case], sizes)) == joined(stream(segments, info, CASES[case], [4096]))


@pytest.mark.parametrize("sizes", [[1], [7], [33, 31, 1], [5000]], ids=str)
def test_bad_samples_and_crossings_beside_them_do_not_depend_on_the_chunks(sizes: list[int]) -> None:
    uv = (SAMPLES[:14000] * GAIN_UV).astype(np.float32)
    rng = np.random.default_rng(9)
    for _, truth in zip(range(60), TRUTH, strict=False):
        uv[truth[0] + rng.integers(-12, 25) :, truth[1]][:2] = np.nan
    info = stream_info(3, dtype="float32", gain_uv=1.0)
    fast = DetectSettings(dead_time_ms=0.3, threshold=4)
    whole = stream([(0, uv)], info, fast, [14000])
    assert sum(len(e.spikes) for e in whole) > 10
    assert joined(stream([(0, uv)], info, fast, sizes)) == joined(whole)


def test_a_channel_that_wakes_up_has_no_threshold_until_its_noise_level_is_known() -> None:
    rng = np.random.default_rng(4)
    samples = rng.normal(0, 30, (80_000, 2)).astype(np.int16)
    samples[:12_000, 1] = 0
    results = stream([(0, samples)], stream_info(2), DetectSettings(threshold=7), [900])
    assert sum(len(e.spikes) for e in results) == 0
    updates = [t for e in results for t in e.thresholds]
    assert np.isinf(updates[0].below_uv[1])
    assert np.isfinite(updates[-1].below_uv).all()


def test_a_long_stretch_that_was_held_does_not_lower_the_noise_level() -> None:
    rng = np.random.default_rng(4)
    uv = rng.normal(0, 10, (160_000, 2)).astype(np.float32)
    uv[30_000:130_000, 1] = np.nan
    info = stream_info(2, dtype="float32", gain_uv=1.0)
    results = stream([(0, uv)], info, DetectSettings(threshold=7), [900])
    assert sum(len(e.spikes) for e in results) == 0
    sigma = np.array([t.sigma_uv for e in results for t in e.thresholds])
    assert np.ptp(sigma[:, 1]) < 0.3 * sigma[0, 1]


def test_the_shortest_dead_time_with_both_signs_on_every_sample_is_survived() -> None:
    uv = np.where(np.arange(9000)[:, None] % 2, 100.0, -100.0).repeat(16, axis=1).astype(np.float32)
    settings_ = DetectSettings(
        filter=FilterSettings(kind="none"),
        threshold_uv=50.0,
        sign="both",
        dead_time_ms=0.01,
        snippet_ms=(10.0, 20.0),
        storm=CALM,
    )
    info = stream_info(16, dtype="float32", gain_uv=1.0)
    results = stream([(0, uv)], info, settings_, [4096])
    crossings = np.concatenate([e.crossings for e in results])
    assert np.bincount(crossings["channel"]).tolist() == [len(crossings) // 16] * 16
    assert 4000 < len(crossings) // 16 <= 4500
    assert joined(results) == joined(stream([(0, uv)], info, settings_, [777]))


@pytest.mark.parametrize("n_channels", [1, 15, 16, 17, 64, 257])
def test_a_channel_does_not_depend_on_its_neighbours_or_its_place(n_channels: int) -> None:
    wide = np.zeros((len(SAMPLES), n_channels), np.int16)
    wide[:, -1] = SAMPLES[:, 1]
    alone = stream([(0, SAMPLES[:, 1:2])], stream_info(1), DetectSettings(), [3000])
    among = stream([(0, wide)], stream_info(n_channels), DetectSettings(), [3000])
    a, b = (np.concatenate([e.spikes for e in r]) for r in (alone, among))
    assert set(b["channel"]) == {n_channels - 1}
    b["channel"] = 0
    np.testing.assert_array_equal(a, b)


def test_finds_the_simulated_spikes() -> None:
    found = np.concatenate([e.spikes for e in stream(WHOLE, stream_info(3), DetectSettings(), [1000])])
    hits = [np.any((found["channel"] == c) & (np.abs(found["sample"] - s) <= 10)) for s, c in TRUTH]
    assert np.mean(hits) > 0.95
    assert len(found) < 1.05 * len(TRUTH)


@pytest.mark.parametrize("sizes", [[1], [50], [4096]], ids=str)
def test_crossings_come_with_their_trigger_and_spikes_exactly_the_latency_later(sizes: list[int]) -> None:
    info = stream_info(3)
    latency = Detector(info, DetectSettings()).latency
    short: Segments = [(0, SAMPLES[:12000])]
    seen = 0
    for events in stream(short, info, DetectSettings(), sizes):
        seen = max(seen, events.crossings_to)
        assert (events.crossings["crossing"] < events.crossings_to).all()
        if seen < 12000:
            assert (events.spikes["crossing"] + latency <= seen).all()
            assert events.spikes_to == max(0, seen - latency + 1)
    for a, b in zip(stream(short, info, DetectSettings(), sizes), stream(short, info, DetectSettings(), sizes)[1:],
                    strict=False):  # fmt: skip
        assert (b.crossings["crossing"] >= a.crossings_to).all()
        assert (b.spikes["crossing"] >= a.spikes_to).all()


def test_each_id_is_given_at_the_crossing_without_holes_and_ends_exactly_once() -> None:
    results = stream(WITH_GAPS, stream_info(3), CASES["many events, short dead time"], [333])
    crossings = np.concatenate([e.crossings for e in results])
    ended = np.concatenate([np.concatenate([e.spikes["id"], e.rejected["id"]]) for e in results])
    assert crossings["id"].tolist() == list(range(len(crossings)))
    assert sorted(ended) == list(range(len(crossings)))
    assert any(len(e.rejected) for e in results)
    spikes = np.concatenate([e.spikes for e in results])
    by_id = crossings[spikes["id"].astype(int)]
    np.testing.assert_array_equal(by_id["crossing"], spikes["crossing"])
    np.testing.assert_array_equal(by_id["channel"], spikes["channel"])


def test_more_events_than_the_result_buffers_hold_are_all_delivered() -> None:
    rng = np.random.default_rng(3)
    storm = rng.integers(-3000, 3000, (9000, 40)).astype(np.int16)
    fast = DetectSettings(
        filter=FilterSettings(kind="none"), threshold_uv=1.0, sign="both", dead_time_ms=0.05, align="crossing",
        noise=NoiseSettings(initial_s=0.05), snippet_ms=(0.0, 0.1), storm=CALM,
    )  # fmt: skip
    whole = stream([(0, storm)], stream_info(40), fast, [100_000])
    assert sum(len(e.spikes) for e in whole) > 100_000
    assert joined(whole) == joined(stream([(0, storm)], stream_info(40), fast, [17]))


def test_events_at_the_end_get_a_nan_tail_or_are_rejected_as_cut() -> None:
    uv = np.zeros((3000, 2), np.float32)
    uv[2970:, 0] = -100  # its peak search of 19 samples is complete at the end, its snippet is not
    uv[2990:, 1] = -100  # not even the peak search
    settings_ = DetectSettings(filter=FilterSettings(kind="none"), threshold_uv=50)
    results = stream([(0, uv)], stream_info(2, dtype="float32", gain_uv=1), settings_, [500])
    last = results[-1]
    assert last.spikes["channel"].tolist() == [0]
    assert np.isnan(last.waveforms[0]).tolist() == [False] * 50 + [True] * 10
    assert last.rejected["channel"].tolist() == [1]
    assert last.rejected["reason"].tolist() == [RejectReason.CUT]


def test_no_event_comes_from_the_step_after_a_gap() -> None:
    rng = np.random.default_rng(5)
    quiet = rng.normal(0, 20, (20000, 4))
    segments: Segments = [(0, quiet[:10000].astype(np.int16)), (15000, (quiet[10000:] + 20000).astype(np.int16))]
    found = np.concatenate([e.spikes for e in stream(segments, stream_info(4), DetectSettings(threshold=6), [777])])
    assert len(found) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_no_voltage_is_held_counted_and_silences_its_channel_for_a_dead_time(bad: float) -> None:
    uv = (SAMPLES * GAIN_UV).astype(np.float32)
    info = stream_info(3, dtype="float32", gain_uv=1.0)
    clean = np.concatenate([e.spikes for e in stream([(0, uv)], info, DetectSettings(), [640])])
    broken = uv.copy()
    at = int(clean["sample"][clean["channel"] == 1][3])
    broken[at - 6 : at + 3, 1] = bad
    detector = Detector(info, DetectSettings())
    detector.learn([(broken[: detector.initial_samples], 0)])
    found = np.concatenate([detector.process(broken[i : i + 640], i).spikes for i in range(0, len(broken), 640)])
    assert detector.bad_samples.tolist() == [0, 9, 0]
    assert np.isfinite(found["amplitude_uv"]).all()
    assert not np.any((found["channel"] == 1) & (found["crossing"] >= at - 6) & (found["crossing"] < at + 3 + 20))
    columns = ["sample", "amplitude_uv"]
    others = clean[(clean["channel"] != 1) & (clean["sample"] <= found["sample"].max())]
    np.testing.assert_array_equal(found[found["channel"] != 1][columns], others[columns])
    late = clean[(clean["channel"] == 1) & (clean["sample"] > at + 200)]
    assert set(late["sample"]) == set(found["sample"][(found["channel"] == 1) & (found["sample"] > at + 200)])


def test_dead_and_excluded_channels_have_no_events() -> None:
    samples = SAMPLES.copy()
    samples[:, 0] = 0
    kinds = ("electrode", "aux", "electrode")
    channels = tuple(ChannelInfo(f"E{i}", i, kind=k, gain_uv=GAIN_UV) for i, k in enumerate(kinds))  # type: ignore[arg-type]
    info = StreamInfo("test:", RATE_HZ, "int16", channels, False)
    found = np.concatenate([e.spikes for e in stream([(0, samples)], info, DetectSettings(), [900])])
    assert set(found["channel"]) == {2}
    off = [ChannelRule(select="E2", enabled=False)]
    assert not any(len(e.spikes) for e in stream([(0, samples)], info, DetectSettings(), [900], off))


def test_rules_set_threshold_sign_and_dead_time_of_their_channels_only() -> None:
    rules = [ChannelRule(select=(0,), threshold=4.0), ChannelRule(select="E2", sign="pos", threshold_uv=40.0),
             ChannelRule(select="#2", dead_time_ms=50.0)]  # fmt: skip
    info = stream_info(3)
    ruled = np.concatenate([e.spikes for e in stream(WHOLE, info, DetectSettings(), [900], rules)])
    lower = np.concatenate([e.spikes for e in stream(WHOLE, info, DetectSettings(threshold=4), [900])])
    columns = ["sample", "amplitude_uv", "threshold_uv"]
    np.testing.assert_array_equal(ruled[ruled["channel"] == 0][columns], lower[lower["channel"] == 0][columns])
    assert (ruled["threshold_uv"][ruled["channel"] == 1] == 40).all()
    assert (ruled["amplitude_uv"][ruled["channel"] == 1] > 40).all()
    assert np.diff(ruled["crossing"][ruled["channel"] == 2]).min() >= 1000


def test_a_rule_may_have_a_fraction_where_the_settings_have_a_whole_number() -> None:
    table = Detector(stream_info(2), DetectSettings(threshold=4), [ChannelRule("E2", threshold=4.5)]).table
    assert table.levels(np.full(2, 10, np.float32))[0].tolist() == [-40, -45]


def test_the_gain_sign_turns_the_polarity() -> None:
    flipped = tuple(ChannelInfo(f"E{i + 1}", i, gain_uv=-GAIN_UV) for i in range(3))
    info = StreamInfo("test:", RATE_HZ, "int16", flipped, False)
    up = np.concatenate([e.spikes for e in stream(WHOLE, info, DetectSettings(sign="pos"), [900])])
    down = np.concatenate([e.spikes for e in stream(WHOLE, stream_info(3), DetectSettings(), [900])])
    np.testing.assert_array_equal(up["sample"], down["sample"])
    np.testing.assert_allclose(up["amplitude_uv"], -down["amplitude_uv"], rtol=1e-5)


def test_state_starts_anew_in_a_new_detector() -> None:
    first = joined(stream(WHOLE, stream_info(3), DetectSettings(), [900]))
    assert joined(stream(WHOLE, stream_info(3), DetectSettings(), [900])) == first


def test_results_are_those_of_the_golden_hash() -> None:
    results = stream(WITH_GAPS, stream_info(3), CASES["both signs, long dead time"], [900])
    spikes = np.concatenate([e.spikes for e in results])
    columns = b"".join(spikes[name].tobytes() for name in ("sample", "crossing", "channel"))
    assert hashlib.sha256(columns).hexdigest() == "054a39e5e1a5d71ae3389d682e4db37c92956bd7bc90afaf6a0ee50a40641273"


@pytest.mark.parametrize(
    ("settings_", "rules", "text"),
    [
        (DetectSettings(filter=FilterSettings(band_hz=(300, 30000))), [], "half the sampling rate"),
        (DetectSettings(filter=FilterSettings(highpass_order=0, lowpass_order=0)), [], 'kind = "none"'),
        (DetectSettings(snippet_ms=(1.0, 0.0)), [], "snippet_ms"),
        (DetectSettings(snippet_ms=(100.0, 200.0)), [], "250 ms"),
        (DetectSettings(threshold_uv=0.0), [], "other than 0"),
        (DetectSettings(threshold_uv=-50.0, sign="pos"), [], 'negative only with sign = "neg"'),
        (DetectSettings(), [ChannelRule(select="E9")], "matches no channel"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings_: DetectSettings, rules: list[ChannelRule], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Detector(stream_info(3), settings_, rules)
