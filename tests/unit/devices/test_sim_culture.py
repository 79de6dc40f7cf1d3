"""The simulated culture: when its neurons fire, what electrodes see of them, and whether cultures do so."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rtspikes_devices.sim.address import parse_address
from rtspikes_devices.sim.culture import Culture
from rtspikes_devices.sim.layouts import make_layout

from tests.unit.devices.simulations import microvolts, opened, true_spikes, truth_of

CULTURES = (
    "60",
    "60?scenario=bicuculline&onset=2.5&seed=5",
    "60?scenario=ttx&onset=3",
    "wells:6x4?scenario=artifact&onset=0.7&rate=30000",
    "400?pitch=17.5&seed=2",
    "60?doublets=0.4&seed=3",
    "wells:6x4?scenario=superburst",
)
END_MS = 6000

spans = st.lists(st.tuples(st.integers(0, END_MS), st.integers(0, 700)), min_size=1, max_size=8)


def culture(address: str) -> Culture:
    simulation = parse_address(address)
    return Culture(simulation, make_layout(simulation.layout, simulation.pitch))


@pytest.fixture(scope="module", params=CULTURES)
def grown(request: pytest.FixtureRequest) -> tuple[Culture, NDArray[np.void]]:
    """Return a culture and all its spikes before END_MS, asked for at once."""
    return culture(request.param), culture(request.param).firings(0, END_MS)


@settings(deadline=None, max_examples=40)
@given(spans=spans)
def test_any_stretch_asked_for_alone_is_the_same_in_any_order(
    grown: tuple[Culture, NDArray[np.void]], spans: list[tuple[int, int]]
) -> None:
    asked, whole = grown
    per_ms = round(asked.simulation.rate) // 1000
    for first, length in [*spans, *spans[::-1]]:
        end = min(END_MS, first + length)
        inside = (whole["sample"] >= first * per_ms) & (whole["sample"] < end * per_ms)
        assert asked.firings(first, end).tobytes() == whole[inside].tobytes()


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(0, END_MS), max_size=20))
def test_stretches_one_after_the_other_are_the_whole(grown: tuple[Culture, NDArray[np.void]], cuts: list[int]) -> None:
    asked, whole = grown
    borders = [0, *sorted(cuts), END_MS]
    pieces = [asked.firings(a, b) for a, b in zip(borders, borders[1:], strict=False)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_a_stretch_far_ahead_is_the_same_as_when_it_is_reached() -> None:
    reached = culture("60?seed=4")
    for second in range(400):
        last = reached.firings(second * 1000, second * 1000 + 1000)
    assert last.tobytes() == culture("60?seed=4").firings(399_000, 400_000).tobytes()
    assert len(last) > 5


@settings(deadline=None, max_examples=40)
@given(a=st.integers(0, 60000), n=st.integers(0, 30000))
def test_truth_of_any_stretch_of_samples_is_cut_from_the_whole(a: int, n: int) -> None:
    truth = TRUTH["asked"]
    whole = TRUTH["whole"]
    inside = (whole["sample"] >= a) & (whole["sample"] < a + n)
    assert truth.spikes(a, a + n).tobytes() == whole[inside].tobytes()


def test_truth_in_pieces_that_no_millisecond_ends_is_the_whole() -> None:
    pieces = [TRUTH["asked"].spikes(a, a + 7) for a in range(0, 21000, 7)]
    assert len(TRUTH["whole"]) > 1000
    assert np.concatenate(pieces).tobytes() == TRUTH["asked"].spikes(0, 21000).tobytes()
    assert np.isin(TRUTH["whole"]["sample"][:1000] % 20, 19).any()


TRUTH = {"asked": truth_of("256?pitch=17.5"), "whole": truth_of("256?pitch=17.5").spikes(0, 90000)}


def test_spikes_are_in_order_and_a_neuron_rests_at_least_2_ms(
    grown: tuple[Culture, NDArray[np.void]],
) -> None:
    asked, whole = grown
    assert (np.diff(whole["sample"]) >= 0).all()
    same = np.diff(whole["sample"]) == 0
    assert (np.diff(whole["neuron"])[same] > 0).all()
    shortest = min(
        np.diff(whole["sample"][whole["neuron"] == neuron]).min(initial=END_MS) for neuron in range(asked.neurons.n)
    )
    rest_s = 2e-3 if asked.simulation.doublets else 3e-3
    assert rest_s * asked.simulation.rate <= shortest < 9e-3 * asked.simulation.rate


def test_truth_rows_are_in_order_and_say_what_electrodes_see() -> None:
    rows = true_spikes("256?pitch=17.5", 0, 3)
    order = np.lexsort((rows["unit"], rows["channel"], rows["sample"]))
    np.testing.assert_array_equal(order, np.arange(len(rows)))
    assert rows["amplitude_uv"].min() >= 1.7
    assert rows["amplitude_uv"].max() <= 340
    assert len(np.unique(rows[["sample", "channel", "unit"]])) == len(rows)


def isolated(rows: NDArray[np.void], smallest_uv: float, apart: int) -> NDArray[np.void]:
    """Return the rows (of one channel, in order) with no other row within `apart` samples."""
    distance = np.diff(rows["sample"], prepend=-(10**9), append=10**9)
    return rows[(distance[1:] > apart) & (distance[:-1] > apart) & (rows["amplitude_uv"] >= smallest_uv)]


@pytest.mark.parametrize(
    ("address", "rate"),
    [("64?noise=0", 20000), ("64?noise=0&rate=30000", 30000), ("256?pitch=17.5&noise=0&seed=3", 20000)],
)
def test_the_trough_is_at_the_true_sample_and_as_deep_as_said(address: str, rate: int) -> None:
    uv, info = microvolts(f"{address}&seconds=8")
    rows = true_spikes(address, 0, 8, rate)
    ratios = []
    for channel in range(info.n_channels):
        for row in isolated(rows[rows["channel"] == channel], 60, rate // 150):
            at = int(row["sample"])
            if not rate // 100 < at < len(uv) - rate // 100:
                continue
            near = uv[at - rate // 500 : at + rate // 1000, channel]
            assert abs(int(near.argmin()) - rate // 500) <= 1
            ratios.append((np.median(near[: rate // 1000]) - near.min()) / row["amplitude_uv"])
    assert len(ratios) > 100
    assert np.median(ratios) == pytest.approx(1, abs=0.02)
    assert np.percentile(np.abs(np.array(ratios) - 1), 90) < 0.1


def shapes(address: str) -> dict[int, NDArray[np.float64]]:
    """Return the mean waveform (−1 … 2 ms, unit trough) of every neuron with 5 or more isolated spikes."""
    uv, info = microvolts(f"{address}&noise=0&seconds=40")
    rows, found = true_spikes(address, 0, 40), defaultdict(list)
    for channel in range(info.n_channels):
        for row in isolated(rows[rows["channel"] == channel], 60, 120):
            if 100 < row["sample"] < len(uv) - 100:
                near = uv[row["sample"] - 20 : row["sample"] + 40, channel]
                found[int(row["unit"])].append((near - np.median(near[:8])) / row["amplitude_uv"])
    return {unit: np.mean(waveforms, axis=0) for unit, waveforms in found.items() if len(waveforms) >= 5}


def test_waveforms_are_biphasic_and_differ_between_neurons() -> None:
    waveforms = shapes("64?seed=2")
    assert len(waveforms) > 30
    wide, late = [], []
    for shape in waveforms.values():
        assert shape[20] == pytest.approx(-1, abs=0.1)
        assert 0.08 < shape[24:].max() < 0.6, "a positive phase follows the trough"
        fine = np.interp(np.arange(0, 60, 0.01), np.arange(60), shape)
        wide.append((fine < -0.5).sum() / 2000)  # ms
        late.append((20 + int(shape[20:].argmin()), 24 + int(shape[24:].argmax())))
    assert min(wide) > 0.1
    assert max(wide) < 0.5
    assert np.ptp(wide) > 0.1
    assert len({peak for _, peak in late}) > 4
    every = np.array(list(waveforms.values()))
    apart = np.sqrt(((every[:, None] - every) ** 2).sum(axis=2))
    assert np.median(apart[np.triu_indices(len(every), 1)]) > 0.3


def test_electrodes_of_a_sparse_array_have_none_one_or_several_neurons_of_their_own() -> None:
    rows = true_spikes("64?seed=2", 0, 60)
    rows = rows[rows["amplitude_uv"] > 5]
    pairs = np.unique(rows[["channel", "unit"]])
    neurons = np.bincount(pairs["channel"], minlength=64)
    assert set(neurons.tolist()) == {0, 1, 2, 3}
    assert (neurons == 0).sum() < 20
    assert (neurons > 1).sum() > 12
    assert np.bincount(pairs["unit"]).max() == 1, "200 µm apart, one electrode sees a neuron"


def test_on_a_dense_array_a_spike_falls_with_distance_over_the_electrodes_around() -> None:
    address, reach = "256?pitch=17.5", 17.5  # a neuron is up to half a pitch from its electrode
    place = np.array([(c.x_um, c.y_um) for c in opened(address).info.channels])
    rows = true_spikes(address, 0, 6)
    seen = []
    for unit in np.unique(rows["unit"]):
        spike = rows[rows["unit"] == unit]
        spike = spike[spike["sample"] == spike["sample"][0]]
        main = spike[spike["amplitude_uv"].argmax()]
        away = np.hypot(*(place - place[main["channel"]]).T)
        assert (
            spike["amplitude_uv"] <= main["amplitude_uv"] * np.exp((reach - away[spike["channel"]]) / 30) + 0.1
        ).all()
        certain = main["amplitude_uv"] * np.exp(-away / 30)
        assert (spike["amplitude_uv"] >= certain[spike["channel"]] - 0.1).all()
        assert set(np.flatnonzero(certain > 2.5)) <= set(spike["channel"].tolist())
        seen.append(len(spike))
    assert len(seen) > 10
    assert np.median(seen) > 20


def test_a_wells_neurons_are_seen_in_their_own_well_alone() -> None:
    for address in ("wells:24x16", "wells:6x16?pitch=50"):
        assert wells_seen(address) == {1}


def test_wells_of_dense_arrays_are_apart_too() -> None:
    assert wells_seen("wells:6x16?pitch=17.5&seed=2") == {1}


def wells_seen(address: str) -> set[int]:
    """Return in how many wells a neuron is seen."""
    wells = np.array([c.well for c in opened(address).info.channels])
    rows = true_spikes(address, 0, 10)
    return {len(set(wells[rows["channel"][rows["unit"] == unit]])) for unit in np.unique(rows["unit"])}


def test_wells_burst_each_at_their_own_time() -> None:
    wells = np.array([c.well for c in opened("wells:6x36").info.channels])
    rows = true_spikes("wells:6x36", 0, 40)
    counts = [np.histogram(rows["sample"][wells[rows["channel"]] == w], 400, (0, 800_000))[0] for w in np.unique(wells)]
    assert np.abs(np.corrcoef(counts) - np.eye(6)).max() < 0.3


class Activity:
    """What an analysis finds in a culture on 64 electrodes, from its visible spikes alone."""

    def __init__(self, address: str, first_s: int, end_s: int) -> None:
        truth, rows = truth_of(address), true_spikes(address, first_s, end_s)
        rows = rows[rows["amplitude_uv"] >= truth.visible_uv]
        self.ms = rows["sample"] / 20 - first_s * 1000
        self.channel = rows["channel"].astype(int)
        total_s = end_s - first_s
        rates = np.bincount(self.channel, minlength=64) / total_s
        self.active = rates > 5 / 60
        self.median_rate = float(np.median(rates[self.active]))
        counts = np.histogram(self.ms, total_s * 50, (0, total_s * 1000))[0]
        together = np.convolve(counts, np.ones(5), "same") >= 0.2 * self.active.sum()  # in 100 ms
        edges = np.flatnonzero(np.diff(together, prepend=False, append=False))
        spans = edges.reshape(-1, 2) * 20.0
        spans = [[a, b] for a, b in spans if b - a > 60]
        self.bursts = np.array([s for i, s in enumerate(spans) if not i or s[0] - spans[i - 1][1] > 100])
        inside = [(self.ms >= a) & (self.ms < b) for a, b in self.bursts]
        self.part_in_bursts = float(np.sum(inside) / len(self.ms))
        self.between_s = np.diff(self.bursts[:, 0]) / 1000
        self.long_ms = np.array([np.ptp(np.percentile(self.ms[m], [5, 95])) for m in inside])
        self.recruited = np.array([len(set(self.channel[m])) for m in inside]) / self.active.sum()

    def variation(self) -> float:
        """Return the coefficient of variation of the intervals between bursts."""
        return float(self.between_s.std() / self.between_s.mean())


@pytest.fixture(scope="module", params=[1, 2, 3])
def baseline(request: pytest.FixtureRequest) -> Activity:
    return Activity(f"64?seed={request.param}", 0, 300)


def test_the_baseline_lies_in_the_ranges_of_real_cultures(baseline: Activity) -> None:
    """Against the figures that `scenarios.py` takes from Charlesworth et al. 2015."""
    assert baseline.active.mean() > 0.7
    assert 1 < baseline.median_rate < 6
    assert 0.6 < baseline.part_in_bursts < 0.95
    low, high = np.percentile(baseline.between_s, [10, 90])
    assert 0.45 < low < high < 7
    assert 25 < np.percentile(baseline.long_ms, 10) < np.percentile(baseline.long_ms, 90) < 440
    assert 0.5 < np.median(baseline.recruited) < 0.9
    assert 0.3 < baseline.variation() < 1


def test_bicuculline_makes_bursts_longer_more_regular_and_more_complete(baseline: Activity) -> None:
    blocked = Activity("64?scenario=bicuculline", 0, 300)
    assert np.median(blocked.long_ms) > 2 * np.median(baseline.long_ms)
    assert blocked.variation() < baseline.variation() / 2
    assert np.median(blocked.recruited) > 0.95 > np.median(baseline.recruited)


def test_bursts_begin_with_few_neurons() -> None:
    found = Activity("64", 0, 300)
    first = []
    for start, _ in found.bursts:
        near = (found.ms >= start - 60) & (found.ms < start + 140)
        first.append([np.sum((found.ms[near] - start + 60) // 20 == k) for k in range(10)])
    course = np.mean(first, axis=0)
    assert course.argmax() > 2
    assert course[:2].max() < course.max() / 3


def test_some_neurons_always_lead_and_others_follow_tens_of_milliseconds_later() -> None:
    rows = true_spikes("64?scenario=artifact", 0, 200)
    after_ms = (rows["sample"] / 20 - 1000) % 2000
    first: dict[tuple[int, int], float] = {}
    for row, ms in zip(rows, after_ms, strict=True):
        if 8 <= ms < 108:
            first.setdefault((int(row["unit"]), int(row["sample"] // 40000)), ms)
    latencies = defaultdict(list)
    for (unit, _), ms in first.items():
        latencies[unit].append(ms)
    leading = [np.percentile(times, 20) for times in latencies.values() if len(times) >= 30]
    assert len(leading) > 20
    assert 20 < np.percentile(leading, 90) - np.percentile(leading, 10) < 60


def test_stimuli_evoke_bursts() -> None:
    rows = true_spikes("64?scenario=artifact", 0, 60)
    after_ms = (rows["sample"] / 20 - 1000) % 2000
    evoked, late = ((after_ms >= 8) & (after_ms < 108)).sum(), ((after_ms >= 1500) & (after_ms < 1600)).sum()
    assert evoked > 2.5 * late
    assert ((after_ms >= 0) & (after_ms < 8)).sum() < 0.08 * evoked


def test_a_stimulus_evokes_bursts_in_its_own_well_alone() -> None:
    address = "wells:6x16?scenario=artifact&seed=3"
    uv, info = microvolts(f"{address}&seconds=1.01")
    wells = np.array([c.well for c in info.channels])
    stimulated = wells[np.abs(uv[20000:20004]).max(axis=0).argmax()]
    rows = true_spikes(address, 0, 600)
    after_ms, well = (rows["sample"] / 20 - 1000) % 2000, wells[rows["channel"]]
    evoked, late = ((after_ms >= a) & (after_ms < a + 100) for a in (8, 1500))
    assert [w for w in np.unique(wells) if evoked[well == w].sum() > 4 * late[well == w].sum()] == [stimulated]


def test_doublets_add_second_spikes_2_to_5_ms_behind_their_part_of_the_spikes() -> None:
    single, rows = true_spikes("60", 0, 60), true_spikes("60?doublets=0.3", 0, 60)
    assert np.isin(single, rows).all(), "no other spike changes"
    second = rows[~np.isin(rows, single)]
    apart, heights, free, alone = [], [], [], 0
    for unit in np.unique(second["unit"]):
        mine, seconds = (each[each["unit"] == unit] for each in (single, second))
        alone += int((np.diff(mine["sample"], append=10**9) > 200).sum())
        before = np.searchsorted(mine["sample"], seconds["sample"]) - 1
        apart.append(seconds["sample"] - mine["sample"][before])
        heights.append(seconds["amplitude_uv"] / mine["amplitude_uv"][before])
        free.append(np.append(mine["sample"], 10**9)[before + 1] - seconds["sample"])
    assert len(second) / alone == pytest.approx(0.3, abs=0.03)
    gaps, ratios = np.concatenate(apart), np.concatenate(heights)
    assert (gaps.min(), gaps.max()) == (40, 100)
    assert np.histogram(gaps, 4, (40, 101))[0].min() > len(gaps) / 6
    assert 0.699 < ratios.min() < 0.71
    assert 0.99 < ratios.max() < 1.001
    assert min(after.min() for after in free) > 100


def test_every_spike_that_its_neuron_leaves_alone_can_be_a_doublet() -> None:
    single, rows = true_spikes("64", 0, 20), true_spikes("64?doublets=1", 0, 20)
    lonely = 0
    for unit in np.unique(single["unit"]):
        at = single["sample"][single["unit"] == unit]
        lonely += int((np.diff(at, append=10**9) > 200).sum())
    assert len(rows) - len(single) in (lonely, lonely - 1, lonely - 2), "one at the very end may come too late"


def test_superbursts_last_10_to_30_s_come_every_minute_and_recruit_nearly_all() -> None:
    address = "64?scenario=superburst&onset=20"
    rows = true_spikes(address, 0, 320)
    rows = rows[rows["amplitude_uv"] >= 40]
    counts = np.histogram(rows["sample"], 1280, (0, 320 * 20000))[0]  # 0.25 s
    electrodes = len(np.unique(rows["channel"]))
    busy = np.convolve(counts > electrodes, np.ones(8), "same") >= 6
    edges = np.flatnonzero(np.diff(busy, prepend=False, append=False)).reshape(-1, 2) / 4
    assert len(edges) == 5
    assert 24.5 < edges[0, 0] < 31
    np.testing.assert_allclose(np.diff(edges[:, 0]), 60, atol=1)
    lengths = np.diff(edges, axis=1)
    assert (lengths > 9).all()
    assert (lengths < 31).all()
    assert np.ptp(lengths) > 5
    for start, end in edges:
        inside = rows[(rows["sample"] >= start * 20000) & (rows["sample"] < end * 20000)]
        assert len(np.unique(inside["channel"])) > 0.9 * electrodes
        assert 10 < len(inside) / electrodes / (end - start) < 60
    calm = true_spikes("64", 0, 20)
    assert true_spikes(address, 0, 20).tobytes() == calm.tobytes()


def test_wells_have_superbursts_of_their_own() -> None:
    wells = np.array([c.well for c in opened("wells:6x36").info.channels])
    rows = true_spikes("wells:6x36?scenario=superburst", 0, 60)
    begins = []
    for well in np.unique(wells):
        counts = np.histogram(rows["sample"][wells[rows["channel"]] == well], 60, (0, 1_200_000))[0]
        begins.append(int((np.convolve(counts > counts.max() / 4, np.ones(8), "valid") == 8).argmax()))
    assert all(4 <= begin <= 11 for begin in begins)
    assert len(set(begins)) > 2


def test_neurons_differ_in_rate_and_size_and_every_spike_a_little() -> None:
    rows = true_spikes("64", 0, 100)
    rows = rows[rows["amplitude_uv"] > 40]
    units = [rows[rows["unit"] == u]["amplitude_uv"] for u in np.unique(rows["unit"])]
    sizes, counts = np.array([np.median(u) for u in units]), np.array([len(u) for u in units])
    assert 60 < np.median(sizes) < 95
    assert sizes.max() / sizes.min() > 3
    assert np.percentile(counts, 90) / np.percentile(counts, 10) > 1.5
    assert np.median([u.std() / u.mean() for u in units if len(u) > 20]) == pytest.approx(
        0.24 / math.sqrt(12), abs=0.01
    )
