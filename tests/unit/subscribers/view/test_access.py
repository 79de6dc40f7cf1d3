from __future__ import annotations

import re
import socket

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from rtspikes.subscribers.view.access import PAGE, Access
from rtspikes.wire.security import is_loopback


def asked(path: str, host: str | None = "127.0.0.1:8765", *more: tuple[str, str]) -> int:
    headers = Headers()
    if host is not None:
        headers["Host"] = host
    for name, value in more:
        headers[name] = value
    response = Access().respond(Request(path, headers))
    return 101 if response is None else response.status_code


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:9", "[::1]:8765", "192.168.3.4:80", socket.gethostname()]
)
def test_the_page_is_served_under_this_computers_addresses_and_names(host: str) -> None:
    assert asked("/", host) == 200
    assert asked("/main.js?v=1", host) == 200
    assert asked("/ws", host, ("Origin", f"http://{host}")) == 101


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8765", "localhost@evil", "", "a b", "x" * 300, "[::1", None]
)
def test_another_name_is_refused_whatever_it_points_to(host: str | None) -> None:
    assert asked("/", host) == 421
    assert asked("/ws", host, ("Origin", f"http://{host}")) == 421


def test_a_host_that_is_said_twice_is_refused() -> None:
    assert asked("/", "127.0.0.1:8765", ("Host", "evil.example")) == 421


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:8766", "https://127.0.0.1:8765.evil.example", ""]
)
def test_pages_of_other_origins_get_no_websocket(origin: str | None) -> None:
    assert asked("/ws", "127.0.0.1:8765", *([] if origin is None else [("Origin", origin)])) == 403


@pytest.mark.parametrize(
    "path", ["/../access.py", "/..%2faccess.py", "/page/main.js", "//etc/passwd", "/.", "", "/ws/"]
)
def test_only_the_pages_own_files_are_served(path: str) -> None:
    assert asked(path) == 404


def test_every_file_of_the_page_is_served_as_what_it_is() -> None:
    for file in PAGE.iterdir():
        response = Access().respond(Request(f"/{file.name}", Headers(Host="localhost")))
        assert response is not None
        assert response.status_code == 200
        assert response.body == file.read_bytes()
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy


def test_the_page_asks_nobody_else_for_anything() -> None:
    for file in PAGE.iterdir():
        content = file.read_text("utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|//cdn|@import|eval\(|innerHTML|insertAdjacentHTML|document\.write", content), (
            file
        )
    page = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page)


def test_the_name_that_was_asked_for_is_one_of_ours() -> None:
    request = Request("/", Headers(Host="rig.lab.example:8765"))
    for host, code in (("rig.lab.example", 200), ("localhost", 421)):
        answer = Access(host=host).respond(request)
        assert answer is not None
        assert answer.status_code == code


def test_a_token_is_compared_whole() -> None:
    access = Access("correct-token")
    assert access.admits("correct-token")
    assert not any(map(access.admits, ("correct-toke", "", None, 7, "correct-token ", "é")))
    assert Access().admits(None)


def test_loopback_is_what_others_cannot_reach() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "[::1]", "localhost", "127.9.9.9")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "rig", "localhost.evil.example")))
