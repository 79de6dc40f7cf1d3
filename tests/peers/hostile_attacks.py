"""Attacks a socket of an engine, in one of several ways, as fast as it goes until a time is over."""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgpack
import zmq

PATIENCE_S = 0.5
"""An engine that takes no more for so long has had enough of this connection."""

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = SIGNATURE + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4

HELD = 300
"""Connections that an attacker has open, or opens, at a time."""


def connected(endpoint: str) -> socket.socket:
    """Return a plain connection to a socket."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "ipc":
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(PATIENCE_S)
        line.connect(address)
        return line
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)


def frame(body: bytes, flags: int = 0) -> bytes:
    """Return a ZMTP frame (https://rfc.zeromq.org/spec/23)."""
    if len(body) > 255:
        return struct.pack(">BQ", flags | LONG, len(body)) + body
    return bytes([flags, len(body)]) + body


def ready(kind: bytes, more: bytes = b"") -> bytes:
    """Return the command that ends a handshake."""
    return frame(b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind + more, COMMAND)


def greeted(endpoint: str, kind: bytes) -> socket.socket:
    """Return a connection that has been through the handshake."""
    line = connected(endpoint)
    line.sendall(GREETING + ready(kind))
    left = 64 + 2  # the greeting and the head of the other's READY
    while left:
        got = line.recv(left)
        if not got:
            raise ConnectionResetError("refused")
        left -= len(got)
    return line


Attack = Callable[[str, bytes, random.Random], Iterator[int]]
"""Takes an address, the type of socket that fits it, and chance; yields the bytes that it has sent."""


def unfinished_small(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Send frames without bytes, of a message that never ends."""
    return _unfinished(endpoint, kind, frame(b"", MORE))


def unfinished_large(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Send frames of 200 bytes, of a message that never ends."""
    return _unfinished(endpoint, kind, frame(bytes(200), MORE))


def _unfinished(endpoint: str, kind: bytes, piece: bytes) -> Iterator[int]:
    many = piece * (65536 // len(piece))
    with greeted(endpoint, kind) as line:
        while True:
            line.sendall(many)
            yield len(many)


def connections(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Open connections without waiting for any; keep the last ones, of which most never greet."""
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    held: deque[socket.socket] = deque()
    try:
        while True:
            line = socket.socket(socket.AF_UNIX if scheme == "ipc" else socket.AF_INET)
            line.setblocking(False)
            held.append(line)
            with suppress(BlockingIOError):
                line.connect(address if scheme == "ipc" else (host, int(port)))
            if len(held) > HELD:
                begun = held.popleft()
                with begun, suppress(OSError):  # not connected yet, or not any more
                    yield begun.send(chance.choice((b"", GREETING, GREETING[:20], GREETING + ready(kind))))
    finally:
        for line in held:
            line.close()


def garbage(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Send bytes that are no ZMTP, from the first one on or after a good beginning."""
    begun = GREETING + ready(kind)
    noise = chance.randbytes(chance.choice((1, 10, 100, 10_000, 100_000)))
    size = struct.pack(">Q", chance.getrandbits(64))
    sent = chance.choice(
        (
            noise,
            SIGNATURE + noise,
            SIGNATURE + bytes([chance.randrange(4), chance.randrange(9)]) + noise,
            GREETING[: chance.randrange(len(GREETING))],
            GREETING.replace(b"NULL", chance.choice((b"CURV", b"PLAI", b"GSSA", noise[:4]))) + noise,
            GREETING + noise,
            GREETING + frame(b"\x05READY" + noise, COMMAND),
            GREETING + frame(b"\x05READY\x0bSocket-Type" + size + noise, COMMAND),
            GREETING + ready(chance.choice((b"PUB", b"ROUTER", b"PAIR", b"", noise))),
            GREETING + ready(kind, b"\x08Identity" + struct.pack(">I", len(noise)) + noise),
            GREETING + frame(b"\x05ERROR" + noise, COMMAND),
            begun + noise,
            begun + bytes([MORE | LONG]) + size + noise,
            begun + bytes([chance.randrange(256)]) + noise,
            begun + frame(b"\x04PING\x00\x00" + noise[:16], COMMAND) * 1000,
            begun + frame(b"\x09SUBSCRIBE" + noise, COMMAND) + frame(b"\x06CANCEL" + noise, COMMAND),
            begun + b"".join(frame(b"\x01" + chance.randbytes(100)) for _ in range(1000)),
            begun + frame(b"\x01" + noise) + frame(b"\x00" + noise),
            begun + frame(b"", MORE) + frame(noise),
        )
    )
    with connected(endpoint) as line:
        line.sendall(sent)
        line.settimeout(0.05)
        with suppress(TimeoutError):
            line.recv(64)  # closing at once would reset the connection, before it was read
        yield len(sent)


def subscriptions(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Subscribe to a thousand topics that do not exist, and leave."""
    with greeted(endpoint, kind) as line:
        for _ in range(20):
            sent = b"".join(frame(b"\x01" + chance.randbytes(200)) for _ in range(100))
            line.sendall(sent)
            yield len(sent)
        time.sleep(0.05)


LIES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**63, 2**64 - 1, 1.5, float("nan"), "", "x" * 100, "spikes/array/", b"", b"\xff" * 40,
    [], {}, [[[[[]]]]], {"": {}}, msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 1),
)  # fmt: skip
KEYS = ("session", "topic", "from_seq", "to_seq", "offset", "client", "name", "count", "command", "select", "text")
REQUESTS = ("again", "info", "status", "missed", "hold", "done", "control", "")
COMMANDS = ("threshold", "mute", "unmute", "load", "levels", "mark", "", "x")

BOMBS = (
    b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"\x91" * 100_000, b"\x81" * 100_000, b"\x81\xa1v" * 50_000, b"\xc1", b"", b"\x80",
    b"\xde\xff\xff" + b"\xa1v\x01" * 65535, b"\xdc\xff\xff" + b"\xc0" * 65535, bytes(2**20),
    bytes(2**20 + 1),
)  # fmt: skip


def _request(chance: random.Random) -> bytes:
    """Return a request as nobody should write one."""
    match chance.randrange(4):
        case 0:
            return chance.randbytes(chance.randrange(300))
        case 1:
            return chance.choice(BOMBS)
    asked: dict[Any, Any] = {"v": 1, "id": 1, "request": chance.choice(REQUESTS)}
    asked |= {key: chance.choice(LIES) for key in KEYS if chance.random() < 0.5}
    if chance.random() < 0.5:
        asked["command"] = chance.choice(COMMANDS)
    if chance.random() < 0.3:
        asked[chance.choice(("v", "id", "request", 7, b"x"))] = chance.choice(LIES)
    packed: bytes = msgpack.packb(asked)
    return packed if chance.random() < 0.8 else packed[: chance.randrange(len(packed))]


def requests(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Ask, through ZeroMQ itself, for what cannot be understood; read only some of the answers."""
    with zmq.Context() as context, context.socket(zmq.DEALER if kind == b"DEALER" else zmq.SUB) as asking:
        asking.linger = 0
        asking.sndhwm = asking.rcvhwm = 10
        asking.connect(endpoint)
        for _ in range(chance.randrange(1000)):
            body = _request(chance)
            if kind != b"DEALER":
                asking.subscribe(body[:300])
            else:
                frames = chance.choice(([b"", body], [body], [b"", b"", body], [b"", body, body], [b""] * 500))
                with suppress(zmq.Again):
                    if asking.poll(1, zmq.POLLOUT):
                        asking.send_multipart(frames, zmq.NOBLOCK)
                    if chance.random() < 0.5:
                        asking.recv_multipart(zmq.NOBLOCK)
            yield len(body)


def greed(endpoint: str, kind: bytes, chance: random.Random) -> Iterator[int]:
    """Ask for all there is, with many connections, and read nothing of it."""
    asked = _greedy_request(endpoint) if kind == b"DEALER" else frame(b"\x01")
    lines: list[socket.socket] = []
    try:
        while True:
            if len(lines) < 32:
                lines.append(greeted(endpoint, kind))
            for line in lines:
                line.sendall(asked)
                yield len(asked)
            time.sleep(0.01)  # not more than the engine bears for long: who is cut off costs it nothing
    finally:
        for line in lines:
            line.close()


def _greedy_request(endpoint: str) -> bytes:
    """Return a request for everything, which needs the session: the engine tells it to who gets it wrong."""
    asked = {"v": 1, "id": 1, "request": "again", "session": "", "topic": "spikes/array/", "from_seq": 0}
    with zmq.Context() as context, context.socket(zmq.REQ) as asking:
        asking.linger = 0
        asking.connect(endpoint)
        asking.send(msgpack.packb(asked))
        if not asking.poll(5000):
            raise TimeoutError("no answer")
        asked["session"] = msgpack.unpackb(asking.recv_multipart()[0])["session"]
    return frame(b"", MORE) + frame(msgpack.packb(asked))


ATTACKS: dict[str, Attack] = {
    "unfinished_small": unfinished_small,
    "unfinished_large": unfinished_large,
    "connections": connections,
    "garbage": garbage,
    "subscriptions": subscriptions,
    "requests": requests,
    "greed": greed,
}


def main(name: str, endpoint: str, kind: str, seconds: float) -> None:
    """Attack until `seconds` are over; print what it came to."""
    chance = random.Random(name)
    done: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done["begun"] += 1
        try:
            for sent in ATTACKS[name](endpoint, kind.encode(), chance):
                done["bytes"] += sent
                done["steps"] += 1
                if time.monotonic() > deadline:
                    break
        except TimeoutError:
            done["stalled"] += 1
        except OSError:
            done["cut"] += 1
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
