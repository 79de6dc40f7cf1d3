"""Draws the waveforms of what one candidate finds on each other, with their mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.pictures.marks import dashes, no_events
from rtspikes.pictures.scales import SMALL_PT, number, plain, voltage
from rtspikes.pictures.style import BLACK, BLUE
from rtspikes.tuning.findings import Found, Tuning, View

MOST = 200
"""Waveforms that are drawn, evenly over the time."""

FAINTEST, STRONGEST = 0.1, 0.5


def draw_waveforms(axes: Any, tuning: Tuning, view: View, shown: int) -> None:
    """Draw what the candidate number `shown` finds."""
    found = view.found[shown]
    before, after = tuning.snippet
    ms = np.arange(-before, after) / tuning.rate_hz * 1e3
    some = _evenly(found)
    lines = np.array([] if view.compared_uv is not None else view.lines_uv[shown], float)
    height = np.concatenate([np.ravel(some[np.isfinite(some)]), lines])
    factor, unit = voltage(float(np.abs(height).max(initial=0.0)))
    if len(some):
        faint = float(np.clip(12 / len(some), FAINTEST, STRONGEST))
        axes.plot(ms, some.T * factor, color=BLUE, linewidth=0.6, alpha=faint)
        axes.plot(ms, found.waveforms_uv.mean(axis=0, dtype=float) * factor, color=BLACK, linewidth=1.8)
    else:
        no_events(axes)
        room = 1.5 * float(np.abs(lines).max(initial=0.0)) * factor or 1.0
        axes.set_ylim(-room, room)
    dashes(axes, lines * factor)
    plain(axes, 3, 4)
    axes.set_xlim(ms[0], ms[-1])
    axes.set_xlabel("time (ms)")
    axes.set_ylabel(f"signal ({unit})")
    n = len(found.sample)
    of = f"{len(some)} of {n}" if len(some) < n else f"{n}"
    axes.set_title(f"{of} at {number(found.level, 4)} {tuning.unit}", fontsize=SMALL_PT, color=BLACK, pad=4)


def _evenly(found: Found) -> NDArray[np.float32]:
    """Return MOST of the waveforms, from the first to the last in equal steps; all where there are no more."""
    n = len(found.waveforms_uv)
    return found.waveforms_uv if n <= MOST else found.waveforms_uv[np.linspace(0, n - 1, MOST).astype(int)]
