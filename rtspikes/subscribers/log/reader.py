"""Reads a session log, finished, running, or torn by a crash: what the journal vouches for."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import DataError, reason
from rtspikes.subscribers.log.layout import (
    COMMIT_FILE,
    FILES,
    FORMAT,
    JOURNAL_DTYPE,
    JOURNAL_FILE,
    RECORDS,
    SESSION_FILE,
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session log; the arrays are read-only maps of its files, in the order of the log.

    waveforms: (spikes, samples) float32 µV. to_sample: every spike with a trigger before it is here. torn_bytes: what
    the files hold beyond the last complete flush, left out here.
    """

    path: Path
    info: dict[str, Any]
    facts: dict[str, Any]
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]
    rejected: NDArray[np.void]
    gaps: NDArray[np.void]
    thresholds: NDArray[np.void]
    notices: list[dict[str, Any]]
    to_sample: int
    torn_bytes: int

    @property
    def ended(self) -> str:
        """How the session ended: "end", "stopped", …; "open" when it runs still, or was killed."""
        return str(self.facts["ended"]["how"]) if self.facts.get("ended") else "open"

    def unseen(self) -> list[tuple[int, int]]:
        """Return the stretches [first, end) of absolute samples whose spikes could not come into this log, in order.

        Before the logger was there; gaps, and what the filter needs to settle after them; messages that did not come.
        """
        first, settling = int(self.info["first_sample"]), int(self.info["settling_samples"])
        stretches = [(first, int(self.facts.get("from_sample", first)))]
        for gap in self.gaps:
            start = int(gap["sample"])
            stretches.append((start, start + int(gap["lost"]) + settling))
        for notice in self.notices:
            if notice.get("cause") == "missed" and notice.get("kind") == "spikes":
                start, end = notice["from_sample"], notice["to_sample"]
                stretches.append((first if start is None else start, self.to_sample if end is None else end))
        joined: list[tuple[int, int]] = []
        for start, end in sorted((s, min(e, self.to_sample)) for s, e in stretches):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            elif start < end:
                joined.append((start, end))
        return joined

    @property
    def observed_s(self) -> NDArray[np.float64]:
        """Time (s) in which a spike could have been found and logged, (channels,): divide by it for rates.

        All of the session but what is `unseen`; 0 for channels that are not enabled.
        """
        samples = self.to_sample - self.info["first_sample"] - sum(end - start for start, end in self.unseen())
        return np.where(self.info["enabled"], max(samples, 0) / float(self.info["rate_hz"]), 0.0)

    @property
    def missed(self) -> int:
        """Messages that the logger did not get."""
        return sum(int(n["count"]) for n in self.notices if n.get("cause") == "missed")


def read_session(path: str | Path, verify: bool = True) -> Session:
    """Open a session's folder; raise DataError when it is none, or damaged before its last flush.

    verify: compare every flush with its checksum (reads all bytes once).
    """
    folder = Path(path)
    facts = _facts(folder)
    journal, torn = _journal(folder)
    lengths = [0] * len(FILES)
    for entry in journal:
        if entry["offset"] != lengths[entry["file"]]:
            raise DataError(f"{folder / JOURNAL_FILE}: its entries do not join; the log was changed after the fact")
        lengths[entry["file"]] += int(entry["length"])
    for i, name in enumerate(FILES):
        file = folder / name
        size = file.stat().st_size if file.is_file() else 0
        if size < lengths[i]:
            raise DataError(f"{file}: holds {size} bytes, but the journal says {lengths[i]}; it was cut after the fact")
        torn += size - lengths[i]
    if verify:
        _verify(folder, journal)
    info = facts["info"]
    tables = {name: _map(folder / name, dtype, lengths[FILES.index(name)]) for name, dtype in RECORDS.items()}
    samples = sum(info["snippet_samples"])
    waveforms = _map(folder / "waveforms.bin", np.dtype("<f4"), lengths[FILES.index("waveforms.bin")])
    length = lengths[FILES.index("notices.jsonl")]
    notices = (folder / "notices.jsonl").read_bytes()[:length] if length else b""
    return Session(
        path=folder,
        info=info,
        facts=facts,
        spikes=tables["spikes.bin"],
        waveforms=waveforms.reshape(-1, samples),
        rejected=tables["rejected.bin"],
        gaps=tables["gaps.bin"],
        thresholds=tables["thresholds.bin"],
        notices=[json.loads(line) for line in notices.splitlines()],
        to_sample=int(journal["to_sample"][-1]) if len(journal) else int(info["first_sample"]),
        torn_bytes=torn,
    )


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / SESSION_FILE).read_bytes())
        if (version := facts["format"]) != FORMAT:
            raise DataError(f"{folder}: log format must be {FORMAT}, got {version!r}; read it with a newer rtspikes")
        _check_info(facts["info"])
    except OSError as error:
        raise DataError(f"{folder} is not a session log: {SESSION_FILE}: {reason(error)}") from None
    except (ValueError, KeyError, TypeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{folder / SESSION_FILE} is damaged: {what}") from None
    return dict(facts)


def _check_info(info: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError where what this package computes with is not what an engine writes."""
    before, after = info["snippet_samples"]
    int(before), int(after), int(info["first_sample"])
    if not 0 < float(info["rate_hz"]) < 1e9:
        raise ValueError(f"rate_hz must be > 0, got {info['rate_hz']!r}")
    if not int(info["settling_samples"]) >= 0:
        raise ValueError(f"settling_samples must be ≥ 0, got {info['settling_samples']!r}")
    enabled, labels = info["enabled"], info["channels"]["label"]
    if not isinstance(enabled, list) or len(enabled) != len(labels) or not {*map(type, enabled)} <= {bool}:
        raise ValueError(f"enabled must be a list of true or false for each of {len(labels)} channels")
    if not isinstance(info["source"]["uri"], str):
        raise ValueError(f"source.uri must be text, got {info['source']['uri']!r}")


def _journal(folder: Path) -> tuple[NDArray[np.void], int]:
    """Return the records of the journal's complete flushes, and how many bytes lie behind them."""
    file = folder / JOURNAL_FILE
    data = file.read_bytes() if file.is_file() else b""
    size = JOURNAL_DTYPE.itemsize
    good = 0
    for start in range(0, len(data) - size + 1, size):
        body = data[start : start + size]
        number = int.from_bytes(body[:4], "little")
        if zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little") or number >= len(FILES):
            break
        if number == COMMIT_FILE:
            good = start // size + 1
    return np.frombuffer(data, JOURNAL_DTYPE, good), len(data) - good * size


def _verify(folder: Path, journal: NDArray[np.void]) -> None:
    for i, name in enumerate(FILES):
        entries = journal[(journal["file"] == i) & (journal["length"] > 0)]
        if not len(entries):
            continue
        with open(folder / name, "rb") as file:
            for entry in entries:
                file.seek(int(entry["offset"]))
                if zlib.crc32(file.read(int(entry["length"]))) != entry["crc32"]:
                    raise DataError(
                        f"{folder / name}: bytes {entry['offset']} … {entry['offset'] + entry['length']} do not match "
                        f"their checksum; the log is damaged"
                    )


def _map(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    n = length // dtype.itemsize
    if not n:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", shape=(n,))
