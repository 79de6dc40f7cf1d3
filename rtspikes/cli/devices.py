"""`devices`: what `--source` takes, from this program, from device packages beside it, and from the network now."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.parameters import Number
from rtspikes.errors import SourceError
from rtspikes.lsl import be_verbose
from rtspikes.lsl.find import look, rows
from rtspikes.sources import known_schemes

WIDEST = 60
"""Characters of a column; what is longer pushes the next ones away."""


@examples("rtspikes devices", "rtspikes devices --json", "rtspikes devices --wait 5")
@click.command()
@click.option(
    "--wait",
    "wait_s",
    type=Number(),
    default=1.5,
    show_default=True,
    metavar="S",
    help="How long to look for LSL streams (s); 0: not at all.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show liblsl's own messages.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def devices(wait_s: float, verbose: bool, as_json: bool) -> None:
    """List what --source takes: every scheme, with an example, and the LSL streams that are on the network now.

    Schemes come with rtspikes and with device packages; one that cannot be loaded is listed with the reason. A stream
    is listed with the address that means it alone.
    """
    if verbose:
        be_verbose()
    schemes = [_row(scheme, load) for scheme, load in known_schemes().items()]
    streams, error = _streams(wait_s) if wait_s else ([], None)
    if as_json:
        everything = {"schemes": schemes, "streams": streams, "streams_error": error}
        click.echo(json.dumps(everything, ensure_ascii=False, indent=1))
        return
    texts = [row["summary"] if row["error"] is None else f"cannot be loaded: {row['error']}" for row in schemes]
    _echo_table([(row["scheme"], row["example"], text) for row, text in zip(schemes, texts, strict=True)])
    if error is not None:
        click.echo(f"\nno LSL streams: {one_line(error)}")
    elif streams:
        click.echo("\nLSL streams on the network:")
        _echo_table([tuple(_cells(row)) for row in streams])
    elif wait_s:
        click.echo(f"\nno LSL stream answered within {wait_s:g} s")


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


def _streams(wait_s: float) -> tuple[list[dict[str, Any]], str | None]:
    """Return facts of the streams that answer, and why none can be found where LSL itself is missing."""
    try:
        found = rows(look(wait_s))
    except SourceError as error:
        return [], str(error)
    for row in found:
        row["rate_hz"] = row["rate_hz"] if math.isfinite(row["rate_hz"]) else None  # JSON has no inf
    return found, None


def _cells(row: dict[str, Any]) -> Iterator[str]:
    """Yield the columns of a stream's line."""
    address = row["address"] or "(no address)"
    yield f'"{address}"' if "&" in address else address  # a shell would end the command there
    yield row["type"] or "no type"
    rate = f"{row['rate_hz']:g} Hz" if row["rate_hz"] else "irregular"
    yield f"{row['n_channels']} × {rate} {row['format']}"
    yield row["hostname"]
    yield "; ".join(([row["source_id"]] if row["source_id"] else []) + row["warnings"])


def _echo_table(table: Sequence[tuple[str, ...]]) -> None:
    """Print the rows with their columns under each other."""
    widths = [min(max(map(len, column)), WIDEST) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
