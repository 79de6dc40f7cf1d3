"""Thresholds in a file: signed µV by electrode, with what they hold for: sampling rate and filter."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.changes import is_level
from rtspikes.errors import ConfigError, DataError, WireError, reason

FORMAT = 1

LARGEST = 3.4028235e38
"""The largest float32 as it is written."""

LARGEST_FILE = 16 * 2**20
"""Bytes; a request holds the thresholds of 50,000 electrodes, which take 5 MB here."""

RULES = {"negative_uv": "< 0", "positive_uv": "> 0"}
"""Column → what its thresholds must be."""

CLOSE = {"rel_tol": 1e-9, "abs_tol": 1e-12}
"""Filters computed on two computers differ by less; a threshold does not feel it."""


def check_new(path: Path) -> None:
    """Raise ConfigError when something is there: thresholds are never overwritten."""
    if path.exists():
        raise ConfigError(f"{path} exists, and thresholds are never overwritten; choose another name")


def write_thresholds(path: Path, info: dict[str, Any], sample: int, levels: NDArray[np.void]) -> int:
    """Write the electrodes' thresholds, in force since `sample`, to a new file; return how many electrodes have one.

    levels: LEVELS_DTYPE (channels,), µV. Raises ConfigError when the file exists or no electrode has a threshold.
    """
    thresholds = {
        label: {name: _shortest(row[name]) for name in RULES}
        for label, kind, row in zip(*_facts(info), levels, strict=True)
        if kind == "electrode"
    }
    having = sum(any(height is not None for height in heights.values()) for heights in thresholds.values())
    if not having:
        raise ConfigError("no electrode has a threshold yet; save them once the noise level is known")
    content = {
        "rtspikes_thresholds": FORMAT,
        "session": info["session"],
        "sample": sample,
        "rate_hz": info["rate_hz"],
        "filter_sections": _sections(info),
        "thresholds": thresholds,
    }
    check_new(path)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason(error)}; choose another name") from None
    return having


def read_thresholds(path: Path, info: dict[str, Any]) -> dict[str, Any]:
    """Return a file's labels and heights as `load` takes them; raise DataError when they do not hold for this stream.

    They are heights of the filtered signal: sampling rate and filter must be the same, and the electrodes.
    """
    try:
        content = _checked(_parsed(path))
    except OSError as error:
        raise DataError(f"cannot read the thresholds {path}: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} holds no thresholds: {error}; write them with: rtspikes control ENDPOINT save FILE"
        ) from None
    if not math.isclose(content["rate_hz"], info["rate_hz"], **CLOSE):
        raise DataError(
            f"{path} is of a signal with {content['rate_hz']:g} Hz, this run's has {info['rate_hz']:g} Hz: "
            f"its thresholds do not compare"
        )
    if not _alike(content["filter_sections"], _sections(info)):
        raise DataError(f"{path} was saved with another filter than this run's: its thresholds do not compare")
    labels = dict.fromkeys(label for label, kind in zip(*_facts(info), strict=True) if kind == "electrode")
    thresholds = content["thresholds"]
    for label in [*(x for x in thresholds if x not in labels), *(x for x in labels if x not in thresholds)]:
        raise DataError(f"{path} must name exactly this run's electrodes; {label!r:.80} is in only one of the two")
    columns = {name: np.array([heights[name] for heights in thresholds.values()], "<f4").tobytes() for name in RULES}
    return {"labels": list(thresholds), **columns}


def _facts(info: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the channels' labels and kinds; raise WireError when `info` does not say them."""
    channels = info["channels"]
    labels, kinds = channels["label"], channels.get("kind")
    if not isinstance(kinds, list) or len(kinds) != len(labels):
        raise WireError(f"info: channels.kind must be a list with a value for each of {len(labels)} channels")
    return labels, kinds


def _sections(info: dict[str, Any]) -> list[list[float]]:
    sections = info.get("filter_sections")
    if not _is_matrix(sections):
        raise WireError("info: filter_sections must be a list of lists of numbers")
    return list(sections or [])


def _is_matrix(sections: Any) -> bool:
    return isinstance(sections, list) and all(
        isinstance(row, list) and all(type(x) in (int, float) and abs(x) < 1e300 for x in row) for row in sections
    )


def _alike(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> bool:
    return [len(row) for row in one] == [len(row) for row in other] and all(
        math.isclose(x, y, **CLOSE)
        for row, other_row in zip(one, other, strict=True)
        for x, y in zip(row, other_row, strict=True)
    )


def _shortest(value: Any) -> float | None:
    """Return a float32 as the shortest decimal that reads back the same; None for NaN."""
    return None if math.isnan(value) else float(str(np.float32(value)))


def _parsed(path: Path) -> Any:
    with open(path, "rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"it must have {LARGEST_FILE} bytes at most")
    return json.loads(data, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return made


def _checked(content: Any) -> dict[str, Any]:
    """Return a file's content with NaN for null; raise ValueError when it is not what `write_thresholds` writes."""
    if not isinstance(content, dict) or content.get("rtspikes_thresholds") != FORMAT:
        found = content.get("rtspikes_thresholds") if isinstance(content, dict) else None
        raise ValueError(f"rtspikes_thresholds must be {FORMAT}, got {found!r:.40}")
    rate_hz, thresholds = content.get("rate_hz"), content.get("thresholds")
    if not isinstance(rate_hz, int | float) or not 0 < rate_hz < 1e9:
        raise ValueError(f"rate_hz must be a number > 0, got {rate_hz!r:.40}")
    if not _is_matrix(content.get("filter_sections")):
        raise ValueError("filter_sections must be a list of lists of numbers")
    if not isinstance(thresholds, dict) or not all(isinstance(heights, dict) for heights in thresholds.values()):
        raise ValueError("thresholds must hold an object for each electrode")
    heights = {
        label: {name: _height(given.get(name), name, label) for name in RULES} for label, given in thresholds.items()
    }
    return {**content, "thresholds": heights}


def _height(value: Any, name: str, label: str) -> float:
    if value is None:
        return math.nan
    number = float(np.float32(value)) if type(value) in (int, float) and abs(value) <= LARGEST else math.nan
    if not is_level(number) or (number < 0) != (name == "negative_uv"):
        raise ValueError(f"{name} of {label!r:.80} must be a number {RULES[name]} (µV) or null, got {value!r:.40}")
    return number
