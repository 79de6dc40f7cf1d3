"""The `pulses:` source: what it says lies where it lies, in whole chunks, live."""

from __future__ import annotations

import numpy as np
import pytest

from rtspikes.errors import ConfigError
from rtspikes.offline import detect
from rtspikes.protocols import Pull
from rtspikes.sources.pulses import SPACING, UV_PER_UNIT, PulseSource, channel, open_pulses, pulses_of, repeated
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import Samples
from tests.clocks import BEGUN_S, HandClock


def pulled(address: str, chunk_ms: float = 1.0) -> tuple[Samples, list[Pull], HandClock]:
    clock = HandClock()
    with PulseSource(address, SourceSettings(chunk_ms=chunk_ms), clock) as source:
        source.start()
        parts, pulls, room = [], [], np.zeros((5000, source.info.n_channels), np.int16)
        while not (pull := source.pull(room)).ended:
            parts.append(room[: pull.n].copy())
            pulls.append(pull)
        return np.concatenate(parts), pulls, clock


@pytest.mark.parametrize("n_channels", [1, 7, 64])
def test_every_pulse_is_found_at_its_place(n_channels: int) -> None:
    samples, _, _ = pulled(f"{n_channels}?seconds=2&spikes=2")
    spikes, _ = detect(samples, rate_hz=20_000, uv_per_unit=UV_PER_UNIT)
    found = pulses_of(spikes["crossing"], spikes["channel"].astype(np.int64), n_channels)
    whole = len(samples) // SPACING - 1
    assert set(found.tolist()) - {-1} >= set(range(whole))


def test_a_crossing_on_another_channel_or_beside_it_is_no_pulse() -> None:
    begins = np.array([50, 151, 151, 150, 163])
    on = np.array([channel(0, 8), channel(1, 8), (channel(1, 8) + 1) % 8, channel(1, 8), channel(1, 8)])
    assert pulses_of(begins, on, 8).tolist() == [0, 1, -1, -1, -1]


def test_wide_streams_repeat_fewer_pulses() -> None:
    assert (repeated(64), repeated(60_000)) == (200, 11)
    assert {channel(k, 60_000) for k in range(100)} == {channel(k, 60_000) for k in range(11)}


def test_it_comes_in_chunks_at_their_times_and_repeats_itself() -> None:
    samples, pulls, clock = pulled("3?seconds=1.2&rate=20000", chunk_ms=10)
    assert [pull.n for pull in pulls] == [200] * 120
    assert [anchor.time_s for pull in pulls for anchor in pull.anchors] == [BEGUN_S]
    assert clock.time_s == pytest.approx(BEGUN_S + 1.2, abs=1e-9)
    period = repeated(3) * SPACING
    np.testing.assert_array_equal(samples[period:], samples[: len(samples) - period])


def test_what_is_late_comes_at_once_and_in_whole_chunks() -> None:
    clock = HandClock()
    with PulseSource("2", SourceSettings(chunk_ms=1), clock) as source:
        assert source.info.live
        source.start()
        room = np.zeros((2000, 2), np.int16)
        clock.time_s += 0.0508
        assert [source.pull(room).n for _ in range(2)] == [1000, 20]
        assert clock.time_s == pytest.approx(BEGUN_S + 0.051, abs=1e-9)
        assert source.status()["lateness_ms"]["max"] == 49.8


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("", "pulses: must name 1 … 65536 channels"),
        ("0", "got '0'"),
        ("64?rat=5", "unknown parameter 'rat'; did you mean 'rate'"),
        ("64?rate=x", "rate must be a number, got 'x'"),
        ("64?rate=nan", "rate must be 1000 … "),
        ("64?spikes=101", "spikes must be 0 … 100"),
        ("64?seconds=-1", "seconds must be 0 … 1e6"),
    ],
)
def test_a_wrong_address_says_what_is_right(address: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        open_pulses(address, SourceSettings(), HandClock())


@pytest.mark.parametrize("settings", [SourceSettings(loop=True), SourceSettings(speed="max")])
def test_settings_of_files_are_refused(settings: SourceSettings) -> None:
    with pytest.raises(ConfigError, match="pulses: "):
        open_pulses("64", settings, HandClock())
