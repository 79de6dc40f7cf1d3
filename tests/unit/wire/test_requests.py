from __future__ import annotations

import pytest
import zmq

from rtspikes.errors import WireError
from rtspikes.wire.requests import Requester


@pytest.mark.parametrize("endpoint", ["foo://bar", "tcp://", "tcp://127.0.0.1", "tcp://a\0b:1", "", "x" * 300])
def test_a_reply_address_that_is_none_leaves_no_socket_behind(endpoint: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with pytest.raises(WireError, match="the engine names a reply address that is none"):
        Requester(context, endpoint)
    context.term()  # would wait for ever for a socket that is open
