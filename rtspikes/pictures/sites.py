"""Says where on a map each channel is drawn: at its place, in its well, or in the order of the stream."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtspikes.pictures.scales import number

GAP = 0.35
"""Between wells, in parts of a well."""

MOST_COLUMNS = 8
"""Of a probe; more are places without order."""

LONGEST = 4.0
"""Times its width that an array may be long (or the reverse) and still be drawn to scale."""

Places = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sites:
    """Where channels are drawn.

    centres: (channels, 2), NaN: not at all. cell: width and height of a channel, centre to centre. to_scale: whether
    both axes have one unit. wells: names and where each has its top left corner; the axes then have no ticks.
    """

    centres: Places
    cell: tuple[float, float]
    to_scale: bool
    x_label: str
    y_label: str
    wells: tuple[tuple[str, float, float], ...] = ()


def sites(places_um: Places, wells: Sequence[str | None], used: NDArray[np.bool_]) -> Sites | None:
    """Return where channels are drawn; None where their places are not known and there are no wells.

    places_um: (channels, 2). used: (channels,) which must have a place.
    """
    names = [well for well in dict.fromkeys(wells) if well is not None]
    known = bool(used.any()) and bool(np.isfinite(places_um[used]).all())
    if len(names) > 1:
        return _plate(places_um if known else None, wells, names)
    if known and (cell := _cell(places_um[used])):
        x, y = (float(np.ptp(places_um[used, axis])) + cell[axis] for axis in (0, 1))
        return Sites(places_um, cell, 1 / LONGEST <= x / y <= LONGEST, "x (µm)", "y (µm)")
    return None


def in_order(n: int) -> Sites:
    """Return rows of channels in the order of the stream."""
    columns = math.ceil(math.sqrt(n) / 10) * 10 if n > 30 else math.ceil(math.sqrt(n))
    centres = np.stack([np.arange(n) % columns, np.arange(n) // columns * columns], axis=1).astype(float)
    return Sites(
        centres, (1.0, float(columns)), False, "channel within the row (number)", "first channel of the row (number)"
    )


def _cell(places: Places) -> tuple[float, float] | None:
    """Return the width and height that channels have room for; None where two are at one place.

    A square; on a long probe, its columns side by side without a gap, or its rows if it is wide.
    """
    if len(places) == 1:
        return 1.0, 1.0
    from scipy.spatial import cKDTree

    apart = cKDTree(places).query(places, k=2)[0][:, 1]
    if apart.min() <= 0:
        return None
    pitch = float(np.median(apart))
    spans = np.ptp(places, axis=0) + pitch
    if spans.max() <= LONGEST * spans.min():
        return pitch, pitch
    across = int(spans.argmin())
    columns = np.unique(places[:, across].round(3))
    if len(columns) > MOST_COLUMNS:
        return pitch, pitch
    along = [np.diff(np.sort(places[places[:, across].round(3) == column, 1 - across])) for column in columns]
    cell = [pitch, pitch]
    cell[across] = float(np.diff(columns).min(initial=pitch))
    cell[1 - across] = float(np.concatenate(along).min(initial=np.inf))
    return (cell[0], cell[1]) if np.isfinite(cell).all() else (pitch, pitch)


def _plate(places_um: Places | None, wells: Sequence[str | None], names: list[str]) -> Sites | None:
    """Return wells side by side: by their names (A1 … P24), or in the order of the stream."""
    members = {name: [i for i, well in enumerate(wells) if well == name] for name in names}
    inside = np.full((len(wells), 2), np.nan)
    cell: tuple[float, float] | None = None
    if places_um is not None:
        cells = [_cell(own[np.isfinite(own).all(axis=1)]) for own in (places_um[rows] for rows in members.values())]
        cell = None if None in cells else min(each for each in cells if each is not None)
    for rows in members.values():
        if cell is not None and places_um is not None:
            inside[rows] = places_um[rows] - np.nanmin(places_um[rows], axis=0)
        else:
            columns = math.ceil(math.sqrt(len(rows)))
            inside[rows] = np.stack([np.arange(len(rows)) % columns, np.arange(len(rows)) // columns], axis=1)
    width, height = cell or (1.0, 1.0)
    spans = np.nanmax(inside, axis=0) + (width, height)
    at = _on_plate(names)
    centres = inside.copy()
    corners = []
    for name, (column, row) in zip(names, at, strict=True):
        corner = np.array([column, row]) * spans * (1 + GAP)
        centres[members[name]] += corner
        corners.append((name, float(corner[0]) - width / 2, float(corner[1]) - height / 2))
    wide, high = (
        f"{number(span - side, 4)} µm" if cell else f"{span:g} electrodes"
        for span, side in zip(spans.tolist(), (width, height), strict=True)
    )
    labels = f"wells, each {wide} wide", f"each {high} high"
    return Sites(centres, (width, height), True, *labels, tuple(corners))


def _on_plate(names: list[str]) -> list[tuple[int, int]]:
    """Return the column and row of each well, without empty ones."""
    matches = [re.fullmatch(r"([A-Z])0*(\d+)", name) for name in names]
    if all(matches):
        places = [(int(m[2]), m[1]) for m in matches if m]
        columns = sorted({column for column, _ in places})
        rows = sorted({row for _, row in places})
        return [(columns.index(column), rows.index(row)) for column, row in places]
    wide = math.ceil(math.sqrt(len(names)))
    return [(i % wide, i // wide) for i in range(len(names))]
