"""Draws a value of every channel: as colours where the electrodes are, or as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.pictures.scales import SMALL_PT, decades, plain, short
from rtspikes.pictures.sites import Sites
from rtspikes.pictures.style import BLACK, BLUE, GREY

BAR_AWAY, BAR_WIDE = 0.007, 0.01
"""Of a colour bar from its map, in parts of the picture's width."""

NO_GAP_PT = 5.0
"""A cell that is smaller is filled."""

FULL = 0.86
"""Part of its cell that a channel's square fills."""

WIDE = 20.0
"""From so many times a usual low value on, the highest one makes the colours logarithmic."""

SMALLEST_PT = 7.0
"""Of a name inside its square; a smaller square has it beside."""

NAME_PT = 8.0

WELLS_NAMED = 24

LONGEST_LABEL = 10

Values = NDArray[np.float64]


def draw_map(
    axes: Any, bar: Any, where: Sites, values: Values, label: str, colours: str, shown: dict[int, str]
) -> None:
    """Draw a map and its colour bar.

    values: (channels,), NaN is drawn as an empty ring. label: of the values, with their unit. shown: names of the
    channels that are marked, by position.
    """
    from matplotlib.collections import EllipseCollection, PolyCollection

    placed = np.isfinite(where.centres).all(axis=1)
    alive = placed & np.isfinite(values)
    _frame(axes, where, where.centres[placed])
    axes.apply_aspect()
    tiny = min(_points(axes, where.cell)) < NO_GAP_PT
    width, height = ((1.0 if tiny else FULL) * side for side in where.cell)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width / 2, height / 2)
    norm = _norm(values[alive])
    squares = PolyCollection(
        list(where.centres[alive, None, :] + corners), array=np.clip(values[alive], norm.vmin, norm.vmax), norm=norm,
        cmap=colours, linewidths=0.2 if tiny else 0, edgecolors="face",
    )  # fmt: skip
    axes.add_collection(squares)
    rest = where.centres[placed & ~alive]
    axes.add_collection(
        EllipseCollection(
            np.full(len(rest), 0.7 * width), np.full(len(rest), 0.7 * height), np.zeros(len(rest)), units="xy",
            offsets=rest, offset_transform=axes.transData, facecolors="none", edgecolors=GREY, linewidths=0.8,
        )
    )  # fmt: skip
    place = axes.get_position()
    bar.set_position((place.x1 + BAR_AWAY, place.y0, BAR_WIDE, place.height))
    axes.figure.colorbar(squares, cax=bar).set_label(label)
    _scale(bar, norm)
    _name(axes, where, shown, squares, np.flatnonzero(alive))


def draw_bars(axes: Any, labels: Sequence[str], values: Values, label: str) -> None:
    """Draw a bar for each of few channels; one without a value has none."""
    rows = np.arange(len(values))
    axes.barh(rows, np.nan_to_num(values), height=0.7, color=BLUE, linewidth=0)
    plain(axes, 4)
    axes.set_yticks(rows, [short(name, LONGEST_LABEL) for name in labels], fontsize=min(SMALL_PT, 90 / len(rows) + 2))
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(0, 1.05 * (float(np.nanmax(values, initial=0.0)) or 1.0))
    axes.set_xlabel(label)
    axes.set_ylabel("channel (label)")


def _norm(values: Values) -> Any:
    """Return how values become colours: from 0, from the lowest where all are alike, or logarithmic."""
    from matplotlib.colors import LogNorm, Normalize

    if not len(values) or values.max() <= 0:
        return Normalize(0, 1)
    positive = values[values > 0]
    most, low = float(values.max()), float(np.percentile(positive, 20))
    if most > WIDE * low:
        return LogNorm(max(float(positive.min()), most * 1e-4), most)
    return Normalize(0.0, most) if float(values.min()) < most / 3 else Normalize(float(values.min()) * 0.95, most)


def _scale(bar: Any, norm: Any) -> None:
    from matplotlib.colors import LogNorm

    bar.tick_params(length=2.5, labelsize=SMALL_PT)
    bar.yaxis.label.set_color(BLACK)
    if isinstance(norm, LogNorm):
        decades(bar.yaxis, float(norm.vmin or 0), float(norm.vmax or 1))
    else:
        plain(bar)
        bar.tick_params(bottom=False, labelbottom=False)


