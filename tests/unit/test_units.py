"""Units as they are written, and numbers as they are printed."""

from __future__ import annotations

import pytest

from rtspikes.units import is_gain, number, uv_per_unit


@pytest.mark.parametrize(
    ("text", "uv"),
    [
        ("uV", 1.0),
        ("µV", 1.0),  # micro sign
        ("μV", 1.0),  # Greek letter
        (" Microvolts ", 1.0),
        ("mV", 1e3),
        ("volts", 1e6),
        ("V", 1e6),
        ("nV", 1e-3),
        ("0.195 µV", 0.195),
        ("0.195uV/bit", 0.195),
        ("0,25 µV per count", 0.25),
        ("2e-7 V", 0.2),
    ],
)
def test_units_of_voltage_are_known(text: str, uv: float) -> None:
    assert uv_per_unit(text) == pytest.approx(uv, rel=1e-12)


@pytest.mark.parametrize("text", ["", "furlong", "0.195", "1 2 uV", "uV²", "V/m", "counts", "uV" * 1000, "١ uV"])
def test_others_have_no_size(text: str) -> None:
    assert uv_per_unit(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), (" -.5e3 ", -500.0), ("0,195", 0.195), ("nan", None), ("inf", None), ("1_0", None), ("", None)]
    + [("1" * 41, None), ("0x10", None), ("1e9999", None), ("1 000", None)],
)
def test_numbers_are_plain_and_finite(text: str, value: float | None) -> None:
    assert number(text) == value


def test_gains_are_those_that_converters_have() -> None:
    assert [is_gain(g) for g in (1.0, -0.195, 0.0, float("nan"), float("inf"), 1e-13, 1e13)] == [True, True] + [
        False
    ] * 5
