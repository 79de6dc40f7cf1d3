"""Writes a session log from a subscriber's batches."""

from __future__ import annotations

import json
import os
import platform
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError, DataError, reason
from rtspikes.subscribers.log.layout import (
    COMMIT_FILE,
    FILES,
    FORMAT,
    JOURNAL_DTYPE,
    JOURNAL_FILE,
    SESSION_FILE,
    SUFFIX,
)
from rtspikes.subscribers.plain import plain
from rtspikes.types import THRESHOLD_DTYPE
from rtspikes.version import __version__
from rtspikes.wire.batch import Batch

LOGGED_KINDS = ("spikes", "rejected", "gaps", "thresholds", "notices", "marks", "unobserved")

FLUSH_S = 0.5
"""How much of the newest data a kill can cost (s)."""

SYNC_S = 5.0
"""How much a power cut can cost (s)."""

FLUSH_BYTES = 4 * 1024 * 1024
"""Data waiting in memory at most."""


def session_path(path: Path) -> Path:
    """Return the session's folder for what a person typed: with its suffix. Raise ConfigError when it has no name."""
    if not path.name:
        raise ConfigError(f"the log needs a name for its folder, got {str(path)!r}; say for example session1")
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def check_free(path: Path) -> None:
    """Raise ConfigError when the session's folder exists (a log is never overwritten) or cannot be made."""
    try:
        parent = next((p for p in path.absolute().parents if p.exists()), None)
        taken = path.exists()
    except OSError as error:
        raise ConfigError(f"the log {path} cannot be made: {reason(error)}; choose another path") from None
    if parent is None or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ConfigError(
            f"the log {path} cannot be made: {parent or path.anchor} is not a folder that can be written to; "
            f"choose another path"
        )
    if taken:
        raise ConfigError(f"the log {path} exists, and a session is never overwritten; choose another path")


