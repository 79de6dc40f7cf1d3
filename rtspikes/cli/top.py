"""`top`: how an engine goes, in any terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rtspikes.cli.engines import KEY, WAIT, Endpoint, client_key, waiting_is_said
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.parameters import Number
from rtspikes.subscribers.top import Busy, Top, follow, words
from rtspikes.wire.settings import DEFAULT_ENDPOINT

DRAWN_S, LINES_S = 0.25, 1.0
"""How often the picture is drawn; how often there is a line, where there is no terminal."""

MOST_BUSY, FEWEST_BUSY, IN_LINE = 40, 3, 5
BESIDE_ROWS = 16
"""Rows of a terminal that the busiest channels leave to everything else."""

FULL, FEW_HOURS = 0.5, 2.0
"""Of the ring, and hours until the disk is full, from which on it is time to do something."""

STATES = {"live": "green", "silent": "yellow", "connecting": "yellow", "lost": "bold red"}
SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


@examples(f"rtspikes top {DEFAULT_ENDPOINT}", f"rtspikes top {DEFAULT_ENDPOINT} --seconds 10")
@click.command()
@click.argument("endpoint", type=Endpoint(), default=DEFAULT_ENDPOINT)
@click.option("--seconds", type=Number(positive=True), metavar="S", help="End after S seconds.")
@KEY
@WAIT
def top(endpoint: str, seconds: float | None, key_file: Path | None, timeout: float | None) -> None:
    """Show how an engine goes, and its busiest channels, until it ends.

    On a terminal a picture that is drawn anew, also over ssh; elsewhere a line of words NAME=VALUE a second. An engine
    that vanishes is waited for.
    """
    console = Console(highlight=False)
    shown = Top(endpoint)
    ends_s = math.inf if seconds is None else time.monotonic() + seconds
    steps = follow(shown, endpoint, client_key(key_file), timeout)
    try:
        if console.is_terminal and console.encoding.startswith("utf"):
            _draw(console, shown, steps, ends_s)
        else:
            with waiting_is_said(endpoint, shown):
                _print(shown, steps, ends_s)
    except KeyboardInterrupt:
        pass


def _draw(console: Console, shown: Top, steps: Generator[None], ends_s: float) -> None:
    """Draw a picture until there is nothing more to show."""
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            most = min(MOST_BUSY, max(FEWEST_BUSY, console.height - BESIDE_ROWS))
            live.update(picture(shown.health(), shown.info or {}, shown.busiest(most)), refresh=True)

        _every(DRAWN_S, draw, steps, ends_s)


def _print(shown: Top, steps: Generator[None], ends_s: float) -> None:
    """Print lines until there is nothing more to show; none before an engine has told something."""
    with open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) as out:  # labels may be of any script

        def show() -> None:
            told = shown.health()
            if told["signal_s"] is not None:
                out.write(" ".join(map(one_line, words(told, shown.info or {}, shown.busiest(IN_LINE)))) + "\n")
                out.flush()

        _every(LINES_S, show, steps, ends_s)


def _every(interval_s: float, show: Callable[[], None], steps: Generator[None], ends_s: float) -> None:
    """Show what there is every `interval_s` while steps come, until `ends_s`, and at the end."""
    due_s = 0.0
    with closing(steps):
        for _ in steps:
            now_s = time.monotonic()
            if now_s >= ends_s:
                break
            if now_s >= due_s:
                due_s = now_s + interval_s
                show()
        show()


def picture(told: dict[str, Any], info: dict[str, Any], busiest: Sequence[Busy]) -> RenderableType:
    """Return a `health` message and the busiest channels as a picture."""
    rows = Table.grid(padding=(0, 2))
    for name, text in _rows(told, info) if info else ():
        rows.add_row(Text(name, style="dim"), text)
    said = Text(one_line(told["text"])) if told["text"] else Text("")
    title = Text.assemble("rtspikes ", (told["state"], STATES.get(told["state"], "")))
    return Panel(Group(said, rows, _channels(busiest)), title=title, title_align="left", border_style="#777788")


def _rows(told: dict[str, Any], info: dict[str, Any]) -> Iterator[tuple[str, Text]]:
    keys = info.get("session_keys") or {}
    yield "session", _plain(", ".join([info["session"], *(f"{key} {value}" for key, value in keys.items())]))
    yield "source", _plain(info["source"]["uri"])
    yield "signal", Text(f"{_number(told['signal_s'], 1)} s, {_number(told['spikes_per_s'], 1)} spikes/s")
    sigma = _number(told["sigma_uv"], 1)
    yield "electrodes", Text(f"{_number(told['active'])} of {_number(told['electrodes'])} active, noise σ {sigma} µV")
    yield "lost", _losses(told, True)
    yield "set apart", _losses(told, False)
    yield "channels", _conditions(told)
    if latency := told["latency_ms"]:
        yield "latency", Text(f"p50 {_number(latency['p50'], 2)} ms, p99 {_number(latency['p99'], 2)} ms")
    if told["ring_fill"] is not None:
        yield "ring", Text(f"{told['ring_fill']:.0%} full", style="bold red" if told["ring_fill"] > FULL else "")
    yield "recording", _recording(told["recording"])


def _losses(told: dict[str, Any], real: bool) -> Text:
    """Return what is lost (real), or what is set apart; losses that there are stand out, and none is left out."""
    found = Text()
    for each in told["losses"]:
        if each["loss"] == real:
            alarm = real and bool(each["amount"])
            text = f"{'▲ ' if alarm else ''}{each['name']} {_number(each['amount'])}"
            found.append(", " if len(found) else "").append(one_line(text), style="bold red" if alarm else "")
    return found


def _conditions(told: dict[str, Any]) -> Text:
    names = ("muted", "storming", "dead", "noisy", "saturated")
    found = [f"{told[name]} {name}" for name in names if told[name]]
    return Text(", ".join([*["thresholds frozen"] * bool(told["frozen"]), *found]) or "nothing unusual")


def _recording(recording: dict[str, Any] | None) -> Text:
    if recording is None:
        return Text("not recorded by the run itself", style="yellow")
    hours = recording["hours_left"]
    left = "" if hours is None else f", full in {hours:.1f} h"
    text = f"{recording['path']}: {_size(recording['bytes'])}, {_size(recording['bytes_per_s'])}/s{left}"
    return Text(one_line(text), style="bold red" if hours is not None and hours < FEW_HOURS else "")


def _channels(busiest: Sequence[Busy]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("busiest")
    for name in ("spikes/s, last min", "spikes", "σ µV", "threshold µV"):
        table.add_column(name, justify="right")
    for busy in busiest:
        levels = " ".join(f"{level:.1f}" for level in busy.thresholds_uv) or "-"
        figures = (f"{busy.rate_hz:.2f}", f"{busy.spikes}", f"{busy.sigma_uv:.1f}", levels)
        table.add_row(_plain(busy.label), *figures)
    return table


def _plain(text: str) -> Text:
    """Return what others have written: no control characters, and no markup."""
    return Text(one_line(text))


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _size(n: float | None) -> str:
    if n is None:
        return "-"
    unit, name = next((size for size in SIZES if n >= size[0]), SIZES[-1])
    return f"{n / unit:.3g} {name}"
