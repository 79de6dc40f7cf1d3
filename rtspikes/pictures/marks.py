"""How thresholds and candidates are marked, on every part of the page alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rtspikes.pictures.scales import SMALL_PT
from rtspikes.pictures.style import BLACK

SHADES = ("#9CCBE8", "#0072B2", "#00304D")
"""Of the candidates, light to dark: the lowest finds most. The middle one is BLUE."""

DASHED = (0, (4, 2))


def dashes(axes: Any, heights: Iterable[float], bold: bool = False, upright: bool = False) -> None:
    """Draw thresholds as dashed lines: horizontal, or upright where the heights are on the x axis."""
    for height in heights:
        draw = axes.axvline if upright else axes.axhline
        draw(height, color=BLACK, linewidth=1.3 if bold else 0.8, linestyle=DASHED)


def no_events(axes: Any) -> None:
    """Say in the middle of axes that there is nothing to draw."""
    axes.text(
        0.5, 0.5, "no events", ha="center", va="center", transform=axes.transAxes, color="#555555", fontsize=SMALL_PT,
        bbox={"facecolor": "white", "linewidth": 0, "pad": 1.5},
    )  # fmt: skip
