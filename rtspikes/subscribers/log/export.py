"""Session logs in other programs' formats."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.activity import active, rates_hz
from rtspikes.subscribers.log.reader import Session


def export_npz(session: Session, path: Path) -> None:
    """Write one array per SPIKE_DTYPE field under its own name, and beside them everything that rates need.

    Per spike also `waveforms` (µV), `flags` (bits as in `info`: `spike_flags`) and `neighbours` (spikes, K) in µV; per
    channel `observed_s` and `active`; gaps as `gap_sample`, `gap_lost`, `gap_time`, `gap_cause` and `gap_uncertain` (±
    samples); blanked intervals and storms as `unobserved_sample`, `unobserved_stop`, `unobserved_channel` and
    `unobserved_reason`; marks as `mark_sample`, `mark_time`, `mark_line`, `mark_value`, `mark_text`; control changes as
    `change_sample` and `change` (a JSON string each); `info` (a JSON string).
    """
    spikes, marks, controls = session.spikes, session.marks, session.controls
    observed_s = session.observed_s
    arrays: dict[str, Any] = {name: spikes[name] for name in spikes.dtype.names or ()}
    for of, table in (("gap", session.gaps), ("unobserved", session.unobserved), ("mark", marks)):
        arrays |= {f"{of}_{name}": table[name] for name in table.dtype.names or ()}
    with open(path, "wb") as file:
        np.savez(
            file,
            **arrays,
            waveforms=session.waveforms,
            flags=session.flags,
            neighbours=session.neighbours,
            observed_s=observed_s,
            active=active(session.counts, observed_s),
            mark_text=np.array(session.mark_texts, np.str_),
            change_sample=np.array([n["sample"] for n in controls], np.int64),
            change=np.array([json.dumps(n["change"], ensure_ascii=False) for n in controls], np.str_),
            info=np.array(json.dumps(session.info, ensure_ascii=False)),
        )


def export_csv(session: Session, path: Path) -> None:
    """Write one line per spike: SPIKE_DTYPE's fields, the channel's label beside its position, and `flags`."""
    labels = session.info["channels"]["label"]
    names = list(session.spikes.dtype.names or ())
    at = names.index("channel") + 1
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names[:at], "label", *names[at:], "flags"])
        for spike, flags in zip(session.spikes, session.flags, strict=True):
            row = [str(spike[name]) for name in names]  # numpy's str is the shortest text that reads back the same
            writer.writerow([*row[:at], labels[spike["channel"]], *row[at:], str(flags)])


CHANNEL_COLUMNS = ("channel", "label", "kind", "well", "spikes", "observed_s", "rate_hz", "active")


def export_channels(session: Session, path: Path) -> None:
    """Write one line per channel: CHANNEL_COLUMNS; `active` is 1 or 0; empty is what is not known, or has no rate."""
    facts, counts, observed_s = session.info["channels"], session.counts, session.observed_s
    n = len(counts)
    labels, kinds, wells = (facts.get(name, [None] * n) for name in ("label", "kind", "well"))
    rates, is_active = rates_hz(counts, observed_s), active(counts, observed_s)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CHANNEL_COLUMNS)
        for i in range(n):
            rate = "" if np.isnan(rates[i]) else str(rates[i])
            fixed = (i, labels[i], kinds[i], wells[i])  # csv writes None as nothing
            writer.writerow([*fixed, counts[i], str(observed_s[i]), rate, int(is_active[i])])


def export_marks(session: Session, path: Path) -> None:
    """Write one line per mark: MARK_DTYPE's fields, and its text."""
    names = list(session.marks.dtype.names or ())
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "text"])
        for mark, text in zip(session.marks, session.mark_texts, strict=True):
            writer.writerow([*(str(mark[name]) for name in names), text])


Write = Callable[[Session, Path], None]

FORMATS: dict[str, dict[str, Write]] = {
    "npz": {"": export_npz},
    "csv": {"": export_csv, "-channels": export_channels},
    "marks-csv": {"": export_marks},
}
"""What is written, by what is added to the file's name."""


def export_session(session: Session, to: str, path: Path) -> list[Path]:
    """Write `session` as `to` (a key of FORMATS) to `path`, and what belongs beside it; return the files.

    They appear only when all of them are complete.
    """
    files = {path.with_name(f"{path.stem}{added}{path.suffix}"): write for added, write in FORMATS[to].items()}
    parts = {file: file.with_name(file.name + ".part") for file in files}
    try:
        for file, write in files.items():
            write(session, parts[file])
        for file, part in parts.items():
            os.replace(part, file)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return list(files)
