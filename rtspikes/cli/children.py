"""Child processes of a run: they ignore Ctrl-C, stop on `end`, and their death is told."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path

import click

from rtspikes.errors import DataError, TransportError
from rtspikes.processes import start_module

READY = "logging"
"""What a child logger prints, before the path, once a log is there."""

PATIENCE_S = 15.0
"""How long a logger may take to close its files after the last message."""


def start_rtspikes(
    *arguments: str, stdout: int, stderr: int | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start `rtspikes ARGUMENTS` in a process group of its own, out of Ctrl-C's reach; stderr None: this one's."""
    return start_module(
        "rtspikes", *arguments, stdin=stdin, stdout=stdout, stderr=stderr, encoding="utf-8", errors="replace"
    )


def reachable(endpoint: str) -> str:
    """Return where this computer reaches an endpoint that may be bound to all of its addresses."""
    return endpoint.replace("tcp://0.0.0.0:", "tcp://127.0.0.1:").replace("tcp://[::]:", "tcp://[::1]:")


class LogChild:
    """`rtspikes log` in a process of its own, so that a slow disk cannot slow detection."""

    def __init__(self, endpoint: str, path: Path, debug: bool = False, key: str | None = None) -> None:
        """Start it; `key` is the text of the client key that it needs, handed on where nobody else can read it."""
        keyed = key is not None
        arguments = ["log", reachable(endpoint), str(path), "--child", *["--key", "-"] * keyed, *["--debug"] * debug]
        stdin = subprocess.PIPE if keyed else subprocess.DEVNULL
        self._process = start_rtspikes(*arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if key is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError), self._process.stdin as pipe:  # it may have ended: `check_alive` tells
                pipe.write(key)
        self._told = False
        self._last_words = ""
        self._ready = threading.Event()
        self.paths: list[str] = []
        """The logs that it has begun: one for each session of the run."""
        self._readers = [
            threading.Thread(target=target, name=f"rtspikes-log-child-{target.__name__}", daemon=True)
            for target in (self._read_ready, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def _read_ready(self) -> None:
        """Take in what the logger prints until it ends (in a thread of its own)."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, path = line.rstrip("\n").partition(" ")
            if word == READY:
                self.paths.append(path)
                self._ready.set()

    def _read_errors(self) -> None:
        """Hand on what the logger complains of, the last line excepted: it may be what ends it (in a thread)."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if self._last_words:
                click.echo(self._last_words, err=True)
            self._last_words = line.rstrip()

    def _why(self) -> str:
        """Return why the logger, which has ended, did so."""
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return self._last_words.removeprefix("rtspikes: ") or f"exit code {self._process.returncode}"

    @property
    def ready(self) -> bool:
        """Whether its folder is there, and everything from now on will be logged."""
        return self._ready.is_set()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def check_alive(self) -> None:
        """Raise DataError when the logger ended before the run began."""
        if self._process.poll() is not None:
            raise DataError(f"the logger ended before the run began: {self._why()}")

    def tell_if_dead(self) -> None:
        """Say once, on stderr, that nothing is logged any more."""
        if not self._told and self._process.poll() is not None:
            self._told = True
            click.echo(f"rtspikes: THE LOGGER ENDED: {self._why()}; the run goes on, but is no longer logged", err=True)

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
        why = self._why()
        if not self._told and (code or self._last_words):
            click.echo(f"rtspikes: the logger failed: {why}", err=True)
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
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
