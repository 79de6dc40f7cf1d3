"""Values of a message as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return `value` with NaN and infinity as None, bytes in hexadecimal, and what JSON does not know as text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def with_lists(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `status` message with its column `observed` (bin of float32, s) as a list."""
    column = status.get("observed")
    if not isinstance(column, bytes) or len(column) % 4:
        return dict(status)
    return {**status, "observed": np.frombuffer(column, "<f4").tolist()}
