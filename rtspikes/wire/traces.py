"""Traces: what the signal of single channels looks like, as envelopes; made while somebody subscribes to them."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import VersionError, WireError
from rtspikes.wire.codec import TARGET_BYTES, VERSION, decode_columns
from rtspikes.wire.connection import Connection
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.publish import LIMITS
from rtspikes.wire.unpack import unpack_map
from rtspikes.wire.watches import MOST_TRACES, TRACE_SIGNALS, parse_trace_topic, trace_topic

__all__ = [
    "MOST_TRACES",
    "TRACE_SIGNALS",
    "Trace",
    "TraceSubscriber",
    "decode_trace",
    "parse_trace_topic",
    "trace_fields",
    "trace_topic",
]

HIGH_WATER_MARK = 1024
"""Messages that may wait for a program that watches; some 30 come a second of each trace."""

ENVELOPE_DTYPE = np.dtype([("low", "<f4"), ("high", "<f4")])
"""Columns of a trace, one row per bin, µV."""

MOST_BIN = 2**31 - 1
"""Samples in a bin, as far as a message is believed."""

BURST_BYTES = LIMITS.burst_bytes * 7 // 8
BYTES_PER_S = LIMITS.bytes_per_s * 3 / 4
"""What a subscriber lets itself send, at once and each second."""

GREETING_BYTES, KEY_BYTES = 256, 768
"""What a new connection sends before its subscriptions, at most (libzmq 4.3.5: 91 bytes); with a key (551)."""

CHANGE_BYTES, SEALED_BYTES = 16, 40
"""What a subscription takes beyond its topic, at most (12 bytes); encrypted, so much more (33)."""


@dataclass(frozen=True, slots=True)
class Trace:
    """An envelope: bin i is of the samples from sample + i · bin_samples on, low and high (bins,) in µV."""

    session: str
    channel: int
    of: str
    seq: int
    sample: int
    bin_samples: int
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def trace_fields(
    channel: int, of: str, sample: int, bin_samples: int, low: NDArray[np.float32], high: NDArray[np.float32]
) -> dict[str, Any]:
    """Return the map entries that say an envelope; see `Trace`."""
    return {
        "channel": channel,
        "of": of,
        "bin_samples": bin_samples,
        "sample": sample,
        "n": len(low),
        "columns": {
            name: column.astype("<f4", copy=False).tobytes() for name, column in (("low", low), ("high", high))
        },
        "dtypes": {"low": "<f4", "high": "<f4"},
    }


def decode_trace(frames: Sequence[bytes]) -> Trace:
    """Return the trace in `frames`; raise WireError, and nothing else, for anything that is not one."""
    if len(frames) != 2:
        raise WireError(f"a message has 2 frames, got {len(frames)}")
    named = parse_trace_topic(frames[0][:256])
    if named is None or trace_topic(*named) != frames[0]:
        raise WireError(f"a trace's topic is traces/STREAM/CHANNEL/OF/, got {bytes(frames[0][:64])!r}")
    fields = unpack_map(frames[1], TARGET_BYTES - 1)
    if type(fields.get("v")) is not int or fields["v"] != VERSION:
        raise VersionError(f"traces: protocol version must be {VERSION}, got {reprlib.repr(fields.get('v'))}")
    session = fields.get("session")
    if not isinstance(session, str):
        raise WireError(f"traces: session must be str, got {reprlib.repr(session)}")
    _, channel, of = named
    if type(fields.get("channel")) is not int or fields["channel"] != channel or fields.get("of") != of:
        raise WireError(f"traces: channel and of must be those of the topic, {channel} and {of}")
    seq = _integer(fields, "seq", 0, 2**63 - 1)
    size = _integer(fields, "bin_samples", 1, MOST_BIN)
    n = _integer(fields, "n", 1, TARGET_BYTES // 8)
    sample = _integer(fields, "sample", -(2**63), 2**63 - 1 - n * size)
    if sample % size:
        raise WireError(f"traces: sample must be a multiple of bin_samples ({size}), got {sample}")
    table = decode_columns("traces", ENVELOPE_DTYPE, fields)
    low, high = table["low"].copy(), table["high"].copy()
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
        raise WireError("traces: low and high must be numbers, low ≤ high")
    return Trace(session, channel, of, seq, sample, size, low, high)


def _integer(fields: dict[str, Any], key: str, least: int, most: int) -> int:
    value = fields.get(key)
    if type(value) is not int or not least <= value <= most:
        raise WireError(f"traces: {key} must be {least} … {most}, got {reprlib.repr(value)}")
    return value


class Budget:
    """Keeps within what the publisher's guard lets one connection send."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._owed, self._at_s = 0.0, clock()

    def begin(self, sent: int) -> None:
        """Begin anew with a connection that has sent so many bytes."""
        self._owed, self._at_s = float(sent), self._clock()

    def spend(self, size: int) -> bool:
        """Tell whether so many bytes may be sent now; they then count."""
        now_s = self._clock()
        self._owed = max(0.0, self._owed - BYTES_PER_S * (now_s - self._at_s))
        self._at_s = now_s
        if self._owed + size > BURST_BYTES:
            return False
        self._owed += size
        return True


