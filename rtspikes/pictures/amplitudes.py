"""Draws how high the events are that each candidate finds, one within the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtspikes.pictures.marks import SHADES, dashes, no_events
from rtspikes.pictures.scales import plain, voltage
from rtspikes.tuning.findings import View

FEWEST_BINS, MOST_BINS = 16, 48


def draw_amplitudes(axes: Any, view: View) -> None:
    """Draw the histogram of signed amplitudes; thresholds where they are of the same signal."""
    heights = [found.amplitude_uv[np.isfinite(found.amplitude_uv)].astype(float) for found in view.found]
    lines = [] if view.compared_uv is not None else [line for each in view.lines_uv for line in each]
    values = np.concatenate([*heights, lines])
    factor, unit = voltage(float(np.abs(values).max(initial=0.0)))
    axes.set_xlabel(f"amplitude ({unit})")
    axes.set_ylabel("events (number)")
    if not any(map(len, heights)):
        axes.set_ylim(0, 1)
        no_events(axes)
    span = float(np.ptp(values)) if len(values) else 0.0
    span = span or float(np.abs(values).max(initial=0.0)) or 1.0
    middle = float(values.min() + values.max()) / 2 if len(values) else 0.0
    bins = int(np.clip(2 * np.sqrt(max(map(len, heights))), FEWEST_BINS, MOST_BINS))
    edges = np.linspace(middle - 0.54 * span, middle + 0.54 * span, bins + 1) * factor
    for each, shade in zip(heights, SHADES, strict=True):
        counts, _ = np.histogram(each * factor, edges)
        axes.stairs(counts, edges, fill=True, color=shade, linewidth=0)
    dashes(axes, np.array(lines) * factor, upright=True)
    plain(axes, 3, 4)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(edges[0], edges[-1])
