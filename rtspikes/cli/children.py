"""Child processes of a run: they ignore Ctrl-C, stop on `end`, and their death is told."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import click

from rtspikes.errors import DataError, TransportError

WINDOWS_NEW_GROUP = 0x200
"""CREATE_NEW_PROCESS_GROUP, which `subprocess` has on Windows only."""

READY = "logging"
"""What a child logger prints once it is ready."""

PATIENCE_S = 15.0
"""How long a logger may take to close its files after the last message."""


class LogChild:
    """`rtspikes log` in a process of its own, so that a slow disk cannot slow detection."""

    def __init__(self, endpoint: str, path: Path) -> None:
        own_group: dict[str, Any] = (
            {"creationflags": WINDOWS_NEW_GROUP} if sys.platform == "win32" else {"start_new_session": True}
        )
        command = [sys.executable, "-m", "rtspikes", "log", endpoint, str(path), "--child"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **own_group
        )
        self._told = False
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="rtspikes-log-child", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Take in what the logger says until it ends (in a thread of its own)."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == READY:
                self._ready.set()

    @property
    def ready(self) -> bool:
        """Whether its folder is there, and everything from now on will be logged."""
        return self._ready.is_set()

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
        if not self.ready:
            self.kill()
            return 0
        try:
            code = self._process.wait(linger_s + PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise TransportError(
                f"the logger did not end within {linger_s + PATIENCE_S:g} s after the run; "
                f"its log ends at its last flush"
            ) from None
        return code if code >= 0 else DataError.exit_code

    def kill(self) -> None:
        """End the logger if it still runs: asked first, so that it closes its log (Windows: at once), then killed."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(PATIENCE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
