"""The subscriber: batches of spikes in order, what was missed, and the certainty of an end or of its absence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import zmq
from numpy.typing import NDArray
from zmq.utils.monitor import recv_monitor_message

from rtspikes.errors import ConfigError, EngineVanished, TransportError, VersionError, WireError, nearest
from rtspikes.types import CROSSING_DTYPE, GAP_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE
from rtspikes.wire.codec import INTERVAL_KINDS, KINDS, MAX_BYTES, Message, decode, topic
from rtspikes.wire.settings import DEFAULT_ENDPOINT, KEEPALIVE

GRACE_S = 3.0
"""How long a lost connection may take to come back before the engine counts as vanished."""

STEP_MS = 100
"""Longest single wait on the socket."""


@dataclass(frozen=True, slots=True)
class Missed:
    """`count` messages of one kind, from number `first_seq` on, that this subscriber did not get.

    For `spikes` and `crossings`, events with a trigger in [from_sample, to_sample) may be among them.
    """

    kind: str
    first_seq: int
    count: int
    from_sample: int | None = None
    to_sample: int | None = None


def _empty(dtype: np.dtype[np.void]) -> Any:
    return field(default_factory=lambda: np.zeros(0, dtype))


@dataclass(frozen=True, slots=True)
class Batch:
    """One message and what was missed before it; tables of other kinds are empty.

    Every event of this kind with a trigger before `to_sample` has now been delivered, or is in a `missed`.
    waveforms: (spikes, samples) float32 µV. fields: the message's map as it came.
    """

    kind: str
    session: str
    from_sample: int
    to_sample: int
    spikes: NDArray[np.void] = _empty(SPIKE_DTYPE)
    waveforms: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    crossings: NDArray[np.void] = _empty(CROSSING_DTYPE)
    rejected: NDArray[np.void] = _empty(REJECTED_DTYPE)
    gaps: NDArray[np.void] = _empty(GAP_DTYPE)
    thresholds: NDArray[np.void] | None = None
    missed: tuple[Missed, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


class Subscriber:
    """Receives one engine's messages; a context manager, an iterator and an async iterator of `Batch`.

    Batches begin once `info`, everything constant about the session, has come. Iteration ends on the engine's `end`.
    Messages that are not of the protocol are counted in `malformed`; one of another version raises VersionError.
    Raises EngineVanished when the engine is gone without one, TransportError when none is there within
    `connect_timeout_s` (None: wait for ever).
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        kinds: Sequence[str] = ("spikes",),
        stream: str | None = None,
        connect_timeout_s: float | None = 10.0,
        high_water_mark: int = 10_000,
    ) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(f"unknown kind {kind!r}; {nearest(kind, KINDS)}")
        self.endpoint = endpoint
        self.kinds = tuple(dict.fromkeys(kinds))
        self.info: dict[str, Any] | None = None
        self.ended = False
        self.end: dict[str, Any] | None = None
        self.malformed = 0
        self.missed_total = 0
        self._stream = stream
        self._connect_timeout_s = connect_timeout_s
        self._high_water_mark = high_water_mark
        self._expected: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._session: str | None = None
        self._lost_s: float | None = None
        self._seen = False
        self._begun_s = 0.0
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None

    def __enter__(self) -> Self:
        """Connect; does not wait for the engine."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set(zmq.IPV6, int("[" in self.endpoint))
        self._socket.set(zmq.RCVHWM, self._high_water_mark)
        self._socket.set(zmq.MAXMSGSIZE, MAX_BYTES)
        for option, value in KEEPALIVE.items():
            self._socket.set(option, value)
        self._socket.set(zmq.RECONNECT_IVL, 100)
        self._socket.set(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        for kind in dict.fromkeys((*self.kinds, "end", "info")):  # info last: once it is there, all are
            self._socket.subscribe(topic(kind, self._stream) if self._stream else f"{kind}/")
        try:
            self._socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self.__exit__(None, None, None)
            raise TransportError(
                f"cannot connect to {self.endpoint!r}: {zmq.strerror(error.errno or 0).lower()}; "
                f"an endpoint looks like {DEFAULT_ENDPOINT}"
            ) from None
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._begun_s = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Disconnect."""
        with self._lock:
            if self._context is not None:
                self._socket.disable_monitor()
                self._monitor.close(0)
                self._socket.close(0)
                self._context.term()
                self._context = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches until the engine's end."""
        while not self.ended:
            batch = self.get()
            if batch is not None:
                yield batch

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Yield batches until the engine's end, waiting in a thread of the event loop's executor."""
        while not self.ended:
            batch = await asyncio.to_thread(self.get, STEP_MS * 1e-3)
            if batch is not None:
                yield batch

    def get(self, timeout_s: float | None = None) -> Batch | None:
        """Return the next batch; None after `timeout_s` without one, or once the engine has ended."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.ended:
            left_ms = STEP_MS
            if deadline_s is not None:
                left_ms = max(0, min(STEP_MS, round((deadline_s - time.monotonic()) * 1e3)))
            with self._lock:  # `__exit__` may come from another thread
                if self._context is None:
                    raise TransportError("the subscriber is not connected; use it in a with statement")
                batch = self._step(left_ms)
            if batch is not None:
                return batch
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None
        return None

    def _step(self, wait_ms: int) -> Batch | None:
        """Receive one message, or find out that none can come."""
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            ready = dict(self._poller.poll(wait_ms))
            if self._socket not in ready:
                if self._monitor in ready:
                    self._connection_changed()
                self._check_presence()
            return None
        self._seen, self._lost_s = True, None
        try:
            message = decode(frames)
        except VersionError:
            raise
        except WireError:
            self.malformed += 1
            return None
        return self._take(message)

    def _connection_changed(self) -> None:
        event = recv_monitor_message(self._monitor)["event"]
        self._seen |= event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        self._lost_s = time.monotonic() if event == zmq.EVENT_DISCONNECTED and self._seen else None

    def _check_presence(self) -> None:
        now = time.monotonic()
        if self._lost_s is not None and now - self._lost_s > GRACE_S:
            raise EngineVanished(
                f"the engine at {self.endpoint} closed the connection without an end and did not come back within "
                f"{GRACE_S:g} s; what it sent before is complete as far as `missed` says"
            )
        limit = self._connect_timeout_s
        if self.info is None and self._session is None and limit is not None and now - self._begun_s > limit:
            raise TransportError(
                f"no engine at {self.endpoint} within {limit:g} s; start one with: rtspikes run --source URI"
            )

    def _take(self, message: Message) -> Batch | None:
        if self.info is not None and message.session == self._session and not _fits(message, self.info):
            self.malformed += 1
            return None
        if message.session != self._session:
            self._session = message.session
            self._expected.clear()
            self._reached.clear()
            self.info = None
        if message.kind == "info":
            if self.info is None:
                self._begin(message.fields)
            self.info = message.fields
        if self.info is None and message.kind != "end":
            return None  # the engine sends `info` to whoever joins; a batch without it could not be understood
        missed = self._holes(message)
        if message.kind == "end":
            self.ended, self.end = True, message.fields
            missed = (*missed, *self._tail(message.fields))
        self.missed_total += sum(m.count for m in missed)
        if message.kind not in self.kinds and not missed:
            return None
        return self._batch(message, missed)

    def _begin(self, info: dict[str, Any]) -> None:
        """Set what number each kind goes on with: all from there on were sent when this subscriber was there."""
        numbers = info.get("next_seq")
        if isinstance(numbers, dict):
            self._expected = {k: n for k, n in numbers.items() if k in KINDS and k != "info" and isinstance(n, int)}

    def _holes(self, message: Message) -> tuple[Missed, ...]:
        """Compare the number with the one expected."""
        kind, seq = message.kind, message.seq
        expected = self._expected.get(kind, seq)
        reached = self._reached.get(kind)
        self._expected[kind] = max(expected, seq + 1)
        if kind in INTERVAL_KINDS:
            self._reached[kind] = message.fields["to_sample"]
        if seq <= expected:
            return ()
        return (
            Missed(
                kind, expected, seq - expected, reached, message.fields["from_sample"] if reached is not None else None
            ),
        )

    def _tail(self, end: dict[str, Any]) -> tuple[Missed, ...]:
        """Return what was sent between the last message received of each kind and the end."""
        last = end.get("last_seq")
        if not isinstance(last, dict):
            return ()
        tails = []
        for kind in self.kinds:
            expected, final = self._expected.get(kind), last.get(kind)
            if kind != "end" and expected is not None and isinstance(final, int) and final >= expected:
                tails.append(Missed(kind, expected, final + 1 - expected, self._reached.get(kind)))
        return tuple(tails)

    @staticmethod
    def _batch(message: Message, missed: tuple[Missed, ...]) -> Batch:
        tables: dict[str, Any] = {} if message.table is None else {message.kind: message.table}
        if message.waveforms is not None:
            tables["waveforms"] = message.waveforms
        return Batch(
            kind=message.kind,
            session=message.session,
            from_sample=message.fields["from_sample"] if message.kind in INTERVAL_KINDS else 0,
            to_sample=message.fields["to_sample"] if message.kind in INTERVAL_KINDS else 0,
            missed=missed,
            fields=message.fields,
            **tables,
        )


