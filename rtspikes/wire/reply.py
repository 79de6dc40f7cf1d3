"""The engine's side of the reply process: starts it, watches it, starts it again, and hands requests through.

Threads, beside the caller's: `attending` reads what the process says, and starts another when it has died; `telling`
writes to it, so that one that hangs keeps nobody waiting; `watching` ends one that has fallen silent. Both queues are
bounded: control requests beyond MOST_COMMANDS are answered `busy`; answers that nobody takes are dropped and counted.
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

from rtspikes.errors import TransportError, WireError, reason
from rtspikes.processes import start_module
from rtspikes.wire.answers import HOLD_S
from rtspikes.wire.history import MOST_SESSIONS, HistoryWriter, size_for
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

SILENCE_S = 4.0
"""A process that says nothing for so long, though it reports each second, hangs and is ended."""

ENDING_S = 2.0
"""How long it may take to end by itself."""

FRESH_S = 1.0
"""How long the process may take to say who still holds the history."""

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


def _about(session: str, info: bytes) -> bytes:
    return pack_map({"session": session, "info": info})


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
        """session: the first, whose messages the history gets. topics: by their number in it.

        own: public keys of the engine's children, with name and right. failed: told when one of the threads ends with
        an error.
        """
        if reply.endpoint is not None:
            check_endpoint("reply.endpoint", reply.endpoint, publish.keys is not None, publish.insecure)
        self._publish = publish
        size = size_for(history.max_mib)
        self._memory = SharedMemory.make(size)
        self.history = HistoryWriter(self._memory.map, history.seconds)
        self.history.begin_session(session)
        self._setup: dict[str, Any] = {
            "memory": self._memory.token,
            "memory_bytes": size,
            "memory_more": int(reply.memory_mib * 2**20),
            "topics": list(topics),
            "keys": publish.keys,
            "own": [[key, name, right.value] for key, (name, right) in own.items()],
        }
        self._failed = failed
        self._fixed = reply.endpoint
        self._wanted = self._again = ""
        self.endpoint = ""
        self.restarts = self.dropped = 0
        self.memory_is_limited = False
        self.commands: queue.Queue[Command] = queue.Queue(MOST_COMMANDS)
        self._told: queue.Queue[bytes | None] = queue.Queue(MOST_TOLD)
        self._infos: dict[str, bytes] = {}  # replaced, never changed: by session, the newest last
        self._summary: dict[str, Any] = {}
        self._missed: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._told_process: subprocess.Popen[bytes] | None = None  # takes what is told: it has had its setup
        self._heard_s = self._summary_s = self._bound_s = self._held_s = 0.0
        self._was_held = False
        self.trouble = ""
        """Why the last process ended, or could not start."""
        self._bound, self._ended, self._closing = (threading.Event() for _ in range(3))
        self._starting = threading.Lock()  # held to start a process, so that `close` misses none
        self._threads = [
            threading.Thread(target=self._run, args=(target,), name=f"rtspikes-{name}", daemon=True)
            for name, target in (("attending", self._attend), ("telling", self._tell), ("watching", self._watch))
        ]

    def start(self, publisher: str) -> None:
        """Start the process, beside the publisher's address; `wait_bound` returns once it can be asked."""
        self._wanted = self._again = self._fixed or beside(publisher)
        publish = self._publish
        security = check_endpoint("reply.endpoint", self._wanted, publish.keys is not None, publish.insecure)
        self._setup["local"] = security == "local"
        for thread in self._threads:
            thread.start()

    def wait_bound(self) -> str:
        """Return the address that it answers at; raise TransportError when it does not come up."""
        deadline_s = time.monotonic() + START_S
        while not self._bound.wait(0.05):
            if (self._fixed and self.trouble) or time.monotonic() > deadline_s or self._closing.is_set():
                raise TransportError(
                    f"cannot answer requests at {self._wanted}: {self.trouble or 'the process does not come up'}; "
                    f"choose another address with reply.endpoint"
                )
        return self.endpoint

    def set_info(self, info: bytes, session: str = "") -> None:
        """Set the `info` map of a session, which it hands out with those of the sessions before."""
        others = [(name, its) for name, its in self._infos.items() if name != session]
        self._infos = dict([*others[1 - MOST_SESSIONS :], (session, info)])
        self._put(_about(session, info))

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
            "trouble": self.trouble,
            "memory_is_limited": self.memory_is_limited,
            "dropped": self.dropped,
            **{key: summary.get(key, 0) for key in ("requests", "bad_requests", "holding")},
            "connections": summary.get("connections", {}),
        }

    @property
    def missed_by_subscribers(self) -> int:
        """Messages that subscribers said they missed, over all of them."""
        return min(sum(self._missed.values()), 2**62)

    def close(self, linger_s: float) -> None:
        """End the process once nobody holds the history any more, after `linger_s` at the latest."""
        if self._closing.is_set():
            return
        begun_s = time.monotonic()
        self._put(pack_map({"report": 1}))
        while time.monotonic() < begun_s + linger_s and self._is_needed(begun_s):
            self._closing.wait(0.01)
        with self._starting:
            self._closing.set()
        with contextlib.suppress(queue.Full):  # `telling` looks at `_closing`, too
            self._told.put_nowait(None)
        if self._threads[0].ident is not None:
            self._threads[0].join(ENDING_S)
            if self._threads[0].is_alive() and self._process is not None:
                self._process.kill()
            for thread in self._threads:
                thread.join()
        self.history.close()
        self._memory.close()

    def _is_needed(self, since_s: float) -> bool:
        """Tell whether somebody holds the history, or may: nobody can say so while the process is down."""
        if not self._bound.is_set():
            return self._was_held
        now = time.monotonic()
        if self._was_held and now - self._bound_s < HOLD_S and self._bound_s > self._held_s:
            return True  # it was replaced, and who holds repeats that within this time
        if self._summary_s <= since_s:
            return now - since_s < FRESH_S
        return bool(self._summary.get("holding"))

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
            try:
                with self._starting:
                    if self._closing.is_set():
                        return
                    process = self._start()
                self._listen(process)
            except OSError as error:  # the system has no process or pipe for it at the moment
                self.trouble = f"it cannot be started: {reason(error)}"
            self._bound.clear()
            if self._closing.is_set():
                return
            self.restarts += 1
            deaths = 0 if time.monotonic() - begun_s > LIVED_S else deaths + 1

    def _start(self) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = start_module("rtspikes.wire.reply_process", pass_fds=self._memory.inherited, **pipes)
        self._heard_s = time.monotonic()
        self._process = process
        return process

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Take in what a process says until its end."""
        assert process.stdin is not None
        assert process.stdout is not None
        trouble = ""
        try:
            process.stdin.write(pack_map({**self._setup, "endpoint": self._again}))
            for session, info in self._infos.items():
                process.stdin.write(_about(session, info))
            process.stdin.flush()
            self._told_process = process
            while (frame := read_frame(process.stdout)) is not None:
                trouble = self._take(unpack(frame)) or trouble
        except (OSError, ValueError, KeyError, TypeError, WireError) as error:
            trouble = f"{type(error).__name__}: {error}"  # it does not keep to the form, or died meanwhile
        self._told_process = None
        process.kill()
        with contextlib.suppress(OSError):  # what was still to be written to it
            process.stdin.close()
        process.stdout.close()
        code = process.wait()
        self.trouble = trouble or f"it ended with code {code}"

    def _take(self, said: dict[str, Any]) -> str:
        """Take in one thing that the process says; return why it cannot serve, if that is what it says."""
        self._heard_s = time.monotonic()
        if "summary" in said:
            self._summary, self._summary_s = said["summary"], self._heard_s
            if said["summary"]["holding"]:
                self._was_held, self._held_s = True, self._heard_s
            self._note_missed(said["summary"]["missed"])
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
            self._bound_s = self._heard_s
            self._bound.set()
        else:
            self._again = self._wanted
            return str(said["failed"])
        return ""

    def _note_missed(self, missed: Mapping[str, int]) -> None:
        """Keep the highest count that each subscriber reported, over restarts of the process."""
        for client, count in missed.items():
            if client in self._missed or len(self._missed) < MOST_CLIENTS:
                self._missed[client] = max(self._missed.get(client, 0), count)

    # telling thread

    def _tell(self) -> None:
        """Write to the process what is to be said, until `close`; then close its stdin, which ends it."""
        while True:
            try:
                frame = self._told.get(timeout=1.0)
            except queue.Empty:
                frame = b""
            process = self._told_process
            ending = frame is None or self._closing.is_set()
            try:
                if process is not None and process.stdin is not None and frame:
                    process.stdin.write(frame)
                    process.stdin.flush()
                elif frame:
                    self.dropped += 1
                if ending and process is not None and process.stdin is not None:
                    process.stdin.close()
            except (OSError, ValueError):  # it has just died, and its pipe is closed
                self.dropped += 1
            if ending:
                return

    # watching thread

    def _watch(self) -> None:
        """End a process that says nothing any more."""
        while not self._closing.wait(SILENCE_S / 4):
            limit_s = SILENCE_S if self._bound.is_set() else START_S
            process = self._process
            if process is not None and time.monotonic() - self._heard_s > limit_s:
                process.kill()
