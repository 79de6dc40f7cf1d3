"""Draws the page for a person who chooses a threshold: each shown channel in a row, the array below."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtspikes.pictures.amplitudes import draw_amplitudes
from rtspikes.pictures.curves import draw_curve
from rtspikes.pictures.heading import draw_heading, heading_in
from rtspikes.pictures.maps import LONGEST_LABEL, draw_bars, draw_map
from rtspikes.pictures.overlay import draw_waveforms
from rtspikes.pictures.scales import DOT, number, short, voltage
from rtspikes.pictures.sites import in_order, sites
from rtspikes.pictures.strips import draw_strips
from rtspikes.pictures.style import BLACK, FONT_PT, styled
from rtspikes.tuning.axis import rounded
from rtspikes.tuning.findings import Tuning, View

WIDTH_IN = 12.0

MIDDLE = 1
"""The candidate whose waveforms are shown."""

HEAD_IN, FOOT_IN, TITLE_IN = 0.34, 0.52, 0.3
"""Above panels for what they are of; below them for their axis; for titles of columns."""

STRIP_IN, GAP_IN = 0.6, 0.06
"""Of a strip in a row; between two."""

COLUMNS_IN = ((0.75, 3.65), (6.15, 1.7), (8.55, 1.3), (10.6, 1.25))
"""Left side and width of a row's strips, curve, amplitudes and waveforms."""

WIDE_STRIP_IN, WIDE_GAP_IN, WIDE_PANEL_IN = 1.1, 0.2, 2.9
WIDE_IN = ((0.75, 9.95), (0.75, 3.9), (5.6, 2.55), (9.05, 2.75))
"""The same of a page with one channel, its strips above the others."""

ARRAY_IN, MAPS_IN, MAP_IN = 2.6, (4.3, 8.35), 2.6
"""Height of what is drawn of the array; left sides of its maps; their width at most."""

LABELS_IN = 0.5
"""From an axis to its label, on the left."""

LETTER_IN = 0.075
"""Of the name of a channel, which is between a bar and that label."""

ARRAY_HEAD_IN = 0.55

FEW = 16
"""Channels without places up to which bars tell more than a map."""

TITLES = ("signal at three candidate thresholds", "events against threshold", "amplitudes", "waveforms")


def draw_tuning(tuning: Tuning) -> Any:
    """Return the page as a figure."""
    wide = len(tuning.views) == 1
    row_in = HEAD_IN + _strips_in(tuning.views[0], wide) + FOOT_IN
    row_in += wide * (WIDE_PANEL_IN + HEAD_IN + FOOT_IN + WIDE_GAP_IN)
    array = np.isfinite(tuning.sigma_uv).sum() > 1
    height_in = (
        heading_in(tuning) + TITLE_IN + row_in * len(tuning.views) + array * (ARRAY_HEAD_IN + ARRAY_IN + FOOT_IN)
    )
    with styled() as Figure:  # noqa: N806
        page = _Page(Figure(figsize=(WIDTH_IN, height_in + 0.1)))
        suggested = _suggested(tuning)
        draw_heading(page.figure, tuning)
        top = heading_in(tuning)
        for (left, _), title in zip(WIDE_IN[:1] if wide else COLUMNS_IN, TITLES, strict=False):
            page.title(left, top + 0.2, title)
        top += TITLE_IN
        for view in tuning.views:
            _view(page, tuning, view, top, suggested, wide)
            top += row_in
        if array:
            _array(page, tuning, top)
    return page.figure


