"""Reads the events that lie beside a recording, and says in words what is wrong with them."""

from __future__ import annotations

import csv
from pathlib import Path

from rtspikes.errors import DataError, reason
from rtspikes.subscribers.labelled import DETECTORS, TRUE_KIND

COLUMNS = ("kind", "sample", "channel", "label")
"""What a file of events must tell of each; where known also `snr`."""

IN_SIGMA = "height_sigma"
"""How kinds end whose labels are heights in σ."""


def events_of(path: Path, n_samples: int, n_channels: int) -> list[dict[str, str]]:
    """Return the true events of a recording of this size; those of the first reference where there are none.

    Raises DataError, with the line, for a file that is no such table or does not fit the recording.
    """
    if not path.exists():
        return []
    rows = _table(path)
    kinds = dict.fromkeys(row["kind"] for _, row in rows)
    candidates = [TRUE_KIND, *(kind for kind in kinds if kind.startswith(DETECTORS))]
    kind = next((kind for kind in candidates if kind in kinds), None)
    chosen = [(line, row) for line, row in rows if row["kind"] == kind]
    for line, row in chosen:
        if what := _broken(row, n_samples, n_channels):
            raise DataError(f"{path.name}, line {line}: {what}")
    if n_channels > 1 and len({not row["channel"] for _, row in chosen}) > 1:
        raise DataError(f"{path.name}: channel must be told of all {kind} events, or of none")
    return [row for _, row in chosen]


def _table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV file, each with its line; raise DataError where it is none, or lacks COLUMNS."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restval="", strict=True)
            if lacking := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
                raise DataError(f"{path.name} must have the columns {', '.join(COLUMNS)}; it has no {lacking[0]!r}")
            return [(table.line_num, row) for row in table]
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {reason(error)}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} must be a CSV file in UTF-8, got {error.reason}") from None
    except csv.Error as error:
        raise DataError(f"{path.name} is no CSV file: {error}") from None


def _broken(row: dict[str, str], n_samples: int, n_channels: int) -> str:
    """Return which rule an event breaks; "" where it breaks none."""
    sample, channel, snr = row["sample"], row["channel"], row.get("snr", "")
    if not (_is_whole(sample) and int(sample) < n_samples):
        return f"sample must be a whole number 0 … {n_samples - 1} of the recording, got {sample!r:.40}"
    if channel and not (_is_whole(channel) and int(channel) < n_channels):
        return f"channel must be 0 … {n_channels - 1}, or empty where it is not known, got {channel!r:.40}"
    if snr and not _number(snr) >= 0 and snr.lower() != "nan":
        return f"snr must be a number ≥ 0, or empty, got {snr!r:.40}"
    if row["kind"].endswith(IN_SIGMA) and not _number(row["label"]) >= 0:
        return f"the label of kind {row['kind']} must be a height in σ, got {row['label']!r:.40}"
    return ""


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _number(text: str) -> float:
    """Return a text as a number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
