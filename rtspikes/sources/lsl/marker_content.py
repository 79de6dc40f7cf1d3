"""What a sample of a marker stream says: a value and a text, both bounded, whatever was sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_TEXT = 1000
"""Characters of a marker's text: as many as a mark of the protocol has at most."""

BETWEEN = " | "
"""What stands between the channels of one sample."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_INT32 = range(-(2**31), 2**31)


def content(sample: Iterable[Any]) -> tuple[int, str]:
    """Return the value and the text of one sample: its channels as bytes (UTF-8) or NumPy numbers.

    The value is the first channel's where that is an integer, sent as a number or as text, and fits into int32,
    otherwise 0. The text is what was sent as text, a number that is not the value, and with several channels all of
    them; it ends with … where it was cut.
    """
    values = list(sample)
    words = [_word(value) for value in values]
    whole = _INTEGER.fullmatch(words[0].strip()) if words else None
    value = int(whole[0]) if whole is not None and int(whole[0]) in _INT32 else 0
    if len(words) == 1 and whole is not None and value == int(whole[0]) and not isinstance(values[0], bytes):
        return value, ""
    text = BETWEEN.join(words)
    return value, text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def _word(value: Any) -> str:
    """Return one channel's value as text."""
    if isinstance(value, bytes):
        return value[: 4 * (MOST_TEXT + 1)].decode("utf-8", "replace")
    number = float(value)
    return str(int(value)) if number.is_integer() else str(value)


def changes(samples: NDArray[Any], before: NDArray[Any] | None) -> NDArray[np.intp]:
    """Return the rows of `samples` (n, channels) that differ from the row before them.

    `before` (channels,) is the row before the first; without one the first row is where it begins, and no change.
    """
    first = samples[:1] if before is None else before[None]
    rows = np.concatenate([first, samples])
    if rows.dtype.kind == "f":
        rows = np.nan_to_num(rows)
    return np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1))
