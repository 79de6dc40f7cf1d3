"""What a person sees of a running engine: rates, activity, noise, losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.subscribers.watch import BINS, Watch
from rtspikes.types import CROSSING_DTYPE, GAP_DTYPE, SPIKE_DTYPE
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.codec import LEVELS_DTYPE

RATE = 1000
BIN = 200


def watch(first: int = 0) -> Watch:
    return Watch(
        {
            "rate_hz": float(RATE),
            "first_sample": first,
            "n_channels": 4,
            "enabled": [True, True, True, False],
            "channels": {"kind": ["electrode", "electrode", "reference", "electrode"]},
        }
    )


def spikes(at: Sequence[int], to_sample: int, channels: Sequence[int] | int = 0, **about: Any) -> Batch:
    rows = np.zeros(len(at), SPIKE_DTYPE)
    rows["sample"], rows["crossing"], rows["channel"] = at, at, channels
    return Batch("spikes", "s", 0, to_sample, spikes=rows, **about)


def levels(first_channel: int, sigma_uv: Sequence[float]) -> Batch:
    rows = np.zeros(len(sigma_uv), LEVELS_DTYPE)
    rows["sigma_uv"] = sigma_uv
    return Batch("thresholds", "s", 0, 0, thresholds=rows, fields={"first_channel": first_channel})


def watched(*batches: Batch, first: int = 0) -> Watch:
    made = watch(first)
    for batch in batches:
        made.add(batch, 0.0)
    return made


def test_nothing_is_known_before_the_first_message() -> None:
    made = watch()
    assert (made.seconds, made.active, made.missed, made.lost) == (0, 0, 0, 0)
    assert made.recent().tolist() == [0, 0, 0, 0]
    assert made.course(BINS).tolist() == [0] * BINS
    assert math.isnan(made.median_sigma_uv)
    assert made.latency.summary_ms() == {}


def test_rates_are_those_of_the_last_second() -> None:
    made = watched(spikes(range(0, 500, 10), 500, 1), spikes(range(505, 1500, 10), 1500, 0))
    assert made.recent().tolist() == [100, 0, 0, 0]
    assert made.counts.tolist() == [100, 50, 0, 0]
    made.add(spikes([], 2000), 0.0)
    assert made.recent().tolist() == [50, 0, 0, 0]
    made.add(spikes([], 2501), 0.0)
    assert made.recent().tolist() == [0, 0, 0, 0]


@settings(deadline=None, max_examples=60)
@given(
    samples=st.lists(st.integers(0, 2499).map(lambda k: 2 * k + 1), max_size=80),
    cuts=st.lists(st.integers(0, 5000), max_size=20),
    first=st.sampled_from([0, 12345]),
)
def test_figures_are_independent_of_how_spikes_come_in_batches(samples: list[int], cuts: list[int], first: int) -> None:
    made, borders = watch(first), [0, *sorted(cuts), 5000]
    for a, b in zip(borders, borders[1:], strict=False):
        made.add(spikes([first + s for s in sorted(samples) if a <= s < b], first + b, 1), 0.0)
    assert made.recent()[1] == sum(s > 4000 for s in samples)
    assert made.course(30).tolist() == [0] * 4 + [sum(s // BIN == k for s in samples) for k in range(25)] + [0]
    assert made.seconds == 5
    assert made.counts.tolist() == [0, len(samples), 0, 0]


def test_a_second_of_a_spike_per_sample_has_as_many_as_samples() -> None:
    assert watched(spikes(range(3000), 3000)).recent()[0] == RATE


def test_the_course_counts_all_electrodes_in_bins_of_a_fifth_of_a_second() -> None:
    made = watched(spikes([0, 199, 200, 450, 450], 600, [0, 1, 0, 1, 3]))
    assert made.course(4).tolist() == [2, 1, 2, 0]
    assert made.course(6).tolist() == [0, 0, 2, 1, 2, 0]
    assert made.course(1).tolist() == [0]


def test_the_course_goes_on_through_silence_of_any_length() -> None:
    made = watched(spikes([10], 200), spikes([], 200 + 5 * BIN))
    assert made.course(8).tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    for silence in (BINS - 7, 1, 1, 10 * BINS, 1_000_000):
        made.add(spikes([], made.to_sample + silence * BIN), 0.0)
        wanted = [0] * BINS
        back = made.to_sample // BIN
        if back < BINS:
            wanted[BINS - 1 - back] = 1
        assert made.course(BINS).tolist() == wanted
    made.add(spikes([made.to_sample + 5], made.to_sample + 10), 0.0)
    assert made.course(BINS).tolist() == [0] * (BINS - 1) + [1]


def test_a_batch_longer_than_the_course_leaves_its_end() -> None:
    many = 3 * BINS
    made = watched(spikes([k * BIN + k % 7 for k in range(many)], many * BIN))
    assert made.course(BINS).tolist() == [1] * (BINS - 1) + [0]


def test_silence_between_two_batches_leaves_nothing_of_an_older_round() -> None:
    made = watched(spikes(range(0, BINS * BIN, 50), BINS * BIN))
    later = BINS * BIN + (BINS + BINS // 2) * BIN
    made.add(spikes([later], later + BIN), 0.0)
    assert made.course(BINS).sum() == 1


def test_a_peak_after_the_batchs_end_is_counted_in_its_bin() -> None:
    made = watched(spikes([201], 200))
    assert made.course(2).tolist() == [0, 1]
    made.add(spikes([], 400), 0.0)
    assert made.course(3).tolist() == [0, 1, 0]


def test_an_electrode_is_active_from_five_spikes_per_minute_on() -> None:
    five = spikes([1, 2, 3, 4, 5], 1000, 0)
    assert watched(five, spikes([6, 7, 8, 9], 60 * RATE, 1)).active == 1
    assert watched(five, spikes([], 61 * RATE)).active == 0
    assert watched(spikes([1], 1000, 1)).active == 1, "one spike at least"
    assert watched(spikes([1, 2, 3], 1000, [2, 3, 2])).active == 0, "neither references nor disabled electrodes"
    assert watched(five, spikes([], 10_000 + 60 * RATE), first=10_000).active == 1


def test_noise_levels_come_in_parts_and_channels_without_one_do_not_count() -> None:
    made = watched(levels(0, [4.0, 0.0]))
    assert made.median_sigma_uv == 4
    made.add(levels(1, [6.0, 90.0, 80.0]), 0.0)
    assert made.sigma_uv.tolist() == [4, 6, 90, 80]
    assert made.median_sigma_uv == 5
    made.add(levels(0, [10.0]), 0.0)
    assert made.median_sigma_uv == 8


def test_losses_add_up_from_messages_of_every_kind() -> None:
    gaps = np.array([(10, 7, 0, 1, 0), (50, 5, 0, 2, 3)], GAP_DTYPE)
    made = watched(
        Batch("gaps", "s", 0, 0, gaps=gaps),
        Batch("notices", "s", 0, 0, missed=(Missed("spikes", 1, 3), Missed("gaps", 1, 1))),
        spikes([], 100, missed=(Missed("spikes", 9, 2),)),
    )
    assert (made.lost, made.missed) == (12, 6)


def test_latency_is_that_of_crossings_after_the_held_start() -> None:
    rows = np.zeros(3, CROSSING_DTYPE)
    rows["crossing"], rows["time"] = [999, 1000, 1500], [5.0, 9.998, 9.996]
    made = watch()
    made.add(Batch("crossings", "s", 0, 2000, crossings=rows), 10.0)
    assert made.latency.summary_ms() == pytest.approx({"p50": 3.0, "p99": 3.98, "max": 4.0})


def test_the_newest_status_is_kept() -> None:
    made = watched(*(Batch("status", "s", 0, 0, fields={"ring_fill": fill}) for fill in (0.1, 0.2)))
    assert made.status == {"ring_fill": 0.2}
