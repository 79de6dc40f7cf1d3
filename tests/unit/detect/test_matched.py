"""The matched filter: equal to a plain one, the same for any chunks, learnt, frozen, and better than a threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_
from numpy.typing import NDArray
from scipy import signal

from rtspikes.detect.changes import Follow, Freeze, Mute
from rtspikes.detect.detector import Detector
from rtspikes.detect.methods import gather, learning
from rtspikes.detect.methods.matched import MatchedMethod
from rtspikes.detect.settings import (
    ArtifactSettings,
    ChannelRule,
    DetectSettings,
    FilterSettings,
    MatchedSettings,
    NoiseSettings,
    ReboundSettings,
    ReferenceSettings,
)
from rtspikes.types import RejectReason, StreamInfo
from tests.simulated import RATE_HZ, simulate, spike_shape, stream_info
from tests.unit.detect.matched_reference import Reference
from tests.unit.detect.streaming import Segments, joined, stream

SIGMA_UV = 6.0
BAND = FilterSettings(highpass_order=2, lowpass_order=1)
MATCHED = DetectSettings(method="matched", filter=BAND)
FILE = NoiseSettings(mode="file", file="given")
RAW = DetectSettings(method="matched", filter=FilterSettings("none"), noise=FILE, threshold=4.5)
QUICK_S = 0.05


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks be short."""
    monkeypatch.setattr(gather, "BLOCK_S", QUICK_S)


