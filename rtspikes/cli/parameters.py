"""Types of the commands' parameters: what each accepts, how it refuses, and how the shell completes it."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from rtspikes.errors import DataError, RtspikesError, nearest

SESSION = ".rtspikes"

Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)


class OneOf(click.Choice):  # type: ignore[type-arg]
    """One of a few words; the nearest is named when another is given."""

    def __init__(self, noun: str, choices: Sequence[str]) -> None:
        super().__init__(choices)
        self._noun = noun

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; fail when it is none of the choices."""
        if value not in self.choices:
            self.fail(f"unknown {self._noun} {value!r}; {nearest(str(value), self.choices)}", param, ctx)
        return str(value)


class Number(click.ParamType):  # type: ignore[type-arg]
    """A finite number, ≥ 0 unless `positive`, or one of a few `words`."""

    name = "number"

    def __init__(self, *, positive: bool = False, whole: bool = False, words: Sequence[str] = ()) -> None:
        self._positive, self._whole, self._words = positive, whole, words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Return the number or the word; fail when it is neither."""
        if value in self._words:
            return str(value)
        try:
            number = int(value) if self._whole else float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not (0 < number < math.inf or (number == 0 and not self._positive)):
            rule = f"a {'whole ' if self._whole else ''}number {'> 0' if self._positive else '≥ 0'}"
            self.fail(f"must be {' or '.join((rule, *self._words))}, got {value!r}", param, ctx)
        return number

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the words."""
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


class PathTo(click.Path):
    """An existing path, completed to files with one of `suffixes`, to session folders if `SESSION` is one, and folders.

    One that is missing raises `missing`, with the name nearest to it beside it.
    """

    def __init__(self, suffixes: Callable[[], Iterable[str]], missing: type[RtspikesError] = DataError) -> None:
        super().__init__(path_type=Path)
        self._suffixes, self._missing = suffixes, missing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; raise when nothing is there."""
        path = Path(value)
        if not str(value):
            self.fail("must be a path, got ''", param, ctx)
        if not os.path.lexists(path):
            raise self._missing(f"{path}: no such file or folder{self._hint(path)}")
        return path

    def _hint(self, path: Path) -> str:
        """Return the name nearest to a missing one, or that with the suffix left out; nothing if none is near."""
        suffixes = tuple(self._suffixes())
        try:
            stems = {name.rpartition(".")[0]: name for name in os.listdir(path.parent) if name.endswith(suffixes)}
        except OSError:
            return ""
        stem = path.name.removesuffix(path.suffix) if path.suffix in suffixes else path.name
        close = difflib.get_close_matches(stem, stems, n=1, cutoff=0.75)
        return f"; did you mean {stems[close[0]]!r}?" if close else ""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer what fits and the folders that may hold it."""
        return [CompletionItem(path) for path in paths(incomplete, tuple(self._suffixes()))]


class PathOrUri(PathTo):
    """An existing path as for PathTo, or a source's URI."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:  # type: ignore[override]
        """Return the path, or the text of a URI whose scheme is known; raise when it is neither."""
        from rtspikes.sources import known_schemes

        scheme = str(value).partition(":")[0]
        if not os.path.lexists(value) and scheme in known_schemes() and scheme != str(value):
            return str(value)
        return super().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer paths, and the schemes."""
        return super().shell_complete(ctx, param, incomplete) + Source().shell_complete(ctx, param, incomplete)


class Source(click.ParamType):  # type: ignore[type-arg]
    """A source's URI; its scheme is completed, and for recordings the path."""

    name = "uri"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer schemes, then recordings."""
        from rtspikes.sources import known_schemes

        if incomplete.startswith("file:"):
            found = (f"file:{path}" for path in paths(incomplete.removeprefix("file:"), recordings()))
        else:
            found = (f"{scheme}:" for scheme in known_schemes())
        return [CompletionItem(uri) for uri in found if uri.startswith(incomplete)]


class Setting(click.ParamType):  # type: ignore[type-arg]
    """`KEY=VALUE`; the key is completed, then its default or its choices."""

    name = "setting"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer keys that fit, each with its `=`; for a single one, what it chooses among, or its default."""
        from rtspikes.config import Config, documented_keys
        from rtspikes.rules import words

        defaults = {key: default for key, default, _ in documented_keys() if "[" not in key}
        found = [f"{key}=" for key in defaults if key.startswith(incomplete)]
        key = found[0][:-1] if len(found) == 1 else incomplete.partition("=")[0]
        if key in defaults and key != "session":
            plain = [defaults[key]] if re.fullmatch(r"[-+.\w]+", defaults[key]) else []
            found += [f"{key}={value}" for value in words(Config, key) or plain]
        return [CompletionItem(text) for text in found if text.startswith(incomplete)]


def recordings() -> tuple[str, ...]:
    """Return the suffixes of recordings."""
    from rtspikes.sources.formats import READERS

    return tuple(READERS)


def configurations() -> tuple[str, ...]:
    """Return the suffix of configurations."""
    return (".toml",)


def sessions() -> tuple[str, ...]:
    """Return the suffix of sessions' folders."""
    return (SESSION,)


def recordings_and_sessions() -> tuple[str, ...]:
    """Return the suffixes of what `info` reads."""
    return (*recordings(), SESSION)


def paths(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the paths that begin with `incomplete`: those with a suffix, and folders (with a / behind them).

    A folder that is the only one is looked into, for a shell would take it for the end of the word.
    """
    while len(found := sorted(_entries(incomplete, suffixes))) == 1 and found[0].endswith("/"):
        if not (inside := sorted(_entries(found[0], suffixes))):
            break
        if len(inside) > 1:
            return inside
        incomplete = inside[0]
    return found


def _entries(incomplete: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    folder, begun = os.path.split(incomplete)
    try:
        entries = list(os.scandir(os.path.expanduser(folder) or "."))
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(begun) or (entry.name.startswith(".") and not begun):
            continue
        path = os.path.join(folder, entry.name)
        if entry.name.lower().endswith(suffixes) and entry.is_dir() == entry.name.endswith(SESSION):
            yield path
        elif entry.is_dir() and not entry.name.endswith(SESSION):
            yield f"{path}/"


def set_option(help_text: str) -> Callable[[Command], Command]:
    """Return the option `--set KEY=VALUE`, which the command gets as `overrides`."""
    return click.option("--set", "overrides", multiple=True, type=Setting(), metavar="KEY=VALUE", help=help_text)
