"""`keys`: makes the keys by which an engine and its clients know each other."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from rtspikes.cli.examples import examples
from rtspikes.cli.parameters import paths
from rtspikes.errors import ConfigError
from rtspikes.wire.keys import CLIENTS, NAME, SERVER_SECRET, Right, make_keys

DEFAULT_CLIENT = "lab"
"""The client that may control, made where nobody else is named."""


class Folder(click.Path):
    """A folder, old or new; folders are completed."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; fail when something else is there."""
        path = Path(value)
        if not str(value) or (path.exists() and not path.is_dir()):
            self.fail(f"must be a folder, old or new, got {str(value)!r}", param, ctx)
        return path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Offer folders."""
        return [CompletionItem(path) for path in paths(incomplete, ())]


class Client(click.ParamType):  # type: ignore[type-arg]
    """A client's name."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fail when it has more than letters, digits, _ and -."""
        if not NAME.fullmatch(str(value)):
            self.fail(f"must be 1 … 64 letters (A-Z, a-z), digits, _ or -, got {value!r}", param, ctx)
        return str(value)


@examples("rtspikes keys lab-keys", "rtspikes keys lab-keys --reader plots --controller stimulator")
@click.command()
@click.argument("folder", type=Folder(), metavar="DIR")
@click.option("--reader", "readers", type=Client(), multiple=True, help="A client that may read (repeatable).")
@click.option(
    "--controller",
    "controllers",
    type=Client(),
    multiple=True,
    help=f"A client that may read and control (repeatable) [default in a new DIR: {DEFAULT_CLIENT}].",
)
def keys(folder: Path, readers: Sequence[str], controllers: Sequence[str]) -> None:
    """Make keys for an engine and its clients, or add clients.

    An engine with keys encrypts what it sends, and lets in those only whose public key is in DIR/readers or
    DIR/controllers. Without the file there, a client is refused when it connects next. Nothing is ever overwritten.
    """
    if not (readers or controllers):
        if (folder / SERVER_SECRET).exists():
            raise ConfigError(f"{folder} has its keys; to add a client say --reader NAME or --controller NAME")
        controllers = (DEFAULT_CLIENT,)
    clients = [(name, Right.READ) for name in readers] + [(name, Right.CONTROL) for name in controllers]
    for name in {name for name, _ in clients if [other for other, _ in clients].count(name) > 1}:
        raise ConfigError(f"every client must have one name and one right, got {name!r} twice")
    for path in make_keys(folder, dict(clients)):
        click.echo(f"made {path}")
    where = shlex.quote(str(folder))
    click.echo(f"engine: rtspikes run --source URI --publish tcp://0.0.0.0:5570 --keys {where}")
    for name, right in clients:
        may = "may read and control" if right is Right.CONTROL else "may read"
        click.echo(f"{name} {may}: carry {folder / CLIENTS / name}.key_secret to it, where nobody can listen in")
