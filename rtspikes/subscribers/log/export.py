"""Session logs in other programs' formats."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.subscribers.log.reader import Session


def export_npz(session: Session, path: Path) -> None:
    """Write one array per SPIKE_DTYPE field under its own name, and beside them everything that rates need.

    `waveforms` (µV), `observed_s` (per channel); gaps as `gap_sample`, `gap_lost`, `gap_time`, `gap_cause` and
    `gap_uncertain` (± samples); marks as `mark_sample`, `mark_time`,
    `mark_line`, `mark_value`, `mark_text`; control changes as `change_sample` and `change` (a JSON string each);
    `info` (a JSON string).
    """
    spikes, gaps, marks, controls = session.spikes, session.gaps, session.marks, session.controls
    arrays: dict[str, Any] = {name: spikes[name] for name in spikes.dtype.names or ()}
    arrays |= {f"gap_{name}": gaps[name] for name in gaps.dtype.names or ()}
    arrays |= {f"mark_{name}": marks[name] for name in marks.dtype.names or ()}
    with open(path, "wb") as file:
        np.savez(
            file,
            **arrays,
            waveforms=session.waveforms,
            observed_s=session.observed_s,
            mark_text=np.array(session.mark_texts, np.str_),
            change_sample=np.array([n["sample"] for n in controls], np.int64),
            change=np.array([json.dumps(n["change"], ensure_ascii=False) for n in controls], np.str_),
            info=np.array(json.dumps(session.info, ensure_ascii=False)),
        )


def export_csv(session: Session, path: Path) -> None:
    """Write one line per spike: SPIKE_DTYPE's fields, and the channel's label beside its position."""
    labels = session.info["channels"]["label"]
    names = list(session.spikes.dtype.names or ())
    at = names.index("channel") + 1
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names[:at], "label", *names[at:]])
        for spike in session.spikes:
            row = [str(spike[name]) for name in names]  # numpy's str is the shortest text that reads back the same
            writer.writerow([*row[:at], labels[spike["channel"]], *row[at:]])


def export_marks(session: Session, path: Path) -> None:
    """Write one line per mark: MARK_DTYPE's fields, and its text."""
    names = list(session.marks.dtype.names or ())
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "text"])
        for mark, text in zip(session.marks, session.mark_texts, strict=True):
            writer.writerow([*(str(mark[name]) for name in names), text])


FORMATS: dict[str, Callable[[Session, Path], None]] = {
    "npz": export_npz,
    "csv": export_csv,
    "marks-csv": export_marks,
}


def export_session(session: Session, to: str, path: Path) -> None:
    """Write `session` as `to` (a key of FORMATS) to `path`, which appears only when it is complete."""
    part = path.with_name(path.name + ".part")
    try:
        FORMATS[to](session, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