def coloured(seconds: float, channels: int, height: float = 60.0, rate: float = 20.0, seed: int = 1) -> tuple[Any, Any]:
    """Return float32 µV of noise with a colour and spikes, and where their troughs are: (samples, channels)."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    y = signal.lfilter([1.0], [1.0, -0.8], rng.normal(0, 1, (n, channels)), axis=0)
    y *= SIGMA_UV / y.std()
    shape = spike_shape()
    trough = int(shape.argmin())
    samples, owners = [], []
    for c in range(channels):
        at = 100.0
        while (at := at + rng.exponential(RATE_HZ / rate) + 60) < n - 200:
            y[round(at) : round(at) + len(shape), c] += height * rng.uniform(0.8, 1.4) * shape
            samples.append(round(at) + trough)
            owners.append(c)
    return y.astype(np.float32), (np.array(samples), np.array(owners))


def plain(channels: int) -> StreamInfo:
    return stream_info(channels, dtype="float32", gain_uv=1.0)


def detector(settings_: DetectSettings, channels: int, *, first: int = 0) -> Detector:
    return Detector(plain(channels), settings_, (), first, np.full(channels, SIGMA_UV, np.float32))


def of(d: Detector) -> learning.Learning:
    assert isinstance(d.method, MatchedMethod)
    return d.method.learning


def filters(d: Detector, channels: int) -> NDArray[np.float32]:
    """Return what is in force (channels, taps)."""
    return of(d).weights[0, :, :channels].T.copy()


def f1(found: NDArray[np.void], truth: Any, begin: int) -> float:
    """Return F1 of one-to-one matches within 1 ms, from sample `begin` on."""
    hits = 0
    samples, owners = truth
    for c in np.unique(owners):
        a = np.sort(samples[(owners == c) & (samples >= begin)])
        b = np.sort(found["sample"][(found["channel"] == c) & (found["sample"] >= begin)])
        i = j = 0
        while i < len(a) and j < len(b):
            if abs(a[i] - b[j]) <= 20:
                hits, i, j = hits + 1, i + 1, j + 1
            elif a[i] < b[j]:
                i += 1
            else:
                j += 1
    return float(2 * hits / ((samples >= begin).sum() + (found["sample"] >= begin).sum()))


def spikes(results: list[Any]) -> NDArray[np.void]:
    return np.concatenate([e.spikes for e in results])


@pytest.mark.parametrize("scope", ["channel", "shared"])
@pytest.mark.usefixtures("quick")
def test_score_and_filters_equal_those_of_a_plain_one(scope: Any) -> None:
    y, _ = coloured(0.9, 3)
    y[12_000:12_500] = np.nan  # lost
    d = detector(with_(RAW, matched=MatchedSettings(scope)), 3)
    assert isinstance(d.method, MatchedMethod)
    spans, block = d.method.spans, round(QUICK_S * RATE_HZ)
    assert (spans.block, spans.taps, spans.delay) == (block, 28, 15)
    expected = Reference(y, SIGMA_UV, block, spans.lag, scope == "shared")
    for b in range(len(y) // block):
        for c, f in enumerate(expected.by_block[b]):
            assert of(d).learnt[0, c] == (f is not None)
            if f is not None:
                np.testing.assert_allclose(filters(d, 3)[c], f, atol=2e-5)
        there = np.arange(b * block, (b + 1) * block)
        there = there[~np.isnan(y[there, 0])]
        d.process(y[there], int(there[0]))
        rows = there[-200:]
        score = d.method.compared[0][rows % d.method.compared.shape[1], :3]
        np.testing.assert_allclose(score, expected.score[rows], atol=2e-3)
    assert of(d).learnt[0, :3].all()


# the same for any chunks

SAMPLES, _ = simulate(n_channels=4, seconds=1.2, spikes_per_s=40.0, height_uv=60.0)
CHUNKED = with_(
    MATCHED, noise=NoiseSettings(initial_s=0.05, block_s=0.05, window_s=0.2), threshold=4.0,
    artifacts=ArtifactSettings(slew_uv=120.0, hold_off_ms=2.0),
)  # fmt: skip
CASES = {
    "channel": CHUNKED,
    "shared, average reference": with_(
        CHUNKED, matched=MatchedSettings("shared"), reference=ReferenceSettings("average")
    ),
    "both signs, no rebound rule": with_(CHUNKED, sign="both", rebound=ReboundSettings(False)),
    "at the crossing": with_(CHUNKED, align="crossing", snippet_ms=(0.0, 0.1), dead_time_ms=0.3),
    "σ given": with_(CHUNKED, noise=FILE, filter=FilterSettings("none"), artifacts=ArtifactSettings()),
}
CHANGES = [(7300, Freeze()), (11_000, Follow()), (14_021, Mute("E2"))]


def chunked(case: str, segments: Segments, sizes: list[int]) -> dict[str, Any]:
    changes = [] if case == "σ given" else CHANGES
    sigma = np.full(4, SIGMA_UV, np.float32) if case == "σ given" else None
    rules = [ChannelRule("E3", sign="pos")]
    return joined(stream(segments, stream_info(4), CASES[case], sizes, rules, sigma, changes))


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=30),
    gaps=st.lists(st.tuples(st.integers(600, 23_000), st.integers(0, 5000)), max_size=3),
    case=st.sampled_from(sorted(CASES)),
)
def test_random_cuts_and_gaps_never_change_the_events(sizes: list[int], gaps: list[tuple[int, int]], case: str) -> None:
    borders = sorted({0, *(at for at, _ in gaps), len(SAMPLES)})
    lost = [0, *(n for _, n in gaps)]
    shift, segments = 300, []
    for i, (a, b) in enumerate(zip(borders, borders[1:], strict=False)):
        shift += lost[i]
        segments.append((a + shift, SAMPLES[a:b]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "BLOCK_S", QUICK_S)
        assert chunked(case, segments, sizes) == chunked(case, segments, [1024])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("quick")
def test_sample_by_sample_gives_the_same_as_at_once(case: str) -> None:
    there: Segments = [(5000, SAMPLES[:9000])]
    whole = chunked(case, there, [9000])
    assert len(whole["spikes"]) > 50
    assert chunked(case, there, [1]) == whole


# what is learnt


def test_it_is_a_threshold_until_it_has_learnt() -> None:
    y, _ = coloured(3.0, 4)
    alone = with_(MATCHED, rebound=ReboundSettings(False), threshold=4.5)
    there: Segments = [(0, y[:10_000])]
    matched, threshold = (stream(there, plain(4), s, [700]) for s in (alone, with_(alone, method="threshold")))
    a, b = spikes(matched), spikes(threshold)
    np.testing.assert_array_equal(a["crossing"], b["crossing"])
    assert len(a) > 20
    d = detector(with_(alone, noise=FILE), 4)
    seen = []
    for first in range(0, len(y), 5000):
        d.process(y[first : first + 5000], first)
        seen.append(bool(of(d).learnt[0, :4].all()))
    assert not seen[0]
    assert seen[-1]
    assert len(np.unique(filters(d, 4), axis=0)) == 4


def test_a_channel_without_spikes_has_the_filter_of_the_others_and_a_dead_one_none() -> None:
    y, _ = coloured(2.0, 4)
    y[:, 3], _ = (values[:, 0] if values.ndim == 2 else values for values in (coloured(2.0, 1, height=0.0)[0], y))
    y[:, 2] = 0
    info = replace(plain(4), channels=tuple(replace(c, kind="aux" if i == 1 else c.kind)
                                            for i, c in enumerate(plain(4).channels)))  # fmt: skip
    d = Detector(info, MATCHED)
    d.learn([(y[:10_000], 0)])
    for first in range(0, len(y), 5000):
        d.process(y[first : first + 5000], first)
    assert of(d).learnt[0, :4].tolist() == [1, 0, 0, 1]
    own, quiet = filters(d, 4)[[0, 3]]
    assert own @ quiet / np.linalg.norm(own) / np.linalg.norm(quiet) > 0.9
    assert not (own == quiet).all()


def test_the_score_has_the_signal_s_noise_level_and_no_mean() -> None:
    y, _ = coloured(3.0, 2, height=80.0, rate=10.0)
    d = detector(with_(RAW, threshold=6.0), 2)
    for first in range(0, len(y), 5000):
        d.process(y[first : first + 5000], first)
    noise, _ = coloured(3.0, 1, height=0.0, seed=8)
    for f in filters(d, 2):
        score = np.correlate(noise[:, 0], f)
        assert score.std() == pytest.approx(SIGMA_UV, rel=0.05)
        assert abs(f.sum()) < 0.1 * np.abs(f).sum()


@pytest.mark.usefixtures("quick")
def test_nothing_is_learnt_nor_changed_while_frozen() -> None:
    y, _ = coloured(2.5, 3)
    d = Detector(plain(3), MATCHED)
    d.schedule(Freeze(), 21_500)
    d.schedule(Follow(), 40_000)
    d.learn([(y[:10_000], 0)])
    at = {}
    for first in range(0, len(y), 500):
        d.process(y[first : first + 500], first)
        at[first + 500] = (filters(d, 3).tobytes(), of(d).seen_spikes.copy())
    assert at[19_500][0] != at[21_000][0]
    assert at[21_500][0] == at[40_500][0]
    np.testing.assert_array_equal(at[23_000][1], at[40_000][1])
    assert at[40_500][0] != at[43_500][0]


@pytest.mark.usefixtures("quick")
def test_neither_gaps_nor_held_samples_are_learnt_from() -> None:
    y, _ = coloured(1.0, 2, height=0.0)
    in_pieces, held = detector(RAW, 2), detector(RAW, 2)
    for first in range(0, 20_000, 100):
        in_pieces.process(y[first : first + 50], first)
    y[50::100, 0] = np.nan
    for first in range(0, 20_000, 1000):
        held.process(y[first : first + 1000], first)
    assert (of(in_pieces).quiet_samples == 0).all()
    assert of(held).quiet_samples[0, 0] == 0
    assert of(held).quiet_samples[0, 1] > 3000


@pytest.mark.parametrize(("sign", "mirror"), [("neg", 1), ("pos", -1)])
def test_rising_spikes_are_falling_ones_upside_down(sign: Any, mirror: int) -> None:
    y, _ = coloured(1.5, 2, height=50.0)
    plain_, other = (
        spikes(stream([(0, x)], plain(2), with_(MATCHED, sign=s), [2000])) for x, s in ((y, "neg"), (mirror * y, sign))
    )
    np.testing.assert_array_equal(plain_["crossing"], other["crossing"])
    np.testing.assert_array_equal(plain_["amplitude_uv"], mirror * other["amplitude_uv"])


def test_with_both_signs_the_higher_spikes_make_the_filter() -> None:
    large, _ = coloured(2.0, 2, height=90.0)
    small, _ = coloured(2.0, 2, height=40.0, seed=5)
    y = large * np.float32([1, -1]) + small * np.float32([-1, 1])
    found = {}
    for sign in ("neg", "pos", "both"):
        d = detector(with_(RAW, sign=sign), 2)
        for first in range(0, len(y), 5000):
            d.process(y[first : first + 5000], first)
        found[sign] = filters(d, 2)
    for c, (right, wrong) in enumerate((("neg", "pos"), ("pos", "neg"))):
        far = {s: np.linalg.norm(found[s][c] - found["both"][c]) for s in (right, wrong)}
        assert far[right] < 0.3 * far[wrong]


# what it finds


def test_it_finds_more_than_a_threshold_at_its_best() -> None:
    y, truth = coloured(8.0, 6, height=27.0, rate=15.0, seed=3)
    there: Segments = [(0, y)]
    begin = 40_000
    matched = f1(spikes(stream(there, plain(6), MATCHED, [5000])), truth, begin)
    best = max(
        f1(spikes(stream(there, plain(6), with_(MATCHED, method="threshold", threshold=k), [5000])), truth, begin)
        for k in (4.0, 4.25, 4.5, 4.75, 5.0)
    )
    assert matched > best + 0.02


def test_ripples_of_large_spikes_are_rejected_as_rebound() -> None:
    y, truth = coloured(4.0, 3, height=400.0, rate=20.0)
    with_rule, without = (
        stream([(0, y)], plain(3), with_(MATCHED, rebound=ReboundSettings(rule)), [5000]) for rule in (True, False)
    )
    late = [e["sample"] for e in (spikes(without), spikes(with_rule))]
    assert (late[0] > 20_000).sum() > 1.3 * (truth[0] > 20_000).sum()
    assert f1(spikes(with_rule), truth, 20_000) > 0.995
    rejected = np.concatenate([e.rejected for e in with_rule])
    assert (rejected["reason"] == RejectReason.REBOUND).sum() > 50


def test_default_threshold() -> None:
    d = detector(RAW, 2)
    assert d.levels().below_uv[0] == pytest.approx(-4.5 * SIGMA_UV)
    d = detector(with_(RAW, threshold=None), 2)
    assert d.levels().below_uv[0] == pytest.approx(-4.8 * SIGMA_UV)
