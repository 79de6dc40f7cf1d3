"""What the numbers in a session's tables stand for, as its `info` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reason_name(info: Mapping[str, Any], table: str, number: int) -> str:
    """Return what `info` calls a number in its map `table` (`reject_reasons`, …); the number where it does not say."""
    names = info.get(table)
    return str(names.get(str(number), number)) if isinstance(names, Mapping) else str(number)


def flag_names(info: Mapping[str, Any], flags: int) -> list[str]:
    """Return the names of a spike's flags."""
    return [reason_name(info, "spike_flags", 1 << bit) for bit in range(8) if flags >> bit & 1]
