"""Units of voltage as people and programs write them, and what a gain and a sampling rate can be."""

from __future__ import annotations

import re

UV_PER_UNIT = {
    **dict.fromkeys(("uv", "microvolt", "microvolts", "uvolt", "uvolts"), 1.0),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts", "nvolt", "nvolts"), 1e-3),
    **dict.fromkeys(("mv", "millivolt", "millivolts", "mvolt", "mvolts"), 1e3),
    **dict.fromkeys(("v", "volt", "volts"), 1e6),
}
"""Units that need no gain, in lower case with u for µ."""

MAX_RATE_HZ = 10_000_000
GAIN_RANGE = (1e-12, 1e12)
"""Magnitudes of µV per unit beyond which float32 arithmetic fails, and which no converter has."""

_MICRO = str.maketrans({"µ": "u", "μ": "u"})  # the micro sign and the Greek letter
_NUMBER = r"[-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_STEP = re.compile(rf"({_NUMBER})\s*[*×x]?\s*([a-z]+)(?:\s*(?:/|per)\s*(?:bit|lsb|count|step|unit|sample))?")
_BARE = re.compile(_NUMBER)
LONGEST_NUMBER = 40


def number(text: str) -> float | None:
    """Return the number that `text` is, with a decimal point or comma; None when it is none."""
    text = text.strip()
    if len(text) > LONGEST_NUMBER or not _BARE.fullmatch(text):
        return None
    return float(text.replace(",", "."))


def uv_per_unit(text: str) -> float | None:
    """Return the µV of a unit ("µV", "millivolts", "0.195 uV", "0.195 µV/bit"), None when its size is not known."""
    unit = text.strip().lower().translate(_MICRO)
    if unit in UV_PER_UNIT:
        return UV_PER_UNIT[unit]
    if len(unit) <= 2 * LONGEST_NUMBER and (step := _STEP.fullmatch(unit)):
        size, steps = UV_PER_UNIT.get(step[2]), number(step[1])
        return None if size is None or steps is None else steps * size
    return None


def is_gain(gain: float) -> bool:
    """Return whether samples can be multiplied by `gain` to make µV of them."""
    return GAIN_RANGE[0] <= abs(gain) <= GAIN_RANGE[1]
