"""Numbers, quantities and lists as a paper prints them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMES = {"python": "Python", "numpy": "NumPy", "numba": "Numba", "scipy": "SciPy"}
"""How a paper writes the names of what is used."""

MOST_NAMED = 8
"""Labels that a sentence names; of more it gives the number alone."""


def number(value: float, digits: int = 4) -> str:
    """Return a number to some significant digits, with a true minus sign, without an exponent where it can be."""
    text = f"{value:.{digits}g}"
    if "e" in text and 1 <= abs(value) < 1e15:
        text = f"{float(text):,.0f}"
    return text.replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    """Return a number to exactly so many significant digits, trailing zeros kept: numbers that are compared."""
    text = f"{value:#.{digits}g}"
    return number(value, digits) if "e" in text else text.rstrip(".").replace("-", "−")


def exact(value: float) -> str:
    """Return a number that somebody has set, as it was set."""
    return f"{value:.12g}".replace("-", "−")


def whole(n: int) -> str:
    """Return a count, with commas from 10,000 on."""
    return f"{n:,}" if n >= 10_000 else str(n)


def counted(n: int, noun: str) -> str:
    """Return "no gaps", "1 gap", "12 gaps"."""
    return f"{'no' if n == 0 else whole(n)} {noun}{'s' * (n != 1)}"


def were(n: int) -> str:
    """Return the verb of a count."""
    return "was" if n == 1 else "were"


def times(n: int) -> str:
    """Return "once", "twice", "3 times"."""
    return {1: "once", 2: "twice"}.get(n, f"{whole(n)} times")


def part(n: int, of: int, noun: str) -> str:
    """Return "5 of 85 events (5.9 %)", "none of 85 events"; there must be some."""
    whole_of = counted(of, noun)
    return f"{whole(n)} of {whole_of} ({number(100 * n / of, 2)} %)" if n else f"none of {whole_of}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return "a", "a and b", "a, b and c"."""
    *first, final = list(words)
    return f"{', '.join(first)} {last} {final}" if first else final


def named(labels: Sequence[str]) -> str:
    """Return " (E1, E2)" for a few labels, nothing for many."""
    return f" ({', '.join(labels)})" if 0 < len(labels) <= MOST_NAMED else ""


def electrodes(labels: Sequence[str]) -> str:
    """Return "2 electrodes (E1, E2)"."""
    return f"{counted(len(labels), 'electrode')}{named(labels)}"


def hertz(value: float) -> str:
    """Return "350 Hz", "6 kHz", "24.414 kHz"."""
    return f"{number(value / 1000, 6)} kHz" if value >= 1000 else f"{number(value, 6)} Hz"


def seconds(value: float) -> str:
    """Return a duration in ms, s, min or h, to four digits."""
    if value < 1:
        return f"{number(1e3 * value)} ms"
    if value < 600:
        return f"{number(value)} s"
    return f"{number(value / 60)} min" if value < 6000 else f"{number(value / 3600)} h"


def spread(figures: Mapping[str, Any], unit: str) -> str:
    """Return "5.91 µV (5.1–7.2 µV)", median and range; one value where all are alike."""
    digits = 4 if unit == "s" else 3
    values = [figures[name] for name in ("median", "min", "max")]
    if number(values[1], digits) == number(values[2], digits):
        return f"{number(values[0], digits)} {unit}"
    largest = max(map(abs, values))
    places = max(0, digits - 1 - math.floor(math.log10(largest)))
    middle, least, most = (f"{value:.{places}f}".replace("-", "−") for value in values)
    return f"{middle} {unit} ({least}{' to ' if figures['min'] < 0 else '–'}{most} {unit})"


def sentence(text: str) -> str:
    """Return text with a capital, where it begins with a letter that has one in print, and a full stop."""
    return f"{text[:1].upper() if text[:1].isascii() else text[:1]}{text[1:]}."
