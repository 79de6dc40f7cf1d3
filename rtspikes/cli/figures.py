"""Figures by name, as every command words them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counted(figures: Mapping[str, Any]) -> str:
    """Return figures as `name figure, name figure`; without counts of 0."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
        if value or isinstance(value, float)
    )
