"""What each change does, from its sample on, to the events of a running detector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rtspikes
from rtspikes.detect.changes import (
    Change,
    Follow,
    Freeze,
    Levels,
    Mute,
    Threshold,
    TooLate,
    Unmute,
)
from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import ChannelRule, DetectSettings, FilterSettings, NoiseSettings
from rtspikes.errors import ConfigError
from rtspikes.types import ChannelInfo, RejectReason, StreamInfo
from tests.simulated import GAIN_UV, RATE_HZ, stream_info, write_recording
from tests.unit.detect.changing import BLOCK, QUICK, SAMPLES, WHOLE, run, sigma_from, spikes, updates
from tests.unit.detect.streaming import Segments, stream


def test_a_threshold_is_another_from_its_sample_on_for_the_selected_channels() -> None:
    before, after = spikes(run([])), spikes(run([(25_000, Threshold(("E1", 2), threshold=7))]))
    np.testing.assert_array_equal(after[after["channel"] == 1]["sample"], before[before["channel"] == 1]["sample"])
    early = before["crossing"] < 25_000
    np.testing.assert_array_equal(after[after["crossing"] < 25_000], before[early])
    ratio = {}
    results = run([(25_000, Threshold(("E1", 2), threshold=7))])
    for u in updates(results):
        ratio[u.sample] = (u.below_uv / -u.sigma_uv).round(3).tolist()
    assert 25_000 in ratio
    assert all(r == ([4, 4, 4] if at < 25_000 else [7, 4, 7]) for at, r in ratio.items())
    late = after[(after["crossing"] >= 25_000) & (after["channel"] != 1)]
    assert 0 < len(late) < np.sum((before["crossing"] >= 25_000) & (before["channel"] != 1))


def test_a_threshold_in_microvolts_is_fixed_until_one_in_sigma_follows() -> None:
    results = run([(10_000, Threshold("E2", threshold_uv=-33.0)), (30_000, Threshold("E2", threshold=5))])
    levels = {u.sample: (float(u.below_uv[1]), float(u.sigma_uv[1])) for u in updates(results)}
    assert {below for at, (below, _) in levels.items() if 10_000 <= at < 30_000} == {-33}
    assert all(np.isclose(below, -5 * sigma) for at, (below, sigma) in levels.items() if at >= 30_000)
    assert len({sigma for _, sigma in levels.values()}) > 10, "σ is followed all the while"


def test_events_begin_exactly_at_the_sample_of_the_change() -> None:
    uv = np.zeros((4000, 1), np.float32)
    uv[1000:4000:100] = -50
    info = stream_info(1, dtype="float32", gain_uv=1.0)
    raw = DetectSettings(threshold_uv=90, filter=FilterSettings(kind="none"), align="crossing")
    for at, first in ((1999, 2000), (2000, 2000), (2001, 2100)):
        results = stream([(0, uv)], info, raw, [640], changes=[(at, Threshold("E1", threshold_uv=40))])
        found = spikes(results)
        assert found["sample"][0] == first
        assert len(found) == (4000 - first) // 100
        assert [u.sample for u in updates(results)] == [0, at]


def test_muted_channels_have_no_triggers_until_they_are_unmuted() -> None:
    whole = run([])
    results = run([(15_000, Mute("#0-1")), (35_000, Unmute("E1")), (50_000, Unmute("E2"))])
    crossings = np.concatenate([e.crossings for e in results])
    for channel, back in ((0, 35_000), (1, 50_000)):
        at = crossings["crossing"][crossings["channel"] == channel]
        assert not np.any((at >= 15_000) & (at < back))
        all_of_it = np.concatenate([e.crossings for e in whole])
        all_at = all_of_it["crossing"][all_of_it["channel"] == channel]
        assert set(at) == {x for x in all_at if not 15_000 <= x < back}
    levels = {u.sample: u for u in updates(results)}
    assert np.isneginf(levels[15_000].below_uv).tolist() == [True, True, False]
    assert np.isneginf(levels[35_000].below_uv).tolist() == [False, True, False]
    assert np.isposinf(levels[15_000].above_uv).all()
    assert (levels[15_000].sigma_uv > 0).all()


def test_muting_keeps_the_events_that_were_triggered_before() -> None:
    whole = spikes(run([]))
    chosen = whole[whole["channel"] == 0][5]
    for at, there in ((int(chosen["crossing"]) + 1, True), (int(chosen["crossing"]), False)):
        results = run([(at, Mute("*"))])
        found = spikes(results)
        assert (int(chosen["crossing"]) in found["crossing"][found["channel"] == 0]) == there
        np.testing.assert_array_equal(found, whole[whole["crossing"] < at])
        assert not any(len(e.rejected) for e in results)


def test_a_gap_cuts_the_pending_event_of_a_muted_channel_as_any_other() -> None:
    whole = spikes(run([]))
    at = int(whole["crossing"][10])
    results = run([(at + 1, Mute("*"))], segments=[(0, SAMPLES[: at + 2]), (at + 500, SAMPLES[at + 500 :])])
    rejected = np.concatenate([e.rejected for e in results])
    assert (rejected["crossing"].tolist(), rejected["reason"].tolist()) == ([at], [RejectReason.CUT])


def test_levels_are_fixed_both_ways_whatever_the_sign_of_the_settings() -> None:
    change = Levels(("E3", "E1", "E2"), (None, -31.0, None), (25.0, 13.0, None))
    results = run([(20_000, change), (45_000, Threshold("E3", threshold=4))])
    levels = {u.sample: (u.below_uv.tolist(), u.above_uv.tolist()) for u in updates(results)}
    inf = float("inf")
    assert levels[20_000] == ([-31, -inf, -inf], [13, inf, 25])
    assert levels[45_000][0][:2] == [-31, -inf]
    assert levels[45_000][0][2] < -10
    assert levels[45_000][1] == [13, inf, inf]
    found = spikes(results)
    during = found[(found["crossing"] >= 20_000) & (found["crossing"] < 45_000)]
    assert set(during["threshold_uv"][during["channel"] == 0]) == {-31, 13}
    assert set(during["threshold_uv"][during["channel"] == 2]) == {25}
    assert not np.any(during["channel"] == 1)
    rising = during["threshold_uv"] > 0
    assert (during["amplitude_uv"][rising] > during["threshold_uv"][rising]).all()
    assert (found["threshold_uv"][(found["crossing"] >= 45_000) & (found["channel"] == 2)] < 0).all()


def test_saved_levels_give_the_events_of_a_frozen_sigma() -> None:
    info = stream_info(3)
    detector = Detector(info, QUICK)
    detector.learn([(SAMPLES[: detector.initial_samples], 0)])
    detector.process(SAMPLES[:30_000], 0)
    saved = detector.levels()
    assert saved.sample == 30_000 // BLOCK * BLOCK
    change = Levels(
        tuple(info.labels),
        tuple(float(x) for x in saved.below_uv),
        tuple(None if np.isinf(x) else float(x) for x in saved.above_uv),
    )
    frozen, loaded = run([(30_000, Freeze())]), run([(30_000, change)])
    np.testing.assert_array_equal(spikes(frozen), spikes(loaded))
    assert max(sigma_from(loaded)) > 50_000, "σ goes on being told"


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (("E1", "E2"), "'E3' is missing"),
        (("E1", "E2", "E3", "E4"), "'E4' is none of them"),
        (("E1", "X", "E3"), "'X' is none of them"),
        (("E1", "E1", "E2", "E3"), "'E1' appears twice"),
        (("E1", "E2", "E3", "aux"), "'aux' is none of them"),
        ((), "'E1' is missing"),
    ],
)
def test_levels_of_other_electrodes_are_refused_by_name(labels: tuple[str, ...], text: str) -> None:
    channels = (*stream_info(3).channels, ChannelInfo("aux", 3, kind="aux"))
    detector = Detector(StreamInfo("test:", RATE_HZ, "int16", channels, False), DetectSettings())
    n = len(labels)
    with pytest.raises(ConfigError, match=f"levels must name each electrode of the stream exactly once, but {text}"):
        detector.schedule(Levels(labels, (-30.0,) * n, (None,) * n), 0)


def test_disabled_channels_stay_silent_whatever_is_loaded_and_cannot_be_unmuted() -> None:
    channels = (*stream_info(3).channels, ChannelInfo("aux", 3, kind="aux"))
    info = StreamInfo("test:", RATE_HZ, "int16", channels, False)
    rules = [ChannelRule("E2", enabled=False)]
    four = np.concatenate([SAMPLES, SAMPLES[:, :1]], axis=1)
    load = Levels(("E1", "E2", "E3"), (-30.0, -30.0, -30.0), (None, 30.0, None))
    changes: list[tuple[int, Change]] = [
        (5000, load), (6000, Mute("*")), (7000, Unmute("*")), (8000, Threshold("*", threshold=3.5)),
    ]  # fmt: skip
    results = stream([(0, four)], info, QUICK, [1000], rules, changes=changes)
    assert set(spikes(results)["channel"]) == {0, 2}
    detector = Detector(info, QUICK, rules)
    for select in ("E2", "aux", ("E1", "E2"), "kind:aux", 1):
        with pytest.raises(ConfigError, match=r"unmute .* channel '(E2|aux)' is disabled by the settings"):
            detector.schedule(Unmute(select), 0)
    detector.schedule(Mute("E2"), 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Mute("E9"), "selector 'E9' matches no channel; did you mean"),
        (Unmute("#3"), "must name positions 0 … 2"),
        (Threshold(("E1", "well:A1"), threshold=4), "'well:A1' matches no channel"),
        (Mute(()), "got an empty list"),
        (Threshold("E1", threshold=-1), "> 0 and ≤ 1000 σ, got -1"),
        (Threshold("E1"), "got neither"),
        (Threshold("E1", threshold_uv=float("nan")), "other than 0, got nan"),
        (Threshold("E*", threshold_uv=-20), "negative only with sign = \"neg\".*sign = 'both' for channel 'E3'"),
        (Levels(("E1", "E2", "E3"), (1.0, None, None), (None, None, None)), "negative_uv must be a number < 0"),
    ],
)
def test_what_does_not_fit_the_stream_is_refused_at_once_and_changes_nothing(change: Change, text: str) -> None:
    rules = [ChannelRule("E3", sign="both")]
    detector = Detector(stream_info(3), QUICK, rules)
    with pytest.raises(ConfigError, match=text):
        detector.schedule(change, 0)
    detector.learn([(SAMPLES[: detector.initial_samples], 0)])
    results = [detector.process(SAMPLES, 0), detector.finish()]
    np.testing.assert_array_equal(spikes(results), spikes(stream(WHOLE, stream_info(3), QUICK, [1000], rules)))


def test_a_change_can_be_scheduled_up_to_the_next_sample_and_not_later() -> None:
    detector = Detector(stream_info(3), QUICK, first_sample=100)
    with pytest.raises(TooLate, match="must be for sample 100 or a later one, got 99"):
        detector.schedule(Mute("E1"), 99)
    detector.schedule(Mute("E1"), 100)
    detector.learn([(SAMPLES[: detector.initial_samples], 100)])
    detector.schedule(Mute("E2"), 100)
    events = detector.process(SAMPLES[:5000], 100)
    assert [(u.sample, np.isinf(u.below_uv).tolist()) for u in events.thresholds[:3]] == [
        (100, [False, False, False]), (100, [True, False, False]), (100, [True, True, False]),
    ]  # fmt: skip
    assert set(events.crossings["channel"]) == {2}
    with pytest.raises(TooLate):
        detector.schedule(Unmute("E1"), 5099)
    with pytest.raises(ConfigError, match="must be < "):
        detector.schedule(Unmute("E1"), 2**63)
    detector.schedule(Unmute("E1"), 5100)
    assert detector.process(SAMPLES[5000:9000], 5100).thresholds[0].sample == 5100
    detector.schedule(Mute("E3"), 9100)
    assert [u.sample for u in detector.finish().thresholds] == [9100]


def test_what_is_in_force_can_be_read() -> None:
    detector = Detector(stream_info(3), QUICK)
    start = detector.levels()
    assert (start.sample, start.sigma_uv.tolist(), np.isinf(start.below_uv).all()) == (0, [0, 0, 0], True)
    assert not detector.frozen
    assert detector.muted.tolist() == [False] * 3
    detector.learn([(SAMPLES[: detector.initial_samples], 0)])
    assert (detector.levels().sigma_uv > 0).all()
    detector.schedule(Freeze(), 3000)
    detector.schedule(Mute("E2"), 3000)
    detector.process(SAMPLES[:2999], 0)
    assert not detector.frozen
    assert not detector.muted.any()
    detector.process(SAMPLES[2999:3500], 2999)
    assert detector.frozen
    assert detector.muted.tolist() == [False, True, False]
    assert detector.levels().sample == 3000
    assert np.isinf(detector.levels().below_uv).tolist() == [False, True, False]
    late = Detector(stream_info(3), DetectSettings(noise=NoiseSettings(mode="freeze", freeze_after_s=0.2)))
    late.learn([(SAMPLES[: late.initial_samples], 0)])
    late.process(SAMPLES[:3999], 0)
    assert not late.frozen
    late.process(SAMPLES[3999:4000], 3999)
    assert late.frozen


def test_what_changes_no_threshold_tells_none() -> None:
    quiet: list[tuple[int, Change]] = [
        (12_000, Unmute("*")), (12_000, Follow()), (12_001, Threshold("E1", threshold=4)), (12_002, Mute("E1")),
        (12_003, Mute("E1")), (12_003, Threshold("E1", threshold=6)), (12_004, Unmute("E1")), (12_005, Freeze()),
    ]  # fmt: skip
    assert [u.sample for u in updates(run(quiet)) if u.sample >= 12_000] == [12_002, 12_004]


def test_a_change_inside_a_gap_is_in_force_from_the_first_sample_after_it() -> None:
    segments: Segments = [(0, SAMPLES[:20_000]), (30_000, SAMPLES[30_000:])]
    results = run([(25_000, Threshold("E1", threshold=6)), (26_000, Mute("E2"))], segments=segments)
    for at, first in ((25_000, 30_000), (26_000, 30_000)):
        assert at in {u.sample for u in updates(results)}
        assert first not in {u.sample for u in updates(results)}
    at_once = run([(30_000, Threshold("E1", threshold=6)), (30_000, Mute("E2"))], segments=segments)
    np.testing.assert_array_equal(spikes(results), spikes(at_once))


def test_offline_gives_what_the_stream_gives(tmp_path: Any) -> None:
    changes: list[tuple[int, Change]] = [
        (0, Mute("2")), (9000, Threshold("0", threshold=3.5)), (12_000, Freeze()), (30_000, Unmute("2")),
        (10**9, Mute("*")),
    ]  # fmt: skip
    tree = {
        "detect": {
            "threshold": 4,
            "rebound": {"reject": False},
            "noise": {"initial_s": 0.1, "block_s": 0.1, "window_s": 0.5},
        }
    }
    found, waveforms = rtspikes.detect(SAMPLES, tree, rate_hz=RATE_HZ, uv_per_unit=GAIN_UV, changes=changes)
    channels = tuple(ChannelInfo(str(i), i, gain_uv=GAIN_UV) for i in range(3))
    results = stream(WHOLE, StreamInfo("test:", RATE_HZ, "int16", channels, False), QUICK, [777], changes=changes)
    streamed = spikes(results)
    streamed["time"] = found["time"]
    assert found.tobytes() == streamed.tobytes()
    assert waveforms.tobytes() == np.concatenate([e.waveforms for e in results]).tobytes()
    by_label = [(at, Mute("E3") if isinstance(c, Mute) else c) for at, c in changes[:1]]
    file = write_recording(tmp_path / "r", SAMPLES)
    muted, _ = rtspikes.detect(file, tree, changes=by_label)
    assert set(muted["channel"]) == {0, 1}
    with pytest.raises(TooLate):
        rtspikes.detect(file, tree, changes=[(-1, Freeze())])
