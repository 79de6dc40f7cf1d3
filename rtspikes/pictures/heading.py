"""Writes the head of the page: what was looked at, what is suggested, and what its lines and colours mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtspikes.pictures.curves import NOTICEABLE, plateau
from rtspikes.pictures.marks import DASHED, SHADES
from rtspikes.pictures.scales import DOT, SMALL_PT, number, short
from rtspikes.pictures.style import BLACK, BLUE, FONT_PT, GREEN, GREY, RED
from rtspikes.tuning.axis import rounded
from rtspikes.tuning.findings import Tuning

LEFT_IN, LINE_IN, LEGEND_IN = 0.3, 0.26, 0.5

SIGNS = {"neg": "negative spikes", "pos": "positive spikes", "both": "spikes of both signs"}

MOST_NOTES = 3

LONGEST_TITLE, LONGEST_NOTE, LONGEST_TOML = 80, 150, 110
"""Characters that fit in a line."""


def heading_in(tuning: Tuning) -> float:
    """Return the height of the head in inches."""
    return 0.93 + LINE_IN * (len(_toml(tuning)) + len(_notes(tuning))) + LEGEND_IN


def draw_heading(figure: Any, tuning: Tuning) -> None:
    """Write the head at the top of a figure."""
    width, height = figure.get_size_inches()
    top = 0.34

    def write(text: str, **style: Any) -> None:
        figure.text(LEFT_IN / width, 1 - top / height, text, **({"color": BLACK, "fontsize": FONT_PT} | style))

    write(short(tuning.source, LONGEST_TITLE), fontsize=14, fontweight="bold")
    top += 0.27
    write(_what(tuning))
    top += LINE_IN + 0.03
    write(_answer(tuning), fontweight="bold", fontsize=FONT_PT + 1)
    for line in _toml(tuning):
        top += LINE_IN
        write(line, family="DejaVu Sans Mono", backgroundcolor="#EFEFEF")
    for note in _notes(tuning):
        top += LINE_IN
        write(note, color="#555555", fontsize=SMALL_PT)
    _legend(figure, tuning, 1 - (top + 0.16) / height, LEFT_IN / width)


def _what(tuning: Tuning) -> str:
    """Return what was looked at, and how."""
    n = int(np.isfinite(tuning.sigma_uv).sum())
    of = f" of {len(tuning.labels)} channels" if n < len(tuning.labels) else ""
    return (
        f"method {tuning.method}{DOT}{SIGNS.get(tuning.sign, tuning.sign)}{DOT}{n} electrode{'s' if n != 1 else ''}{of}"
        f"{DOT}{number(tuning.seconds)} s at {number(tuning.rate_hz / 1e3, 4)} kHz"
    )


def _answer(tuning: Tuning) -> str:
    curve = tuning.curve
    now = "" if tuning.current is None else f"{DOT}the settings say {number(tuning.current, 4)} {tuning.unit}"
    suggestion = f"suggested threshold {number(rounded(curve.suggestion), 4)} {tuning.unit}"
    return f"{suggestion}{DOT}{plateau(curve, tuning.unit)}{now}"


def _toml(tuning: Tuning) -> list[str]:
    return [short(line, LONGEST_TOML) for line in tuning.toml]


def _notes(tuning: Tuning) -> list[str]:
    """Return the notes that have room."""
    notes = [short(note, LONGEST_NOTE) for note in tuning.notes]
    return notes if len(notes) <= MOST_NOTES else [*notes[: MOST_NOTES - 1], f"and {len(notes) - MOST_NOTES + 1} more"]


def _legend(figure: Any, tuning: Tuning, top: float, left: float) -> None:
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def line(colour: str, width: float, style: Any = "-") -> Any:
        return Line2D([], [], color=colour, linewidth=width, linestyle=style)

    curves = [tuning.curve, *(view.curve for view in tuning.views)]
    entries: dict[str, Any] = {
        "signal": line(GREY, 1.0),
        "events found": line(BLUE, 1.8),
        "threshold": line(BLACK, 1.0, DASHED),
        "mean waveform": line(BLACK, 1.8),
        "candidates, low to high": tuple(Patch(color=shade) for shade in SHADES),
        "Gaussian noise": line(RED, 1.4, (0, (4, 2))),
    }
    if any(np.isfinite(c.floor_hz).all() and c.widening > NOTICEABLE for c in curves):
        entries["widened noise"] = line(RED, 1.0, (0, (1, 1.5)))
    entries |= {"plateau": Patch(color=GREEN, alpha=0.22), "its suggestion": line(GREEN, 1.2)}
    if tuning.current is not None:
        entries["threshold in the settings"] = line(GREY, 1.2, ":")
    figure.legend(
        list(entries.values()), list(entries), loc="upper left", bbox_to_anchor=(left, top),
        ncols=(len(entries) + 1) // 2, borderaxespad=0, borderpad=0, handlelength=2.2, columnspacing=1.8,
        labelspacing=0.35, handler_map={tuple: HandlerTuple(ndivide=None, pad=0.2)},
    )  # fmt: skip
