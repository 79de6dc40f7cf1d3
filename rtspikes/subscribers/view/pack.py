"""Messages to the page that carry arrays: a JSON head, and the arrays as they lie in memory.

    0        4            4 + H           next multiple of 8
    ┌────────┬────────────┬──── zeros ────┬─ array ─┬─ zeros ─┬─ array ─ …
    │ H <u4  │ head, JSON │               │
    └────────┴────────────┴───────────────┴─────────┴─────────┴─────────

`head["arrays"]` lists each array as [name, dtype, shape, offset]; offsets count from the first array and are multiples
of 8, so that a browser reads them where they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNED = 8

DTYPES = ("u1", "u2", "u4", "i4", "f4", "f8")
"""Types of arrays, little-endian; those that JavaScript has arrays of (no 64-bit integers)."""


def pack(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a message of a head and arrays of DTYPES, C order."""
    listed, parts, offset = [], [], 0
    for name, array in arrays.items():
        dtype = array.dtype.str.lstrip("<|")
        if dtype not in DTYPES:
            raise TypeError(f"{name} must be one of {', '.join(DTYPES)}, got {array.dtype}")
        listed.append([name, dtype, list(array.shape), offset])
        data = np.ascontiguousarray(array).tobytes()
        padding = -len(data) % ALIGNED
        parts += [data, bytes(padding)]
        offset += len(data) + padding
    packed = text({**head, "arrays": listed}).encode()
    before = len(packed).to_bytes(4, "little") + packed
    return b"".join([before, bytes(-len(before) % ALIGNED), *parts])


def text(message: Mapping[str, Any]) -> str:
    """Return a message without arrays: JSON in one line; a number that is none (NaN, infinite) becomes null."""
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(message), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    """Return a value with what JSON has no number for as None."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
