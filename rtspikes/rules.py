"""The rule that a setting must keep, in words, read off its type: what msgspec refuses, as a person can mend it."""

from __future__ import annotations

import re
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from rtspikes.errors import nearest

WORDS: dict[Any, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def refusal(error: msgspec.ValidationError, tree: Any, of: type) -> str:
    """Return "KEY must be RULE, got VALUE" for what msgspec says of `tree` as an `of`."""
    what, _, where = str(error).partition(" - at `$.")
    path = where.rstrip("`")
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        return f"{_with_index(tree, path)} must have the key {missing[1]!r}, got {_shown(_value_at(tree, path))}"
    path = re.sub(r"\[[^\]]*\]$", "", path)
    hint, value = _hint_at(of, path), _value_at(tree, path)
    text = f"{_with_index(tree, path) or 'the configuration'} must be {rule(hint)}, got {_shown(value)}"
    words = _choices(hint)
    return f"{text}; {nearest(value, words)}" if isinstance(value, str) and words else text


def rule(hint: Any) -> str:
    """Return what a value of this type is, for example "a number > 0"."""
    if typing.get_origin(hint) is Annotated:
        limits = next((m for m in hint.__metadata__ if isinstance(m, Meta)), Meta())
        return rule(hint.__origin__) + _range(limits)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(rule(a) for a in arguments if a not in (type(None), msgspec.UnsetType))
    if typing.get_origin(hint) is Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(map(str, arguments))
    if typing.get_origin(hint) is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)} numbers"
    return WORDS.get(hint, "a table of settings")


def _range(limits: Meta) -> str:
    if limits.pattern is not None:
        return f" that matches {limits.pattern}"
    low = f"≥ {limits.ge:g}" if limits.ge is not None else f"> {limits.gt:g}" if limits.gt is not None else ""
    high = f"≤ {limits.le:g}" if limits.le is not None else f"< {limits.lt:g}" if limits.lt is not None else ""
    return f" {low} and {high}" if low and high else f" {low}{high}".rstrip()


def _choices(hint: Any) -> list[str]:
    """Return the words that a type lists, whatever it is wrapped in."""
    if typing.get_origin(hint) is Literal:
        return [str(word) for word in typing.get_args(hint)]
    parts = [hint.__origin__] if typing.get_origin(hint) is Annotated else typing.get_args(hint)
    return [word for part in parts for word in _choices(part)]


def _hint_at(of: Any, path: str) -> Any:
    """Return the type of the setting at a path such as `detect.sign` or `channels[...].threshold`."""
    for name in re.findall(r"[^.\[\]]+(?=[.\[]|$)", re.sub(r"\[[^\]]*\]", "", path)):
        hint = typing.get_type_hints(_struct_in(of), include_extras=True)[name]
        of = hint
    return of


def _struct_in(hint: Any) -> Any:
    """Return the settings' class in a type: itself, or that of a list's items."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint
    return next(s for s in map(_struct_in, [getattr(hint, "__origin__", None), *typing.get_args(hint)]) if s)
