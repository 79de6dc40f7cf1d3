"""Who comes through the gate, and what they may do: keys or none, this computer or another, old protocols too."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from rtspikes.wire.gate import Gate, Limits
from tests.unit.wire.engines import until

LIMITS = Limits(100_000, 1000.0, 50, 20)
OLD_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x01" + b"\x05" + bytes(2)
"""ZMTP 2.0: signature, revision, socket type DEALER, an empty identity; libzmq then knows no address of the peer."""


class Frame:
    """A frame with these properties of its connection."""

    def __init__(self, **properties: str) -> None:
        self.properties = properties

    def get(self, name: str) -> str:
        if name not in self.properties:
            raise zmq.ZMQError(22)
        return self.properties[name]


@contextmanager
def gated(local: bool) -> Iterator[tuple[Gate, Any]]:
    context: zmq.Context[Any] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.set(zmq.LINGER, 0)
    gate = Gate(context, router, LIMITS, local=local)
    try:
        router.bind("tcp://127.0.0.1:*")
        yield gate, router
    finally:
        gate.close()
        router.close()
        context.term()


@pytest.mark.parametrize(
    ("local", "properties", "caller"),
    [
        (True, {}, ("local", True)),
        (True, {"Peer-Address": "127.0.0.1"}, ("local", True)),
        (False, {"Peer-Address": "127.0.0.1"}, ("local", True)),
        (False, {"Peer-Address": "::1"}, ("local", True)),
        (False, {"Peer-Address": "::ffff:127.0.0.1"}, ("local", True)),
        (False, {"Peer-Address": "192.168.1.7"}, ("192.168.1.7", False)),
        (False, {"Peer-Address": "fe80::1%eth0"}, ("fe80::1%eth0", False)),
        (False, {"Peer-Address": "nonsense"}, ("nonsense", False)),
        (False, {"Peer-Address": ""}, ("somebody", False)),
        (False, {}, ("somebody", False)),
    ],
)
def test_without_keys_who_is_on_this_computer_may_control(
    local: bool, properties: dict[str, str], caller: tuple[str, bool]
) -> None:
    with gated(local) as (gate, _):
        assert gate.caller(Frame(**properties)) == caller  # type: ignore[arg-type]


@pytest.mark.parametrize("local", [True, False])
def test_a_peer_of_the_old_protocol_is_nobody_where_others_can_connect(local: bool) -> None:
    with gated(local) as (gate, router):
        address = router.get_string(zmq.LAST_ENDPOINT).rpartition(":")
        with socket.create_connection(("127.0.0.1", int(address[2]))) as peer:
            peer.sendall(OLD_GREETING + b"\x00\x05hello")
            until(lambda: router.poll(10), gate.handle)
            frames = router.recv_multipart(copy=False)
            assert frames[-1].bytes == b"hello"
            assert gate.caller(frames[-1]) == (("local", True) if local else ("somebody", False))
