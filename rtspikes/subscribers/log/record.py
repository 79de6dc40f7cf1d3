"""Records an engine run from a subscriber: a log for each of its sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtspikes.clock import Clock
from rtspikes.errors import EngineVanished
from rtspikes.subscribers.log.layout import SUFFIX
from rtspikes.subscribers.log.writer import FLUSH_S, LogWriter
from rtspikes.wire.batch import Batch
from rtspikes.wire.subscribe import Subscriber

LAYOUT_CHANGED, ENGINE_RESTARTED = "another layout", "engine restarted"


def part_path(path: Path, part: int) -> Path:
    """Return the folder of a run's `part`-th session: PATH.rtspikes, PATH-2.rtspikes …; the next one that is free."""
    stem, suffix = (path.stem, path.suffix) if path.suffix == SUFFIX else (path.name, "")
    while part > 1:
        folder = path.with_name(f"{stem}-{part}{suffix}")
        if not folder.exists():
            return folder
        part += 1
    return path


class Recorder:
    """Logs what a subscriber gets; begins another log with each session of the engine run."""

    def __init__(self, path: Path, clock: Clock, begun: Callable[[LogWriter], None] = lambda writer: None) -> None:
        """path: the first session's folder. begun: told of each log once its folder is there."""
        self.logs: list[LogWriter] = []
        self._path = path
        self._clock = clock
        self._begun = begun
        self._run: Any = None
        self._malformed = 0
        self._open: LogWriter | None = None

    def take(self, batch: Batch | None, subscriber: Subscriber) -> bool:
        """Log a batch, or what `info` says; return False when the engine was restarted: that is another run."""
        info = subscriber.info
        if self._open is not None and batch is not None and batch.session == self._open.session:
            self._open.add(batch)
        if info is not None and (self._open is None or info["session"] != self._open.session):
            run = info.get("run", info["session"])
            if self.logs and run != self._run:
                return False
            self._run = run
            self._roll(info, subscriber)
            if self._open is not None and batch is not None and batch.session == self._open.session:
                self._open.add(batch)
        if self._open is not None:
            self._open.tick()
        return True

    def _roll(self, info: dict[str, Any], subscriber: Subscriber) -> None:
        """Close the log of the session before, and begin that of `info`."""
        before = self._open
        self.close(LAYOUT_CHANGED, subscriber)
        path = part_path(self._path, len(self.logs) + 1)
        self._open = LogWriter(path, info, self._clock, None if before is None else before.path)
        self.logs.append(self._open)
        self._begun(self._open)

    def close(self, how: str, subscriber: Subscriber) -> None:
        """Close the log that is open, if one is; `how` its session ended."""
        log, self._open = self._open, None
        if log is not None:
            end = subscriber.end
            ours = end if end is not None and end.get("session") == log.session else None
            before, self._malformed = self._malformed, subscriber.malformed
            log.close(how, ours, self._malformed - before)


def record_session(
    subscriber: Subscriber,
    path: Path,
    clock: Clock,
    stopped: Callable[[], bool] = lambda: False,
    ready: Callable[[LogWriter], None] = lambda writer: None,
) -> list[LogWriter]:
    """Log everything from an entered subscriber until the engine's end, `stopped`, or its death.

    A session with another layout goes to a folder of its own, PATH-2.rtspikes and so on. Calls `ready` with each log
    once its folder is there and all that is published from then on will be logged.

    Returns the closed logs, none when no session was met. Raises EngineVanished after closing the log, DataError when
    the disk refuses.
    """
    recorder = Recorder(path, clock, ready)
    how = "stopped"
    try:
        while not subscriber.ended and not stopped():
            if not recorder.take(subscriber.get(FLUSH_S / 5), subscriber):
                how = ENGINE_RESTARTED
                break
        if subscriber.ended:
            how = "end"
    except EngineVanished:
        how = "engine vanished"
        raise
    finally:
        recorder.close(how, subscriber)
    if how == ENGINE_RESTARTED:
        raise EngineVanished(
            f"the engine was restarted; {recorder.logs[-1].path} holds its run before, and nothing more is logged"
        )
    return recorder.logs
