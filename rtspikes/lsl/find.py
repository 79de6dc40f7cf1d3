"""Finding streams: what an address means, what is on the network now, and which one it is."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from rtspikes.errors import ConfigError, SourceError, nearest
from rtspikes.lsl import load
from rtspikes.lsl.metadata import FORMATS, TEXT_FORMAT
from rtspikes.lsl.text import quoted, shown

KEYS = ("name", "type", "source_id", "hostname", "uid", "session_id")

WAYS: tuple[tuple[str, ...], ...] = (
    ("name",),
    ("name", "type"),
    ("name", "source_id"),
    ("source_id",),
    ("name", "type", "source_id"),
    ("name", "hostname"),
    ("name", "type", "source_id", "hostname"),
    ("uid",),
)
"""What an address says of a stream, the first that no other has; a uid is a new one after each restart."""

SIGNALS = "nominal_srate>0 and channel_format!='string'"
"""Streams that `lsl:` alone means."""

EVERYTHING = "true()"

LONGEST = 1000
"""Characters of an address: it travels in a datagram."""

SETTLE_S = 0.7
"""liblsl asks the network again each 0.5 s: what has not answered by then is not there, or far away."""

MOST_SETTLES = 4
POLL_S = 0.02
FORGET_S = 2.0
LIST_WAIT_S = 1.0
MOST_LISTED = 10


class Query(NamedTuple):
    """Which streams are meant: an XPath predicate for liblsl, and the same for people."""

    predicate: str
    text: str


def parse_address(address: str) -> Query:
    """Return what an address behind `lsl:` means; raise ConfigError.

    Nothing: the only signal there is. `NAME`, or `name=…&type=…&source_id=…&hostname=…` with %-escapes. Or, recognised
    by its quotes or parentheses, a predicate: `name='MEA' and starts-with(type,'E')`.
    """
    if len(address) > LONGEST or not address.isprintable():
        raise ConfigError(f"lsl: the address must be printable and ≤ {LONGEST} characters, got {quoted(address, 80)}")
    if not address.strip():
        return Query(SIGNALS, "a steady sampling rate")
    if any(c in address for c in "'\"()"):
        return Query(f"({address})", f"[{address}]")
    if "=" not in address:
        address = f"name={address}"
    wanted: dict[str, str] = {}
    for part in address.split("&"):
        key, equals, value = part.partition("=")
        if key not in KEYS:
            raise ConfigError(f"lsl: unknown key {key!r} in {address!r}; {nearest(key, KEYS)}")
        if key in wanted or not value:
            raise ConfigError(f"lsl: {key} must have one value, got {address!r}")
        wanted[key] = _decoded(key, value)
    predicate = " and ".join(f"{key}={_literal(value)}" for key, value in wanted.items())
    return Query(f"({predicate})", ", ".join(f"{key} {value!r}" for key, value in wanted.items()))


def find(
    query: Query, wait_s: float, cancelled: threading.Event | None = None, settle_s: float = SETTLE_S
) -> list[Any]:
    """Return the streams (pylsl.StreamInfo, without their descriptions) that match, at most 1024; [] if none does.

    Waits `wait_s` for the first, then until none has been added for `settle_s` (MOST_SETTLES times that at most); less
    when `cancelled`. Raises ConfigError for a predicate that is none.
    """
    cancelled = cancelled or threading.Event()
    try:
        resolver = _resolver(query.predicate, FORGET_S)
    except SourceError:
        _resolver(EVERYTHING, FORGET_S)
        raise ConfigError(
            f"lsl: the address must be a predicate of XPath 1.0, got {query.predicate[1:-1]!r}; in a name say "
            f"%27 %22 %28 %29 for quotes and parentheses"
        ) from None
    found: list[Any] = []
    most = 0
    deadline = time.monotonic() + wait_s
    latest = math.inf
    while True:
        found = resolver.results()
        if len(found) > most:
            latest = min(latest, time.monotonic() + MOST_SETTLES * settle_s)
            deadline = min(latest, time.monotonic() + settle_s)
            most = len(found)
        left = deadline - time.monotonic()
        if left <= 0 or cancelled.wait(min(POLL_S, left)):
            return found


def look(wait_s: float) -> list[Any]:
    """Return the streams of every kind that answer within `wait_s`."""
    resolver = _resolver(EVERYTHING, FORGET_S + wait_s)
    threading.Event().wait(wait_s)
    found: list[Any] = resolver.results()
    return found


def _resolver(predicate: str, forget_s: float) -> Any:
    try:
        return load().ContinuousResolver(pred=predicate, forget_after=forget_s)
    except RuntimeError:  # without a reason: sockets, or the predicate
        raise SourceError(
            "LSL cannot look for streams; check that this computer has a network, and LSLAPICFG if it is set"
        ) from None


def choose(found: Sequence[Any], query: Query) -> Any:
    """Return the one stream found; raise SourceError with a list of those that match or, if none does, of all."""
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(f"{len(found)} LSL streams have {query.text}; say which one: {_listed(found)}")
    there = look(LIST_WAIT_S)
    what = f"there are: {_listed(there)}" if there else "none at all answers: start the program that sends it"
    raise SourceError(f"no LSL stream has {query.text}; {what}")


def rows(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Return facts of each stream, in the order of their names, with the `address` that means this one alone."""
    facts = [_facts(stream) for stream in found]
    alike = {keys: Counter(tuple(row[key] for key in keys) for row in facts) for keys in WAYS}
    for row in facts:
        row["address"] = _address(row, alike)
        row["warnings"] = list(_warnings(row))
    for row in facts:
        row |= {key: shown(row[key]) for key in KEYS}
    return sorted(facts, key=lambda row: (row["name"], row["hostname"], row["source_id"], row["uid"]))


