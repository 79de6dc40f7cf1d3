"""The entries of a stream's description, bounded, as texts.

They are taken from liblsl's tree one by one: as XML text, 300 kB of nested tags would become gigabytes of indentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtspikes.errors import SourceError
from rtspikes.lsl.sizes import NAMES

MOST_CHARACTERS = 16 * 1024 * 1024
"""All texts of the channels together; 65,536 channels with 256 characters each."""

ENTRIES = ("label", "name", "type", "electrode", "well", *NAMES)
LOCATION = ("X", "Y", "x", "y", "unit")

Entry = dict[str, str]
"""What is said of a channel: its texts by name; those of its location as `location/X` …; names that are missing: ""."""


def channel_entries(lsl_info: Any, most: int) -> Iterator[Entry]:
    """Yield the first `most` entries of `desc/channels/channel` of a pylsl.StreamInfo.

    Raises SourceError, without the stream's name, when the texts are too long.
    """
    left = MOST_CHARACTERS
    block = lsl_info.desc().child("channels")
    while not block.empty():
        channel = block.child("channel")
        while not channel.empty():
            if most == 0:
                return
            most -= 1
            entry = {name: text.strip() for name in ENTRIES if (text := channel.child_value(name))}
            location = channel.child("location")
            if not location.empty():
                entry |= {f"location/{name}": text for name in LOCATION if (text := location.child_value(name))}
            left -= sum(map(len, entry.values()))
            if left < 0:
                raise SourceError(f"the description of its channels must have {MOST_CHARACTERS} characters at most")
            yield entry
            channel = channel.next_sibling("channel")
        block = block.next_sibling("channels")


def text_at(lsl_info: Any, *path: str) -> str:
    """Return the text at `path` below `desc`; nothing when there is none."""
    node = lsl_info.desc()
    for name in path[:-1]:
        node = node.child(name)
    return str(node.child_value(path[-1])).strip()
