"""`rtspikes view` beside a run: in a process of its own, so that what the screen shows cannot slow detection."""

from __future__ import annotations

import contextlib
import json
import subprocess
from types import TracebackType
from typing import Self

import click

from rtspikes.cli.children import reachable, start_rtspikes

PATIENCE_S = 6.0
"""How long it may take to end once it is told to."""


class ViewChild:
    """Serves the page of an engine until the block ends; says itself, on stderr, where, or why it cannot."""

    def __init__(self, endpoint: str, key: str | None = None, browser: bool = True) -> None:
        """key: the text of the client key that it needs, handed on where nobody else can read it."""
        self._told = False
        options = [] if browser else ["--no-browser"]
        self._process = start_rtspikes(
            "view", reachable(endpoint), "--child", *options, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it may have ended, and has said why
                self._process.stdin.write(json.dumps(key or "") + "\n")
                self._process.stdin.flush()

    def tell_if_dead(self) -> None:
        """Say once, on stderr, that nothing is shown any more."""
        if not self._told and self._process.poll() is not None:
            self._told = True
            click.echo(
                "rtspikes: the page's server has ended; the run goes on (rtspikes view shows it again)", err=True
            )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Let it tell its pages of the run's end, and end."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
