"""The engine's side of the reply process: starts it, watches it, starts it again, and hands requests through.

Threads, beside the caller's: `attending` reads what the process says, and starts another when it has died; `telling`
writes to it, so that a process that hangs keeps nobody waiting. Both queues are bounded: control requests beyond
MOST_COMMANDS are answered `busy`; answers that nobody takes are dropped and counted.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtspikes.errors import TransportError, WireError
from rtspikes.processes import start_module
from rtspikes.wire.history import HistoryWriter, size_for
from rtspikes.wire.keys import Right
from rtspikes.wire.pipes import pack_map, read_frame, unpack
from rtspikes.wire.security import check_endpoint
from rtspikes.wire.settings import HistorySettings, PublishSettings, ReplySettings
from rtspikes.wire.shared import SharedMemory

START_S = 30.0
"""How long the process may take to come up."""

BACK_OFF_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before it is started again after its first, second, … death in a row."""

LIVED_S = 30.0
"""A process that lived longer than this begins a new row."""

SILENCE_S = 10.0
"""A process that says nothing for so long, though it reports each second, hangs and is ended."""

ENDING_S = 2.0
"""How long it may take to end by itself."""

MOST_COMMANDS = 64
MOST_TOLD = 256
MOST_CLIENTS = 4000
"""Subscribers whose missed counts are kept apart."""


ENDED = {"ok": False, "error": "ended", "text": "the run has ended"}


@dataclass(frozen=True, slots=True)
class Command:
    """A control request: its map, who asked, and the ticket under which it is to be answered."""

    ticket: int
    by: str
    entries: dict[str, Any]


def beside(publisher: str) -> str:
    """Return where to answer requests by default: any free port of the publisher's host, or a file beside its own."""
    if publisher.startswith("ipc://"):
        return f"{publisher}.reply"
    return f"{publisher.rpartition(':')[0]}:0"


