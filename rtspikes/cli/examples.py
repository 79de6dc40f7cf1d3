"""Examples in a command's help: lines that work as they stand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import click

C = TypeVar("C", bound=click.Command)


def examples(*lines: str) -> Callable[[C], C]:
    """Add `lines`, each a whole command line, to the help of the command below; a test runs them all."""

    def add(command: C) -> C:
        command.help = f"{inspect.cleandoc(command.help or '')}\n\n\b\nExamples:\n" + "\n".join(
            f"  {line}" for line in lines
        )
        return command

    return add
