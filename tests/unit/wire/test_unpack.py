"""Bytes from outside become a bounded map or a WireError, whatever they are."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.errors import WireError
from rtspikes.wire.unpack import BYTES_PER_ITEM, MOST_DEPTH, unpack_map

MOST = 256 * 1024
HYPOTHESIS = settings(derandomize=True, database=None, deadline=None, max_examples=250)


def map_of(*values: bytes) -> bytes:
    """Return the map of these packed values, each under its number as key."""
    return msgpack.Packer().pack_map_header(len(values)) + b"".join(
        msgpack.packb(str(i)) + v for i, v in enumerate(values)
    )


def list_of(n: int, items: bytes = b"") -> bytes:
    return b"\xdd" + struct.pack(">I", n) + items


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS | st.text(max_size=40) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=5,
)
MAPS = st.dictionaries(st.text(max_size=40), VALUES, max_size=5)


@HYPOTHESIS
@given(MAPS)
def test_a_map_comes_back_as_it_was_packed(fields: dict[str, Any]) -> None:
    assert unpack_map(msgpack.packb(fields), MOST) == fields


@pytest.mark.parametrize(
    "value",
    [
        [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1],
        [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)],
        [1.5, -0.0, math.inf, -math.inf],
        ["x" * n for n in (0, 1, 31, 32, 255, 256, 65535, 65536)],
        [b"x" * n for n in (0, 1, 255, 256, 65535, 65536)],
        [[0] * n for n in (0, 15, 16, 20_000)],
        [{"k" * k: k for k in range(n)} for n in (0, 15, 16, 255)],
        [],
        {},
    ],
    ids=["uint", "int", "float", "str", "bin", "list", "map", "empty list", "empty map"],
)
def test_every_form_of_every_type_is_known(value: object) -> None:
    for packed in (msgpack.packb(value), msgpack.packb(value, use_single_float=True)):
        assert unpack_map(map_of(packed, b"\xc0"), MOST) == {"0": value, "1": None}


def test_forms_that_are_longer_than_needed_are_known() -> None:
    packed = [
        list_of(2, b"\x01\x02"),
        b"\xdc\x00\x01\x03",
        b"\xdf\0\0\0\1\xd9\x01a\x04",
        b"\xda\0\1b",
        b"\xc6\0\0\0\1c",
    ]
    assert list(unpack_map(map_of(*packed), MOST).values()) == [[1, 2], [3], {"a": 4}, "b", b"c"]


def test_nan_is_a_value_like_any_other() -> None:
    assert math.isnan(unpack_map(msgpack.packb({"x": math.nan}), MOST)["x"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be a msgpack map, got b''"),
        (b"\x93\x01\x02\x03", "must be a msgpack map, got b'\\x93"),
        (b"\xc0", "must be a msgpack map"),
        (b"\xc1", "must be a msgpack map"),
        (b"\x81", "not msgpack (1 bytes are not the whole map)"),
        (b"\x81\xa1a", "are not the whole map"),
        (b"\x81\xd9", "are not the whole map"),
        (b"\x81\xa5a", "are not the whole map"),
        (map_of(b"\xcd\x01"), "not msgpack (5 bytes where the map takes 6)"),
        (map_of(b"\xc6\xff\xff\xff\xff"), "where the map takes"),
        (map_of(b"\xdb\xff\xff\xff\xffabc"), "where the map takes"),
        (map_of(b"\xdb\xff"), "where the map takes"),
        (b"\x80\x00", "not msgpack (2 bytes where the map takes 1)"),
        (map_of(b"\xc1"), "not msgpack (0xc1 at byte 3)"),
        (b"\x81\xa1\xff\x00", "not msgpack (UnicodeDecodeError"),
        (map_of(b"\xa3\xed\xa0\x80"), "not msgpack (UnicodeDecodeError"),
        (b"\x81\x01\x02", "keys must be str"),
        (b"\x81\xc4\x01a\x02", "keys must be str"),
        (b"\x81\xc0\x02", "keys must be str"),
        (b"\x81\x80\x02", "keys must be str"),
        (map_of(map_of(b"\x81\x01\x02")), "keys must be str"),
        (msgpack.packb({"k" * 256: 0}), "keys must be str of ≤ 255 bytes"),
        (b"\x82\xa1a\x00\xa1a\x01", "the keys of a map must differ"),
        (map_of(b"\x82\xa1a\x00\xa1a\x00"), "the keys of a map must differ"),
        (b"\xdf\xff\xff\xff\xff", "too many items"),
        (b"\xde\xff\xff", "too many items"),
        (map_of(list_of(2**32 - 1)), "too many items"),
        (map_of(b"\x91" * 10_000), f"nesting must be ≤ {MOST_DEPTH} deep"),
        (map_of(b"\x81\xa0" * 10_000), f"nesting must be ≤ {MOST_DEPTH} deep"),
        (map_of(msgpack.packb(msgpack.ExtType(5, b"1234"))), "extension types are not part"),
        (map_of(msgpack.packb([{"x": msgpack.ExtType(5, b"123")}])), "extension types are not part"),
        (map_of(b"\xc9\xff\xff\xff\xff\x05"), "extension types are not part"),
        (map_of(msgpack.packb(msgpack.Timestamp(1))), "extension types are not part"),
        (map_of(msgpack.packb([[msgpack.Timestamp(1, 1)]])), "extension types are not part"),
        (b"\x80" * (MOST + 1), f"must have {MOST} bytes at most, got {MOST + 1}"),
    ],
    ids=range(35),
)
def test_what_breaks_a_rule_is_refused_by_its_name(data: bytes, message: str) -> None:
    with pytest.raises(WireError) as caught:
        unpack_map(data, MOST)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("byte", [0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8], ids=hex)
def test_every_form_of_extension_is_refused_wherever_it_stands(byte: int) -> None:
    extension = bytes([byte]) + b"\x00" * 24
    for value in (extension, b"\x91" + extension, map_of(extension), b"\x92\x00" + extension):
        with pytest.raises(WireError, match=f"extension types are not part of the protocol, got {byte:#x}"):
            unpack_map(map_of(value), MOST)


def test_every_limit_can_be_reached_and_not_passed() -> None:
    def nested(depth: int) -> bytes:
        return map_of(b"\x91" * (depth - 2) + b"\x90")

    def long(items: int) -> bytes:
        return map_of(list_of(items - 2, b"\x00" * (items - 2)))

    for fill, most in ((nested, MOST_DEPTH), (long, MOST // BYTES_PER_ITEM)):
        unpack_map(fill(most), MOST)
        with pytest.raises(WireError):
            unpack_map(fill(most + 1), MOST)
    whole = map_of(b"\xc5\xff\xff" + b"\x00" * 65535)
    unpack_map(whole, len(whole))
    with pytest.raises(WireError, match="bytes at most"):
        unpack_map(whole, len(whole) - 1)


def hostile(most: int) -> Iterator[tuple[str, bytes]]:
    """Yield what takes the most memory for its size, each within `most` bytes."""
    items, bytes_ = most // BYTES_PER_ITEM, most - 100
    for name, item in {
        "empty lists": b"\x90",
        "empty maps": b"\x80",
        "small ints": b"\xe0",
        "ints": b"\xcf" + b"\xff" * 8,
        "floats": b"\xca\x01\x01\x01\x01",
        "strings": b"\xa7abcdefg",
        "wide strings": b"\xa7abc" + "😀".encode(),
        "bins": b"\xc4\x05abcde",
    }.items():
        n = min(items - 2, bytes_ // len(item))
        yield name, map_of(list_of(n, item * n))
    yield "small maps", map_of(list_of((items - 2) // 3, b"\x81\xa1a\x00" * ((items - 2) // 3)))
    yield "small lists", map_of(list_of((items - 2) // 2, b"\x91\xe0" * ((items - 2) // 2)))
    yield "keys", msgpack.packb({f"{i:x}": 0 for i in range(items // 2)})
    yield "a wide string", map_of(msgpack.packb("😀" + "a" * bytes_))
    yield "declared in each other", map_of(list_of(items // 30 - 2) * 30 + b"\x00" * bytes_)
    yield "declared in maps", (b"\xdf" + struct.pack(">I", items // 60) + b"\xa0") * 30 + b"\x00" * bytes_
    yield "declared alone", map_of(list_of(items - 2))
    yield "deep", map_of(b"\x91" * bytes_)


def peak_bytes(data: bytes, most: int) -> int:
    """Return how much memory reading `data` took at most."""
    tracemalloc.start()
    try:
        unpack_map(data, most)
    except WireError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def test_memory_is_bounded_by_the_limit_whatever_is_declared() -> None:
    most = 512 * 1024
    for name, data in hostile(most):
        # keys may make Python enlarge its table of names, which is as large as the process has names
        most_peak = (30 if name == "keys" else 14) * most
        assert peak_bytes(data, most) < most_peak, name


def test_lists_that_fill_the_largest_message_are_refused_before_they_are_made() -> None:
    most = 16 * 1024 * 1024
    assert peak_bytes(map_of(list_of(most - 100, b"\x90" * (most - 100))), most) < 100_000


def agrees(data: bytes) -> None:
    """Check the verdict and the value against msgpack's own; let nothing out but a WireError."""
    try:
        got = unpack_map(data, MOST)
    except WireError as error:
        refused = str(error)
    else:
        assert repr(got) == repr(msgpack.unpackb(data))
        return
    if refused.startswith(("not msgpack", "must be a msgpack map")):
        try:
            value = msgpack.unpackb(data, strict_map_key=False)
        except (ValueError, TypeError, msgpack.UnpackException):
            return
        assert not isinstance(value, dict), "a map was refused as if it were none"


