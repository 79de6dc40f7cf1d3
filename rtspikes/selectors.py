"""Selectors: how a person names channels.

Integers and `"#0-15"` are positions in the stream. Any other string matches labels, exactly or by glob, so that
`"12"` is electrode 12 of an MCS array and not position 12. `"well:B2"` and `"kind:aux"` match those properties.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

from rtspikes.errors import ConfigError, nearest
from rtspikes.types import ChannelInfo

_RANGE = re.compile(r"#(\d+)(?:-(\d+))?")


def select(selector: str | int | Iterable[str | int], channels: Sequence[ChannelInfo]) -> list[int]:
    """Return the positions, ascending, that a selector or a list of selectors names; at least one per selector."""
    if isinstance(selector, str | int):
        return _select_one(selector, channels)
    parts = list(selector)
    if not parts:
        raise ConfigError("a selector must name at least one channel, got an empty list")
    found: set[int] = set()
    for part in parts:
        found.update(_select_one(part, channels))
    return sorted(found)


def _select_one(selector: str | int, channels: Sequence[ChannelInfo]) -> list[int]:
    if isinstance(selector, int):
        return _positions(selector, selector, selector, channels)
    if match := _RANGE.fullmatch(selector):
        first = int(match[1])
        return _positions(first, int(match[2] or first), selector, channels)
    if selector.startswith("well:"):
        found = [c.position for c in channels if c.well == selector[5:]]
        known = sorted({c.well for c in channels if c.well is not None})
    elif selector.startswith("kind:"):
        found = [c.position for c in channels if c.kind == selector[5:]]
        known = sorted({c.kind for c in channels})
    else:
        found = [c.position for c in channels if c.label == selector]
        found = found or [c.position for c in channels if fnmatch.fnmatchcase(c.label, selector)]
        known = [c.label for c in channels]
    if not found:
        raise ConfigError(f"selector {selector!r} matches no channel; {nearest(selector, known)}")
    return found


def _positions(first: int, last: int, selector: str | int, channels: Sequence[ChannelInfo]) -> list[int]:
    if not 0 <= first <= last < len(channels):
        raise ConfigError(
            f"selector {selector!r} must name positions 0 … {len(channels) - 1} of this stream, in rising order"
        )
    return list(range(first, last + 1))


def electrodes_by_well(channels: Sequence[ChannelInfo]) -> dict[str | None, list[int]]:
    """Return the positions of the electrodes, ascending, by well; None: those of no well."""
    wells: dict[str | None, list[int]] = {}
    for channel in channels:
        if channel.kind == "electrode":
            wells.setdefault(channel.well, []).append(channel.position)
    return wells
