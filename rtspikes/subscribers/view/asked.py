"""What a page may ask for: every message is checked and bounded here, and nowhere else."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from typing import Any, NamedTuple

from rtspikes.errors import WireError
from rtspikes.subscribers.view.scene import KEPT_S, MOST_SELECTED, SIGNALS
from rtspikes.wire.codec import MOST_TEXT
from rtspikes.wire.control import Control

LARGEST = 4096
"""Bytes of a message."""

HIGHEST_THRESHOLD = 1e6
FASTEST = 100.0


class Asked(NamedTuple):
    """A checked request: `do`, and what it needs, by name."""

    do: str
    given: dict[str, Any]


def parse(message: str | bytes) -> Asked:
    """Return what a message asks for; raise WireError where it is not of the protocol."""
    if not isinstance(message, str):
        raise WireError("a page sends text, got bytes")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        raise WireError("a page sends JSON") from None
    do = fields.get("do") if isinstance(fields, dict) else None
    if not isinstance(do, str) or do not in _CHECKS:
        raise WireError(f"a page asks for one of {', '.join(_CHECKS)}, got {reprlib.repr(do)}")
    return Asked(do, _CHECKS[do](fields))


def command(asked: Asked) -> tuple[Callable[[Control], object], str] | None:
    """Return how the engine is asked for it, and the words that say it was done; None: it is not for the engine."""
    given = asked.given
    if asked.do == "threshold":
        height = {k: given[k] for k in ("sigma", "uv") if given[k] is not None}
        words = " ".join(f"{value:.4g} {'µV' if unit == 'uv' else 'σ'}" for unit, value in height.items())
        return lambda c: c.threshold(given["channels"], **height), f"threshold {words} from here on"
    if asked.do == "mark":
        return lambda c: c.mark(given["text"]), "marked"
    if asked.do == "mute":
        if given["on"]:
            return lambda c: c.mute(given["channels"]), "muted"
        return lambda c: c.unmute(given["channels"]), "heard again"
    if asked.do == "freeze":
        if given["on"]:
            return lambda c: c.freeze(), "σ is frozen"
        return lambda c: c.follow(), "σ follows the signal"
    return None


def _hello(fields: dict[str, Any]) -> dict[str, Any]:
    token = fields.get("token")
    return {"v": fields.get("v"), "token": token if isinstance(token, str) else None}


def _got(fields: dict[str, Any]) -> dict[str, Any]:
    return {"n": _whole(fields, "n")}


def _select(fields: dict[str, Any]) -> dict[str, Any]:
    of = fields.get("of", SIGNALS[0])
    if of not in SIGNALS:
        raise WireError(f"of must be one of {', '.join(SIGNALS)}, got {reprlib.repr(of)}")
    return {"channels": _channels(fields, 0), "of": of}


def _threshold(fields: dict[str, Any]) -> dict[str, Any]:
    heights = {k: None if fields.get(k) is None else _number(fields, k, 0, HIGHEST_THRESHOLD) for k in ("sigma", "uv")}
    if [h > 0 for h in heights.values() if h is not None] != [True]:
        raise WireError("a threshold is > 0, in sigma or in uv")
    return {"channels": _channels(fields, 1), **heights}


def _mark(fields: dict[str, Any]) -> dict[str, Any]:
    text = fields.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= MOST_TEXT or not _is_text(text):
        raise WireError(f"text must have 1 … {MOST_TEXT} characters")
    return {"text": text}


def _is_text(text: str) -> bool:
    """Tell whether a text can be sent as UTF-8: JSON may hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mute(fields: dict[str, Any]) -> dict[str, Any]:
    return {"channels": _channels(fields, 1), **_freeze(fields)}


def _freeze(fields: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(fields.get("on"), bool):
        raise WireError("on must be true or false")
    return {"on": fields["on"]}


def _seek(fields: dict[str, Any]) -> dict[str, Any]:
    return {"sample": _whole(fields, "sample"), "window_s": _number(fields, "window_s", 0.01, KEPT_S)}


def _play(fields: dict[str, Any]) -> dict[str, Any]:
    return {"speed": _number(fields, "speed", 0, FASTEST)}


def _whole(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not -(2**53) <= value <= 2**53:
        raise WireError(f"{name} must be a whole number, got {reprlib.repr(value)}")
    return value


def _number(fields: dict[str, Any], name: str, least: float, most: float) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise WireError(f"{name} must be a number {least:g} … {most:g}, got {reprlib.repr(value)}")
    return float(value)


def _channels(fields: dict[str, Any], fewest: int) -> list[int]:
    value = fields.get("channels")
    if not isinstance(value, list) or not fewest <= len(value) <= MOST_SELECTED:
        raise WireError(f"channels must be a list of {fewest} … {MOST_SELECTED} positions, got {reprlib.repr(value)}")
    if not all(type(c) is int and 0 <= c < 2**32 for c in value):
        raise WireError(f"channels must be positions, got {reprlib.repr(value)}")
    return value


_CHECKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "hello": _hello,
    "got": _got,
    "select": _select,
    "threshold": _threshold,
    "mark": _mark,
    "mute": _mute,
    "freeze": _freeze,
    "seek": _seek,
    "play": _play,
}
