"""How large a unit is, by every way that streams say it."""

from __future__ import annotations

import pytest

from rtspikes.lsl.sizes import size


@pytest.mark.parametrize(
    ("entry", "gain"),
    [
        ({"unit": "microvolts"}, 1.0),
        ({"unit": "mV"}, 1e3),
        ({"unit": "volts"}, 1e6),
        ({"unit": "-6"}, 1.0),  # pylsl's powers of ten
        ({"unit": "-3"}, 1e3),
        ({"unit": "0.195 µV"}, 0.195),
        ({"unit": "microvolts", "scaling_factor": "0.1"}, 0.1),  # Brain Products, raw integers
        ({"unit": "microvolts", "scaling_factor": "1"}, 1.0),
        ({"unit": "counts", "conversion": "0.0244"}, 0.0244),  # EGI, native format
        ({"unit": "volts", "conversion": "1.95e-07"}, 0.195),  # as in NWB
        ({"unit": "uV", "resolution": "0.5"}, 0.5),
        ({"resolution": "0,5"}, 0.5),  # a program in a country of commas
        ({"unit": "furlong", "gain_to_uv": "-0.195"}, -0.195),
        ({"unit": "mV", "gain_to_uv": "0.195", "scaling_factor": "7"}, 0.195),
    ],
)
def test_sizes_of_whole_numbers(entry: dict[str, str], gain: float) -> None:
    assert size(entry, whole=True).gain_uv == pytest.approx(gain, rel=1e-12)


def test_the_resolution_of_values_that_are_voltages_already_is_no_factor() -> None:
    assert size({"unit": "uV", "resolution": "0.5"}, whole=False) == (1.0, 0.0, "", "")


def test_a_factor_of_floating_point_values_is_applied_and_told() -> None:
    found = size({"unit": "mV", "scaling_factor": "0.5"}, whole=False)
    assert found.gain_uv == 500.0
    assert found.remark == "values are floating point and yet have scaling_factor 0.5: taken for 500 µV per unit"


def test_what_is_assumed_of_counts_is_told() -> None:
    assert size({"unit": "adc", "scaling_factor": "0.2"}, True).remark == (
        "scaling_factor 0.2 is taken for µV per unit of the values"
    )


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({}, "no unit is given"),
        ({"unit": "furlong"}, "the unit 'furlong' has no known size"),
        ({"unit": "0"}, "the unit '0' has no known size"),
        ({"unit": "counts"}, "the unit 'counts' has no known size and no scaling_factor is given"),
        ({"unit": "counts", "gain": "1000"}, "the unit 'counts' has no known size and no scaling_factor is given"),
        ({"unit": "\x1b[2J"}, "the unit '\\x1b[2j' has no known size".replace("j", "J")),
        ({"gain_to_uv": "nan"}, "gain_to_uv must be finite and not 0, got 'nan'"),
        ({"unit": "uV", "scaling_factor": "0"}, "scaling_factor must be finite and not 0, got '0'"),
        ({"unit": "counts", "conversion": "1e300"}, "conversion must be finite and not 0, got '1e300'"),
        (
            {"unit": "1e-9 nV", "conversion": "1e-5"},
            "conversion makes a gain that must be finite and not 0, got 1e-17 µV",
        ),
        ({"unit": "1e-99 nV"}, "unit makes a gain that must be finite and not 0, got 1e-102 µV"),
    ],
)
def test_unknown_sizes_have_a_reason(entry: dict[str, str], problem: str) -> None:
    assert (size(entry, True).gain_uv, size(entry, True).problem) == (None, problem)


def test_offsets_are_in_microvolts() -> None:
    assert size({"unit": "uV", "offset_to_uv": "-12.5"}, True).offset_uv == -12.5
    bad = size({"unit": "uV", "offset_to_uv": "inf"}, True)
    assert (bad.offset_uv, bad.remark) == (0.0, "offset_to_uv 'inf' is no finite number and counts as 0")
