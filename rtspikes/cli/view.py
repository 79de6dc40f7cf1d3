"""`view`: a page in the browser that shows a running engine, or a finished session."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from rtspikes.cli.engines import KEY, Endpoint, client_key
from rtspikes.cli.examples import examples
from rtspikes.cli.interrupts import interrupts
from rtspikes.cli.parameters import Number, PathTo, sessions
from rtspikes.cli.progress import said_if_slow
from rtspikes.errors import ConfigError
from rtspikes.priority import give_way
from rtspikes.subscribers.view.access import Access
from rtspikes.subscribers.view.scene import Scene
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.security import is_loopback
from rtspikes.wire.settings import DEFAULT_ENDPOINT

if TYPE_CHECKING:
    from rtspikes.subscribers.view.commander import Commander
    from rtspikes.subscribers.view.live import LiveScene

PORT, PORTS_TRIED = 8765, 10

LAST_LOOK_S = 0.5
"""How long the pages of a child are still served once the run is over, so that they hear of it."""

END_S = 2.0
"""How long a child that is told to end waits for the run's `end`."""


class EngineOrSession(click.ParamType):  # type: ignore[type-arg]
    """The address of an engine, or a session's folder."""

    name = "engine or session"
    _endpoint, _session = Endpoint(), PathTo(sessions)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str | Path:
        """Return the address as text, or the folder as a path; fail when it is neither."""
        if isinstance(value, Path):
            return value
        if re.match(r"[a-z]+://", str(value)):
            return self._endpoint.convert(value, param, ctx)
        return self._session.convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the usual address, and sessions."""
        offered = (kind.shell_complete(ctx, param, incomplete) for kind in (self._endpoint, self._session))
        return [item for items in offered for item in items]


@examples(
    f"rtspikes view {DEFAULT_ENDPOINT}",
    "rtspikes view session1.rtspikes --no-browser",
)
@click.command()
@click.argument("target", type=EngineOrSession(), default=DEFAULT_ENDPOINT, metavar="[ENDPOINT|SESSION]")
@click.option(
    "--port", type=Number(whole=True), metavar="N",
    help=f"Port of the page; 0: any free one [default: {PORT}, or one of the next when it is taken].",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Serve others, too: they need the token.")
@click.option("--token", metavar="TEXT", help="What others must know [default: a new one, in the printed address].")
@click.option("--read-only", is_flag=True, help="Let pages look, but neither mark nor change anything.")
@click.option("--no-browser", is_flag=True, help="Only print the page's address.")
@KEY
@click.option("--child", is_flag=True, hidden=True)
def view(
    target: str | Path,
    port: int | None,
    host: str,
    token: str | None,
    read_only: bool,
    no_browser: bool,
    key_file: Path | None,
    child: bool,
) -> None:
    """Show the array at work in the browser, or a finished session with a slider for the time.

    Works offline. The rig may be elsewhere: run this beside it and look through a tunnel (ssh -L 8765:127.0.0.1:8765
    RIG), or here with the engine's address and --key. It follows the engine's restarts until Ctrl-C.
    """
    if port is not None and port > 65535:
        raise ConfigError(f"--port must be 0 … 65535, got {port}")
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]{8,200}", token):
        raise ConfigError("--token must have 8 … 200 letters, digits or ._~-, for it is part of an address")
    give_way()  # a rig's computer has better to do than to draw
    ports = range(PORT, PORT + PORTS_TRIED) if port is None else range(port, port + 1)
    stopped = threading.Event()
    key = _of_parent(stopped) if child else client_key(key_file)
    if token is None and (key is not None or not is_loopback(host)):
        token = secrets.token_urlsafe(18)

    def ready(bound: int) -> None:
        address = page_address(host, bound, token)
        click.echo(f"view on {address}", err=True)
        if not no_browser and has_browser():
            webbrowser.open(address)

    from rtspikes.subscribers.view.server import PageServer

    with ExitStack() as running:
        stop = stopped.is_set
        if isinstance(target, str):
            scene, commander = _live(running, target, key, read_only)
            if child:
                stop = _LastLook(stopped, lambda: scene.over)
            server = PageServer(scene, Access(token, host), commander)
        else:
            server = PageServer(_finished(target), Access(token, host))
        if child:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            running.enter_context(interrupts(stopped.set))
        asyncio.run(server.run(host, ports, stop, ready))


def _live(
    running: ExitStack, endpoint: str, key: ClientKey | None, read_only: bool
) -> tuple[LiveScene, Commander | None]:
    """Begin to follow an engine; return what there is to see, and who asks it for changes."""
    from rtspikes.subscribers.view.commander import Commander
    from rtspikes.subscribers.view.feed import Feed
    from rtspikes.subscribers.view.live import LiveScene
    from rtspikes.subscribers.view.trace_feed import TraceFeed

    scene = LiveScene(endpoint, read_only)
    running.enter_context(Feed(scene, key))
    running.enter_context(TraceFeed(scene, key))
    return scene, None if read_only else running.enter_context(Commander(endpoint, key))


def _finished(folder: Path) -> Scene:
    """Return a session log to look at."""
    from rtspikes.subscribers.log.reader import read_session
    from rtspikes.subscribers.view.session import SessionScene

    with said_if_slow(f"reading {folder}"):
        return SessionScene(read_session(folder, verify=False))


def page_address(host: str, port: int, token: str | None) -> str:
    """Return where a browser finds the page; others need this computer's name instead of "all addresses"."""
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + ("" if token is None else f"#token={token}")


def has_browser() -> bool:
    """Tell whether there is a screen for a browser: over ssh there is none, and a text browser would not do."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _of_parent(stopped: threading.Event) -> ClientKey | None:
    """Return the key that the parent hands on in a line; set `stopped` once it is gone, or wants the end."""
    line = sys.stdin.readline().strip()

    def wait() -> None:
        while sys.stdin.read(1024):
            pass
        stopped.set()

    threading.Thread(target=wait, name="rtspikes-view-parent", daemon=True).start()
    text = json.loads(line or '""')
    return ClientKey.from_text(text) if text else None


class _LastLook:
    """Tells when a child ends: soon after it was told to, once its pages know that the run is over."""

    def __init__(self, stopped: threading.Event, over: Callable[[], bool]) -> None:
        self._stopped, self._over = stopped, over
        self._end_s = math.inf

    def __call__(self) -> bool:
        """Return whether it is time to end."""
        now_s = time.monotonic()
        if self._stopped.is_set() and self._end_s == math.inf:
            self._end_s = now_s + END_S
        if self._stopped.is_set() and self._over():
            self._end_s = min(self._end_s, now_s + LAST_LOOK_S)
        return now_s >= self._end_s
