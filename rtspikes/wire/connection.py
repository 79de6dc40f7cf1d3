"""A subscriber's connection: the SUB socket, what comes through it, and whether anybody is at the other end."""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq
from zmq.utils.monitor import recv_monitor_message

from rtspikes.errors import EngineVanished, TransportError
from rtspikes.wire.codec import MAX_BYTES, topic
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.security import secure_client
from rtspikes.wire.settings import DEFAULT_ENDPOINT, KEEPALIVE

GRACE_S = 3.0
"""How long a lost connection may take to come back before the engine counts as vanished, and how long one that the
engine does not take is tried."""

REFUSED_EVENTS = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class Connection:
    """Connects at once; does not wait for the engine. Belongs to one thread at a time."""

    def __init__(
        self,
        endpoint: str,
        kinds: Sequence[str],
        stream: str | None,
        high_water_mark: int,
        key: ClientKey | None,
        counts: bool = True,
        most_bytes: int = MAX_BYTES,
    ) -> None:
        """Connect; `counts`: whether the engine is to count it as a subscriber, which it does at `info/`.

        most_bytes: of a message; one with more ends the connection.
        """
        self.endpoint = endpoint
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self.context.socket(zmq.SUB)
        self._socket.set(zmq.IPV6, int("[" in endpoint))
        self._socket.set(zmq.RCVHWM, high_water_mark)
        self._socket.set(zmq.MAXMSGSIZE, most_bytes)
        for option, value in KEEPALIVE.items():
            self._socket.set(option, value)
        self._socket.set(zmq.RECONNECT_IVL, 100)
        self._socket.set(zmq.LINGER, 0)
        if key is not None:
            secure_client(self._socket, key)
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | REFUSED_EVENTS
        )
        self.handshakes = 0
        """How often the connection has been made."""
        self._keyed = key is not None
        self._refused_s: float | None = None
        self._lost_s: float | None = None
        self.heard_s = self._begun_s = time.monotonic()
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            self.end()
            raise TransportError(
                f"cannot connect to {endpoint!r}: {zmq.strerror(error.errno or 0).lower()}; "
                f"an endpoint looks like {DEFAULT_ENDPOINT}"
            ) from None
        for kind in kinds:  # after `connect`, so that they are sent in this order
            prefix = topic(kind, stream) if stream else f"{kind}/".encode()
            self._socket.subscribe(prefix if counts or kind != "info" else b"info")
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def subscribe(self, prefix: bytes) -> None:
        """Let the messages come whose topic begins so."""
        self._socket.subscribe(prefix)

    def unsubscribe(self, prefix: bytes) -> None:
        """Take a subscription back."""
        self._socket.unsubscribe(prefix)

    def receive(self, wait_ms: int) -> list[bytes] | None:
        """Return the frames of the next message; None after `wait_ms` without one, or sooner when the line changed."""
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            ready = [socket for socket, _ in self._poller.poll(wait_ms)]
            if self._monitor in ready:
                self.watch()
            if self._socket not in ready:
                return None
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
        self.heard_s = time.monotonic()
        return frames

    def watch(self) -> None:
        """Take in what became of the line; raise TransportError when the engine refuses this client.

        libzmq does not try again where the key is not one of the engine's, or only one of the two has keys.
        """
        while self._monitor.poll(0):
            told = recv_monitor_message(self._monitor)
            event = told["event"]
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise TransportError(self._refusal())
            if event & REFUSED_EVENTS:
                if told["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                    raise TransportError(self._mismatch() if self._keyed else self._refusal())
                self._refused_s = self._refused_s or time.monotonic()
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.handshakes, self._lost_s, self._refused_s = self.handshakes + 1, None, None
            elif event == zmq.EVENT_DISCONNECTED and self.handshakes and self._lost_s is None:
                self._lost_s = time.monotonic()

    @property
    def gone(self) -> bool:
        """Whether the connection was lost and did not come back within the grace."""
        return self._lost_s is not None and time.monotonic() - self._lost_s > GRACE_S

    def check_presence(self, joined: bool, connect_timeout_s: float | None) -> None:
        """Raise EngineVanished when the connection was lost and does not come back.

        Unless `joined`, raise TransportError when no engine is met within `connect_timeout_s` (None: wait for ever), or
        the one that is there goes on refusing this client.
        """
        now = time.monotonic()
        if self.gone:
            raise EngineVanished(
                f"the engine at {self.endpoint} closed the connection without an end and did not come back within "
                f"{GRACE_S:g} s; what it sent before is complete as far as `missed` says"
            )
        if joined:
            return
        late = connect_timeout_s is not None and now - self._begun_s > connect_timeout_s
        if self._refused_s is not None and (late or now - self._refused_s > GRACE_S):
            raise TransportError(self._refusal())
        if late:
            raise TransportError(
                f"no engine at {self.endpoint} within {connect_timeout_s:g} s; "
                f"start one with: rtspikes run --source URI"
            )

    def _refusal(self) -> str:
        return (
            f"the engine at {self.endpoint} refused the connection; "
            f"it lets in only clients whose key is in its folder of keys: --key NAME.key_secret"
        )

    def _mismatch(self) -> str:
        return f"the engine at {self.endpoint} has no keys: come to it without one"

    def close(self) -> None:
        """Close the socket; the context is left to who else uses it, and ends with `end`."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def end(self) -> None:
        """End the context."""
        self.context.term()
