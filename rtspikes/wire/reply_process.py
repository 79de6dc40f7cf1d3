"""The reply process: the ROUTER socket that answers requests, apart from the engine and with bounded memory.

    main thread: ROUTER, gate, Answers ◀── inproc ── reading thread ◀── stdin (from the engine)
                        └──────────────────────────────────────────────▶ stdout (to the engine)

It ends when the engine closes its stdin, also by dying. What it cannot survive ends it alone: the engine starts
another, and the history, which is the engine's, is still there. Imports no NumPy, to be small and quick to start.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from typing import Any

import zmq

from rtspikes.errors import RtspikesError
from rtspikes.wire.answers import LARGEST_REQUEST, Answers, Route
from rtspikes.wire.gate import Gate, Limits
from rtspikes.wire.history import HistoryReader
from rtspikes.wire.keys import Right, ServerKeys
from rtspikes.wire.memory_limit import limit_memory
from rtspikes.wire.pipes import pack_map, read_frame, unpack
from rtspikes.wire.settings import KEEPALIVE, bindable
from rtspikes.wire.shared import SharedMemory

LIMITS = Limits(burst_bytes=2 * LARGEST_REQUEST, bytes_per_s=64 * 1024, most_connections=512, most_ungreeted=64)
"""A client that catches up sends 200 bytes for each 256 KiB, and thresholds for all channels once in a while."""

REPLIES_WAITING = 4
"""Replies that may wait for one client; who reads none of them costs 1 MiB."""

SUMMARY_S = 0.2
"""How often the engine is told what subscribers said of themselves."""

ALIVE_S = 1.0

FROM_ENGINE = "inproc://from-engine"

DEAF = 3
"""Exit code of a process that can no longer hear the engine."""

MOST_ROUTE = 4
"""Frames before a request's own; a REQ socket that correlates has three."""

IN_ONE_GO = 32
"""Requests taken in before the other sockets are looked at."""