def _frame(axes: Any, where: Sites, centres: Values) -> None:
    """Give a map its limits, row 1 above as arrays are numbered, and its axes."""
    plain(axes, 4, 4)
    (left, top), (right, bottom) = centres.min(axis=0), centres.max(axis=0)
    width, height = where.cell
    axes.set_xlim(left - 0.75 * width, right + 0.75 * width)
    axes.set_ylim(bottom + 0.75 * height, top - (1.6 if where.wells else 0.75) * height)
    if where.to_scale:
        axes.set_aspect("equal", anchor="NW")
    axes.set_xlabel(where.x_label)
    axes.set_ylabel(where.y_label)
    if where.wells:
        axes.set(xticks=[], yticks=[])
        axes.yaxis.set_label_coords(-0.05, 0.5)
        axes.spines[["left", "bottom"]].set_visible(False)
    for name, x, y in where.wells if len(where.wells) <= WELLS_NAMED else ():
        axes.text(x, y, short(name, 5), fontsize=SMALLEST_PT, color=BLACK, va="bottom", ha="left")


def _name(axes: Any, where: Sites, shown: dict[int, str], squares: Any, alive: NDArray[np.int64]) -> None:
    """Mark channels and write their names: inside of the square, else beside where nothing is written yet."""
    width_pt, height_pt = (FULL * side for side in _points(axes, where.cell))
    side_pt = max(7.0, min(width_pt, height_pt))
    taken = [text.get_window_extent() for text in axes.texts]
    for channel, label in shown.items():
        if not np.isfinite(where.centres[channel]).all():
            continue
        x, y = where.centres[channel]
        for colour, line in (("white", 3.0), (BLACK, 1.4)):
            axes.plot(
                x, y, "s", color=colour, markersize=side_pt, markerfacecolor="none", markeredgewidth=line, clip_on=False
            )
        text = axes.text(x, y, short(label, LONGEST_LABEL), ha="center", va="center", fontsize=NAME_PT, color=BLACK)
        fits = min(1.0, width_pt / (text.get_window_extent().width * 72 / axes.figure.dpi + 2))
        if NAME_PT * fits >= SMALLEST_PT and height_pt >= 1.3 * NAME_PT and channel in alive:
            face = squares.to_rgba(squares.get_array()[np.searchsorted(alive, channel)])
            text.set(fontsize=NAME_PT * fits, color="white" if np.dot(face[:3], (0.299, 0.587, 0.114)) < 0.5 else BLACK)
            taken.append(text.get_window_extent())
            continue
        if where.wells:  # beside it is another well
            text.remove()
            continue
        text.set_bbox({"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.8})
        _beside(axes, text, side_pt, taken)


def _points(axes: Any, cell: tuple[float, float]) -> tuple[float, float]:
    """Return the width and height of a cell on the page."""
    width, height = np.abs(axes.transData.transform(cell) - axes.transData.transform((0, 0))) * 72 / axes.figure.dpi
    return float(width), float(height)


def _beside(axes: Any, text: Any, side_pt: float, taken: list[Any]) -> None:
    """Move a text to a free place beside a square; take it away where there is none."""
    from matplotlib.transforms import offset_copy

    away = side_pt / 2 + 3
    frame = axes.get_window_extent()
    for ha, va, dx, dy in (
        ("left", "center", 1, 0), ("right", "center", -1, 0), ("center", "bottom", 0, 1), ("center", "top", 0, -1),
    ):  # fmt: skip
        text.set(ha=ha, va=va, transform=offset_copy(axes.transData, axes.figure, dx * away, dy * away, units="points"))
        box = text.get_window_extent().padded(2)
        if not any(box.overlaps(other) for other in taken) and frame.x0 <= box.x0 and box.x1 <= frame.x1 and (
            frame.y0 <= box.y0 and box.y1 <= frame.y1
        ):  # fmt: skip
            taken.append(box)
            return
    text.remove()
