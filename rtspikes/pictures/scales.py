"""Numbers, names and axes as people read them: a unit on every axis, few ticks, no exponents."""

from __future__ import annotations

import math
from typing import Any

from rtspikes.pictures.style import BLACK, FONT_PT

SMALL_PT = FONT_PT - 1

DOT = "\u2002·\u2002"
"""Between facts in a line; SVG would drop plain spaces beside it."""

SCALES = ((1e3, 1e-3, "mV"), (0.5, 1.0, "µV"), (0.0, 1e3, "nV"))
"""From which height (µV) on an axis has which unit, and what it is in µV times what."""


def voltage(height_uv: float) -> tuple[float, str]:
    """Return what µV are multiplied with, and the unit, so that heights up to `height_uv` are short numbers."""
    if not (math.isfinite(height_uv) and height_uv > 0):
        return 1.0, "µV"
    return next((factor, unit) for least, factor, unit in SCALES if height_uv >= least)


def number(value: float, digits: int = 3) -> str:
    """Return a number to some digits; never with an exponent between 0.0001 and 1 000 000."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-9))
    if places > 9:
        return f"{value:.{digits}g}"
    if abs(value) >= 10**6:
        return f"{value:.{digits}g}".replace("e+0", "e").replace("e+", "e")
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters, in one line, that matplotlib does not take for a formula."""
    line = " ".join(text.split())
    return (line if len(line) <= longest else f"{line[: longest - 1]}…").replace("$", r"\$")


def plain(axes: Any, x_ticks: int = 4, y_ticks: int = 4) -> None:
    """Give axes with linear scales few ticks, as plain numbers, none at the corners where neighbours have theirs."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.tick_params(length=2.5, labelsize=SMALL_PT, color=BLACK)
    for axis, ticks in ((axes.xaxis, x_ticks), (axes.yaxis, y_ticks)):
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2))
        axis.set_major_formatter(FuncFormatter(_tick))


def decades(axis: Any, low: float, high: float) -> None:
    """Give a logarithmic axis from `low` to `high` at most five labelled decades; 1, 2 and 5 where there are few."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / 5))
    labelled = [10.0**power for power in range(first, last + 1) if (power - first) % every == 0]
    if len(labelled) < 2:
        steps = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
        labelled = [step for step in steps if low <= step <= high] or [low, high]
    axis.set_major_locator(FixedLocator(labelled))
    axis.set_major_formatter(FuncFormatter(_tick))
    axis.set_minor_locator(FixedLocator([10.0**power for power in range(first, last + 1)]))
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float, position: int | None = None) -> str:
    return number(0.0 if abs(value) < 1e-12 else value, 4).replace("-", "−")