class ReplyService:
    """Keeps a reply process running beside the engine, with the history in memory that both map."""

    def __init__(
        self,
        publish: PublishSettings,
        history: HistorySettings,
        reply: ReplySettings,
        session: str,
        topics: Sequence[str],
        own: Mapping[bytes, tuple[str, Right]],
        failed: Callable[[BaseException], None],
    ) -> None:
        """topics: by their number in the history. own: public keys of the engine's children, with name and right.

        failed: told when one of the threads ends with an error.
        """
        size = size_for(history.max_mib)
        self._memory = SharedMemory.make(size)
        self.history = HistoryWriter(self._memory.map, history.seconds)
        self._setup: dict[str, Any] = {
            "memory": self._memory.token,
            "memory_bytes": size,
            "memory_more": int(reply.memory_mib * 2**20),
            "session": session,
            "topics": list(topics),
            "keys": publish.keys,
            "own": [[key, name, right.value] for key, (name, right) in own.items()],
        }
        if reply.endpoint is not None:
            check_endpoint("reply.endpoint", reply.endpoint, publish.keys is not None, publish.insecure)
        self._failed = failed
        self._fixed = reply.endpoint
        self._wanted = self._again = ""
        self.endpoint = ""
        self.restarts = self.dropped = 0
        self.memory_is_limited = False
        self.commands: queue.Queue[Command] = queue.Queue(MOST_COMMANDS)
        self._told: queue.Queue[bytes | None] = queue.Queue(MOST_TOLD)
        self._info = b""
        self._summary: dict[str, Any] = {}
        self._missed: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._heard_s = 0.0
        self._trouble = ""
        self._bound, self._ended, self._closing = (threading.Event() for _ in range(3))
        self._starting = threading.Lock()  # held to start a process, so that `close` misses none
        self._threads = [
            threading.Thread(target=self._run, args=(target,), name=f"rtspikes-{name}", daemon=True)
            for name, target in (("attending", self._attend), ("telling", self._tell))
        ]

    def start(self, publisher: str) -> None:
        """Start the process, beside the publisher's address; `wait_bound` returns once it can be asked."""
        self._wanted = self._again = self._fixed or beside(publisher)
        for thread in self._threads:
            thread.start()

    def wait_bound(self) -> str:
        """Return the address that it answers at; raise TransportError when it does not come up."""
        deadline_s = time.monotonic() + START_S
        while not self._bound.wait(0.05):
            if (self._fixed and self._trouble) or time.monotonic() > deadline_s or self._closing.is_set():
                raise TransportError(
                    f"cannot answer requests at {self._wanted}: {self._trouble or 'the process does not come up'}; "
                    f"choose another address with reply.endpoint"
                )
        return self.endpoint

    def set_info(self, info: bytes) -> None:
        """Set the `info` map that it hands out."""
        self._info = info
        self._put(pack_map({"info": info}))

    def settle(self, command: Command, outcome: dict[str, Any]) -> None:
        """Answer a control request: `ok` and what came of it, or `ok` = False, `error` and `text`."""
        self._put(pack_map({"ticket": command.ticket, "outcome": outcome}))

    def end_commands(self) -> None:
        """Refuse the control requests that wait and those that will come: the run has ended."""
        self._ended.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self.settle(self.commands.get_nowait(), ENDED)

    def _put(self, frame: bytes) -> None:
        try:
            self._told.put_nowait(frame)
        except queue.Full:
            self.dropped += 1

    def status(self) -> dict[str, Any]:
        """Return how it goes, for `status`."""
        summary = self._summary
        return {
            "alive": self._bound.is_set(),
            "restarts": self.restarts,
            "memory_is_limited": self.memory_is_limited,
            "dropped": self.dropped,
            **{key: summary.get(key, 0) for key in ("requests", "bad_requests", "holding")},
            "connections": summary.get("connections", {}),
        }

    @property
    def missed_by_subscribers(self) -> int:
        """Messages that subscribers said they missed, over all of them."""
        return sum(self._missed.values())

    def close(self, linger_s: float) -> None:
        """End the process once nobody holds the history any more, after `linger_s` at the latest."""
        deadline_s = time.monotonic() + linger_s
        while self._summary.get("holding") and self._bound.is_set() and time.monotonic() < deadline_s:
            self._closing.wait(0.02)
        with self._starting:
            self._closing.set()
        with contextlib.suppress(queue.Full):  # it takes nothing, and will be killed
            self._told.put_nowait(None)
        if self._threads[0].ident is not None:
            self._threads[0].join(ENDING_S)
            if self._threads[0].is_alive() and self._process is not None:
                self._process.kill()
            for thread in self._threads:
                thread.join()
        self._memory.close()

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:
            self._failed(error)

    # attending thread

    def _attend(self) -> None:
        """Keep a process running until `close`."""
        deaths = 0
        while not self._closing.wait(BACK_OFF_S[min(deaths, len(BACK_OFF_S) - 1)]):
            begun_s = time.monotonic()
            with self._starting:
                if self._closing.is_set():
                    return
                process = self._start()
            code = self._listen(process)
            self._bound.clear()
            if self._closing.is_set():
                return
            self._trouble = self._trouble or f"it ended with code {code}"
            self.restarts += 1
            deaths = 0 if time.monotonic() - begun_s > LIVED_S else deaths + 1

    def _start(self) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = start_module("rtspikes.wire.reply_process", pass_fds=self._memory.inherited, **pipes)
        self._heard_s = time.monotonic()
        self._process = process
        return process

    def _listen(self, process: subprocess.Popen[bytes]) -> int:
        """Take in what a process says until its end; return its exit code."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(pack_map({**self._setup, "endpoint": self._again}) + pack_map({"info": self._info}))
            process.stdin.flush()
            self._trouble = ""
            while (frame := read_frame(process.stdout)) is not None:
                self._take(unpack(frame))
        except (OSError, WireError) as error:
            self._trouble = str(error)
        process.kill()  # after its end, and where it does not keep to the form
        with contextlib.suppress(OSError):  # what was still to be written to it
            process.stdin.close()
        process.stdout.close()
        return process.wait()

    def _take(self, said: dict[str, Any]) -> None:
        self._heard_s = time.monotonic()
        if "summary" in said:
            self._summary = said["summary"]
            self._note_missed(self._summary.get("missed", {}))
        elif "ticket" in said:
            command = Command(said["ticket"], said["by"], said["command"])
            try:
                self.commands.put_nowait(command)
            except queue.Full:
                self.settle(command, {"ok": False, "error": "busy", "text": "too many control requests; ask again"})
            if self._ended.is_set():
                self.end_commands()
        elif "bound" in said:
            self.memory_is_limited = said["memory_is_limited"]
            self.endpoint = self._again = said["bound"]
            self._bound.set()
        else:
            self._trouble = str(said.get("failed"))
            self._again = self._wanted

    def _note_missed(self, missed: Mapping[str, int]) -> None:
        """Keep the highest count that each subscriber reported, over restarts of the process."""
        for client, count in missed.items():
            if client in self._missed or len(self._missed) < MOST_CLIENTS:
                self._missed[client] = max(self._missed.get(client, 0), count)

    # telling thread

    def _tell(self) -> None:
        """Write to the process what is to be said, and end one that has fallen silent."""
        while True:
            try:
                frame = self._told.get(timeout=SILENCE_S / 4)
            except queue.Empty:
                frame = b""
            process = self._process
            if process is not None and process.stdin is not None:
                self._write(process, frame)
            if frame is None:
                return

    def _write(self, process: subprocess.Popen[bytes], frame: bytes | None) -> None:
        assert process.stdin is not None
        try:
            if frame is None:
                process.stdin.close()
            elif frame:
                process.stdin.write(frame)
                process.stdin.flush()
            elif time.monotonic() - self._heard_s > SILENCE_S:
                process.kill()
        except (OSError, ValueError):  # it has just died, and its pipe is closed
            self.dropped += 1