class LogWriter:
    """One session's folder, open for appending. Not thread-safe; raises DataError when the disk refuses."""

    def __init__(self, path: Path, info: dict[str, Any], clock: Clock, follows: Path | None = None) -> None:
        """Make the folder; `follows`: that of the session before it in the same run."""
        check_free(path)
        self.path = path
        self._clock = clock
        self.spikes = 0
        self.missed = 0
        self.to_sample = int(info["first_sample"])
        self.session = str(info["session"])
        self.part = int(info.get("part", 1))
        self._broken = False
        self._buffers: list[list[bytes]] = [[] for _ in FILES]
        self._buffered = 0
        self._offsets = [0] * len(FILES)
        self._flushed_s = self._synced_s = clock.now()
        self._facts: dict[str, Any] = {
            "format": FORMAT,
            "written_by": {"rtspikes": __version__, "python": platform.python_version(), "numpy": np.__version__},
            "host": {"name": platform.node(), "system": platform.platform(), "byte_order": sys.byteorder},
            "clocks": [self._clock_pair()],
            "ended": None,
            "part": self.part,
            "follows": None if follows is None else follows.name,
            "info": info,
        }
        self._facts_stale = False
        self._files: list[BinaryIO] = []
        try:
            path.mkdir(parents=True)
            self._write_facts()
            self._files = [open(path / name, "xb", buffering=0) for name in (*FILES, JOURNAL_FILE)]  # noqa: SIM115
        except OSError as error:
            raise DataError(f"the log {path} cannot be made: {reason(error)}; choose another path") from None

    def _refused(self, error: OSError) -> DataError:
        self._broken = (
            True  # a part of a flush may be on disk: the journal does not vouch for it, nothing may follow it
        )
        return DataError(
            f"cannot write the log {self.path}: {reason(error)}; it is complete up to sample {self._safe_sample()}; "
            f"free space there, or choose another path"
        )

    def _safe_sample(self) -> int:
        return int(self._facts.get("to_sample", self._facts["info"]["first_sample"]))

    def _clock_pair(self) -> dict[str, Any]:
        return {"lsl_s": self._clock.now(), "utc": datetime.now(UTC).isoformat()}

    def _write_facts(self) -> None:
        """Replace session.json in one step, so that a kill leaves the old or the new one."""
        new = self.path / (SESSION_FILE + ".new")
        new.write_text(json.dumps(plain(self._facts), indent=1, ensure_ascii=False), "utf-8")
        os.replace(new, self.path / SESSION_FILE)

    def add(self, batch: Batch) -> None:
        """Take in one batch; it is on disk after the next flush."""
        for missed in batch.missed:
            self.missed += missed.count
            self._note({"cause": "missed", "kind": missed.kind, "first_seq": missed.first_seq, "count": missed.count,
                        "from_sample": missed.from_sample, "to_sample": missed.to_sample})  # fmt: skip
        if batch.kind == "spikes":
            self._append("spikes.bin", batch.spikes.tobytes())
            self._append("waveforms.bin", batch.waveforms.tobytes())
            self._append("flags.bin", batch.flags.tobytes())
            self._append("neighbours.bin", batch.neighbours.tobytes())
            self.spikes += len(batch.spikes)
            if "from_sample" not in self._facts:
                self._facts["from_sample"], self._facts_stale = batch.from_sample, True
            self.to_sample = batch.to_sample
        elif batch.kind == "rejected":
            self._append("rejected.bin", batch.rejected.tobytes())
        elif batch.kind == "unobserved":
            self._append("unobserved.bin", batch.unobserved.tobytes())
        elif batch.kind == "gaps":
            self._append("gaps.bin", batch.gaps.tobytes())
        elif batch.kind == "thresholds" and batch.thresholds is not None:
            levels = batch.thresholds
            records = np.zeros(len(levels), THRESHOLD_DTYPE)
            records["sample"] = batch.fields["sample"]
            records["channel"] = batch.fields["first_channel"] + np.arange(len(levels))
            for name in ("sigma_uv", "negative_uv", "positive_uv"):
                records[name] = levels[name]
            self._append("thresholds.bin", records.tobytes())
        elif batch.kind == "marks":
            self._append("marks.bin", batch.marks.tobytes())
            self._append("marks.txt", "".join(f"{json.dumps(t, ensure_ascii=False)}\n" for t in batch.texts).encode())
        elif batch.kind == "notices":
            self._note({k: v for k, v in batch.fields.items() if k not in ("v", "session", "seq")})

    def _note(self, note: dict[str, Any]) -> None:
        self._append("notices.jsonl", (json.dumps(plain(note), ensure_ascii=False) + "\n").encode())

    def _append(self, name: str, data: bytes) -> None:
        if data:
            self._buffers[FILES.index(name)].append(data)
            self._buffered += len(data)

    def tick(self) -> None:
        """Flush when it is time to."""
        if self._buffered >= FLUSH_BYTES or self._clock.now() - self._flushed_s >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Append what is waiting, then the journal's records for it."""
        now = self._clock.now()
        journal = []
        try:
            if self._facts_stale:
                self._write_facts()
                self._facts_stale = False
            for i in range(len(FILES) - 1, -1, -1):
                data = b"".join(self._buffers[i])
                if data or i == COMMIT_FILE:
                    self._write(i, data)
                    journal.append(self._record(i, data, now))
                    self._offsets[i] += len(data)
                    self._buffers[i].clear()
            self._write(len(FILES), b"".join(journal))
            if now - self._synced_s >= SYNC_S:
                for file in self._files:
                    os.fsync(file.fileno())
                self._synced_s = now
        except OSError as error:
            raise self._refused(error) from None
        self._facts["to_sample"] = self.to_sample
        self._buffered, self._flushed_s = 0, now

    def _write(self, file: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._files[file].write(view) :]

    def _record(self, file: int, data: bytes, now: float) -> bytes:
        record = np.zeros(1, JOURNAL_DTYPE)
        record[0] = (file, zlib.crc32(data), self._offsets[file], len(data), self.to_sample, now, 0)
        body = record.tobytes()[:-4]
        return body + zlib.crc32(body).to_bytes(4, "little")

    def close(self, how: str, end: dict[str, Any] | None = None, malformed: int = 0) -> None:
        """Flush, and write into session.json how the session ended and what it counted."""
        try:
            if self._broken:
                return
            self.flush()
            self._facts["clocks"].append(self._clock_pair())
            self._facts["ended"] = {
                "how": how,
                "spikes": self.spikes,
                "missed_messages": self.missed,
                "malformed_messages": malformed,
                "engine": None
                if end is None
                else {k: end[k] for k in ("reason", "counts", "to_sample", "took_s") if k in end},
            }
            self._write_facts()
            for file in self._files:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._refused(error) from None
        finally:
            for file in self._files:
                file.close()
