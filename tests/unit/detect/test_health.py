"""Noisy, dead, saturated, drifting: who enters and leaves, what is told, and that a chunk never matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtspikes.detect.events import Finding
from rtspikes.detect.health import MOST_POSITIONS, STATES, Health
from rtspikes.types import StreamInfo
from tests.simulated import RATE_HZ, stream_info
from tests.unit.detect.tracking import DEFAULT, FLOOR_UV, band_passed, feed, tracker, white

BLOCK, STRIDE = 10_000, 10
N = 12


class Watch:
    """A health watch, and what has been told so far."""

    def __init__(self, info: StreamInfo | None = None) -> None:
        self.info = info or stream_info(N)
        self.health = Health(self.info, BLOCK, STRIDE)
        self.n = self.info.n_channels
        self.held = np.zeros(self.n, np.int64)
        self.told: list[Finding] = []
        self.at = 0

    def look(self, sigma: object = 5.0, held: object = 0, ratio: object = None, times: int = 1) -> list[Finding]:
        """Look `times` times; held: samples at a rail in each block."""
        told = []
        for _ in range(times):
            self.at += BLOCK
            self.held += np.asarray(held)
            told += self.health.look(
                self.at,
                np.broadcast_to(np.asarray(sigma, np.float32), self.n),
                np.full(self.n, FLOOR_UV, np.float32),
                self.held,
                None if ratio is None else np.broadcast_to(np.asarray(ratio, np.float32), self.n),
            )
        self.told += told
        return told


def but(value: float, at: int | list[int], other: float, n: int = N) -> np.ndarray:
    out = np.full(n, other, np.float32)
    out[at] = value
    return out


def test_a_sound_array_has_nothing_to_tell() -> None:
    watch = Watch()
    rng = np.random.default_rng(1)
    for _ in range(200):
        watch.look(rng.normal(5, 0.3, N))
    assert watch.told == []
    assert watch.health.states == dict.fromkeys(STATES, 0)
    assert watch.health.usable.all()


def test_noisy_is_more_than_five_medians_and_stays_until_it_is_four() -> None:
    watch = Watch()
    assert not watch.look(but(24.9, 3, 5))
    (finding,) = [f for f in watch.look(but(25.1, 3, 5)) if f.cause == "noisy"]
    assert (finding.sample, finding.text, finding.amount) == (2 * BLOCK, "noisy: E4", 1)
    assert finding.facts == {"entered": [3], "left": [], "all": 1}
    assert not watch.health.usable[3]
    assert watch.health.usable.sum() == N - 1
    watch.look(but(20.5, 3, 5))
    assert watch.health.states["noisy"] == 1
    assert [f.text for f in watch.look(but(19.9, 3, 5)) if f.cause == "noisy"] == ["no longer noisy: E4"]
    assert watch.health.usable.all()


def test_noisy_is_judged_within_a_well_of_eight_and_within_all_else() -> None:
    channels = [replace(c, well="A" if c.position < 14 else "B" if c.position < 24 else "C")
                for c in stream_info(28).channels]  # fmt: skip
    watch = Watch(replace(stream_info(28), channels=tuple(channels)))
    sigma = np.r_[np.full(14, 2.0), np.full(10, 20.0), np.full(4, 2.0)]
    sigma[[0, 14, 24]] = 12, 90, 9
    watch.look(sigma)
    assert watch.health.channels("noisy").tolist() == [0], "12 is 6 medians of A; 90 is 4.5 of B; 9 is 4.5 of all"
    sigma[24] = 12
    watch.look(sigma)
    assert watch.health.channels("noisy").tolist() == [0, 24]


def test_dead_is_told_after_three_looks_but_the_reference_goes_without_it_at_once() -> None:
    watch = Watch()
    watch.look(times=3)
    assert watch.look(but(0, [2, 5], 5)) == []
    assert np.flatnonzero(~watch.health.usable).tolist() == [2, 5]
    told = watch.look(but(0, [2, 5], 5), times=2)
    assert [(f.cause, f.text, f.sample) for f in told] == [("dead", "dead: E3, E6", 6 * BLOCK)]
    assert watch.look(but(FLOOR_UV * 1.1, [2, 5], 5)) == [], "still too little"
    assert [f.text for f in watch.look() if f.cause == "dead"] == ["no longer dead: E3, E6"]
    assert watch.health.usable.all()


def test_a_channel_at_its_rail_is_saturated_and_not_called_dead() -> None:
    watch = Watch()
    watch.look(times=10)
    told = watch.look(but(0, 1, 5), but(1000, 1, 0).astype(int), times=20)
    assert [(f.cause, f.text) for f in told] == [("saturated", "saturated: E2")]
    assert told[0].sample <= 13 * BLOCK
    assert not watch.health.usable[1]
    watch.look(but(0, 1, 5), times=2)
    told = watch.look(times=40)
    assert [f.text for f in told] == ["no longer saturated: E2"]


@pytest.mark.parametrize("every", [2, 4, 6])
def test_stimuli_do_not_make_a_channel_saturated(every: int) -> None:
    watch = Watch()
    for i in range(300):
        watch.look(5, 400 if i % every == 0 else 0)  # 200 ms of 500
    assert watch.told == []


def test_a_step_and_a_slow_drift_are_told_and_small_changes_are_not() -> None:
    watch = Watch()
    watch.look(times=120)
    assert watch.look(but(7.2, 4, 5), times=60) == []
    told = watch.look(but(10, 4, 5), times=2000)
    assert [(f.cause, f.text) for f in told] == [("drifting", "drifting: E5"), ("drifting", "no longer drifting: E5")]
    assert told[0].sample == 181 * BLOCK
    assert 60 < (told[1].sample - told[0].sample) / RATE_HZ < 600
    assert [f.text for f in watch.look(but(4, 4, 5), times=3)] == ["drifting: E5"]

    slow = Watch()
    for i in range(1800):  # 15 min, in which one doubles every 5 min
        slow.look(but(5 * 2 ** (i / 600), 0, 5))
    (first, *_) = [f for f in slow.told if f.cause == "drifting"]
    assert first.text == "drifting: E1"
    assert first.sample / RATE_HZ < 500, f"after {first.sample / RATE_HZ:.0f} s"


def test_sigma_since_the_freeze_is_told_once_until_it_was_back() -> None:
    watch = Watch()
    assert watch.look(5, ratio=np.nan, times=3) == []
    assert watch.look(5, ratio=1.19, times=3) == []
    (told,) = watch.look(5, ratio=but(1.3, [1, 2], 1), times=5)
    assert (told.cause, told.amount) == ("noise_since_freeze", 2)
    assert told.text.endswith("(1.30 to 1.30 of it): E2, E3")
    assert told.facts == {"channels": [1, 2], "ratios": [1.3, 1.3]}
    assert watch.look(5, ratio=but(1.16, [1, 2], 1)) == []
    assert watch.look(5, ratio=but(1.21, [1, 2], 1)) == [], "it had not been back"
    assert watch.look(5, ratio=but(np.nan, [1, 2], 1)) == [], "not known for a while"
    assert watch.look(5, ratio=but(1.14, [1, 2], 1)) == []
    assert [f.amount for f in watch.look(5, ratio=but(0.79, 2, 1))] == [1]
    assert watch.look(5, ratio=np.nan) == []
    assert [f.amount for f in watch.look(5, ratio=but(0.79, 2, 1))] == [1], "another freeze"


def test_lists_and_texts_are_bounded() -> None:
    n = 3000
    watch = Watch(stream_info(n))
    watch.look(np.zeros(n), times=3)
    (told,) = watch.told
    assert told.text == "dead: E1, E2, E3, E4, E5, E6, E7, E8 and 2992 more"
    assert told.amount == n
    assert len(told.facts["entered"]) == MOST_POSITIONS
    watch.look(5, ratio=2, times=1)
    since = watch.told[-1]
    assert since.cause == "noise_since_freeze"
    assert len(since.facts["channels"]) == len(since.facts["ratios"]) == MOST_POSITIONS


def test_other_channels_than_electrodes_have_no_state_and_do_not_count() -> None:
    channels = [replace(c, kind="aux" if c.position > 3 else "electrode") for c in stream_info(N).channels]
    watch = Watch(replace(stream_info(N), channels=tuple(channels)))
    told = watch.look(np.r_[5, 5, 5, 5, np.zeros(4), np.full(4, 1e4)], 1000 * (np.arange(N) > 3), 3 * np.ones(N), 50)
    assert [f.facts["channels"] for f in told] == [[0, 1, 2, 3]]
    assert watch.health.usable.tolist() == [True] * 4 + [False] * 8


def test_a_second_look_at_a_sample_changes_nothing() -> None:
    watch = Watch()
    watch.look(but(0, 1, 5), times=2)
    watch.at -= BLOCK
    assert watch.look(but(0, 1, 5)) == []
    assert [f.cause for f in watch.look(but(0, 1, 5))] == ["dead"]


@pytest.mark.parametrize("pieces", [[200_001], [777], [10_000, 1, 33_333]])
def test_states_of_a_tracked_signal_do_not_depend_on_the_pieces_it_came_in(pieces: list[int]) -> None:
    uv = white(14, 16, seed=3)
    uv[:, 3] *= 8
    uv[:, 7] = 0
    uv[len(uv) // 2 :, 9] *= 3
    filtered = band_passed(uv)
    noise = tracker(16)
    noise.learn(filtered[:10_000].std(axis=0, keepdims=True).astype(np.float32))
    health = Health(stream_info(16), noise.block, noise.stride)
    told, at, i = [], 0, 0
    while at < len(filtered):
        end = min(len(filtered), at + pieces[i % len(pieces)], noise.boundary)
        feed(noise, filtered[at:end], at)
        if noise.measured is not None:
            floor = np.full(16, FLOOR_UV, np.float32)
            told += health.look(noise.measured, noise.now[0], floor, np.zeros(16, np.int64), noise.since_freeze[0])
        at, i = end, i + 1
    assert [(f.sample // noise.block, f.cause, f.text) for f in told[:3]] == [
        (2, "noisy", "noisy: E4"),
        (4, "dead", "dead: E8"),
        (told[2].sample // noise.block, "drifting", "drifting: E10"),
    ]
    assert 14 < told[2].sample // noise.block < 14 + 2 * 5
    assert DEFAULT.window_s == 4
