"""Quantities are read with their unit, and refused without."""

from __future__ import annotations

import click
import pytest

from rtspikes.cli.quantities import Quantity, deviation, part, time


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5ms", time("5ms"), 0.005),
        (" 5 ms ", time("5ms"), 0.005),
        ("0.5s", time("5ms"), 0.5),
        ("250µs", time("5ms"), 250e-6),
        ("250μs", time("5ms"), 250e-6),
        ("250us", time("5ms"), 250e-6),
        ("2min", time("5ms"), 120.0),
        ("1e-3s", time("5ms"), 0.001),
        ("-10s", time("10s", signed=True), -10.0),
        ("−10s", time("10s", signed=True), -10.0),
        ("+10s", time("10s", signed=True), 10.0),
        ("1", time("1ms", bare="ms"), 0.001),
        ("1s", time("1ms", bare="ms"), 1.0),
        ("0.1%", part("0.1%"), 0.001),
        ("1000ppm", part("0.1%"), 0.001),
        ("50ppm", deviation("50ppm"), 5e-5),
        ("-50ppm", deviation("50ppm"), -5e-5),
    ],
)
def test_a_number_and_its_unit(text: str, kind: Quantity, value: float) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize("text", ["5", "ms", "", "5 m", "5hz", "5%", "-5ms", "0ms", "nan", "infs", "1e99s", "5msms"])
def test_anything_else_is_refused_with_what_to_say(text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        time("5ms").convert(text, None, None)
    rule = "must be a time > 0 in s, ms, us, µs or min, for example 5ms, got "
    assert str(caught.value) == rule + repr(text)


@pytest.mark.parametrize("text", ["0s", "10", "--10s"])
def test_a_signed_one_is_not_zero(text: str) -> None:
    with pytest.raises(click.BadParameter, match="must be a time ≠ 0 in s"):
        time("10s", signed=True).convert(text, None, None)