class TraceSubscriber:
    """Receives traces of one stream; a context manager that belongs to one thread.

    Outlasts engines: ZeroMQ connects and subscribes again. Raises TransportError when an engine refuses the key.
    """

    def __init__(
        self,
        endpoint: str,
        stream: str,
        key: ClientKey | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.malformed = 0
        """Messages that were none."""
        self.left_out = 0
        """Wanted traces beyond what the engine makes, or one connection can ask for: not subscribed to."""
        self._endpoint, self._stream, self._key = endpoint, stream, key
        self._greeting = GREETING_BYTES if key is None else KEY_BYTES
        self._budget = Budget(clock)
        self._wanted: dict[tuple[int, str], bytes] = {}
        self._subscribed: dict[tuple[int, str], bytes] = {}
        self._met = 0
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        """Connect; does not wait for the engine."""
        self._budget.begin(self._greeting)
        self._connection = Connection(
            self._endpoint, (), self._stream, HIGH_WATER_MARK, self._key, most_bytes=TARGET_BYTES
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection.end()
            self._connection = None

    def watch(self, wanted: Iterable[tuple[int, str]]) -> None:
        """Subscribe to these traces, (channel, signal), and to no others.

        What the engine would not bear at once is done by later calls, of `get` too.
        """
        self._wanted = {}
        room = BURST_BYTES - self._greeting  # all of it is sent at once when the connection comes back
        names = dict.fromkeys(wanted)
        for channel, of in names:
            topic = trace_topic(self._stream, channel, of)
            if len(self._wanted) < MOST_TRACES and room >= self._size(topic):
                room -= self._size(topic)
                self._wanted[channel, of] = topic
        self.left_out = len(names) - len(self._wanted)
        self._settle()

    def get(self, timeout_s: float) -> Trace | None:
        """Return the next trace; None when none has come within `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            frames = self._open.receive(round(left_s * 1e3))
            self._settle()
            if frames is not None:
                try:
                    return decode_trace(frames)
                except WireError:
                    self.malformed += 1
            elif left_s <= 1e-3:
                return None

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("a TraceSubscriber must be entered before it is used")
        return self._connection

    def _size(self, topic: bytes) -> int:
        """Return how many bytes a change takes on the wire, at most."""
        return len(topic) + CHANGE_BYTES + (0 if self._key is None else SEALED_BYTES)

    def _settle(self) -> None:
        """Subscribe, and end subscriptions, as far as the budget goes."""
        connection = self._open
        connection.watch()
        if connection.handshakes != self._met:
            self._met = connection.handshakes
            self._budget.begin(self._greeting + sum(map(self._size, self._subscribed.values())))
        stale = [key for key in self._subscribed if key not in self._wanted]
        missing = [key for key in self._wanted if key not in self._subscribed]
        while stale or missing:  # what is wanted goes first, as far as there is room for it
            adds = bool(missing) and self._has_room(self._wanted[missing[0]])
            key = missing[0] if adds else stale[0]
            topic = self._wanted[key] if adds else self._subscribed[key]
            if not self._budget.spend(self._size(topic)):
                return
            if adds:
                connection.subscribe(topic)
                self._subscribed[missing.pop(0)] = topic
            else:
                connection.unsubscribe(topic)
                del self._subscribed[stale.pop(0)]

    def _has_room(self, topic: bytes) -> bool:
        """Tell whether one subscription more is still borne when all are made again at once."""
        topics = [*self._subscribed.values(), topic]
        return len(topics) <= MOST_TRACES and sum(map(self._size, topics)) <= BURST_BYTES - self._greeting
