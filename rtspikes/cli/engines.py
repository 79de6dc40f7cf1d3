"""What commands that talk to a running engine share: its address, the key that it asks for, how long to wait."""

from __future__ import annotations

import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import click
from click.shell_completion import CompletionItem

from rtspikes.cli.parameters import Number, paths
from rtspikes.cli.progress import said_if_slow
from rtspikes.wire.keys import LARGEST_FILE, ClientKey
from rtspikes.wire.settings import DEFAULT_ENDPOINT

KEY_SUFFIX = ".key_secret"


class Endpoint(click.ParamType):  # type: ignore[type-arg]
    """The ZeroMQ address of an engine, anywhere."""

    name = "endpoint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address; fail when none of its kind can exist."""
        match = re.fullmatch(r"ipc://.+|tcp://(?:\[[0-9A-Za-z:.%]+\]|[^\s:/]+):([0-9]{1,5})", str(value))
        if match is None or not 0 < int(match[1] or 1) < 65536:
            self.fail(
                f"must be tcp://HOST:PORT or ipc://PATH, for example {DEFAULT_ENDPOINT}, got {value!r}", param, ctx
            )
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the address that engines have unless told otherwise."""
        return [CompletionItem(DEFAULT_ENDPOINT)] if DEFAULT_ENDPOINT.startswith(incomplete) else []


class FileName(click.Path):
    """The name of a file, completed to those with a suffix; whether one is there is for its reader to say."""

    def __init__(self, suffix: str) -> None:
        super().__init__(path_type=Path)
        self._suffix = suffix

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer what fits and the folders that may hold it."""
        return [CompletionItem(path) for path in paths(incomplete, (self._suffix,))]


WAIT = click.option("--timeout", type=Number(), metavar="S", help="Give up when no engine is there within S seconds.")

KEY = click.option(
    "--key",
    "key_file",
    type=FileName(KEY_SUFFIX),
    metavar="FILE",
    help=f"For an engine with keys: your NAME{KEY_SUFFIX}; - reads it from stdin.",
)


def client_key(file: Path | None) -> ClientKey | None:
    """Return the key that `--key` names; raise ConfigError when it is none."""
    if file is None:
        return None
    if str(file) != "-":
        return ClientKey.load(file)
    return ClientKey.from_text(sys.stdin.buffer.read(LARGEST_FILE).decode("utf-8", "replace"))


class Informed(Protocol):
    """A subscriber, or what stands for one."""

    @property
    def info(self) -> dict[str, Any] | None:
        """What an engine has said of its session; None before."""


def waiting_is_said(endpoint: str, subscriber: Informed | None = None) -> AbstractContextManager[None]:
    """Let the person know what is waited for when the block goes on, and `subscriber` has found no engine."""
    return said_if_slow(
        f"waiting for an engine at {endpoint}; start one with: rtspikes run --source URI",
        unless=lambda: subscriber is not None and subscriber.info is not None,
    )
