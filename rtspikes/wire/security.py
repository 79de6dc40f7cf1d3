"""Who may use a socket: CURVE (ZeroMQ RFC 26), the handler that judges each handshake (ZAP, RFC 27), and addresses.

Nothing here has a thread. libzmq encrypts, and asks the one handler of its context about each client's key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal

import zmq
from zmq.utils import z85

from rtspikes.errors import ConfigError
from rtspikes.wire.keys import ClientKey, Right, ServerKeys

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
"""Where libzmq looks for the handler of a context."""

VERSION = b"1.0"

DOMAIN = b"rtspikes"

MOST_ANSWERS = 4
"""Handshakes judged at a time: each reads the folders of keys, and a flood of them must not keep spikes waiting."""

Security = Literal["local", "curve", "insecure"]


def check_endpoint(name: str, endpoint: str, secured: bool, insecure: bool) -> Security:
    """Return how the socket that the setting `name` binds is kept safe; raise ConfigError unless somehow it is.

    secured: it has keys. insecure: whoever reaches it may use it, as was asked for.
    """
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    if scheme not in ("tcp", "ipc") or not address:
        raise ConfigError(f"{name} must be tcp://127.0.0.1:PORT or ipc://PATH, got {endpoint!r}")
    if scheme == "tcp" and not (port == "*" or (re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536)):
        raise ConfigError(f"{name} must have a port 0 … 65535 (0: any free one), got {endpoint!r}")
    if secured:
        return "curve"
    if scheme == "ipc" or is_loopback(host):
        return "local"
    if insecure:
        return "insecure"
    raise ConfigError(
        f"{name} must be on this computer (tcp://127.0.0.1:PORT or ipc://PATH), got {endpoint!r}; for others make keys "
        f"(rtspikes keys DIR) and say --keys DIR, or let anybody read with --insecure"
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach an address, which may be in brackets, or `localhost`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def secure_server(socket: zmq.Socket[bytes], keys: ServerKeys) -> None:
    """Let only those in whom an `Authoriser` of the socket's context lets in; call before binding."""
    socket.set(zmq.CURVE_SERVER, 1)
    socket.set(zmq.CURVE_SECRETKEY, keys.secret)
    socket.set(zmq.ZAP_DOMAIN, DOMAIN)
    socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a handler libzmq would else let in whoever knows the public key


def secure_client(socket: zmq.Socket[bytes], key: ClientKey) -> None:
    """Show `key` to the engine, and talk to that engine only; call before connecting.

    libzmq never tries again when an engine has refused the key; EVENT_HANDSHAKE_FAILED_AUTH of the monitor tells it.
    """
    socket.set(zmq.CURVE_SERVERKEY, key.server)
    socket.set(zmq.CURVE_PUBLICKEY, key.public)
    socket.set(zmq.CURVE_SECRETKEY, key.secret)


class Authoriser:
    """Judges the handshakes of all secured sockets of one context; belongs to the thread that polls `socket`.

    A client with a right gets the User-Id `read/NAME` or `control/NAME`, which its messages then carry.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: ServerKeys,
        own: Mapping[bytes, tuple[str, Right]] | None = None,
    ) -> None:
        """own: public keys (Z85) that are in no folder, with their names and rights."""
        self._keys = keys
        self._own = own or {}
        self.refused = 0
        self.socket = context.socket(zmq.REP)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(ZAP_ENDPOINT)

    def handle(self) -> None:
        """Answer some of the handshakes that wait."""
        for _ in range(MOST_ANSWERS):
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            code, text, user = self._judge(request)
            self.refused += code != b"200"
            number = request[1] if len(request) > 1 else b""
            self.socket.send_multipart([VERSION, number, code, text, user.encode("ascii"), b""])

    def _judge(self, request: list[bytes]) -> tuple[bytes, bytes, str]:
        """Return the status code, its text, and the User-Id for one request.

        version | request id | domain | address | identity | mechanism | the client's public key, 32 bytes
        """
        if len(request) != 7 or request[0] != VERSION or request[5] != b"CURVE" or len(request[6]) != 32:
            return b"400", b"malformed request", ""
        public = z85.encode(request[6])
        try:
            known = self._own.get(public) or self._keys.right_of(public)
        except OSError:  # as when no file can be opened for the moment; 300 lets the client try again
            return b"300", b"keys cannot be read", ""
        if known is None:
            return b"400", b"key without a right", ""
        name, right = known
        return b"200", b"OK", f"{right.value}/{name}"

    def close(self) -> None:
        """Close; no more handshakes succeed."""
        self.socket.close()
