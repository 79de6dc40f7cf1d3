"""Text that came from the network, made fit to be shown and kept."""

from __future__ import annotations

from collections.abc import Iterable

MOST_NAMED = 5
"""Things that a sentence names at most."""


def shown(text: str, most: int = 200) -> str:
    """Return `text` in one line: control characters escaped, outer blanks removed, cut to `most` characters."""
    if len(text) <= most and text.isprintable() and "  " not in text:
        return text.strip()
    flat = " ".join(text[: 4 * most].split())
    flat = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
    return flat if len(flat) <= most and len(text) <= 4 * most else f"{flat[: most - 1]}…"


def quoted(text: str, most: int = 40) -> str:
    """Return `text` in quotes, control characters escaped, cut to `most` characters."""
    return repr(text if len(text) <= most else f"{text[: most - 1]}…")


def some(things: Iterable[str]) -> str:
    """Return the first few of `things`, each in quotes."""
    listed = list(things)
    return ", ".join(map(quoted, listed[:MOST_NAMED])) + (" …" if len(listed) > MOST_NAMED else "")
