"""What markers say, whatever their sender meant by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtspikes.sources.lsl.marker_content import MOST_TEXT, changes, content
from rtspikes.wire import codec


@pytest.mark.parametrize(
    ("sample", "value", "text"),
    [
        ([b"stimulus on"], 0, "stimulus on"),
        ([b"12"], 12, "12"),
        ([b" -3 "], -3, " -3 "),
        ([b"2147483648"], 0, "2147483648"),
        (["١٢".encode()], 0, "١٢"),
        ([b""], 0, ""),
        ([b"left", b"3"], 0, "left | 3"),
        ([b"3", b"left"], 3, "3 | left"),
        ([np.int32(7)], 7, ""),
        ([np.int64(2**40)], 0, str(2**40)),
        ([np.float64(5.0)], 5, ""),
        ([np.float32(0.1)], 0, "0.1"),
        ([np.float32(1e30)], 0, str(int(np.float32(1e30)))),
        ([np.float64("nan")], 0, "nan"),
        ([np.float64("-inf")], 0, "-inf"),
        ([np.int16(1), np.int16(0)], 1, "1 | 0"),
        ([b"\xff\xfe\x00\x1b[2J"], 0, "\ufffd\ufffd\x00\x1b[2J"),
    ],
)
def test_a_sample_is_a_value_and_a_text(sample: list[Any], value: int, text: str) -> None:
    assert content(sample) == (value, text)


@pytest.mark.parametrize("sample", [[b"x" * 10**6], ["µ".encode() * 10**6], [b"x"] * 64 + [b"y" * MOST_TEXT]])
def test_a_long_text_is_cut_and_says_so(sample: list[bytes]) -> None:
    text = content(sample)[1]
    assert len(text) == MOST_TEXT
    assert text.endswith("…")


def test_a_text_fits_into_a_mark() -> None:
    assert MOST_TEXT == codec.MOST_TEXT


def test_of_a_sampled_line_the_changes_are_markers_in_any_pieces() -> None:
    line = np.array([[0, 1], [0, 1], [5, 1], [5, 1], [5, 0], [0, 1]], np.int16)
    assert changes(line, None).tolist() == [2, 4, 5]
    for cut in range(1, len(line)):
        rest = changes(line[cut:], line[cut - 1]) + cut
        assert [*changes(line[:cut], None), *rest] == [2, 4, 5]


def test_a_line_that_is_no_number_does_not_change_for_ever() -> None:
    assert changes(np.full((4, 1), np.nan), None).tolist() == []
