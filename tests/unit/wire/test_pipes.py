"""What goes between the engine and its reply process."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import WireError
from rtspikes.wire.pipes import LARGEST, pack_map, read_frame, unpack


@given(st.lists(st.dictionaries(st.text(max_size=5), st.binary(max_size=50) | st.integers(0, 9)), max_size=5))
def test_maps_come_out_as_they_went_in(maps: list[dict[str, Any]]) -> None:
    pipe = io.BytesIO(b"".join(pack_map(m) for m in maps))
    found = []
    while (frame := read_frame(pipe)) is not None:
        found.append(unpack(frame))
    assert found == maps


@pytest.mark.parametrize("cut", [0, 1, 4, 7])
def test_a_pipe_that_ends_within_a_map_is_at_its_end(cut: int) -> None:
    assert read_frame(io.BytesIO(pack_map({"a": 1, "b": "two"})[:cut])) is None


def test_a_length_that_no_map_has_is_refused_unread() -> None:
    with pytest.raises(WireError, match="bytes at most"):
        read_frame(io.BytesIO(struct.pack("<I", LARGEST + 1)))


@given(st.binary(max_size=30))
def test_what_is_no_map_is_a_wire_error(data: bytes) -> None:
    try:
        assert isinstance(unpack(data), dict)
    except WireError:
        return
