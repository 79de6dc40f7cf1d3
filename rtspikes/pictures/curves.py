"""Draws events against threshold, what noise alone gives, and the plateau between the two."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtspikes.pictures.marks import SHADES
from rtspikes.pictures.scales import SMALL_PT, decades, number, plain
from rtspikes.pictures.style import BLACK, BLUE, GREEN, GREY, RED
from rtspikes.tuning.findings import Curve, Tuning

NO_PLATEAU = "no plateau: hardly any spikes"

BELOW = 0.4
"""Of the lowest rate that was measured: where the axis ends, so that a curve that falls to 0 leaves it visibly."""

LEAST_TOP_HZ = 0.5
"""Where nothing was found, the axis reaches up to so much at least."""

LONG = 5
"""Characters of a threshold from which on fewer ticks have room."""

NOTICEABLE = 1.02
"""A widening of noise from which on it is drawn."""


def draw_curve(axes: Any, curve: Curve, tuning: Tuning, per: str) -> None:
    """Draw a curve with its plateau, suggestion and the candidates; per: what a rate is of, besides a second."""
    levels = curve.levels
    measured = np.where(curve.rate_hz > 0, curve.rate_hz, 1e-12)
    low, high = _range(curve)
    axes.set_yscale("log")
    if curve.plateau is not None:
        axes.axvspan(*curve.plateau, color=GREEN, alpha=0.22, linewidth=0)
    axes.axvline(curve.suggestion, color=GREEN, linewidth=1.2)
    if tuning.current is not None:
        axes.axvline(tuning.current, color=GREY, linewidth=1.2, linestyle=":")
    if np.isfinite(curve.floor_hz).all():
        noise = np.maximum(curve.floor_hz, 1e-30)
        axes.plot(levels, noise, color=RED, linewidth=1.4, linestyle=(0, (4, 2)))
        if curve.widening > NOTICEABLE:
            wider = np.maximum(curve.noise_hz, 1e-30)
            axes.plot(levels, wider, color=RED, linewidth=1.0, linestyle=(0, (1, 1.5)))
    axes.plot(levels, measured, color=BLUE, linewidth=1.8)
    for level, shade in zip(tuning.candidates, SHADES, strict=True):
        if not levels[0] <= level <= levels[-1]:
            continue
        rate = np.exp(np.interp(level, levels, np.log(measured)))
        axes.plot(level, max(rate, low), "o", color=shade, markersize=6, markeredgecolor="white", markeredgewidth=0.8,
                  clip_on=False, zorder=4)  # fmt: skip
    plain(axes, 4 if len(number(levels[-1], 3)) < LONG else 2)
    axes.set_ylim(low, high)
    decades(axes.yaxis, low, high)
    axes.set_xlim(levels[0], levels[-1])
    axes.set_xlabel(f"threshold ({tuning.unit})")
    axes.set_ylabel(f"events per second{per} (Hz)")
    axes.set_title(plateau(curve, tuning.unit), fontsize=SMALL_PT, color=BLACK, pad=4)


def plateau(curve: Curve, unit: str) -> str:
    """Return in words where the plateau is."""
    if np.isnan(curve.floor_hz).any():
        return "no plateau: noise unknown"
    if curve.plateau is None:
        return NO_PLATEAU
    low, high = curve.plateau
    return f"plateau {number(low)} – {number(high)} {unit}"


def _range(curve: Curve) -> tuple[float, float]:
    """Return from where to where rates are shown."""
    positive = curve.rate_hz[curve.rate_hz > 0]
    if not len(positive):
        finite = curve.floor_hz[np.isfinite(curve.floor_hz) & (curve.floor_hz > 1e-6)]
        top = max(LEAST_TOP_HZ, float(finite.max(initial=0.0)))
        return top * 1e-2, top * 2
    least, most = float(positive.min()), float(positive.max())
    floor = curve.floor_hz[np.isfinite(curve.floor_hz)]
    most = max(most, float(floor.max(initial=0.0)))
    return min(BELOW * least, most / 30), 1.8 * most