HOSTILE = st.sampled_from(
    [
        *(bytes([byte]) + b"\xff" * 4 for byte in range(0xC1, 0xE0)),
        *(bytes([byte]) + struct.pack(">I", 2**31) for byte in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF)),
        *(bytes([byte]) + struct.pack(">I", 60_000) for byte in (0xC6, 0xDB, 0xDD, 0xDF)),
        b"\x91" * 10_000,
        b"\x81\xa1k" * 10_000,
        b"\x90" * 300,
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb(msgpack.ExtType(1, b"x" * 17)),
        b"\xd9\xff",
        b"\xa1\xff",
        b"\xcb\x7f\xf8" + b"\x00" * 6,
    ]
)


@HYPOTHESIS
@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_judged_as_msgpack_judges_them(data: bytes) -> None:
    agrees(data)
    agrees(b"\x81\xa1k" + data)


@HYPOTHESIS
@given(MAPS, st.data())
def test_damaged_maps_are_judged_as_msgpack_judges_them(fields: dict[str, Any], data: st.DataObject) -> None:
    body = msgpack.packb(fields)
    at = data.draw(st.integers(0, len(body) - 1))
    piece = data.draw(st.binary(max_size=8) | HOSTILE)
    until = data.draw(st.integers(at, len(body)))
    agrees(body[:at] + piece + body[until:])
    agrees(body[:at])
    agrees(body[:at] + bytes([body[at] ^ 1 << data.draw(st.integers(0, 7))]) + body[at + 1 :])


def test_a_process_that_only_unpacks_does_not_load_numpy() -> None:
    code = "import sys, rtspikes.wire.unpack; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
