"""How all pictures look, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtspikes.errors import ConfigError, DataError, reason

SUFFIXES = (".png", ".svg")

BLUE, GREY, RED, BLACK, GREEN = "#0072B2", "#8C8C8C", "#D55E00", "#222222", "#009E73"
"""Of spikes, of the signal, of noise and what is wrong, of text and means, of what is right.

From the palette of Okabe and Ito (2008), which people of every colour vision tell apart; in grey they differ, too.
"""

FONT_PT = 10.0
"""At half a page (the picture's 12 inches on 17 cm) 5.6 pt remain."""

DPI = 160


def check_picture(path: Path) -> None:
    """Raise ConfigError or DataError unless a picture can be written to `path`: suffix, folder, matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"-o must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise DataError(f"cannot write {path}: there is no folder {path.parent}; choose another file with -o")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError("pictures need matplotlib; install it: pip install 'rtspikes[plot]'") from None


@contextmanager
def styled() -> Iterator[Any]:
    """Yield matplotlib's Figure class, with our style in force; needs no display."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "font.size": FONT_PT, "axes.titlesize": FONT_PT, "axes.labelsize": FONT_PT, "legend.fontsize": FONT_PT - 1,
        "xtick.labelsize": FONT_PT - 1, "ytick.labelsize": FONT_PT - 1, "axes.spines.top": False,
        "axes.spines.right": False, "axes.linewidth": 0.8, "legend.frameon": False, "svg.fonttype": "none",
        "axes.titlelocation": "left", "font.family": "DejaVu Sans", "svg.hashsalt": "rtspikes",
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield Figure


def save(figure: Any, path: Path) -> None:
    """Write a figure as its suffix says; raise DataError when that is not possible."""
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
    try:
        with styled():  # how SVG has text is asked for when it is written
            figure.savefig(path, dpi=DPI, facecolor="white", metadata=metadata)
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason(error)}; choose another file with -o") from None
