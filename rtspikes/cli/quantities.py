"""Options with a unit: 5ms, 0.1%, 50ppm. A bare number is refused, for it says too little."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import click

TIMES = {"s": Decimal(1), "ms": Decimal("1e-3"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "min": Decimal(60)}
PARTS = {"%": Decimal("1e-2"), "ppm": Decimal("1e-6")}

LARGEST = Decimal("1e9")


class Quantity(click.ParamType):  # type: ignore[type-arg]
    """A number and its unit, > 0 unless `signed`, as a float in s or as a ratio.

    A number without a unit is in `bare`, if given, else refused.
    """

    name = "quantity"

    def __init__(
        self, noun: str, units: dict[str, Decimal], example: str, *, signed: bool = False, bare: str | None = None
    ) -> None:
        self._noun, self._units, self._example, self._signed, self._bare = noun, units, example, signed, bare

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the quantity; fail when it is not one, or has no unit."""
        match = re.fullmatch(r"\s*([-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*([a-zA-Zµμ%]*)\s*", str(value))
        unit = "" if match is None else (match[2].replace("μ", "µ") or self._bare or "")
        if match is not None and unit in self._units:
            number = Decimal(match[1].replace("−", "-")) * self._units[unit]
            if abs(number) <= LARGEST and (number > 0 or (self._signed and number)):
                return float(number)
        limit = "≠ 0" if self._signed else "> 0"
        known = " or ".join((", ".join(list(self._units)[:-1]), list(self._units)[-1])).removeprefix(" or ")
        self.fail(f"must be {self._noun} {limit} in {known}, for example {self._example}, got {value!r}", param, ctx)


def time(example: str, *, signed: bool = False, bare: str | None = None) -> Quantity:
    """Return the type of a time, in s."""
    return Quantity("a time", TIMES, example, signed=signed, bare=bare)


def part(example: str) -> Quantity:
    """Return the type of a part of the whole, as a ratio."""
    return Quantity("a part", PARTS, example)


def deviation(example: str) -> Quantity:
    """Return the type of a relative deviation, as a ratio."""
    return Quantity("a deviation", PARTS, example, signed=True)
