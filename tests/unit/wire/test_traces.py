"""Traces: what is on the wire, who makes them exist, and that nobody asks for more than the engine's guard bears."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from rtspikes.errors import VersionError, WireError
from rtspikes.wire import traces
from rtspikes.wire.keys import ClientKey, Right, ServerKeys, make_keys
from rtspikes.wire.publish import LIMITS, Publisher
from rtspikes.wire.settings import PublishSettings
from rtspikes.wire.traces import (
    Budget,
    Trace,
    TraceSubscriber,
    decode_trace,
    parse_trace_topic,
    trace_fields,
    trace_topic,
)
from rtspikes.wire.watches import MOST_NAMES, MOST_TRACES, Watches
from tests.simulated import wire_info
from tests.unit.wire.engines import ANY, DEADLINE_S, publisher, until

LOW, HIGH = np.array([-3.5, -2, 0], np.float32), np.array([1, -2, 7.25], np.float32)
FIELDS = {"v": 1, "session": "0123456789abcdef", "seq": 4, "t_sent": 1.5} | trace_fields(7, "raw", 30, 5, LOW, HIGH)
TOPIC = b"traces/array/7/raw/"


@contextmanager
def engine(n_channels: int = 100, **settings: Any) -> Iterator[Publisher]:
    """Return a live publisher of so many channels."""
    with publisher(paced=False, **settings) as out:
        out.set_info(wire_info() | {"n_channels": n_channels})
        yield out


def send(out: Publisher, channel: int, of: str, sample: int) -> None:
    out.send_trace(channel, of, {**trace_fields(channel, of, sample, 5, LOW, HIGH), "t_sent": 0.0})


# bytes


def test_a_trace_comes_back_as_it_was_sent() -> None:
    trace = decode_trace([TOPIC, msgpack.packb(FIELDS)])
    assert (trace.session, trace.channel, trace.of, trace.seq) == ("0123456789abcdef", 7, "raw", 4)
    assert (trace.sample, trace.bin_samples) == (30, 5)
    assert (trace.low.tolist(), trace.high.tolist()) == (LOW.tolist(), HIGH.tolist())
    trace.low[:] = 0  # it is the receiver's own


@pytest.mark.parametrize(
    ("topic", "named"),
    [
        (b"traces/array/0/", ("array", 0, "filtered")),
        (b"traces/a-B_9/12/compared/", ("a-B_9", 12, "compared")),
        *((topic, None) for topic in (
            b"", b"traces/", b"traces/array/", b"traces/array/1", b"traces/array//", b"traces/array/01/",
            b"traces/array/-1/", b"traces/array/1/raw", b"traces/array/1/Raw/", b"traces/array/1/raw/x/",
            b"traces/array/1234567890/", b"traces/a b/1/", b"spikes/array/1/", b"traces/\xff/1/",
            b"traces/array/1/raw/\n",
            b"traces/array/\xd9\xa1/", b"traces/" + b"a" * 65 + b"/1/",
        )),
    ],
)  # fmt: skip
def test_topics(topic: bytes, named: tuple[str, int, str] | None) -> None:
    assert parse_trace_topic(topic) == named
    if named is not None:
        assert parse_trace_topic(trace_topic(*named)) == named


@pytest.mark.parametrize(
    "changed",
    [
        {"session": 1}, {"seq": -1}, {"seq": True}, {"seq": 2**63}, {"channel": 8}, {"channel": 7.0},
        {"of": "filtered"}, {"of": None}, {"bin_samples": 0}, {"bin_samples": 2**31}, {"bin_samples": 7},
        {"sample": 31}, {"sample": 1.0},
        {"sample": 2**63 - 3}, {"n": 2}, {"n": 0}, {"n": -1}, {"n": 2**40}, {"columns": None}, {"columns": {}},
        {"columns": {"low": LOW.tobytes(), "high": HIGH.tobytes()[:-1]}}, {"dtypes": {"low": "<f8", "high": "<f4"}},
        {"columns": {"low": "x" * 12, "high": HIGH.tobytes()}}, {"dtypes": []},
        {"columns": {"low": HIGH.tobytes(), "high": LOW.tobytes()}},
        {"columns": {"low": (LOW * np.nan).tobytes(), "high": HIGH.tobytes()}},
        {"columns": {"low": LOW.tobytes(), "high": (np.abs(HIGH) * np.inf).tobytes()}},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_that_is_not_right_is_a_wire_error(changed: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode_trace([TOPIC, msgpack.packb(FIELDS | changed)])


def test_whatever_else_is_a_wire_error_and_nothing_worse() -> None:
    body = msgpack.packb(FIELDS)
    for frames in ([], [TOPIC], [TOPIC, body, b""], [b"traces/array/7/", body], [b"info/array/", body], [b"", body]):
        with pytest.raises(WireError):
            decode_trace(frames)
    with pytest.raises(VersionError):
        decode_trace([TOPIC, msgpack.packb(FIELDS | {"v": 2})])
    with pytest.raises(WireError):
        decode_trace([TOPIC, body + b"\x00" * 300_000])
    rng = np.random.default_rng(1)
    for i in range(len(body)):
        with pytest.raises(WireError):
            decode_trace([TOPIC, body[:i]])
    for _ in range(2000):
        bad = bytearray(body)
        bad[rng.integers(len(bad))] = rng.integers(256)
        try:
            decode_trace([TOPIC, bytes(bad)])
        except WireError:
            pass


# who watches


def test_a_trace_is_made_from_the_first_subscription_to_the_last() -> None:
    with engine() as out, zmq.Context() as context, context.socket(zmq.SUB) as a, context.socket(zmq.SUB) as b:
        for socket in (a, b):
            socket.connect(out.endpoint)
        a.subscribe("traces/array/3/")
        b.subscribe("traces/array/3/filtered/")
        b.subscribe("traces/array/99/raw/")
        until(lambda: out.watches.watched == {(3, "filtered"), (99, "raw")}, out.poll)
        send(out, 3, "filtered", 5)
        for socket in (a, b):
            assert socket.poll(DEADLINE_S * 1e3)
            trace = decode_trace(socket.recv_multipart())
            assert (trace.session, trace.channel, trace.sample) == (out.session, 3, 5)
        a.unsubscribe("traces/array/3/")
        b.unsubscribe("traces/array/99/raw/")
        until(lambda: out.watches.watched == {(3, "filtered")}, out.poll)
        b.close(0)
        until(lambda: not out.watches.watched, out.poll)
        assert (out.subscribers, out.bad_upstream, out.watches.refused) == (0, 0, 0)


def test_a_watcher_that_is_killed_is_released() -> None:
    with engine() as out:
        code = (
            "import sys, time, zmq; s = zmq.Context().socket(zmq.SUB); s.connect(sys.argv[1])\n"
            "[s.subscribe(f'traces/array/{c}/') for c in range(5)]; time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", code, out.endpoint]) as watcher:
            try:
                until(lambda: len(out.watches.watched) == 5, out.poll)
            finally:
                watcher.kill()
            until(lambda: not out.watches.watched, out.poll)


def test_part_of_a_name_makes_nothing_and_a_wrong_one_is_counted() -> None:
    nothing = ("", "t", "traces/", "traces/array", "traces/array/", "traces/array/1", "traces/array/1/raw")
    others = ("traces/other/1/", "traces/array2/1/")
    wrong = ("traces/array/100/", "traces/array/1/spikes/", "traces/array/x/", "traces/array/01/")
    with engine() as out, zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.connect(out.endpoint)
        for prefix in (*nothing, *others, *wrong, "traces/array/2/"):
            socket.subscribe(prefix)
        until(lambda: out.watches.watched, out.poll)
        assert out.watches.watched == {(2, "filtered")}
        assert out.watches.refused == len(wrong)
        for prefix in (*nothing, *others, *wrong):
            socket.unsubscribe(prefix)
        socket.subscribe("traces/array/5/")
        until(lambda: len(out.watches.watched) > 1, out.poll)
        assert out.watches.watched == {(2, "filtered"), (5, "filtered")}


def test_what_is_one_too_many_waits_for_room_and_memory_is_bounded() -> None:
    watches = Watches("array")
    watches.begin(5000)
    for channel in range(5000):
        watches.change(b"traces/array/%d/" % channel, True)
    watches.settle()
    assert watches.watched == {(c, "filtered") for c in range(MOST_TRACES)}
    assert watches.refused == 5000 - MOST_TRACES
    for channel in (3, 4, MOST_TRACES + 1, MOST_NAMES + 7):
        watches.change(b"traces/array/%d/" % channel, False)
    watches.settle()
    assert watches.watched >= {(MOST_TRACES, "filtered"), (MOST_TRACES + 2, "filtered")}
    assert len(watches.watched) == MOST_TRACES
    watches.begin(10)  # another layout
    assert watches.watched == {(c, "filtered") for c in range(10) if c not in (3, 4)}
    for channel in range(5000):
        watches.change(b"traces/array/%d/" % channel, False)
    watches.begin(5000)
    assert watches.watched == frozenset()


def test_what_was_taken_back_before_it_was_looked_at_was_not_refused() -> None:
    watches = Watches("array")
    watches.begin(4)
    for subscribed in (True, False, True, True, False):
        watches.change(b"traces/array/1/raw/", subscribed)
    watches.settle()
    assert (watches.refused, watches.watched) == (0, frozenset({(1, "raw")}))
    watches.change(b"traces/array/1/raw/", False)
    watches.settle()
    assert (watches.refused, watches.watched) == (0, frozenset())


def test_numbers_are_of_each_trace_and_of_the_session() -> None:
    with engine() as out, TraceSubscriber(out.endpoint, "array") as subscriber:
        subscriber.watch({(0, "raw"), (1, "raw")})
        until(lambda: len(out.watches.watched) == 2, out.poll, lambda: subscriber.get(0.01))
        for channel in (0, 0, 1):
            send(out, channel, "raw", 0)
        first = out.session
        out.begin_session("b" * 16)
        send(out, 0, "raw", 0)
        got = [until(lambda: subscriber.get(0.1)) for _ in range(4)]
        assert [(t.session, t.channel, t.seq) for t in got] == [
            (first, 0, 0), (first, 0, 1), (first, 1, 0), ("b" * 16, 0, 0)
        ]  # fmt: skip
        assert out.last_seqs() == {}
        assert out.subscribers == 0


# the subscriber


def test_what_is_no_trace_is_counted_and_the_next_one_comes() -> None:
    with engine() as out, TraceSubscriber(out.endpoint, "array") as subscriber:
        subscriber.watch({(0, "raw")})
        until(lambda: out.watches.watched, out.poll, lambda: subscriber.get(0.01))
        out.send_trace(0, "raw", {})
        send(out, 0, "raw", 5)
        trace = until(lambda: subscriber.get(0.1))
        assert isinstance(trace, Trace)
        assert (trace.sample, subscriber.malformed) == (5, 1)
        assert subscriber.get(0) is None


def test_it_outlasts_the_engine() -> None:
    with engine() as out, TraceSubscriber(out.endpoint, "array") as subscriber:
        subscriber.watch({(4, "raw")})
        until(lambda: out.watches.watched, out.poll, lambda: subscriber.get(0.01))
        out.close(at_once=True)
        with engine(endpoint=out.endpoint) as again:
            until(lambda: again.watches.watched == {(4, "raw")}, again.poll, lambda: subscriber.get(0.01))
            send(again, 4, "raw", 5)
            assert until(lambda: subscriber.get(0.1)).session == again.session
            assert again.session != out.session


@pytest.mark.parametrize("with_key", [False, True], ids=["plain", "key"])
@pytest.mark.parametrize("polite", [True, False])
def test_however_much_is_changed_the_guard_never_cuts_it_off(
    with_key: bool, polite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = key = None
    settings = PublishSettings(endpoint=ANY, keys=str(tmp_path / "keys") if with_key else None)
    if with_key:
        make_keys(tmp_path / "keys", {"anna": Right.READ})
        keys, key = ServerKeys.load(tmp_path / "keys"), ClientKey.load(tmp_path / "keys/clients/anna.key_secret")
    if not polite:
        monkeypatch.setattr(traces, "BURST_BYTES", 10 * LIMITS.burst_bytes)
    out = Publisher(settings, False, lambda: False, keys)
    try:
        out.bind()
        out.set_info(wire_info() | {"n_channels": 100_000})
        with TraceSubscriber(out.endpoint, "array", key, clock=lambda: 0.0) as subscriber:  # nothing is forgiven
            subscriber.watch({(99_999, "raw")})
            until(lambda: out.watches.watched, out.poll, lambda: subscriber.get(0.01))
            for turn in range(20):
                wanted = {(10_000 + turn * 64 + i, "compared") for i in range(64)}
                subscriber.watch(wanted)
            subscriber.watch({(1, "raw")})
            if polite:
                until(lambda: (99_999, "raw") not in out.watches.watched, out.poll, lambda: subscriber.get(0.01))
                until(lambda: out.watches.watched, out.poll, lambda: subscriber.get(0.01))
                for _ in range(20):  # it is still there
                    until(lambda: subscriber.get(0.01), out.poll, lambda: send(out, *min(out.watches.watched), 0))
                assert (out.connections["cut_off"], out.connections["connections"]) == (0, 1)
            else:
                until(lambda: out.connections["cut_off"], out.poll, lambda: subscriber.get(0.01))
    finally:
        out.close(at_once=True)


def test_the_budget_is_filled_again_by_time_and_by_a_new_connection() -> None:
    now = 0.0
    budget = Budget(lambda: now)
    assert budget.spend(traces.BURST_BYTES)
    assert not budget.spend(1)
    now = 2.0
    assert budget.spend(round(2 * traces.BYTES_PER_S))
    assert not budget.spend(1)
    budget.begin(100)
    assert budget.spend(traces.BURST_BYTES - 100)
    assert not budget.spend(1)


def test_what_a_reconnection_could_not_ask_for_at_once_is_left_out() -> None:
    names = [(c, "filtered") for c in range(MOST_TRACES + 5)]
    with TraceSubscriber("tcp://127.0.0.1:1", "s" * 64) as subscriber:
        subscriber.watch(names)
        assert subscriber.left_out == 5
    with TraceSubscriber("tcp://127.0.0.1:1", "s" * 64, ClientKey.new(zmq.curve_keypair()[0])) as subscriber:
        subscriber.watch(names)
        assert 10 < subscriber.left_out < 40
        subscriber.watch(names[:16])
        assert subscriber.left_out == 0
