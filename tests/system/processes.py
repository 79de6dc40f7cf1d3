"""Starts the `rtspikes` command in real processes and waits for conditions, never for time."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.patience import LONGEST_STEP_S, Patience

DEADLINE_S = 60.0
"""No condition takes longer than this unless something is broken, even where kernels compile first."""


def command(*args: object) -> list[str]:
    """Return the command line of `rtspikes ARGS`."""
    return [sys.executable, "-m", "rtspikes", *map(str, args)]


WAITS = ("loading the kernels", "waiting for an engine")
"""How lines begin that are said only where the computer is slow."""


def said(lines: Sequence[str]) -> list[str]:
    """Return what a command has said on stderr, without what a slow computer adds."""
    return [line for line in lines if not line.startswith(WAITS)]


def rtspikes(*args: object, cwd: object = None) -> subprocess.CompletedProcess[str]:
    """Run `rtspikes ARGS` to its end."""
    patience = Patience(DEADLINE_S)
    with subprocess.Popen(
        command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=str(cwd) if cwd else None
    ) as process:
        while True:
            try:
                out, err = process.communicate(timeout=LONGEST_STEP_S)
                return subprocess.CompletedProcess(process.args, process.returncode, out, err)
            except subprocess.TimeoutExpired:
                if not patience:
                    process.kill()
                    raise


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return once `condition()` is true; fail, saying `what` did not happen, when it does not become so."""
    patience = Patience(DEADLINE_S)
    while not condition():
        assert patience, f"{what} did not happen"
        time.sleep(0.01)


class Running:
    """An `rtspikes` process whose output is read line by line; killed when the block ends."""

    def __init__(self, *args: object, cwd: object = None) -> None:
        own_group = {} if sys.platform == "win32" else {"start_new_session": True}
        self.process = subprocess.Popen(
            command(*args),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=str(cwd) if cwd else None,
            # The commands flush. Unbuffered, Python drops what a write that SIGCONT cuts short has left.
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
            **own_group,  # type: ignore[call-overload]
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Sequence[str], kept: list[str]) -> None:
        for line in stream:
            kept.append(line.rstrip("\n"))
            self._fresh.put(kept[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def wait_line(self, text: str) -> str:
        """Return the first line, of stdout or stderr, that holds `text`; fail when it does not come."""
        patience = Patience(DEADLINE_S)
        for line in [*self.out, *self.err]:
            if text in line:
                return line
        while patience:
            try:
                line = self._fresh.get(timeout=0.1)
            except queue.Empty:
                if self.process.poll() is not None and self._fresh.empty():
                    break
                continue
            if line is not None and text in line:
                return line
        raise AssertionError(f"{text!r} did not come; stdout {self.out[-5:]}, stderr {self.err[-5:]}")

    def endpoint(self) -> str:
        """Return the address that the engine publishes on."""
        return self.wait_line("publishing on ").rpartition(" ")[2]

    def finish(self) -> int:
        """Wait for the process's own end and return its exit code."""
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(5)
        return code
