"""Serves the page and its WebSocket at one port, in an event loop of one thread.

Each page is sent at most FRAMES_PER_S pictures a second, each of them made when it can be sent: what a page has not
taken in yet is not added to, so that one that lags gets the newest picture next, and slows nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from collections import deque
from collections.abc import Callable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rtspikes.errors import TransportError, WireError, reason
from rtspikes.subscribers.view.access import Access
from rtspikes.subscribers.view.asked import LARGEST, Asked, command, parse
from rtspikes.subscribers.view.commander import Commander
from rtspikes.subscribers.view.pack import text
from rtspikes.subscribers.view.scene import FRAMES_PER_S, VERSION, Scene, Viewer

MOST_PAGES = 32

MOST_UNDER_WAY = 2
"""Pictures that a page has not taken in yet."""

HELLO_S = 5.0
LOOK_S = 0.2

MESSAGES_PER_S, MESSAGES_AT_ONCE = 100.0, 200.0
"""What a page may send: it says that it got each picture."""

MOST_ANSWERS = 32

UNTOLD, UNKNOWN, CROWDED, NONSENSE = 4401, 4400, 4429, 4422
"""Why a WebSocket is closed: no token, another version, too many pages or messages, not of the protocol."""

LONGEST_REASON = 120
"""Bytes; RFC 6455 has room for 123."""

MOST_UNSENT = 32 * 1024 * 1024
"""Bytes that wait for a page: one that asks without reading (a flood of pings) is cut off."""

SILENT = logging.getLogger("rtspikes.view")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


class _Bounded(ServerConnection):
    """A connection whose answers cannot pile up."""

    def data_received(self, data: bytes) -> None:
        """Take in bytes, unless what they ask for is not read."""
        if self.transport.get_write_buffer_size() > MOST_UNSENT:
            self.transport.abort()
        else:
            super().data_received(data)


class PageServer:
    """Shows a scene to whoever `access` lets in."""

    def __init__(self, scene: Scene, access: Access, commander: Commander | None = None) -> None:
        """commander: carries out what pages ask of the engine; None: they may only look."""
        self._scene, self._access, self._commander = scene, access, commander
        self._pages = 0

    async def run(self, host: str, ports: range, stop: Callable[[], bool], ready: Callable[[int], None]) -> None:
        """Serve at the first free one of the ports until `stop`; call `ready` with it.

        Raises TransportError when none is free, and what goes wrong in a thread of the scene.
        """
        server = await self._bind(host, ports)
        async with server:
            ready(int(server.sockets[0].getsockname()[1]))
            while not stop():
                self._scene.check()
                await asyncio.sleep(LOOK_S)

    async def _bind(self, host: str, ports: range) -> Server:
        for port in ports:
            try:
                return await serve(
                    self._attend, host, port, process_request=self._answer, max_size=LARGEST, max_queue=8,
                    compression=None, open_timeout=HELLO_S, close_timeout=1.0, server_header=None, logger=SILENT,
                    write_limit=1 << 20, create_connection=_Bounded,
                )  # fmt: skip
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == ports[-1]:
                    raise TransportError(
                        f"cannot serve the page at {host}:{port}: {reason(error)}; choose another port with --port"
                    ) from None
        raise TransportError("cannot serve the page: no port was given")

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request for a file; None: it becomes a WebSocket."""
        return self._access.respond(request)

    async def _attend(self, connection: ServerConnection) -> None:
        """Attend to one page until it goes."""
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            asked = await self._heard(connection)
            if not self._access.admits(asked.given.get("token")):
                await connection.close(UNTOLD, "the token is missing or wrong")
            elif asked.do != "hello" or asked.given["v"] != VERSION:
                await connection.close(UNKNOWN, "another version")
            elif self._pages >= MOST_PAGES:
                await connection.close(CROWDED, f"{MOST_PAGES} pages look already")
            else:
                await self._show(connection)

    async def _heard(self, connection: ServerConnection) -> Asked:
        """Return the first message."""
        async with asyncio.timeout(HELLO_S):
            message = await connection.recv()
        try:
            return parse(message)
        except WireError:
            return Asked("", {})

    async def _show(self, connection: ServerConnection) -> None:
        viewer = self._scene.viewer()
        self._pages += 1
        page = _Page(connection, viewer, self._commander)
        sending = asyncio.create_task(page.send())
        receiving = asyncio.create_task(page.receive())
        try:
            done, _ = await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
            self._pages -= 1
            viewer.close()


class _Page:
    """One page: what it is sent, and what it asks for."""

    def __init__(self, connection: ServerConnection, viewer: Viewer, commander: Commander | None) -> None:
        self._connection, self._viewer, self._commander = connection, viewer, commander
        self._got = 0
        self._moved = asyncio.Event()
        self._answers: deque[str] = deque(maxlen=MOST_ANSWERS)
        self._loop = asyncio.get_running_loop()

    async def send(self) -> None:
        """Send what is new, as often as the page takes it in."""
        due_s = time.monotonic()
        while True:
            while self._answers:
                await self._connection.send(self._answers.popleft())
            if self._viewer.sent - self._got < MOST_UNDER_WAY:
                for message in self._viewer.messages(time.monotonic()):
                    await self._connection.send(message)
            else:
                self._moved.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._moved.wait()
                continue
            due_s = max(time.monotonic(), due_s + 1 / FRAMES_PER_S)
            await asyncio.sleep(due_s - time.monotonic())

    async def receive(self) -> None:
        """Do what the page asks for, until it goes or sends what it must not."""
        allowed, since_s = MESSAGES_AT_ONCE, time.monotonic()
        async for message in self._connection:
            now_s = time.monotonic()
            allowed = min(MESSAGES_AT_ONCE, allowed + (now_s - since_s) * MESSAGES_PER_S) - 1
            since_s = now_s
            if allowed < 0:
                await self._connection.close(CROWDED, "too many messages")
                return
            try:
                self._do(parse(message))
            except WireError as error:
                await self._connection.close(NONSENSE, str(error).encode()[:LONGEST_REASON].decode(errors="ignore"))
                return

    def _do(self, asked: Asked) -> None:
        given = asked.given
        if asked.do == "got":
            self._got = min(self._viewer.sent, max(self._got, given["n"]))
            self._moved.set()
        elif asked.do == "select":
            self._viewer.select(given["channels"], given["of"])
        elif asked.do == "seek":
            self._viewer.seek(given["sample"], given["window_s"])
        elif asked.do == "play":
            self._viewer.play(given["speed"])
        elif (order := command(asked)) is not None:
            do, done = order
            if self._commander is None:
                self._answer(asked.do, False, "this page may only look")
            else:
                session = None if asked.do == "mark" else self._viewer.session
                self._commander.ask(session, do, done, lambda ok, words: self._answer_from_afar(asked.do, ok, words))

    def _answer_from_afar(self, to: str, ok: bool, words: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the page is gone
            self._loop.call_soon_threadsafe(self._answer, to, ok, words)

    def _answer(self, to: str, ok: bool, words: str) -> None:
        self._answers.append(text({"t": "answer", "to": to, "ok": ok, "text": words}))
        self._moved.set()
