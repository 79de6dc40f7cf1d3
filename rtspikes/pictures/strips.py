"""Draws a stretch of signal once for every candidate threshold, one under the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.pictures.marks import SHADES, dashes
from rtspikes.pictures.scales import SMALL_PT, number, plain, voltage
from rtspikes.pictures.style import BLACK, BLUE, GREY
from rtspikes.tuning.findings import Found, Tuning, View

BEFORE_MS, AFTER_MS = 0.5, 1.0
"""Of the trace around a spike that is drawn in blue."""

TINT = "#EEF4F9"
"""Behind the strip of the suggestion."""

EDGE = 0.07
"""Part of a strip, above and below, where no tick is."""

HIGHEST, HIGHEST_COMPARED = 40.0, 2.0
"""Times the highest threshold: the signal, and what is compared in its place, leave the strip beyond."""

FARTHEST = 4.0
"""Times the signal's height: a threshold beyond is not shown, for the signal would be a line."""


def draw_strips(axes: Sequence[Any], tuning: Tuning, view: View, suggested: int | None) -> None:
    """Draw a view's stretch; one of `axes` for each candidate, and one more where the method compares something else.

    suggested: which candidate is the suggestion.
    """
    ms = np.arange(len(view.signal_uv)) / tuning.rate_hz * 1e3
    factor, unit = voltage(_height_uv(view.signal_uv, view))
    for i, (found, lines) in enumerate(zip(view.found, view.lines_uv, strict=True)):
        each = axes[i]
        _trace(each, ms, view.signal_uv * factor, found, view, tuning.rate_hz)
        if view.compared_uv is None:
            dashes(each, np.array(lines) * factor, bold=i == suggested)
        if i == suggested:
            each.set_facecolor(TINT)
        _tell(each, tuning, found, i, suggested)
    low, high = _extent(view.signal_uv, () if view.compared_uv is not None else view.lines_uv)
    axes[0].set_ylim(low * factor, high * factor)
    axes[1].set_ylabel(f"signal ({unit})")
    if view.compared_uv is not None:
        _compared(axes[3], ms, view, tuning.method, suggested)
    for each in axes:
        each.set_xlim(0, max(len(ms), 1) / tuning.rate_hz * 1e3)
        plain(each, 6)
        each.tick_params(labelbottom=each is axes[-1])
        if each is not axes[-1]:
            each.spines["bottom"].set_visible(False)
            each.tick_params(bottom=False)
    for each in (axes[0], *axes[3:]):
        _few_ticks(each)
    axes[-1].set_xlabel(f"time (ms) from {number(view.first / tuning.rate_hz, 6)} s on")


def _few_ticks(axes: Any) -> None:
    """Give a strip two or three ticks whose numbers do not reach into the next strip."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    low, high = axes.get_ylim()
    margin = EDGE * (high - low)
    for n in range(2, 8):
        ticks = MaxNLocator(n, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        inside = ticks[(ticks >= low + margin) & (ticks <= high - margin)]
        if len(inside) > 1:
            break
    axes.yaxis.set_major_locator(FixedLocator(inside))


def _trace(
    axes: Any, ms: NDArray[np.float64], signal: NDArray[np.floating], found: Found, view: View, rate: float
) -> None:
    """Draw the signal grey, and blue around what was found; a tick above marks each."""
    axes.plot(ms, signal, color=GREY, linewidth=0.6)
    at = found.sample - view.first
    at = at[(at >= 0) & (at < len(signal))]
    blue = np.full(len(signal), np.nan)
    for sample in at.tolist():
        piece = slice(max(0, sample - round(BEFORE_MS * 1e-3 * rate)), sample + round(AFTER_MS * 1e-3 * rate) + 1)
        blue[piece] = signal[piece]
    axes.plot(ms, blue, color=BLUE, linewidth=1.0)
    axes.plot(
        ms[at], np.full(len(at), 0.94), "|", color=BLUE, markersize=4.5, markeredgewidth=1.3,
        transform=axes.get_xaxis_transform(),
    )  # fmt: skip


def _tell(axes: Any, tuning: Tuning, found: Found, i: int, suggested: int | None) -> None:
    """Write the candidate and its rate to the right of its strip."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((1.012, 0.0), 0.012, 0.9, color=SHADES[i], transform=axes.transAxes, clip_on=False, linewidth=0)
    )
    bold = "bold" if i == suggested else "normal"
    rate = number(len(found.sample) / max(tuning.seconds, 1e-9), 2 if len(found.sample) < 10 else 3)
    axes.annotate(
        f"{number(found.level, 4)} {tuning.unit}", (1.024, 0.9), xycoords="axes fraction", xytext=(5, 0),
        textcoords="offset points", va="top", color=BLACK, fontsize=SMALL_PT + 1, fontweight=bold,
    )  # fmt: skip
    axes.annotate(
        f"{rate} events/s", (1.024, 0.9), xycoords="axes fraction", xytext=(5, -14), textcoords="offset points",
        va="top", color=BLACK, fontsize=SMALL_PT,
    )  # fmt: skip


def _compared(axes: Any, ms: NDArray[np.float64], view: View, method: str, suggested: int | None) -> None:
    """Draw what the method compares with its threshold, and all candidates."""
    assert view.compared_uv is not None
    factor, unit = voltage(_height_uv(view.compared_uv, view))
    axes.plot(ms, view.compared_uv * factor, color=GREY, linewidth=0.6)
    for i, lines in enumerate(view.lines_uv):
        dashes(axes, np.array(lines) * factor, bold=i == suggested)
    low, high = _extent(view.compared_uv, view.lines_uv, HIGHEST_COMPARED)
    axes.set_ylim(low * factor, high * factor)
    axes.set_ylabel(f"{method} ({unit})")


def _height_uv(signal: NDArray[np.float32], view: View) -> float:
    low, high = _extent(signal, view.lines_uv)
    return max(abs(low), abs(high))


def _extent(
    signal_uv: NDArray[np.float32], lines_uv: Sequence[Sequence[float]], highest: float = HIGHEST
) -> tuple[float, float]:
    """Return from where to where a strip goes: its signal and thresholds, with room for the ticks above."""
    lines = np.array([line for each in lines_uv for line in each], float)
    known = signal_uv[np.isfinite(signal_uv)].astype(float)
    if len(known):
        lines = lines[np.abs(lines) <= FARTHEST * np.abs(known).max()]
    most = highest * float(np.abs(lines).max(initial=0.0)) or np.inf
    values = np.concatenate([np.clip(known, -most, most), lines])
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = (high - low) or abs(high) or 1.0
    return low - 0.08 * room, high + 0.16 * room