def _fits(message: Message, info: dict[str, Any]) -> bool:
    """Tell whether a message keeps to what its session's `info` says of channels and waveforms."""
    n_channels, table = info["n_channels"], message.table
    if message.waveforms is not None and message.waveforms.shape[1] != sum(info["snippet_samples"]):
        return False
    if message.kind == "thresholds" and table is not None:
        return bool(0 <= message.fields["first_channel"] <= n_channels - len(table))
    if table is not None and "channel" in (table.dtype.names or ()) and len(table):
        return bool(table["channel"].max() < n_channels)
    return True


def subscribe(
    endpoint: str = DEFAULT_ENDPOINT,
    *,
    kinds: Sequence[str] = ("spikes",),
    stream: str | None = None,
    connect_timeout_s: float | None = 10.0,
    high_water_mark: int = 10_000,
) -> Subscriber:
    """Return a subscriber to the engine at `endpoint`, to be used in a `with` statement.

    kinds: which of `spikes crossings rejected gaps thresholds notices status info end` to get batches for; losses of
    any kind that was asked for are told. stream: only this stream's topics (default: all). high_water_mark: messages
    that may wait here before libzmq drops (each ≤ 256 KiB).
    """
    return Subscriber(
        endpoint, kinds=kinds, stream=stream, connect_timeout_s=connect_timeout_s, high_water_mark=high_water_mark
    )
