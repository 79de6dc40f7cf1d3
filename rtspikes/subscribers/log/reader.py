"""Reads a session log, finished, running, or torn by a crash: what the journal vouches for."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import active
from rtspikes.detect.changes import Change, Mute, Unmute, from_map
from rtspikes.errors import ConfigError, DataError, reason
from rtspikes.selectors import select
from rtspikes.subscribers.log.layout import (
    COMMIT_FILE,
    FILES,
    FORMAT,
    GAPS_BEFORE_2,
    JOURNAL_DTYPE,
    JOURNAL_FILE,
    RECORDS,
    SESSION_FILE,
)
from rtspikes.subscribers.log.observed import Muting, joined, observed_samples
from rtspikes.subscribers.names import reason_name
from rtspikes.types import GAP_DTYPE, ChannelInfo


@dataclass(frozen=True, slots=True)
class Session:
    """A session log; the arrays are read-only maps of its files, in the order of the log.

    waveforms: (spikes, samples) float32 µV. flags: (spikes,) uint8 SpikeFlag. neighbours: (spikes, K) float32 µV at the
    electrodes that `info["neighbours"]` lists for each channel (NaN: it has fewer); K = 0 where not asked for.
    mark_texts: one per row of `marks`. to_sample: every spike with a trigger before it is here. torn_bytes: what the
    files hold beyond the last complete flush, left out here.
    """

    path: Path
    info: dict[str, Any]
    facts: dict[str, Any]
    spikes: NDArray[np.void]
    waveforms: NDArray[np.float32]
    flags: NDArray[np.uint8]
    neighbours: NDArray[np.float32]
    rejected: NDArray[np.void]
    unobserved: NDArray[np.void]
    gaps: NDArray[np.void]
    thresholds: NDArray[np.void]
    marks: NDArray[np.void]
    mark_texts: list[str]
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
        return joined(stretches, first, self.to_sample)

    @property
    def controls(self) -> list[dict[str, Any]]:
        """The notices of what was asked for while the session ran, as they came: `sample`, `change`, `by`, `text`."""
        return [n for n in self.notices if n.get("cause") == "control"]

    @property
    def changes(self) -> list[tuple[int, Change]]:
        """The changes of detection, each with the sample from which it is in force, in that order."""
        try:
            asked = [(int(notice["sample"]), notice["change"]) for notice in self.controls]
            found = [(sample, from_map(change)) for sample, change in asked if change["change"] != "shutdown"]
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.path / 'notices.jsonl'}: a control change cannot be understood: {error}; "
                f"read it with a newer rtspikes"
            ) from None
        return sorted(found, key=lambda change: change[0])

    @property
    def channels(self) -> list[ChannelInfo]:
        """The channels, as far as selectors and wells need to know them."""
        facts = self.info["channels"]
        known = [name for name in ("label", "kind", "electrode", "well") if name in facts]
        return [ChannelInfo(position=i, **{name: facts[name][i] for name in known}) for i in range(len(facts["label"]))]

    def mutings(self) -> list[Muting]:
        """Return when which channels were muted, and heard again."""
        channels = self.channels
        try:
            return [
                (sample, select(change.select, channels), isinstance(change, Mute))
                for sample, change in self.changes
                if isinstance(change, Mute | Unmute)
            ]
        except ConfigError as error:
            raise DataError(f"{self.path / 'notices.jsonl'}: not of this session: {error}") from None

    @property
    def observed_s(self) -> NDArray[np.float64]:
        """Time (s) in which a spike could have been found and logged, (channels,): divide by it for rates.

        All of the session but what is `unseen`, muted, or `unobserved` (blanked, a storm); 0 for channels that are not
        enabled.
        """
        first, enabled = int(self.info["first_sample"]), self.info["enabled"]
        found = observed_samples(first, self.to_sample, self.unseen(), len(enabled), self.mutings(), self.unobserved)
        return np.where(enabled, found / float(self.info["rate_hz"]), 0.0)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Spikes per channel, (channels,)."""
        return np.bincount(self.spikes["channel"], minlength=len(self.info["enabled"])).astype(np.int64)

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which channels are active electrodes, (channels,); see `rtspikes.activity`."""
        return active(self.counts, self.observed_s)

    @property
    def rejections(self) -> dict[str, int]:
        """How many events were rejected, by reason, for those that occur."""
        numbers, counts = np.unique(self.rejected["reason"], return_counts=True)
        return {
            reason_name(self.info, "reject_reasons", int(number)): int(count)
            for number, count in zip(numbers, counts, strict=True)
        }

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
    records = RECORDS if facts["format"] > 1 else RECORDS | {"gaps.bin": GAPS_BEFORE_2}
    tables = {name: _map(folder / name, dtype, lengths[FILES.index(name)]) for name, dtype in records.items()}
    n, samples = len(tables["spikes.bin"]), sum(info["snippet_samples"])
    near = int(info.get("neighbour_count", 0)) if facts["format"] > 2 else 0
    waveforms, flags, neighbours = (
        _map(folder / name, np.dtype(item), lengths[FILES.index(name)])
        for name, item in (("waveforms.bin", "<f4"), ("flags.bin", "u1"), ("neighbours.bin", "<f4"))
    )
    if facts["format"] < 3:
        flags = np.zeros(n, np.uint8)
    lines = {name: _lines(folder / name, lengths[FILES.index(name)]) for name in ("notices.jsonl", "marks.txt")}
    if not all(isinstance(notice, dict) for notice in lines["notices.jsonl"]):
        raise DataError(f"{folder / 'notices.jsonl'} has lines that are no objects; the log is damaged")
    for name, values, beside, rows in (
        ("waveforms.bin", len(waveforms), "spikes.bin", n * samples),
        ("flags.bin", len(flags), "spikes.bin", n),
        ("neighbours.bin", len(neighbours), "spikes.bin", n * near),
        ("marks.txt", len(lines["marks.txt"]), "marks.bin", len(tables["marks.bin"])),
    ):
        if values != rows:
            raise DataError(f"{folder / name} has {values} values, but {beside} asks for {rows}; the log is damaged")
    for name in ("spikes.bin", "unobserved.bin"):
        channels = tables[name]["channel"]
        if len(channels) and int(channels.max()) >= len(info["enabled"]):
            raise DataError(f"{folder / name} is of channels that {SESSION_FILE} does not know; the log is damaged")
    return Session(
        path=folder,
        info=info,
        facts=facts,
        spikes=tables["spikes.bin"],
        waveforms=waveforms.reshape(n, samples),
        flags=flags,
        neighbours=neighbours.reshape(n, near),
        rejected=tables["rejected.bin"],
        unobserved=tables["unobserved.bin"],
        gaps=_gaps(tables["gaps.bin"]),
        thresholds=tables["thresholds.bin"],
        marks=tables["marks.bin"],
        mark_texts=lines["marks.txt"],
        notices=lines["notices.jsonl"],
        to_sample=int(journal["to_sample"][-1]) if len(journal) else int(info["first_sample"]),
        torn_bytes=torn,
    )


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / SESSION_FILE).read_bytes())
        if (version := facts["format"]) not in range(1, FORMAT + 1):
            raise DataError(
                f"{folder}: log format must be 1 … {FORMAT}, got {version!r}; read it with a newer rtspikes"
            )
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
    if not int(info.get("neighbour_count", 0)) >= 0:
        raise ValueError(f"neighbour_count must be ≥ 0, got {info['neighbour_count']!r}")
    if not 0 < float(info["rate_hz"]) < 1e9:
        raise ValueError(f"rate_hz must be > 0, got {info['rate_hz']!r}")
    if not int(info["settling_samples"]) >= 0:
        raise ValueError(f"settling_samples must be ≥ 0, got {info['settling_samples']!r}")
    enabled, channels = info["enabled"], info["channels"]
    labels = channels["label"]
    if not isinstance(enabled, list) or len(enabled) != len(labels) or not {*map(type, enabled)} <= {bool}:
        raise ValueError(f"enabled must be a list of true or false for each of {len(labels)} channels")
    for name, values in channels.items():
        if not isinstance(values, list) or len(values) != len(labels):
            raise ValueError(f"channels.{name} must be a list with a value for each of {len(labels)} channels")
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


def _gaps(table: NDArray[np.void]) -> NDArray[np.void]:
    """Return gaps of any format as GAP_DTYPE."""
    if table.dtype == GAP_DTYPE:
        return table
    gaps = np.zeros(len(table), GAP_DTYPE)
    for name in table.dtype.names or ():
        gaps[name] = table[name]
    return gaps


def _lines(path: Path, length: int) -> list[Any]:
    """Return the JSON value of each line in a file's first `length` bytes."""
    try:
        return [json.loads(line) for line in path.read_bytes()[:length].splitlines()] if length else []
    except ValueError as error:
        raise DataError(f"{path}: not JSON lines ({error}); the log is damaged") from None


def _map(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    n = length // dtype.itemsize
    if not n:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", shape=(n,))
