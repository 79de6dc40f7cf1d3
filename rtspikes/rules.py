"""The rule that a setting must keep, in words, read off its type: what msgspec refuses, as a person can mend it."""

from __future__ import annotations

import re
import reprlib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

WORDS: dict[Any, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def refusal(error: msgspec.ValidationError, tree: Any, of: type) -> str:
    """Return "KEY must be RULE, got VALUE" for what msgspec says of `tree` as an `of`."""
    what, _, where = str(error).partition(" - at `$.")
    path = where.rstrip("`")
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        return f"{path} must have the key {missing[1]!r}, got {reprlib.repr(_value_at(tree, path))}"
    path = re.sub(r"\[\d+\]$", "", path)
    value = _value_at(tree, path)
    return f"{path} must be {rule(_type_at(of, path))}, got {reprlib.repr(value)}"


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
        if arguments[-1] is not Ellipsis:
            return f"a list of {len(arguments)} numbers"
        return "a list of tables" if _struct_in(arguments[0]) else "a list"
    return WORDS.get(hint, "a table of settings")


def words(of: type, path: str) -> list[str]:
    """Return the words among which the setting at a path chooses; none where it is something else."""
    return list(_words(_type_at(of, path)))


def _words(hint: Any) -> Iterator[str]:
    if hint is bool:
        yield from ("true", "false")
    elif typing.get_origin(hint) is Literal:
        yield from map(str, typing.get_args(hint))
    elif typing.get_origin(hint) is Annotated:
        yield from _words(hint.__origin__)
    elif typing.get_origin(hint) in (types.UnionType, typing.Union):
        for part in typing.get_args(hint):
            yield from _words(part)


def _range(limits: Meta) -> str:
    if limits.pattern is not None:
        return f" that matches {limits.pattern}"
    if limits.ge is not None and limits.le is not None:
        return f" {limits.ge:g} … {limits.le:g}"
    low = f"≥ {limits.ge:g}" if limits.ge is not None else f"> {limits.gt:g}" if limits.gt is not None else ""
    high = f"≤ {limits.le:g}" if limits.le is not None else f"< {limits.lt:g}" if limits.lt is not None else ""
    return f" {low} and {high}" if low and high else f" {low}{high}".rstrip()


def _type_at(of: Any, path: str) -> Any:
    """Return the type of the setting at a path such as `detect.sign` or `channels[1].threshold`."""
    for name in re.sub(r"\[\d+\]", "", path).split("."):
        of = typing.get_type_hints(_struct_in(of), include_extras=True)[name]
    return of


def _struct_in(hint: Any) -> Any:
    """Return the class of settings in a type, which may be that of a list's items; None when there is none."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint
    inside = (hint.__origin__,) if typing.get_origin(hint) is Annotated else typing.get_args(hint)
    return next((struct for struct in map(_struct_in, inside) if struct), None)


def _value_at(tree: Any, path: str) -> Any:
    """Return the value at a path in a tree of tables and lists, or the deepest on the way to it."""
    at = tree
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if index and isinstance(at, list) and int(index) < len(at):
            at = at[int(index)]
        elif isinstance(at, Mapping) and name in at:
            at = at[name]
    return at