def _facts(stream: Any) -> dict[str, Any]:
    code = stream.channel_format()
    return {key: getattr(stream, key)() for key in KEYS} | {
        "n_channels": stream.channel_count(),
        "rate_hz": stream.nominal_srate(),
        "format": "string" if code == TEXT_FORMAT else FORMATS[code].name if code in FORMATS else "undefined",
    }


def _address(row: dict[str, Any], alike: Mapping[tuple[str, ...], Counter[tuple[str, ...]]]) -> str | None:
    """Return the first of WAYS that means this stream alone; None when none of them can be typed.

    `alike` counts the streams that say the same of themselves, for each of WAYS.
    """
    for keys in WAYS:
        said = tuple(row[key] for key in keys)
        if alike[keys][said] == 1 and all(text and text.isprintable() for text in said):
            address = "&".join(f"{key}={_encoded(text)}" for key, text in zip(keys, said, strict=True))
            if len(address) <= LONGEST:
                return f"lsl:{address}"
    return None


def _warnings(row: dict[str, Any]) -> Iterator[str]:
    if not row["source_id"]:
        yield "no source_id: after a restart it is found by its address alone"
    if row["address"] is None:
        yield "no address means it alone: another stream says the same, or its name cannot be typed"
    elif row["address"].startswith("lsl:uid="):
        yield "its address holds until it is restarted"


def _listed(found: Sequence[Any]) -> str:
    listed = [
        f"{row['address'] or quoted(row['name'])} ({row['type'] or 'no type'}, {row['n_channels']} × "
        f"{row['rate_hz']:g} Hz {row['format']}, on {row['hostname']})"
        for row in rows(found)[:MOST_LISTED]
    ]
    more = len(found) - MOST_LISTED
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def _decoded(key: str, value: str) -> str:
    try:
        text = unquote(value, errors="strict")
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise ConfigError(f"lsl: {key} must be printable text in UTF-8, got {value!r}")
    return text


def _encoded(value: str) -> str:
    """Return `value` with %-escapes for what means something to an address or to a shell."""
    return "".join(c if c.isalnum() or c in "_.-/:@+," else quote(c, safe="") for c in value)


def _literal(value: str) -> str:
    """Return `value` as a string of XPath 1.0, which has no escapes."""
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    parts = ',"\'",'.join(f"'{part}'" for part in value.split("'"))
    return f"concat({parts})"
