"""The subscriber over real sockets: nothing is lost without being told."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest
import zmq

from rtspikes.errors import ConfigError, EngineVanished, TransportError, VersionError
from rtspikes.types import GapCause
from rtspikes.wire import connection as connection_module
from rtspikes.wire.batch import Missed
from rtspikes.wire.codec import VERSION, encode, encode_items, table_fields, topic
from rtspikes.wire.messages import Beside, event_messages, gap_table, table_messages
from rtspikes.wire.subscribe import Subscriber, subscribe
from tests.simulated import wire_info
from tests.unit.wire.engines import DEADLINE_S, LARGE, join, publisher, send_end, send_spikes, spikes, until


def test_spikes_arrive_in_order_and_iteration_ends_with_the_engine() -> None:
    with publisher() as out, subscribe(out.endpoint) as subscriber:
        join(out, subscriber)
        send_spikes(out, 0, 100, 20, 90)
        send_spikes(out, 100, 200)
        send_spikes(out, 200, 300, 250)
        send_end(out)
        batches = list(subscriber)
        assert [batch.spikes["sample"].tolist() for batch in batches] == [[20, 90], [], [250]]
        assert [(batch.from_sample, batch.to_sample) for batch in batches] == [(0, 100), (100, 200), (200, 300)]
        assert [batch.waveforms.shape for batch in batches] == [(2, 3), (0, 3), (1, 3)]
        assert {batch.session for batch in batches} == {out.session}
        assert subscriber.missed_total == 0
        assert subscriber.end is not None
        assert subscriber.end["reason"] == "done"
        assert subscriber.get() is None, "after the end nothing is waited for"


def test_async_iteration_gives_the_same() -> None:
    async def samples(subscriber: Subscriber) -> list[int]:
        return [sample async for batch in subscriber for sample in batch.spikes["sample"].tolist()]

    with publisher() as out, subscribe(out.endpoint) as subscriber:
        join(out, subscriber)
        send_spikes(out, 0, 100, 20, 90)
        send_end(out)
        assert asyncio.run(samples(subscriber)) == [20, 90]


def test_a_late_joiner_gets_info_first_and_is_not_told_that_it_missed_the_past() -> None:
    with publisher() as out:
        for i in range(5):
            send_spikes(out, i, i + 1)
        with subscribe(out.endpoint) as subscriber:
            join(out, subscriber)
            assert subscriber.info is not None
            assert subscriber.info["channels"] == {"label": ["E1"]}
            send_spikes(out, 5, 6, 5)
            batch = subscriber.get(DEADLINE_S)
            assert batch is not None
            assert (batch.fields["seq"], batch.missed) == (5, ())


def test_everyone_hears_when_info_changes() -> None:
    with publisher() as out, subscribe(out.endpoint, kinds=("info",)) as subscriber:
        join(out, subscriber)
        out.set_info(wire_info() | {"div": 21})
        until(lambda: "div" in (subscriber.info or {}), out.poll, lambda: subscriber.get(0.01))
        assert subscriber.missed_total == 0


def test_info_goes_out_once_to_many_who_join_together() -> None:
    with publisher() as out:
        subscribers = [subscribe(out.endpoint) for _ in range(8)]
        for one in subscribers:
            one.__enter__()
        try:
            until(lambda: out.subscribers == 8 and out.informed == 8, out.poll)
            assert out.last_seqs()["info"] < 8
            join(out, *subscribers)
        finally:
            for one in subscribers:
                one.__exit__(None, None, None)
        until(lambda: out.subscribers == 0, out.poll)


def test_only_kinds_that_were_asked_for_arrive() -> None:
    with publisher() as out, subscribe(out.endpoint, kinds=("notices",)) as subscriber:
        join(out, subscriber)
        send_spikes(out, 0, 100, 20)
        out.send("status", {"x": 1})
        out.send("notices", {"cause": "test"})
        send_end(out)
        assert [(batch.kind, batch.fields.get("cause")) for batch in subscriber] == [("notices", "test")]


def test_only_the_stream_that_was_asked_for_arrives() -> None:
    with (
        publisher(stream="left") as out,
        subscribe(out.endpoint, stream="left") as one,
        subscribe(out.endpoint, stream="lef") as other,
    ):
        join(out, one)
        send_spikes(out, 0, 9, 5)
        send_end(out)
        assert [batch.spikes["sample"].tolist() for batch in one] == [[5]]
        assert other.get(0.0) is None
        assert other.info is None


class Impostor:
    """A socket that publishes whatever bytes it is told to."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.set(zmq.RCVTIMEO, round(DEADLINE_S * 1e3))
        self.socket.set(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def __enter__(self) -> Impostor:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.context.term()

    def join(self, subscriber: Subscriber) -> None:
        """Wait for its last subscription."""
        while self.socket.recv() != b"\x01info/":
            pass

    def send(self, kind: str, seq: int, session: str = "s", without: tuple[str, ...] = (), **fields: Any) -> None:
        if kind == "spikes":
            (one,) = event_messages(spikes(), 10 * seq, 10 * seq + 10, Beside.of_none(3))
            fields = {k: v for k, v in one.items() if k not in without} | fields
        if kind == "info":
            fields = wire_info() | fields
        head = {"v": VERSION, "session": session, "seq": seq}
        self.socket.send_multipart([topic(kind, "a"), encode(head, encode_items(fields))])


@contextmanager
def impostor(*kinds: str) -> Iterator[tuple[Impostor, Subscriber]]:
    with Impostor() as fake, subscribe(fake.endpoint, kinds=kinds or ("spikes",)) as subscriber:
        fake.join(subscriber)
        yield fake, subscriber


def test_holes_in_the_numbers_are_told_with_the_samples_they_may_hold() -> None:
    with impostor() as (fake, subscriber):
        fake.send("info", 0)
        for seq in (4, 5, 9, 10):
            fake.send("spikes", seq)
        fake.send("end", 0, last_seq={"spikes": 10})
        batches = list(subscriber)
        assert [batch.missed for batch in batches] == [(), (), (Missed("spikes", 6, 3, 60, 90),), ()]
        assert subscriber.missed_total == 3


def test_a_hole_just_before_the_end_is_told_by_the_end() -> None:
    with impostor("spikes", "status") as (fake, subscriber):
        fake.send("info", 0)
        fake.send("spikes", 0)
        fake.send("status", 7)
        fake.send("end", 0, last_seq={"spikes": 2, "status": 7, "gaps": 50})
        last = list(subscriber)[-1]
        assert last.kind == "end"
        assert last.missed == (Missed("spikes", 1, 2, 10),)
        assert subscriber.missed_total == 2


def test_a_kind_of_which_nothing_came_at_all_is_told_as_missed_too() -> None:
    with (
        publisher(paced=False, high_water_mark=10) as out,
        subscribe(out.endpoint, kinds=("notices", "gaps"), high_water_mark=10) as subscriber,
    ):
        join(out, subscriber)
        for _ in range(300):
            out.send("notices", LARGE)
        for fields in table_messages(gap_table(40, 7, 1.0, GapCause.SOURCE)):
            out.send("gaps", fields)  # finds no room: the only message of its kind
        until(lambda: subscriber.get(0.5) is None)
        send_end(out)
        missed = {m.kind: m.count for batch in subscriber for m in batch.missed}
        assert missed.get("gaps") == 1


def test_an_engine_that_begins_again_starts_new_numbers_without_a_loss() -> None:
    with impostor() as (fake, subscriber):
        fake.send("info", 0)
        fake.send("spikes", 50)
        fake.send("spikes", 0, session="t")  # before its info: it could not be understood
        fake.send("info", 0, session="t", again=True)
        fake.send("spikes", 3, session="t")
        fake.send("end", 0, session="t")
        assert [(batch.session, batch.fields["seq"]) for batch in subscriber] == [("s", 50), ("t", 3)]
        assert subscriber.missed_total == 0


def test_malformed_messages_are_counted_and_harm_nothing() -> None:
    good = msgpack.packb({"v": VERSION, "session": "s", "seq": 3})
    with impostor() as (fake, subscriber):
        fake.send("info", 0)
        fake.send("spikes", 0)
        for frames in (
            [b"spikes/a/"],
            [b"spikes/a/", b"\xc1\xc1"],
            [b"spikes/a/", b""],
            [b"spikes/a/", b"\x80", b"more"],
            [b"spikes/a/", good],
            [b"spikes/", good],
        ):
            fake.socket.send_multipart(frames)
        fake.send("spikes", 1)
        fake.send("end", 0)
        assert [batch.fields["seq"] for batch in subscriber] == [0, 1]
        assert (subscriber.malformed, subscriber.missed_total) == (6, 0)


BESIDE = {"n": 2, "columns": {k: bytes(2 * int(d[2])) for k, d in table_fields(spikes())["dtypes"].items()}}
BESIDE |= {"waveforms": bytes(24), "flags": b"\x00\x01"}
NEAR = {"neighbour_count": 2, "neighbours": struct.pack("<4f", 0, 1, 2, 3)}


def test_flags_and_neighbours_come_with_their_spikes() -> None:
    with impostor() as (fake, subscriber):
        fake.send("info", 0, neighbour_count=2)
        fake.send("spikes", 0, **BESIDE, **NEAR)
        batch = subscriber.get(DEADLINE_S)
        assert batch is not None
        assert batch.flags.tolist() == [0, 1]
        assert batch.neighbours.tolist() == [[0, 1], [2, 3]]


def test_an_engine_that_knows_no_flags_has_none() -> None:
    with impostor() as (fake, subscriber):
        fake.send("info", 0)
        old = {k: v for k, v in BESIDE.items() if k != "flags"}
        fake.send("spikes", 0, without=("flags",), **old)
        batch = subscriber.get(DEADLINE_S)
        assert batch is not None
        assert (batch.flags.tolist(), batch.neighbours.shape) == ([0, 0], (2, 0))


@pytest.mark.parametrize("count", [0, 1, 3, None], ids=str)
def test_neighbours_that_info_does_not_announce_are_malformed(count: int | None) -> None:
    with impostor() as (fake, subscriber):
        announced = {} if count is None else {"neighbour_count": count}
        fake.send("info", 0, next_seq={"spikes": 0}, **announced)
        fake.send("spikes", 0, **BESIDE, **NEAR)
        fake.send("end", 0, last_seq={"spikes": 0})
        assert [batch.missed for batch in subscriber] == [(Missed("spikes", 0, 1),)]
        assert subscriber.malformed == 1


def test_an_engine_of_another_protocol_version_is_told_at_once() -> None:
    with impostor() as (fake, subscriber):
        fake.socket.send_multipart([b"info/a/", msgpack.packb({"v": VERSION + 1, "session": "s", "seq": 0})])
        with pytest.raises(VersionError, match="update rtspikes"):
            subscriber.get(DEADLINE_S)


@pytest.mark.parametrize("kind", ["status", "end", "info", "notices"])
def test_wrong_values_in_kinds_without_a_table_are_no_crash(kind: str) -> None:
    with impostor(kind, "spikes") as (fake, subscriber):
        fake.send("info", 0)
        fake.send(kind, 1, to_sample="soon", from_sample=None, last_seq={"spikes": "x", "status": []})
        fake.send("spikes", 0)
        got = until(lambda: subscriber.get(0.1) or subscriber.ended)
        assert got


def test_the_engine_vanishes_when_it_closes_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GRACE_S", 0.2)
    with publisher() as out, subscribe(out.endpoint) as subscriber:
        join(out, subscriber)
        send_spikes(out, 0, 10, 5)
        assert subscriber.get(DEADLINE_S) is not None
        out.close(at_once=True)
        with pytest.raises(EngineVanished, match="without an end"):
            subscriber.get(DEADLINE_S)
        assert not subscriber.ended


def test_an_engine_that_comes_back_within_the_grace_has_not_vanished() -> None:
    with publisher() as out, subscribe(out.endpoint) as subscriber:
        join(out, subscriber)
        endpoint, first = out.endpoint, out.session
        out.close(at_once=True)
        with publisher(endpoint=endpoint) as again:
            known = lambda: (subscriber.info or {}).get("session") == again.session  # noqa: E731
            until(known, again.poll, lambda: subscriber.get(0.01))
            assert again.session != first
            send_spikes(again, 0, 10, 5)
            send_end(again)
            assert [batch.spikes["sample"].tolist() for batch in subscriber] == [[5]]


def test_no_engine_is_an_error_after_the_timeout_and_not_before() -> None:
    with socket.socket() as unanswered:
        unanswered.bind(("127.0.0.1", 0))
        port = unanswered.getsockname()[1]
        with subscribe(f"tcp://127.0.0.1:{port}", connect_timeout_s=0.3) as subscriber:
            begun_s = time.monotonic()
            assert subscriber.get(0.0) is None
            with pytest.raises(TransportError, match=r"no engine at .* within 0\.3 s; start one with: rtspikes run"):
                subscriber.get(DEADLINE_S)
            assert time.monotonic() - begun_s >= 0.3
        with subscribe(f"tcp://127.0.0.1:{port}", connect_timeout_s=None) as subscriber:
            assert subscriber.get(0.3) is None


def test_a_subscriber_refuses_unknown_kinds_and_addresses() -> None:
    with pytest.raises(ConfigError, match="unknown kind 'spike'; did you mean 'spikes'"):
        subscribe(kinds=("spike",))
    with pytest.raises(TransportError, match="cannot connect to 'nonsense'"), subscribe("nonsense"):
        pass
    with pytest.raises(TransportError, match="not connected; use it in a with statement"):
        subscribe().get(0.0)
