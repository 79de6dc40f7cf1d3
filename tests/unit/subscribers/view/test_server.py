from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rtspikes.errors import TransportError
from rtspikes.subscribers.view import server as module
from rtspikes.subscribers.view.access import Access
from rtspikes.subscribers.view.live import LiveScene
from rtspikes.subscribers.view.server import MOST_UNDER_WAY, PageServer
from tests.patience import Patience
from tests.unit.subscribers.view.pages import info, spikes, unpack


class Engine:
    """Stands for the commander: keeps what it is asked for, and answers at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.sessions: list[str | None] = []

    def ask(
        self, session: str | None, do: Callable[[Any], object], done: str, answer: Callable[[bool, str], None]
    ) -> None:
        self.sessions.append(session)
        do(self)
        threading.Thread(target=answer, args=(True, done)).start()

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self.asked.append((name, (*args, more)))


class Served:
    def __init__(self, scene: LiveScene, token: str | None, engine: Engine | None) -> None:
        self.scene, self.stopped, self.bound = scene, threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.port = 0
        self._server = PageServer(scene, Access(token), engine)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.bound.wait(30)

    def _run(self) -> None:
        try:
            asyncio.run(self._server.run("127.0.0.1", range(1), self.stopped.is_set, self._ready))
        except BaseException as error:
            self.error = error

    def _ready(self, port: int) -> None:
        self.port = port
        self.bound.set()

    def open(self, **about: Any) -> ClientConnection:
        about = {"origin": f"http://127.0.0.1:{self.port}", "compression": None, "max_size": None, **about}
        return connect(f"ws://127.0.0.1:{self.port}/ws", **about)

    @contextmanager
    def page(self, **hello: Any) -> Iterator[ClientConnection]:
        with self.open() as page:
            page.send(json.dumps({"do": "hello", "v": 1, "token": None, **hello}))
            yield page


@contextmanager
def served(token: str | None = None, engine: Engine | None = None) -> Iterator[Served]:
    scene = LiveScene("tcp://127.0.0.1:1")
    scene.begin(info())
    made = Served(scene, token, engine)
    try:
        yield made
    finally:
        made.stopped.set()
        made.thread.join(30)
        assert not made.thread.is_alive()


def heard(page: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    patience = Patience(30)
    while patience:
        head, _ = unpack(page.recv(30))
        if head["t"] == kind:
            return head
    raise AssertionError(f"no {kind} came")


def closed(page: ClientConnection) -> int:
    """Return the code with which the server closes."""
    patience = Patience(30)
    while patience:
        try:
            page.recv(30)
        except ConnectionClosed as end:
            return 0 if end.rcvd is None else end.rcvd.code
    raise AssertionError("the server did not close")


def test_a_page_is_served_and_hears_of_the_session() -> None:
    with served() as made:
        browser = http.client.HTTPConnection("127.0.0.1", made.port, timeout=30)
        browser.request("GET", "/")
        answer = browser.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"<html" in answer.read()
        browser.close()
        with made.page() as page:
            assert heard(page, "facts")["label"] == ["E0", "E1", "E2", "E3"]
            assert heard(page, "frame")["now"] == 0
            made.scene.add([spikes([(5, 0)], 100)], 0)
            assert heard(page, "frame")["now"] == 100


def test_a_page_that_takes_nothing_in_gets_the_newest_picture_once_it_does() -> None:
    with served() as made, made.page() as slow, made.page() as quick:
        now, got = 0, 0
        while got < 40:
            now += 10
            made.scene.add([spikes([], now, now - 10)], 0)
            got = heard(quick, "frame")["n"]
            quick.send(json.dumps({"do": "got", "n": got}))
        for n in range(1, MOST_UNDER_WAY + 1):
            assert heard(slow, "frame")["n"] == n
        slow.send(json.dumps({"do": "got", "n": MOST_UNDER_WAY}))
        late = heard(slow, "frame")
        assert (late["n"], late["now"]) == (MOST_UNDER_WAY + 1, now)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"token": None}, module.UNTOLD),
        ({"token": "wrong-token"}, module.UNTOLD),
        ({"token": "right-token", "v": 2}, module.UNKNOWN),
    ],
)
def test_who_does_not_know_the_token_sees_nothing(hello: dict[str, Any], code: int) -> None:
    with served("right-token") as made:
        with made.page(**hello) as page:
            assert closed(page) == code
        with made.page(token="right-token") as page:
            assert heard(page, "facts")["session"] == "s1"


@pytest.mark.parametrize("origin", [None, "http://evil.example"])
def test_a_page_of_another_origin_is_refused(origin: str | None) -> None:
    with served() as made, pytest.raises(InvalidStatus, match="403"), made.open(origin=origin):
        pass


@pytest.mark.parametrize("nonsense", ["{", b"\x00" * 100, '{"do": "shutdown"}', "x" * 5000])
def test_nonsense_ends_that_page_and_no_other(nonsense: str | bytes) -> None:
    with served() as made, made.page() as other:
        with made.page() as page:
            heard(page, "facts")
            page.send(nonsense)
            assert closed(page) in (module.NONSENSE, 1009)
        made.scene.add([spikes([], 100)], 0)
        heard(other, "frame")
        with made.open() as page:
            page.send(nonsense)
            assert closed(page) in (module.UNTOLD, module.UNKNOWN, 1009)


def test_a_flood_of_messages_ends_the_page() -> None:
    with served() as made, made.page() as page:
        heard(page, "facts")
        with suppress(ConnectionClosed):
            for _ in range(10_000):
                page.send('{"do": "got", "n": 0}')
        assert closed(page) == module.CROWDED


def test_the_engine_is_asked_and_its_answer_told() -> None:
    engine = Engine()
    with served(engine=engine) as made, made.page() as page:
        heard(page, "facts")
        page.send(json.dumps({"do": "threshold", "channels": [2], "sigma": 6}))
        assert heard(page, "answer")["ok"]
        page.send(json.dumps({"do": "mark", "text": "x"}))
        assert heard(page, "answer")["ok"]
        assert engine.asked == [("threshold", ([2], {"sigma": 6.0})), ("mark", ("x", {}))]
        assert engine.sessions == ["s1", None]  # a position is one of that session; a mark is of whatever runs


def test_who_asks_without_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNSENT", 1 << 20)
    key = base64.b64encode(bytes(16)).decode()
    ping = b"\x89\xfd" + bytes(4) + bytes(125)
    with served() as made, socket.create_connection(("127.0.0.1", made.port), timeout=30) as rude:
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own = f"127.0.0.1:{made.port}"
        rude.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {own}\r\nOrigin: http://{own}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        with pytest.raises(OSError, match="."):  # reset, or a broken pipe
            flood(rude, ping * 500)


def flood(rude: socket.socket, data: bytes) -> None:
    """Send 625 MB, in parts."""
    for _ in range(10_000):
        rude.sendall(data)


def test_who_may_only_look_is_told_so() -> None:
    with served() as made, made.page() as page:
        page.send(json.dumps({"do": "mark", "text": "x"}))
        assert heard(page, "answer") == {"t": "answer", "to": "mark", "ok": False, "text": "this page may only look"}


def test_pages_are_so_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAGES", 1)
    with served() as made, made.page() as page:
        heard(page, "facts")
        with made.page() as other:
            assert closed(other) == module.CROWDED


def test_what_ends_a_feed_ends_the_server() -> None:
    with served() as made:
        made.scene.fail(TransportError("refused"))
        made.thread.join(30)
        assert isinstance(made.error, TransportError)


def test_a_port_that_is_taken_is_said() -> None:
    with served() as made:
        server = PageServer(made.scene, Access())
        with pytest.raises(TransportError, match=f"127.0.0.1:{made.port}.*--port"):
            asyncio.run(server.run("127.0.0.1", range(made.port, made.port + 1), lambda: True, lambda port: None))
        ports: list[int] = []
        asyncio.run(server.run("127.0.0.1", range(made.port, made.port + 9), lambda: True, ports.append))
        assert made.port < ports[0] < made.port + 9
