"""Lines of marks: which number means what, and how `info` describes them.

    0                a person or a program: the command `mark`, a key
    1 … 1000         marker streams beside the signal, in the order of `[[markers]]`
    1001 … 10000     channels of kind `trigger`, in the order of the stream
    10001 … 65535    lines that the source itself tells of, in the order of its `facts["lines"]`

The ranges are fixed: a number in settings and in a log means the same line, whatever else is taken in beside it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtspikes.errors import ConfigError, nearest
from rtspikes.types import ChannelInfo, StreamInfo

PERSON = 0
FIRST_TRIGGER = 1001
FIRST_OF_SOURCE = 10_001
LAST = 65_535

Line = int | str
"""A number, or a name: a marker stream's address, a channel's label, what the source calls its line; or a glob."""


def trigger_channels(info: StreamInfo) -> list[ChannelInfo]:
    """Return the channels whose changes are marks; the first is line FIRST_TRIGGER."""
    return [c for c in info.channels if c.kind == "trigger"][: FIRST_OF_SOURCE - FIRST_TRIGGER]


def of_source(line: int) -> int:
    """Return the line of a mark that the source numbers `line`, from 1."""
    return min(max(FIRST_OF_SOURCE - 1 + line, FIRST_OF_SOURCE), LAST)


def marker_lines(uris: Iterable[str]) -> list[dict[str, Any]]:
    """Describe the lines of marker streams."""
    return [{"line": line, "uri": uri} for line, uri in enumerate(uris, 1)]


def stream_lines(info: StreamInfo) -> list[dict[str, Any]]:
    """Describe the lines inside the signal stream: those of its trigger channels and the source's own."""
    triggers = [{"line": FIRST_TRIGGER + i, "channel": c.label} for i, c in enumerate(trigger_channels(info))]
    names = info.facts.get("lines", ())[: LAST + 1 - FIRST_OF_SOURCE]
    return [*triggers, *({"line": of_source(i), "name": str(name)} for i, name in enumerate(names, 1))]


def numbers(wanted: Line | Iterable[Line], described: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Return the numbers of the lines that are meant; raise ConfigError for a name that none of `described` has."""
    found: set[int] = set()
    for part in [wanted] if isinstance(wanted, int | str) else wanted:
        found |= {_number(part)} if isinstance(part, int) else _named(part, described)
    return frozenset(found)


def _number(line: int) -> int:
    if not 0 <= line <= LAST:
        raise ConfigError(f"a line of marks must be 0 … {LAST}, got {line}")
    return line


def _named(name: str, described: Sequence[Mapping[str, Any]]) -> set[int]:
    names = {int(each["line"]): str(each.get("uri") or each.get("channel") or each.get("name")) for each in described}
    exact = {line for line, own in names.items() if own == name}
    found = exact or {line for line, own in names.items() if fnmatch.fnmatchcase(own, name)}
    if not found:
        raise ConfigError(f"line {name!r} matches no line of marks; {nearest(name, names.values())}")
    return found
