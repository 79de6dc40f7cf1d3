"""An engine in a process of its own, started by a command that shows what it does."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from types import TracebackType
from typing import Self

import click

from rtspikes.cli.children import start_rtspikes
from rtspikes.errors import RtspikesError, TransportError

PATIENCE_S = 15.0
"""How long an engine may take to end once its stream has ended or it was asked to."""

START_S = 180.0
"""How long it may take to start, the first compilation on a slow computer included."""

PUBLISHING = "publishing on "
COMPILING = "compiling"
UNLOGGED = "rtspikes: THE LOGGER ENDED"


class EngineFailed(RtspikesError):
    """The engine ended with an error, which it has worded itself."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class BackgroundEngine:
    """`rtspikes run ARGUMENTS --wait-subscribers 1` beside this process; ended when the block ends."""

    def __init__(self, *arguments: str) -> None:
        fixed = ("--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1")
        self._process = start_rtspikes("run", *arguments, *fixed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._said: deque[str] = deque(maxlen=20)
        self._endpoint = ""
        self._heard = threading.Event()
        self._reader = threading.Thread(target=self._read, name="rtspikes-background-engine", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Take in what the engine says until it ends (in a thread of its own)."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.strip()
            self._said.append(text)
            if text.startswith((COMPILING, UNLOGGED)):
                click.echo(text, err=True)
            if text.startswith(PUBLISHING):
                self._endpoint = text.removeprefix(PUBLISHING)
                self._heard.set()
        self._heard.set()

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End the engine if it still runs."""
        self.stop()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE_S)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def endpoint(self) -> str:
        """Return the address that it publishes on; raise EngineFailed when it ended before."""
        if not self._heard.wait(START_S):
            raise TransportError(f"the engine did not start within {START_S:g} s; try: rtspikes doctor")
        if not self._endpoint:
            self.check()
            raise EngineFailed("the engine ended before it began", 1)
        return self._endpoint

    def stop(self) -> None:
        """Ask it to drain and end."""
        if self._process.poll() is None:
            self._process.terminate()

    def check(self) -> None:
        """Wait for its end; raise EngineFailed with its own words when that was an error."""
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise TransportError(f"the engine did not end within {PATIENCE_S:g} s after its stream") from None
        self._reader.join(PATIENCE_S)
        if code and any(x.startswith(UNLOGGED) for x in self._said):
            raise EngineFailed("the log is not complete: its logger ended before the run did", code if code > 0 else 1)
        if code:
            told = next((x for x in reversed(self._said) if x.startswith("rtspikes: ")), f"it ended with code {code}")
            raise EngineFailed(told.removeprefix("rtspikes: "), code if code > 0 else 1)
