"""Who may see the page, and what a browser may do with it.

On this computer whoever can open the page may look; pages of other origins may not, also not by a name that was made
to point here (DNS rebinding): the Host must be an address or a name of this computer, and the Origin the page's own. At
any other address a token is asked for, which is in the fragment of the page's address and so never in a request.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from pathlib import Path

from websockets.datastructures import Headers, MultipleValuesError
from websockets.http11 import Request, Response

PAGE = Path(__file__).parent / "page"
SOCKET_PATH = "/ws"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")


class Access:
    """Answers requests for the page's files, and judges those for the WebSocket."""

    def __init__(self, token: str | None = None, host: str = "localhost", page: Path = PAGE) -> None:
        """token: what a page must know; None: nothing, which is for loopback only. host: a further name of ours."""
        self._token = token
        names = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()} - {""}
        short = {name.partition(".")[0] for name in names}
        self._names = {"localhost", *names, *short, *(f"{name}.local" for name in short)}
        self._files = {
            f"/{file.name}": (TYPES[file.suffix], file.read_bytes()) for file in page.iterdir() if file.suffix in TYPES
        }
        self._files["/"] = self._files["/index.html"]

    def respond(self, request: Request) -> Response | None:
        """Return the answer to a request; None: it may become a WebSocket."""
        host = self._own_host(request.headers)
        if host is None:
            return refusal(421, "Misdirected Request", "the Host must be an address or a name of this computer")
        path = request.path.partition("?")[0]
        if path == SOCKET_PATH:
            if _single(request.headers, "Origin") not in (f"http://{host}", f"https://{host}"):
                return refusal(403, "Forbidden", "the Origin must be that of the page")
            return None
        if path not in self._files:
            return refusal(404, "Not Found", "there is no such file")
        kind, content = self._files[path]
        return _response(200, "OK", content, kind, f"connect-src 'self' ws://{host} wss://{host}")

    def admits(self, token: object) -> bool:
        """Tell whether whoever shows this token may look."""
        if self._token is None:
            return True
        return isinstance(token, str) and hmac.compare_digest(token.encode(), self._token.encode())

    def _own_host(self, headers: Headers) -> str | None:
        """Return the Host that a request is for; None where it is none of this computer's."""
        authority = _single(headers, "Host") or ""
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return None
        host = match[1].lower()
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return authority if host in self._names else None
        return authority


def _single(headers: Headers, name: str) -> str | None:
    """Return a header that may come once."""
    try:
        return headers.get(name)
    except MultipleValuesError:
        return None


def refusal(code: int, phrase: str, text: str) -> Response:
    """Return the answer to a request that is not granted."""
    return _response(code, phrase, f"{text}\n".encode(), "text/plain; charset=utf-8", "")


def _response(code: int, phrase: str, content: bytes, kind: str, connect: str) -> Response:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'none'; {connect}"
    )
    headers = Headers()
    for name, value in (
        ("Content-Type", kind),
        ("Content-Length", str(len(content))),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ):
        headers[name] = value
    return Response(code, phrase, headers, content)
