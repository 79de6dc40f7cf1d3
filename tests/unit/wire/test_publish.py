"""The publisher over real sockets: where it binds, whom it waits for, and that only the slow subscriber loses."""

from __future__ import annotations

import socket
import threading

import pytest
import zmq

from rtspikes.errors import ConfigError, TransportError
from rtspikes.wire.batch import Batch
from rtspikes.wire.publish import Aborted, Publisher
from rtspikes.wire.settings import PublishSettings
from rtspikes.wire.subscribe import Subscriber, subscribe
from tests.unit.wire.engines import ANY, DEADLINE_S, LARGE, join, publisher, send_end, until


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://*:5570", "tcp://0.0.0.0:5570", "tcp://192.168.1.5:5570", "tcp://[::]:5570", "tcp://eth0:5570",
        "tcp://localhost.example.org:5570", "tcp://10.0.0.1;127.0.0.1:5570", "tcp://127.0.0.1", "tcp://:5570",
        "udp://127.0.0.1:5570", "pgm://127.0.0.1:5570", "127.0.0.1:5570", "ipc://", "", "tcp:127.0.0.1:5570",
        "TCP://0.0.0.0:1",
    ],
)  # fmt: skip
def test_addresses_that_others_can_reach_are_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"publish\.endpoint must (be|have) ") as caught:
        Publisher(PublishSettings(endpoint=endpoint), True, lambda: False)
    assert repr(endpoint) in str(caught.value)


@pytest.mark.parametrize("endpoint", [ANY, "tcp://127.0.0.2:0", "tcp://localhost:0", "tcp://[::1]:0"])
def test_every_address_of_this_computer_that_passes_the_check_can_be_bound(endpoint: str) -> None:
    if "::1" in endpoint:
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"this computer has no IPv6 loopback: {error}")
    with publisher(endpoint=endpoint) as out:
        assert out.endpoint.startswith("tcp://")
        assert not out.endpoint.endswith((":0", "*"))


def test_a_port_in_use_is_a_transport_error_that_says_what_to_do() -> None:
    with publisher() as first:
        second = Publisher(PublishSettings(endpoint=first.endpoint), True, lambda: False)
        with pytest.raises(TransportError, match=f"cannot publish on {first.endpoint}: .*choose another address"):
            second.bind()


def test_bytes_that_are_no_subscription_are_counted_by_the_publisher() -> None:
    context = zmq.Context()
    stranger = context.socket(zmq.XSUB)
    stranger.set(zmq.LINGER, 0)
    try:
        with publisher() as out:
            stranger.connect(out.endpoint)
            stranger.send(b"\x07hello")
            until(lambda: out.bad_upstream == 1, out.poll)
            stranger.send_multipart([b"\x01info/", b"more"])
            until(lambda: out.bad_upstream >= 2, out.poll)
    finally:
        stranger.close()
        context.term()


def test_a_paced_publisher_waits_for_a_full_subscriber_and_loses_nothing() -> None:
    n, blocked = 300, threading.Event()

    def waited() -> bool:
        blocked.set()
        return False

    with (
        publisher(paced=True, abort=waited, high_water_mark=10) as out,
        subscribe(out.endpoint, kinds=("notices",), high_water_mark=10) as subscriber,
    ):
        join(out, subscriber)

        def send() -> None:
            for _ in range(n):
                out.send("notices", LARGE)
            send_end(out)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        assert blocked.wait(DEADLINE_S), "the publisher never waited"
        assert out.last_seqs()["notices"] < n - 1
        assert [batch.fields["seq"] for batch in subscriber] == list(range(n))
        sender.join(DEADLINE_S)
        assert subscriber.missed_total == 0
        assert out.waited_s > 0


def test_a_paced_publisher_that_waits_can_be_aborted() -> None:
    with (
        publisher(paced=True, abort=lambda: True, high_water_mark=10) as out,
        subscribe(out.endpoint, kinds=("notices",), high_water_mark=10) as subscriber,
    ):
        join(out, subscriber)

        def send() -> None:
            for _ in range(300):
                out.send("notices", LARGE)

        with pytest.raises(Aborted):
            send()


def test_a_live_publisher_drops_for_the_slow_one_alone_and_it_learns_how_much() -> None:
    n = 300
    with (
        publisher(paced=False, high_water_mark=10) as out,
        subscribe(out.endpoint, kinds=("notices",), high_water_mark=10) as slow,
        subscribe(out.endpoint, kinds=("notices",), high_water_mark=10) as fast,
    ):
        join(out, slow, fast)

        def receive(batch: Batch | None, to: list[Batch]) -> None:
            if batch is not None:
                to.append(batch)

        by_fast: list[Batch] = []
        for i in range(n):
            out.send("notices", LARGE)
            out.poll()
            until(lambda i=i: len(by_fast) > i, lambda: receive(fast.get(0.1), by_fast))
        assert [batch.fields["seq"] for batch in by_fast] == list(range(n))
        assert fast.missed_total == 0

        by_slow: list[Batch] = []

        def all_read() -> bool:
            return slow.missed_total > 0 and by_slow[-1].fields["seq"] == out.last_seqs()["notices"]

        until(all_read, lambda: receive(slow.get(0.1) or out.send("notices", {}), by_slow), out.poll)
        send_end(out)
        by_slow += slow
        received = [batch.fields["seq"] for batch in by_slow if batch.kind == "notices"]
        missed = [m.first_seq + i for batch in by_slow for m in batch.missed for i in range(m.count)]
        assert slow.ended
        assert len(missed) == slow.missed_total > 0
        assert sorted(received + missed) == list(range(out.last_seqs()["notices"] + 1))


def test_who_only_asks_gets_info_and_does_not_count_as_a_subscriber() -> None:
    with publisher() as out, Subscriber(out.endpoint, kinds=("info",), counts=False) as asking:
        until(lambda: asking.info, out.poll, lambda: asking.get(0.01))
        assert (out.subscribers, out.informed) == (0, 0)
        with subscribe(out.endpoint) as subscriber:
            join(out, subscriber)
            assert out.informed == 1