class ReplyProcess:
    """Serves requests until the engine goes."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._memory = SharedMemory.attach(setup["memory"], setup["memory_bytes"])
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)
        self._answers = Answers(setup["topics"], HistoryReader(self._memory.map), self._tell_engine)
        self._router = self._context.socket(zmq.ROUTER)
        self._router.set(zmq.IPV6, int("[" in setup["endpoint"]))
        self._router.set(zmq.MAXMSGSIZE, LARGEST_REQUEST)
        self._router.set(zmq.SNDHWM, REPLIES_WAITING)
        self._router.set(zmq.RCVHWM, 0)  # see the publisher's: with a limit a peer can make libzmq abort this process
        self._router.set(zmq.LINGER, 0)
        for option, value in KEEPALIVE.items():
            self._router.set(option, value)
        keys = None if setup["keys"] is None else ServerKeys.load(setup["keys"])
        own = {key: (name, Right(right)) for key, name, right in setup["own"]}
        self._gate = Gate(self._context, self._router, LIMITS, keys, own, setup["local"])
        self._router.bind(bindable(setup["endpoint"]))
        self._from_engine = self._context.socket(zmq.PAIR)
        self._from_engine.bind(FROM_ENGINE)
        self.memory_is_limited = limit_memory(setup["memory_more"])
        self.endpoint = self._router.get_string(zmq.LAST_ENDPOINT)
        self._told: dict[str, Any] = {}
        self._looked_s = self._told_s = 0.0

    def run(self) -> None:
        """Answer until the engine's end of the pipe is closed."""
        threading.Thread(target=self._read_engine, name="rtspikes-reading", daemon=True).start()
        self._tell_engine({"bound": self.endpoint, "memory_is_limited": self.memory_is_limited})
        poller = zmq.Poller()
        for socket in (self._router, self._from_engine, *self._gate.sockets):
            poller.register(socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(self._gate.wait_ms))
            self._gate.handle()
            if self._router in ready:
                self._take_requests()
            if self._from_engine in ready and not self._take_engine():
                return
            self._send_all(self._answers.overdue(time.monotonic()))
            self._summarise()

    def _take_requests(self) -> None:
        for _ in range(IN_ONE_GO):
            frames = self._receive()
            if not frames:
                return
            by, may_control = self._gate.caller(frames[-1])
            route = _route(frames)
            body = frames[-1].bytes if len(frames) - len(route) == 1 else b""
            reply = self._answers.answer(route, body, by, may_control, time.monotonic())
            if reply is not None:
                self._send_all([(route, reply)])

    def _receive(self) -> list[zmq.Frame]:
        """Return the first frames of the next message, as many as a request has; nothing when none waits."""
        frames: list[zmq.Frame] = []
        try:
            frames.append(self._router.recv(zmq.NOBLOCK, copy=False))
            while self._router.get(zmq.RCVMORE):
                frame = self._router.recv(zmq.NOBLOCK, copy=False)
                if len(frames) <= MOST_ROUTE:
                    frames.append(frame)
        except zmq.Again:
            return []
        return frames

    def _send_all(self, replies: list[tuple[Route, list[bytes]]]) -> None:
        """Send what can be sent; a client that takes nothing loses its reply and asks again."""
        self._router.get(zmq.EVENTS)  # lets libzmq notice what clients have taken since
        for route, frames in replies:
            self._router.send_multipart([*route, *frames], zmq.NOBLOCK)

    def _read_engine(self) -> None:
        """Hand on what the engine writes (in a thread of its own); an empty message is its end."""
        try:
            pipe = self._context.socket(zmq.PAIR)
            pipe.connect(FROM_ENGINE)
            while (frame := read_frame(sys.stdin.buffer)) is not None:
                pipe.send(frame)
            pipe.send(b"")
            pipe.close()
        except BaseException:  # deaf, it would be of no use: the engine starts another
            os._exit(DEAF)

    def _take_engine(self) -> bool:
        """Take in one thing that the engine said; return False at its end."""
        frame = self._from_engine.recv()
        if not frame:
            return False
        entries = unpack(frame)
        if "info" in entries:
            self._answers.set_info(entries["session"], entries["info"])
        elif "report" in entries:
            self._summarise(at_once=True)
        elif (settled := self._answers.settle(entries["ticket"], entries["outcome"])) is not None:
            self._send_all([settled])
        return True

    def _summarise(self, at_once: bool = False) -> None:
        """Tell the engine the counts when they have changed, and each second, that it knows this process alive."""
        now = time.monotonic()
        if now - self._looked_s < SUMMARY_S and not at_once:
            return
        self._looked_s = now
        summary = self._answers.summary(now) | {"connections": self._gate.counts}
        if summary != self._told or now - self._told_s >= ALIVE_S or at_once:
            self._told, self._told_s = summary, now
            self._tell_engine({"summary": summary})

    def _tell_engine(self, entries: dict[str, Any]) -> None:
        sys.stdout.buffer.write(pack_map(entries))
        sys.stdout.buffer.flush()


def _route(frames: list[zmq.Frame]) -> Route:
    """Return the frames that lead back to who asks: up to the empty one of a REQ socket, or the first alone."""
    for n in range(1, min(len(frames) - 1, MOST_ROUTE)):
        if not len(frames[n]):
            return tuple(frame.bytes for frame in frames[: n + 1])
    return (frames[0].bytes,)


def main() -> int:
    """Serve until the engine goes; return the exit code."""
    setup = read_frame(sys.stdin.buffer)
    if setup is None:
        return 0
    try:
        process = ReplyProcess(unpack(setup))
    except (RtspikesError, zmq.ZMQError) as error:
        text = str(error) if isinstance(error, RtspikesError) else zmq.strerror(error.errno or 0).lower()
        sys.stdout.buffer.write(pack_map({"failed": text}))
        sys.stdout.buffer.flush()
        return 1
    gc.freeze()
    try:
        process.run()
    except BrokenPipeError:  # the engine has gone
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
