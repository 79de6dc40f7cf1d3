"""Settings of the publisher, its history, and the reply process."""

from __future__ import annotations

from typing import Annotated

import zmq
from msgspec import Meta, Struct

KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 10, zmq.TCP_KEEPALIVE_INTVL: 5, zmq.TCP_KEEPALIVE_CNT: 4}
"""Finds out within 30 s that the other computer is gone. ZMTP heartbeats would do so too, but abort the whole process
(libzmq 4.3, stream_engine_base.cpp: `_input_stopped`) when they meet a subscriber that has stopped reading."""

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5570"


def bindable(endpoint: str) -> str:
    """Return an address as ZeroMQ binds it: port 0, any free one, is `*` there."""
    return endpoint[:-1] + "*" if endpoint.startswith("tcp://") and endpoint.endswith(":0") else endpoint


class PublishSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how events are published."""

    endpoint: Annotated[
        str,
        Meta(description="ZeroMQ address to bind; one that others can reach needs `keys`; tcp port 0: any free port"),
    ] = DEFAULT_ENDPOINT
    stream: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="the stream's name in topics")] = "array"
    tick_ms: Annotated[
        float, Meta(ge=1, le=1000, description="longest time (ms) between two `crossings` or two `spikes` messages")
    ] = 10.0
    trace_bin_ms: Annotated[
        float, Meta(gt=0, le=100, description="signal (ms) in one point of a trace that somebody looks at")
    ] = 0.25
    high_water_mark: Annotated[
        int, Meta(ge=10, le=1_000_000, description="messages (≤ 256 KiB each) that may wait for one subscriber")
    ] = 1000
    wait_subscribers: Annotated[
        int, Meta(ge=0, le=1000, description="subscribers that must be there before the first sample")
    ] = 0
    linger_s: Annotated[
        float, Meta(ge=0, le=3600, description="longest time (s) that undelivered messages are kept at the end")
    ] = 30.0
    keys: (
        Annotated[
            str, Meta(description="folder of CURVE keys (`rtspikes keys DIR`): encrypted, and only for these keys")
        ]
        | None
    ) = None
    insecure: Annotated[
        bool, Meta(description="true: also without keys, let everybody who reaches an outside address read")
    ] = False


class HistorySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What subscribers can ask for again."""

    seconds: Annotated[float, Meta(gt=0, le=86400, description="how long (s) a message can be asked for again")] = 60.0
    max_mib: Annotated[float, Meta(ge=1, le=65536, description="memory (MiB) for them; the oldest make room")] = 128.0


class ReplySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The process that answers requests: catch-up, control, status."""

    endpoint: (
        Annotated[str, Meta(description="ZeroMQ address to bind; default: the publisher's host, any free port")] | None
    ) = None
    memory_mib: Annotated[
        float, Meta(ge=64, le=65536, description="memory (MiB) that the process may take beyond the history")
    ] = 256.0
