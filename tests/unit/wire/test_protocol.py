"""PROTOCOL.md says what the codec does: its tables, its error codes, and one message byte by byte."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

import rtspikes
from rtspikes.types import SPIKE_DTYPE, GapCause, RejectReason, SpikeFlag, UnobservedReason
from rtspikes.wire.codec import (
    INTERVAL_KINDS,
    KINDS,
    TABLES,
    VERSION,
    decode,
    encode,
    encode_items,
    table_fields,
    topic,
)
from tests.peers.programs import PROTOCOL, block

PACKAGE = Path(rtspikes.__file__).parent

HEAD = {"v": VERSION, "session": "0123456789abcdef", "seq": 7}
"""What the message in the document begins with."""

SPIKES = np.array(
    [
        (41, 20007, 20005, 1001.00035, 3, -1, -61.5, -22.5),
        (42, 20011, 20005, 1001.00055, 12, -1, -48.25, -21.0),
    ],
    SPIKE_DTYPE,
)
WAVEFORMS = np.array([[-10.5, -61.5, -20.25], [-4.0, -48.25, np.nan]], np.float32)
FLAGS = np.array([0, SpikeFlag.COINCIDENT], np.uint8)
REST = {
    "from_sample": 19980,
    "to_sample": 20040,
    **table_fields(SPIKES),
    "waveform_samples": 3,
    "waveforms": WAVEFORMS.tobytes(),
    "flags": FLAGS.tobytes(),
    "t_acquired": 1001.0025,
    "t_begun": 1001.0026,
    "t_detected": 1001.00275,
    "t_sent": 1001.003,
}

COLUMNS = {"id": "<u8", "sample": "<i8", "crossing": "<i8", "time": "<f8", "channel": "<u4", "unit": "<i4",
           "amplitude_uv": "<f4", "threshold_uv": "<f4", "waveforms": "<f4", "flags": "<u1"}  # fmt: skip
"""Written out, so that it is not the package that is compared with itself."""

Token = tuple[bytes, str]
"""Bytes of a message, and what they say."""


class Walk:
    """Reads msgpack by the rules of its specification alone; notes what it reads, byte after byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.tokens: list[Token] = []
        self.value = self._item("")
        assert self._at == len(data)

    def _take(self, n: int) -> bytes:
        self._at += n
        return self._data[self._at - n : self._at]

    def _item(self, key: str) -> Any:
        """Return the next item; `key` is its own in the map that it is in."""
        begun = self._at - (len(key.encode()) + 1 if key else 0)
        code = self._take(1)[0]
        if 0x80 <= code < 0x90:
            n = code & 0xF
            self._note(begun, key, f"map of {n}")
            return {name: self._item(name) for name in (self._text() for _ in range(n))}
        if code == 0xC4:
            n = self._take(1)[0]
            self._note(begun, key, f"bin of {n} bytes")
            return self._column(n, COLUMNS[key], 3 if key == "waveforms" else 2)
        value: Any
        if code < 0x80:
            value = code
        elif 0xA0 <= code < 0xC0:
            value = self._take(code & 0x1F).decode()
        elif code == 0xCD:
            (value,) = struct.unpack(">H", self._take(2))
        elif code == 0xCB:
            (value,) = struct.unpack(">d", self._take(8))
        else:
            raise AssertionError(f"{code:#x} is not in the document's message")
        self._note(begun, key, f'"{value}"' if isinstance(value, str) else str(value))
        return value

    def _column(self, n: int, dtype: str, per_line: int) -> bytes:
        """Return the bytes of a column, and note its values."""
        begun, form = self._at, {"u8": "Q", "i8": "q", "f8": "d", "u4": "I", "i4": "i", "f4": "f", "u1": "B"}[dtype[1:]]
        while self._at < begun + n:
            row = self._take(per_line * int(dtype[2]))
            values = struct.unpack(f"<{per_line}{form}", row)
            self.tokens.append((row, "  " + ", ".join(f"{x:g}" if abs(x) < 1000 else str(x) for x in values)))
        return self._data[begun : self._at]

    def _text(self) -> str:
        """Return a key, which its value's token will cover."""
        code = self._take(1)[0]
        assert 0xA0 <= code < 0xC0
        return self._take(code & 0x1F).decode()

    def _note(self, begun: int, key: str, said: str) -> None:
        self.tokens.append((self._data[begun : self._at], f'"{key}": {said}' if key else said))


def dump(data: bytes) -> str:
    """Return a message as the document shows it: 16 bytes a line at most, and what they say."""
    return "".join(line + "\n" for token in Walk(data).tokens for line in _lines(*token))


def _lines(data: bytes, said: str) -> Iterator[str]:
    for i in range(0, len(data), 16):
        yield f"{data[i : i + 16].hex(' '):47}  {said if i == 0 else ''}".rstrip()


def shown() -> bytes:
    """Return the bytes of the message in the document."""
    return bytes.fromhex("".join(line[:47] for line in block("hex: spikes").splitlines()))


def test_the_message_in_the_document_is_what_is_sent() -> None:
    assert encode(HEAD, encode_items(REST)) == shown()
    assert block("hex: spikes") == dump(shown())


def test_the_message_in_the_document_is_what_it_says_to_any_reader() -> None:
    message = decode([topic("spikes", "array"), shown()])
    assert message.table is not None
    assert message.table.tobytes() == SPIKES.tobytes()
    assert message.waveforms is not None
    assert message.waveforms.tobytes() == WAVEFORMS.tobytes()
    assert Walk(shown()).value == msgpack.unpackb(shown()) == message.fields == HEAD | REST
    assert msgpack.packb(message.fields) == shown()


def section(title: str) -> str:
    """Return the text below a heading, up to the next."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", PROTOCOL, re.DOTALL | re.MULTILINE)
    assert match is not None, f"PROTOCOL.md has lost its section {title!r}"
    return match[1]


def test_every_kind_has_its_section() -> None:
    assert sorted(re.findall(r"^### `(\w+)`$", PROTOCOL, re.MULTILINE)) == sorted(KINDS)


@pytest.mark.parametrize("kind", TABLES)
def test_columns_are_as_in_the_document(kind: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(<\w\d)` \|", section(f"`{kind}`"), re.MULTILINE)
    dtype = TABLES[kind]
    assert rows == [(name, dtype[name].str) for name in dtype.names or ()]


@pytest.mark.parametrize("kind", INTERVAL_KINDS)
def test_intervals_are_in_the_document(kind: str) -> None:
    assert "`from_sample`" in section(f"`{kind}`")


def test_numbered_reasons_and_causes_are_in_the_document() -> None:
    for kind, members in (
        ("rejected", RejectReason),
        ("gaps", GapCause),
        ("unobserved", UnobservedReason),
        ("spikes", SpikeFlag),
    ):
        for member in members:
            assert f"{member.value} `{member.name.lower()}`" in section(f"`{kind}`")


def test_every_error_code_is_in_the_document() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", section("Errors"), re.MULTILINE))
    source = "".join(
        (PACKAGE / name).read_text("utf-8") for name in ("wire/answers.py", "wire/reply.py", "commands.py")
    )
    used = set(re.findall(r'(?:Refusal\(|"error": )"(\w+)"', source))
    assert len(used) > 5
    assert used <= told
