"""Child processes of a run: they ignore Ctrl-C, stop on `end`, and their death is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from rtspikes.errors import DataError, TransportError

WINDOWS_NEW_GROUP = 0x200
"""CREATE_NEW_PROCESS_GROUP, which `subprocess` has on Windows only."""

PATIENCE_S = 15.0
"""How long a logger may take to close its files after the last message."""


class LogChild:
    """`rtspikes log` in a process of its own, so that a slow disk cannot slow detection."""

    def __init__(self, endpoint: str, path: Path) -> None:
        own_group: dict[str, Any] = (
            {"creationflags": WINDOWS_NEW_GROUP} if sys.platform == "win32" else {"start_new_session": True}
        )
        command = [sys.executable, "-m", "rtspikes", "log", endpoint, str(path), "--child"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **own_group)
        self._told = False

    def check_alive(self) -> None:
        """Raise DataError when the logger ended before the run began; it has said why itself."""
        if self._process.poll() is not None:
            raise DataError(f"the logger ended before the run began (exit code {self._process.returncode})")

    def tell_if_dead(self) -> None:
        """Say once, on stderr, that nothing is logged any more."""
        if not self._told and self._process.poll() is not None:
            self._told = True
            click.echo(
                f"rtspikes: THE LOGGER ENDED (exit code {self._process.returncode}); the run goes on, but is no longer "
                f"logged",
                err=True,
            )

    def finish(self, linger_s: float) -> int:
        """Wait for the logger after the engine's end; return its exit code. Raise TransportError when it hangs."""
        try:
            code = self._process.wait(linger_s + PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise TransportError(
                f"the logger did not end within {linger_s + PATIENCE_S:g} s after the run; "
                f"its log ends at its last flush"
            ) from None
        return code if code >= 0 else DataError.exit_code

    def kill(self) -> None:
        """End the logger if it still runs: it closes its log when asked, and is killed when it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
