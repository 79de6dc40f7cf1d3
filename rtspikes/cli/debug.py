"""`--debug`, which may stand before and after every command."""

from __future__ import annotations

import click

KEY = "rtspikes.debug"
"""Where a click context's `meta` keeps it."""


def debug_option() -> click.Option:
    """Return the option; what it says is found by `debugging`."""
    text = "Show the Python traceback of an error."
    return click.Option(["--debug"], is_flag=True, expose_value=False, callback=_remember, help=text)


def debugging() -> bool:
    """Tell whether the command that runs was given `--debug`."""
    return bool(click.get_current_context().meta.get(KEY))


def _remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.meta[KEY] = context.meta.get(KEY, False) or value
