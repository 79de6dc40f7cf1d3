"""An array in the terminal: every electrode in its place, its colour the spikes of the last second."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from rtspikes.subscribers.watch import BIN_S, Watch

COLOURS = ("#2b2b38", "#3b1f6b", "#6a1c81", "#a52c60", "#d94d3d", "#f57d15", "#fbb61a", "#f8f58c")
"""From none to many, on matplotlib's inferno: even to the eye, and to most colour-blind eyes."""

STEPS = np.array([1, 3, 6, 12, 25, 50, 100])
"""Spikes in the last second from which on the next colour is used."""

BARS = " ▁▂▃▄▅▆▇█"
COURSE_COLUMNS, COURSE_ROWS = 36, 6

MAP_COLUMNS, BOTH_COLUMNS = 48, 80
"""Width of a terminal from which on there is a map, and from which on the course of the activity is beside it."""

LABELLED = 16
"""Columns up to which electrodes are drawn with their labels."""


def cells(channels: dict[str, list[Any]]) -> dict[tuple[int, int], int]:
    """Return channel by (row, column), by place where all places are known and differ, else eight to a row."""
    x, y = channels["x_um"], channels["y_um"]
    if any(v is None for v in (*x, *y)) or len(set(zip(x, y, strict=True))) < len(x):
        return {divmod(i, 8): i for i in range(len(x))}
    columns = {v: i for i, v in enumerate(sorted(set(x)))}
    rows = {v: i for i, v in enumerate(sorted(set(y)))}
    return {(rows[y[i]], columns[x[i]]): i for i in range(len(x))}


def colour(spikes: int) -> str:
    """Return the colour of an electrode with that many spikes in the last second."""
    return COLOURS[int(np.searchsorted(STEPS, spikes, side="right"))]


def array_map(watch: Watch) -> Text:
    """Return the array as coloured cells: labelled ones when they fit, else two rows to a line."""
    places = cells(watch.info["channels"])
    recent = watch.recent()
    height = max(r for r, _ in places) + 1
    width = max(c for _, c in places) + 1
    if width <= LABELLED:
        return _labelled(places, recent, watch, height, width)
    return _dense(places, recent, height, width)


def _labelled(
    places: dict[tuple[int, int], int], recent: NDArray[np.int64], watch: Watch, height: int, width: int
) -> Text:
    labels = [label[-4:] for label in watch.info["channels"]["label"]]
    size = max(map(len, labels)) + 2
    text = Text(no_wrap=True)
    for row in range(height):
        for column in range(width):
            channel = places.get((row, column))
            if channel is None:
                text.append(" " * size)
            elif not watch.electrodes[channel]:
                text.append(f"{labels[channel]:^{size}}", Style(color="#555566"))
            else:
                step = colour(int(recent[channel]))
                ink = "#000000" if step in COLOURS[5:] else "#c0c0cc"
                text.append(f"{labels[channel]:^{size}}", Style(color=ink, bgcolor=step))
        text.append("\n" if row < height - 1 else "")
    return text


def _dense(places: dict[tuple[int, int], int], recent: NDArray[np.int64], height: int, width: int) -> Text:
    text = Text(no_wrap=True)
    for row in range(0, height, 2):
        for column in range(width):
            upper, lower = (places.get((r, column)) for r in (row, row + 1))
            inks = [colour(int(recent[c])) if c is not None else "#000000" for c in (upper, lower)]
            text.append("▀", Style(color=inks[0], bgcolor=inks[1]))
        text.append("\n" if row + 2 < height else "")
    return text


def legend() -> Text:
    """Return what the colours mean."""
    text = Text("spikes/s ", style="dim")
    for step, low in zip(COLOURS, ("0", *map(str, STEPS)), strict=True):
        text.append(f" {low} ", Style(color="#000000" if step in COLOURS[5:] else "#d0d0d8", bgcolor=step))
    return text


def course(watch: Watch) -> Text:
    """Return the activity of all electrodes as bars over time: network bursts stand out."""
    counts = watch.course(COURSE_COLUMNS)
    top = max(int(counts.max()), 8)
    text = Text(no_wrap=True)
    text.append(f"all: spikes per {BIN_S:g} s, top {top}\n", Style(dim=True))
    eighths = np.ceil(counts * (COURSE_ROWS * 8) / top).astype(int)
    for row in range(COURSE_ROWS - 1, -1, -1):
        text.append("".join(BARS[min(max(e - row * 8, 0), 8)] for e in eighths) + "\n", Style(color=COLOURS[5]))
    span_s = COURSE_COLUMNS * BIN_S
    text.append(f"{f'-{span_s:g} s':<{COURSE_COLUMNS - 3}}now", Style(dim=True))
    return text


def panel(watch: Watch, title: str, width: int = BOTH_COLUMNS) -> Panel:
    """Return the map, and the course of the activity where there is room for both, in a frame."""
    grid = Table.grid(padding=(0, 4), pad_edge=False)
    grid.add_row(array_map(watch), *([course(watch)] if width >= BOTH_COLUMNS else []))
    outer = Table.grid()
    for part in (grid, Text(""), legend()):
        outer.add_row(part)
    return Panel(outer, title=title, title_align="left", border_style="#777788", expand=False, padding=(1, 2))
