"""`devices`: what `--source` takes, from this program and from the device packages installed beside it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import click

from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.sources import known_schemes


@examples("rtspikes devices", "rtspikes devices --json")
@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON list.")
def devices(as_json: bool) -> None:
    """List what --source takes: every scheme, with an example.

    Schemes come with rtspikes and with device packages; one that cannot be loaded is listed with the reason.
    """
    rows = [_row(scheme, load) for scheme, load in known_schemes().items()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    scheme_width, example_width = (max(len(row[key]) for row in rows) for key in ("scheme", "example"))
    for row in rows:
        text = row["summary"] if row["error"] is None else f"cannot be loaded: {row['error']}"
        click.echo(f"{row['scheme']:{scheme_width}}  {row['example']:{example_width}}  {text}".rstrip())


def _row(scheme: str, load: Callable[[], Any]) -> dict[str, Any]:
    """Return what is known of a scheme: the opener's docstring begins with a summary and names an example address."""
    row = {"scheme": scheme, "example": f"{scheme}:ADDRESS", "summary": "", "error": None}
    try:
        document = inspect.getdoc(load()) or ""
    except Exception as error:  # a device package of somebody else may fail in any way
        return row | {"error": one_line(f"{type(error).__name__}: {error}")}
    summary = document.partition("\n")[0]
    if found := re.search(rf"\b{re.escape(scheme)}:[^\s`\"',;]+", document):
        row["example"] = found[0].rstrip(".)")
        summary = summary.partition(found[0])[0].rstrip(" :`(")
    return row | {"summary": summary}