class _Page:
    """Puts axes and titles on a figure, by inches from its top left corner."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self._width, self._height = figure.get_size_inches()

    def axes(
        self, left: float, top: float, width: float, height: float, labels_in: float = LABELS_IN, **shared: Any
    ) -> Any:
        """Return new axes; labels_in: from them to the label of y."""
        place = left / self._width, 1 - (top + height) / self._height, width / self._width, height / self._height
        axes = self.figure.add_axes(place, **shared)
        axes.yaxis.set_label_coords(-labels_in / width, 0.5)
        return axes

    def title(self, left: float, bottom: float, text: str) -> None:
        """Write the title of what is below."""
        self.text(left, bottom, text, fontsize=FONT_PT + 1, fontweight="bold")

    def text(self, left: float, bottom: float, text: str, **style: Any) -> None:
        """Write a text."""
        self._last = self.figure.text(left / self._width, 1 - bottom / self._height, text, color=BLACK, **style)

    def continued(self, text: str) -> None:
        """Write a text where the last one ends."""
        left, bottom = self._last.get_position()
        left += self._last.get_window_extent().width / self.figure.dpi / self._width
        self.figure.text(left, bottom, text, color=BLACK)


def _suggested(tuning: Tuning) -> int | None:
    """Return which candidate is the suggestion."""
    suggestion = rounded(tuning.curve.suggestion)
    near = [i for i, each in enumerate(tuning.candidates) if abs(each - suggestion) <= 1e-6 * suggestion]
    return near[0] if near else None


def _strips(view: View) -> int:
    return 3 + (view.compared_uv is not None)


def _strips_in(view: View, wide: bool) -> float:
    """Return the height of all strips of a channel."""
    return _strips(view) * ((WIDE_STRIP_IN if wide else STRIP_IN) + GAP_IN) - GAP_IN


def _view(page: _Page, tuning: Tuning, view: View, top: float, suggested: int | None, wide: bool) -> None:
    """Draw what is shown of a channel."""
    columns = WIDE_IN if wide else COLUMNS_IN
    each_in = WIDE_STRIP_IN if wide else STRIP_IN
    label = short(f"channel {view.label}" if view.label.isdecimal() else view.label, 24)
    page.text(columns[0][0], top + HEAD_IN - 0.1, label, fontweight="bold")
    factor, unit = voltage(view.sigma_uv)
    page.continued(f"{DOT}{short(view.why, 30)}{DOT}σ {number(view.sigma_uv * factor)} {unit}")
    top += HEAD_IN
    strips: list[Any] = []
    for i in range(_strips(view)):
        shared = {"sharex": strips[0]} if strips else {}
        if 0 < i < 3:
            shared["sharey"] = strips[0]
        strips.append(page.axes(columns[0][0], top + i * (each_in + GAP_IN), columns[0][1], each_in, **shared))
    draw_strips(strips, tuning, view, suggested)
    panel_in = _strips_in(view, wide)
    if wide:
        top += panel_in + FOOT_IN + HEAD_IN + WIDE_GAP_IN
        panel_in = WIDE_PANEL_IN
        for (left, _), title in zip(WIDE_IN[1:], TITLES[1:], strict=True):
            page.title(left, top - 0.3, title)
    curve, amplitudes, waveforms = (page.axes(left, top, width, panel_in) for left, width in columns[1:])
    draw_curve(curve, view.curve, tuning, "")
    draw_amplitudes(amplitudes, view)
    draw_waveforms(waveforms, tuning, view, MIDDLE)


def _array(page: _Page, tuning: Tuning, top: float) -> None:
    """Draw all electrodes together."""
    left, width = COLUMNS_IN[0][0], 2.45
    n = int(np.isfinite(tuning.sigma_uv).sum())
    top += ARRAY_HEAD_IN
    page.title(left, top - 0.3, f"all {n} electrodes")
    draw_curve(page.axes(left, top, width, ARRAY_IN), tuning.curve, tuning, " and channel")
    where = sites(tuning.places_um, tuning.wells, np.isfinite(tuning.sigma_uv))
    if where is None and len(tuning.labels) > FEW:
        where = in_order(len(tuning.labels))
    shown = {view.position: view.label for view in tuning.views}
    at = f"rate at {number(rounded(tuning.curve.suggestion), 4)} {tuning.unit}"
    factor, unit = voltage(float(np.nanmax(tuning.sigma_uv)))
    for map_left, title, values, label, colours in (
        (MAPS_IN[0], at, tuning.rates_hz, "events per second (Hz)", "viridis"),
        (MAPS_IN[1], "noise level", tuning.sigma_uv * factor, f"σ ({unit})", "cividis"),
    ):
        page.title(map_left, top - 0.3, title)
        if where is None:
            names_in = 0.3 + LETTER_IN * min(LONGEST_LABEL, max(map(len, tuning.labels)))
            draw_bars(page.axes(map_left + 0.4, top, MAP_IN, ARRAY_IN, names_in), tuning.labels, values, label)
            continue
        axes = page.axes(map_left, top, MAP_IN, ARRAY_IN)
        bar = page.figure.add_axes((0, 0, 1, 1))
        draw_map(axes, bar, where, values, label, colours, shown)
