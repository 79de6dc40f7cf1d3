"""From a source to an outlet: every sample is sent with its own stamp or accounted for, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtspikes.errors import ConfigError, SourceError
from rtspikes.protocols import Anchor, Hole, Pull, Remark
from rtspikes.sources.faults import Faults, FaultSettings
from rtspikes.sources.lsl.feed import DRAIN_S, LATE_S, Feed
from rtspikes.sources.lsl.happenings import Began, Consumers, Event, Fault, Late, Said
from rtspikes.types import Samples
from tests.clocks import BEGUN_S, HandClock
from tests.simulated import stream_info
from tests.system.sources import ArraySource

RATE_HZ = 1000.0
CHUNK = 10
SECONDS = 6
SIGNAL = np.arange(SECONDS * round(RATE_HZ), dtype=np.int16)[:, None]

EVERYTHING = FaultSettings(
    drop=0.05,
    jitter_s=3e-3,
    drift=5e-5,
    pause_every_s=0.707,
    pause_for_s=0.1,
    disconnect_every_s=1.903,
    disconnect_for_s=0.6,
    stall_every_s=0.5,
    stall_for_s=0.3,
    clock_step_s=10.0,
    clock_step_at_s=1.2345,
)


class FakeOutlet:
    """Keeps what is pushed; somebody is there from the `consumers_after`-th look on."""

    def __init__(self, consumers_after: int = 0) -> None:
        self.rows: list[NDArray[Any]] = []
        self.stamps: list[float | None] = []
        self.opened = [True]
        self.opened_after: list[int] = []
        self._left = self._consumers_after = consumers_after

    def open(self) -> None:
        assert not self.opened[-1]
        self.opened.append(True)
        self._left = self._consumers_after

    def close(self) -> None:
        assert self.opened[-1]
        self.opened.append(False)

    def has_consumers(self) -> bool:
        self._left -= 1
        return self.opened[-1] and self._left < 0

    def push(self, rows: Samples, stamp_s: float | None) -> None:
        assert self.opened[-1]
        assert len(rows)
        self.rows.append(rows.copy())
        self.stamps.append(stamp_s)

    @property
    def values(self) -> NDArray[Any]:
        return np.concatenate([np.zeros((0, 1), np.int16), *self.rows])[:, 0]


class StampedSource(ArraySource):
    """Begins at BEGUN_S, and takes `pull_s` for a pull."""

    def __init__(self, *arguments: Any, clock: HandClock | None = None, pull_s: float = 0.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clock, self._pull_s = clock, pull_s

    def pull(self, destination: Samples) -> Pull:
        pull = super().pull(destination)
        if self._clock is not None:
            self._clock.time_s += self._pull_s
        return pull._replace(anchors=tuple(Anchor(a.offset, BEGUN_S, a.rate_hz) for a in pull.anchors))


def run(
    settings: FaultSettings = FaultSettings(),  # noqa: B008  (frozen)
    sizes: Sequence[int] = (CHUNK,),
    holes: dict[int, int] | None = None,
    outlet: FakeOutlet | None = None,
    **options: Any,
) -> tuple[Feed, FakeOutlet, list[Event]]:
    """Feed SIGNAL to an outlet until its end."""
    outlet = outlet or FakeOutlet()
    source = StampedSource(stream_info(1, RATE_HZ), SIGNAL, sizes, holes)
    feed = Feed(source, outlet, settings, HandClock(), chunk_samples=CHUNK, **options)
    return feed, outlet, to_end(feed)


def to_end(feed: Feed) -> list[Event]:
    feed.start()
    events: list[Event] = []
    while not feed.ended:
        events += feed.step()
    return events + feed.finish()


def faults_in(events: list[Event], *names: str) -> list[Fault]:
    return [e for e in events if isinstance(e, Fault) and (not names or e.fault in names)]


def without_lost(events: list[Event]) -> NDArray[np.int16]:
    """Return SIGNAL without what the faults say was lost."""
    kept = np.ones(len(SIGNAL), bool)
    for fault in faults_in(events):
        assert kept[fault.sample : fault.sample + fault.lost].all()
        kept[fault.sample : fault.sample + fault.lost] = False
    return SIGNAL[kept, 0]


def fates(settings: FaultSettings) -> NDArray[np.bool_]:
    """Return for each sample of SIGNAL whether it is to be sent."""
    faults = Faults(settings, RATE_HZ, CHUNK)
    return np.array([faults.at(i).lost is None for i in range(len(SIGNAL))])


def test_without_faults_every_sample_is_sent_in_chunks_with_the_stamp_of_its_last_one() -> None:
    feed, outlet, events = run()
    assert np.array_equal(outlet.values, SIGNAL[:, 0])
    assert {len(rows) for rows in outlet.rows} == {CHUNK}
    lasts = np.cumsum([len(rows) for rows in outlet.rows]) - 1
    np.testing.assert_allclose(np.array(outlet.stamps, float), BEGUN_S + lasts / RATE_HZ, rtol=0, atol=1e-9)
    assert feed.totals() == {
        "sent": len(SIGNAL), "lost": 0, "signal": len(SIGNAL), "late": 0, "t0": BEGUN_S, "rate_hz": RATE_HZ,
        "drift": 0.0, "seed": 1,
    }  # fmt: skip
    assert [e for e in events if not isinstance(e, Consumers)] == []


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50).map(lambda sizes: [*sizes, CHUNK]))
def test_any_pieces_meet_the_same_faults(sizes: list[int]) -> None:
    feed, outlet, events = run(EVERYTHING, sizes)
    _, whole, whole_events = run(EVERYTHING)
    assert np.array_equal(outlet.values, whole.values)
    assert faults_in(events) == faults_in(whole_events)
    assert np.array_equal(outlet.values, SIGNAL[fates(EVERYTHING), 0])
    assert np.array_equal(outlet.values, without_lost(events))
    assert feed.sent == len(outlet.values)
    assert feed.sent + feed.lost == len(SIGNAL) == feed.signal_samples
    assert feed.lost == sum(fault.lost for fault in faults_in(events))


def test_no_push_straddles_a_fault() -> None:
    _, outlet, _ = run(EVERYTHING, [7, 40, 3])
    for rows, stamp_s in zip(outlet.rows, outlet.stamps, strict=True):
        assert np.all(np.diff(rows[:, 0]) == 1)
        last = int(rows[-1, 0])
        stepped = 10.0 if last >= 1234 else 0.0  # 1234.5 is rounded to even
        assert (rows[0, 0] >= 1234) == (last >= 1234)
        assert stamp_s is not None
        late_s = stamp_s - (BEGUN_S + stepped + last / (RATE_HZ * (1 + 5e-5)))
        assert -1e-9 <= late_s <= 3e-3 + 1e-9


def test_the_end_may_come_anywhere() -> None:
    for most in (1, 9, 10, 2034, 2500, 2999):
        feed, outlet, events = run(EVERYTHING, [7], most=most)
        assert feed.sent + feed.lost == most
        assert feed.lost == sum(fault.lost for fault in faults_in(events))
        assert np.array_equal(outlet.values, SIGNAL[:most][fates(EVERYTHING)[:most], 0])


def test_what_the_source_has_lost_is_lost_and_the_counter_goes_on() -> None:
    feed, outlet, events = run(sizes=[7], holes={0: 5, 100: 33, 101: 4, 500: 1})
    assert [(f.fault, f.sample, f.lost) for f in faults_in(events)] == [
        ("source", 0, 5), ("source", 105, 33), ("source", 139, 4), ("source", 542, 1),
    ]  # fmt: skip
    assert np.array_equal(outlet.values, SIGNAL[:, 0])
    assert feed.signal_samples == len(SIGNAL) + 43
    stamps = {int(rows[-1, 0]): stamp_s for rows, stamp_s in zip(outlet.rows, outlet.stamps, strict=True)}
    assert stamps[len(SIGNAL) - 1] == pytest.approx(BEGUN_S + (len(SIGNAL) + 42) / RATE_HZ - 5 / RATE_HZ, abs=1e-9)


def test_a_hole_in_a_pause_is_not_counted_twice() -> None:
    settings = FaultSettings(pause_every_s=1.0, pause_for_s=0.5)
    feed, _, events = run(settings, holes={1100: 50}, most=1600)
    assert [(f.fault, f.sample, f.lost) for f in faults_in(events)] == [
        ("pause", 1000, 100), ("source", 1100, 50), ("pause", 1150, 350),
    ]  # fmt: skip
    assert (feed.sent, feed.lost) == (1100, 500)


def test_a_hole_beyond_the_end_is_counted_up_to_it() -> None:
    feed, _, events = run(holes={100: 1000}, most=300)
    assert [(f.sample, f.lost) for f in faults_in(events)] == [(100, 200)]
    assert (feed.sent, feed.lost, feed.signal_samples) == (100, 200, 300)


def test_a_stall_is_sent_at_once_when_it_is_over() -> None:
    settings = FaultSettings(stall_every_s=1.0, stall_for_s=0.2)
    outlet = FakeOutlet()
    source = StampedSource(stream_info(1, RATE_HZ), SIGNAL, (CHUNK,))
    feed = Feed(source, outlet, settings, HandClock(), chunk_samples=CHUNK)
    feed.start()
    sent = []
    while not feed.ended:
        feed.step()
        sent.append(len(outlet.rows))
    feed.finish()
    assert sent[99:122] == [100] * 21 + [121, 122]
    assert np.array_equal(outlet.values, SIGNAL[:, 0])
    lasts = np.cumsum([len(rows) for rows in outlet.rows]) - 1
    np.testing.assert_allclose(np.array(outlet.stamps, float), BEGUN_S + lasts / RATE_HZ, rtol=0, atol=1e-9)


def test_a_stall_that_the_end_cuts_short_is_sent_too() -> None:
    feed, outlet, events = run(FaultSettings(stall_every_s=1.0, stall_for_s=0.9), most=1100)
    assert np.array_equal(outlet.values, SIGNAL[:1100, 0])
    assert [(f.fault, f.sample, f.lost, f.facts["held"]) for f in faults_in(events)] == [("stall", 1000, 0, 100)]
    assert feed.sent == 1100


def test_an_outlet_goes_only_when_all_that_was_sent_has_had_time_to_leave() -> None:
    outlet = FakeOutlet()
    settings = FaultSettings(disconnect_every_s=2.0, disconnect_for_s=1.0)
    source = StampedSource(stream_info(1, RATE_HZ), SIGNAL, (CHUNK,))
    feed = Feed(source, outlet, settings, HandClock(), chunk_samples=CHUNK)
    feed.start()
    there = []
    while not feed.ended:
        feed.step()
        there.append(outlet.opened[-1])
    gone = [CHUNK * i for i, is_there in enumerate(there) if not is_there]
    drain = round(DRAIN_S * RATE_HZ)
    assert gone == [*range(2000 + drain, 3000, CHUNK), *range(4000 + drain, 5000, CHUNK)]
    assert outlet.opened == [True, False, True, False, True]


@pytest.mark.parametrize("speed", [0.25, 5.0])
def test_an_outlet_goes_at_any_speed(speed: float) -> None:
    _, outlet, _ = run(FaultSettings(disconnect_every_s=2.0, disconnect_for_s=0.3), speed=speed)
    assert outlet.opened == [True, False, True, False, True]


def test_an_outlet_that_is_back_waits_for_a_consumer() -> None:
    settings = FaultSettings(disconnect_every_s=2.0, disconnect_for_s=1.0)
    feed, outlet, events = run(settings, outlet=FakeOutlet(consumers_after=31), wait=True, most=3900)
    lost = faults_in(events, "disconnect")
    assert [fault.sample for fault in lost] == [2000]
    assert lost[0].lost > 1000
    assert np.array_equal(outlet.values, without_lost(events)[: feed.sent])
    assert feed.sent + feed.lost == 3900


def test_without_waiting_a_disconnect_is_as_long_as_asked() -> None:
    settings = FaultSettings(disconnect_every_s=2.0, disconnect_for_s=1.0)
    _, _, events = run(settings, outlet=FakeOutlet(consumers_after=10**9))
    assert [(f.sample, f.lost) for f in faults_in(events, "disconnect")] == [(2000, 1000), (4000, 1000)]


def test_faults_are_told_when_they_begin_and_when_they_are_over() -> None:
    _, _, events = run(FaultSettings(pause_every_s=2.0, pause_for_s=0.5), most=3000)
    assert [e for e in events if not isinstance(e, Consumers)] == [
        Began("pause", 2000), Fault("pause", 2000, 500, BEGUN_S + 2.0),
    ]  # fmt: skip


def test_a_clock_step_is_told_with_its_stamp_also_where_nothing_is_sent() -> None:
    settings = FaultSettings(clock_step_s=-10.0, clock_step_at_s=2.2, pause_every_s=2.0, pause_for_s=0.5)
    _, _, events = run(settings, most=3000)
    assert [(f.fault, f.sample, f.time_s) for f in faults_in(events)] == [
        ("clock-step", 2200, BEGUN_S + 2.2 - 10.0), ("pause", 2000, BEGUN_S + 2.0),
    ]  # fmt: skip


def test_late_pushes_are_counted_and_told_now_and_then() -> None:
    clock = HandClock()
    source = StampedSource(stream_info(1, RATE_HZ), SIGNAL, (CHUNK,), clock=clock, pull_s=1.5 * CHUNK / RATE_HZ)
    feed = Feed(source, FakeOutlet(), FaultSettings(), clock, chunk_samples=CHUNK)
    told = [e for e in to_end(feed) if isinstance(e, Late)]
    in_time = int((LATE_S - 1 / RATE_HZ) * RATE_HZ / (0.5 * CHUNK))
    assert feed.late == len(SIGNAL) // CHUNK - in_time
    assert sum(late.pushes for late in told) == feed.late
    assert 5 < len(told) < 12
    assert told[-1].worst_s == feed.worst_s == pytest.approx(0.5 * SECONDS + 1 / RATE_HZ)


def test_what_is_due_at_another_speed_is_not_late() -> None:
    clock = HandClock()
    source = StampedSource(stream_info(1, RATE_HZ), SIGNAL, (CHUNK,), clock=clock, pull_s=4 * CHUNK / RATE_HZ)
    feed = Feed(source, FakeOutlet(), FaultSettings(), clock, chunk_samples=CHUNK, speed=0.25)
    to_end(feed)
    assert feed.late == 0


def test_who_comes_and_goes_is_told() -> None:
    _, _, events = run(outlet=FakeOutlet(consumers_after=10**9))
    assert [e for e in events if isinstance(e, Consumers)] == [Consumers(False)]


class Strange(StampedSource):
    """Says something, and goes on with another layout."""

    def pull(self, destination: Samples) -> Pull:
        pull = super().pull(destination)
        remarks = (Remark(0, "weather", "rain"),)
        return pull._replace(remarks=remarks, holes=(Hole(pull.n, 3),), another=self._at > 50)


def test_another_layout_ends_it_and_all_before_is_accounted_for() -> None:
    source = Strange(stream_info(1, RATE_HZ), SIGNAL, (CHUNK,))
    outlet = FakeOutlet()
    feed = Feed(source, outlet, FaultSettings(), HandClock(), chunk_samples=CHUNK)
    feed.start()
    events = feed.step()
    assert Said("rain") in events
    with pytest.raises(SourceError, match="other channels"):
        to_end(feed)
    feed.finish()
    totals = feed.totals()
    assert totals["sent"] == len(outlet.values)
    assert totals["sent"] + totals["lost"] == totals["signal"]


def test_a_stall_does_not_fill_the_memory() -> None:
    source = StampedSource(stream_info(4096, 20000.0), np.zeros((1, 4096), np.int16), (1,))
    with pytest.raises(ConfigError, match=r"--stall-for would hold 7\.6 GiB .*, and 1 GiB is the most; say at most"):
        Feed(
            source, FakeOutlet(), FaultSettings(stall_every_s=60.0, stall_for_s=50.0), HandClock(), chunk_samples=CHUNK
        )


def test_totals_before_the_first_sample_are_json() -> None:
    source = StampedSource(stream_info(1, RATE_HZ), SIGNAL, (CHUNK,))
    feed = Feed(source, FakeOutlet(), FaultSettings(), HandClock(), chunk_samples=CHUNK)
    assert json.loads(json.dumps(feed.totals(), allow_nan=False))["t0"] is None
