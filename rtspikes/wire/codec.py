"""Messages to bytes and back; every byte that comes in is checked and bounded.

A message is two frames: the topic `KIND/STREAM/`, and a msgpack map. Tables travel as columns: little-endian bytes by
field name, with their dtype strings beside them.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import VersionError, WireError
from rtspikes.types import CROSSING_DTYPE, GAP_DTYPE, MARK_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, UNOBSERVED_DTYPE
from rtspikes.wire.unpack import unpack_map

VERSION = 1

LEVELS_DTYPE = np.dtype([("sigma_uv", "<f4"), ("negative_uv", "<f4"), ("positive_uv", "<f4")])
"""Columns of `thresholds`, one row per channel."""

TABLES: dict[str, np.dtype[np.void]] = {
    "spikes": SPIKE_DTYPE,
    "crossings": CROSSING_DTYPE,
    "rejected": REJECTED_DTYPE,
    "gaps": GAP_DTYPE,
    "marks": MARK_DTYPE,
    "thresholds": LEVELS_DTYPE,
    "unobserved": UNOBSERVED_DTYPE,
}
"""Kinds whose messages carry a table."""

KINDS = (*TABLES, "notices", "status", "info", "end")

INTERVAL_KINDS = ("spikes", "crossings")
"""Kinds whose messages say which samples they cover."""

TARGET_BYTES = 256 * 1024
"""Every message but `info` is smaller than this: tables are split, and larger ones are refused unread."""

HEAD_BYTES = 4096
"""Room in a message for everything but its table's rows (about 400 bytes)."""

MAX_BYTES = 16 * 1024 * 1024
"""An `info` beyond this is refused unread (that of 100,000 channels takes about 6 MB)."""

MOST_NEIGHBOURS = 64
"""Amplitudes of neighbours beside a spike (`detect.neighbours.amplitudes`)."""

MOST_TEXT = 1000
"""Characters of a mark's text; whoever takes a mark in sees to it."""

_TOPIC = re.compile(rb"([a-z]{1,16})/([A-Za-z0-9_-]{1,64})/")


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message; `table` is the structured array of a kind in TABLES.

    Of `spikes`: waveforms (n, samples) float32 µV, flags (n,) uint8 SpikeFlag, neighbours (n, K) float32 µV. Of
    `marks`: texts, one per row.
    """

    kind: str
    stream: str
    fields: dict[str, Any]
    table: NDArray[np.void] | None = None
    waveforms: NDArray[np.float32] | None = None
    flags: NDArray[np.uint8] | None = None
    neighbours: NDArray[np.float32] | None = None
    texts: tuple[str, ...] = ()

    @property
    def session(self) -> str:
        """The engine's session."""
        return str(self.fields["session"])

    @property
    def seq(self) -> int:
        """Number of the message within its session and kind, from 0."""
        return int(self.fields["seq"])


def topic(kind: str, stream: str) -> bytes:
    """Return the topic frame of a kind."""
    return f"{kind}/{stream}/".encode("ascii")


def table_fields(table: NDArray[np.void]) -> dict[str, Any]:
    """Return a structured array as the map entries `n`, `columns` and `dtypes`."""
    names = table.dtype.names or ()
    return {
        "n": len(table),
        "columns": {name: table[name].tobytes() for name in names},
        "dtypes": {name: table.dtype[name].str for name in names},
    }


def rows_per_message(row_bytes: int) -> int:
    """Return how many table rows of `row_bytes` fit into one message."""
    return max(1, (TARGET_BYTES - HEAD_BYTES) // row_bytes)


Encoded = tuple[int, bytes]
"""Map entries, packed but not yet numbered: their count and their bytes."""


def encode_items(fields: dict[str, Any]) -> Encoded:
    """Pack map entries on their own, so that what stays the same is packed once."""
    packed: bytes = msgpack.packb(fields)
    return len(fields), packed[_header_bytes(len(fields)) :]


def _header_bytes(entries: int) -> int:
    """Return how many bytes msgpack puts before a map's entries."""
    return 1 if entries < 16 else 3 if entries < 65536 else 5


def encode(head: dict[str, Any], items: Encoded) -> bytes:
    """Return the msgpack frame of a message: one map of the entries of `head`, then `items`."""
    n, packed = encode_items(head)
    count = n + items[0]
    header: bytes = msgpack.Packer().pack_map_header(count)
    return header + packed + items[1]


def decode(frames: Sequence[bytes]) -> Message:
    """Return the message in `frames`; raise WireError, and nothing else, for anything that is not one."""
    if len(frames) != 2:
        raise WireError(f"a message has 2 frames, got {len(frames)}")
    match = _TOPIC.fullmatch(frames[0][:128])
    if match is None:
        raise WireError(f"a topic is KIND/STREAM/, got {bytes(frames[0][:64])!r}")
    kind, stream = match[1].decode(), match[2].decode()
    if kind not in KINDS:
        raise WireError(f"unknown kind {kind!r}; a newer engine may send it: subscribe to known kinds only")
    try:
        fields = unpack_map(frames[1], MAX_BYTES if kind == "info" else TARGET_BYTES - 1)
    except WireError as error:
        raise WireError(f"{kind}: {error}") from None
    version = fields.get("v")
    if type(version) is not int or version != VERSION:
        raise VersionError(f"{kind}: protocol version must be {VERSION}, got {reprlib.repr(version)}; update rtspikes")
    _need(kind, fields, "session", str)
    if _need(kind, fields, "seq", int) < 0:
        raise WireError(f"{kind}: seq must be ≥ 0, got {fields['seq']}")
    if kind in INTERVAL_KINDS:
        if _need(kind, fields, "from_sample", int) > _need(kind, fields, "to_sample", int):
            raise WireError(f"{kind}: from_sample must be ≤ to_sample")
    if kind == "thresholds":
        _need(kind, fields, "sample", int)
        _need(kind, fields, "first_channel", int)
    if kind == "info":
        _check_info(fields)
    if kind not in TABLES:
        return Message(kind, stream, fields)
    table = decode_table(kind, fields)
    if kind == "spikes":
        n = len(table)
        beside = _waveforms(fields, n), _flags(fields, n), _neighbours(fields, n)
        return Message(kind, stream, fields, table, *beside)
    return Message(kind, stream, fields, table, texts=_texts(fields, len(table)) if kind == "marks" else ())


def _need(kind: str, fields: dict[str, Any], key: str, of: type) -> Any:
    value = fields.get(key)
    if not isinstance(value, of) or isinstance(value, bool):
        raise WireError(f"{kind}: {key} must be {of.__name__}, got {reprlib.repr(value)}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise WireError(f"{kind}: {key} must fit into 64 bits, got {reprlib.repr(value)}")
    return value


def _check_info(info: dict[str, Any]) -> None:
    """Raise WireError unless what every subscriber relies on is there and of one piece."""
    n = _need("info", info, "n_channels", int)
    labels = _need("info", info, "channels", dict).get("label")
    if not isinstance(labels, list) or len(labels) != n or not all(isinstance(label, str) for label in labels):
        raise WireError(f"info: channels.label must be {n} strings (n_channels)")
    snippet = _need("info", info, "snippet_samples", list)
    if len(snippet) != 2 or not all(type(x) is int and 0 <= x <= MAX_BYTES for x in snippet) or not sum(snippet):
        raise WireError(f"info: snippet_samples must be two counts, got {reprlib.repr(snippet)}")
    count = info.get("neighbour_count", 0)
    if type(count) is not int or not 0 <= count <= MOST_NEIGHBOURS:
        raise WireError(f"info: neighbour_count must be 0 … {MOST_NEIGHBOURS}, got {reprlib.repr(count)}")
    _need("info", info, "first_sample", int)
    if not (isinstance(info.get("rate_hz"), int | float) and 0 < info["rate_hz"] < 1e9):
        raise WireError(f"info: rate_hz must be > 0, got {reprlib.repr(info.get('rate_hz'))}")


def decode_table(kind: str, fields: dict[str, Any]) -> NDArray[np.void]:
    """Return the table in a map; raise WireError when it is not that of its kind."""
    return decode_columns(kind, TABLES[kind], fields)


def decode_columns(kind: str, dtype: np.dtype[np.void], fields: dict[str, Any]) -> NDArray[np.void]:
    """Return the table of a dtype in a map; raise WireError, which names the kind, when it is not one."""
    n = _need(kind, fields, "n", int)
    columns, dtypes = _need(kind, fields, "columns", dict), _need(kind, fields, "dtypes", dict)
    if not 0 <= n <= MAX_BYTES:
        raise WireError(f"{kind}: n must be 0 … {MAX_BYTES}, got {n}")
    for name in dtype.names or ():
        column = columns.get(name)
        if dtypes.get(name) != dtype[name].str:
            raise WireError(f"{kind}: dtype of {name} must be {dtype[name].str}, got {reprlib.repr(dtypes.get(name))}")
        if not isinstance(column, bytes) or len(column) != n * dtype[name].itemsize:
            size = len(column) if isinstance(column, bytes) else column
            raise WireError(f"{kind}: column {name} must be {n * dtype[name].itemsize} bytes, got {reprlib.repr(size)}")
    table = np.empty(n, dtype)
    for name in dtype.names or ():
        table[name] = np.frombuffer(columns[name], dtype[name])
    return table


def _waveforms(fields: dict[str, Any], n: int) -> NDArray[np.float32]:
    samples, data = _need("spikes", fields, "waveform_samples", int), _need("spikes", fields, "waveforms", bytes)
    if not 0 <= samples <= MAX_BYTES or len(data) != n * samples * 4:
        raise WireError(f"spikes: waveforms must be n · waveform_samples · 4 bytes, got {len(data)}")
    return np.frombuffer(data, "<f4").reshape(n, samples).copy()


def _flags(fields: dict[str, Any], n: int) -> NDArray[np.uint8]:
    """Return the flags of a `spikes` message; an engine that has none to give leaves them out."""
    if "flags" not in fields:
        return np.zeros(n, np.uint8)
    data = _need("spikes", fields, "flags", bytes)
    if len(data) != n:
        raise WireError(f"spikes: flags must be {n} bytes (n), got {len(data)}")
    return np.frombuffer(data, np.uint8).copy()


def _neighbours(fields: dict[str, Any], n: int) -> NDArray[np.float32]:
    """Return the neighbours' amplitudes of a `spikes` message; (n, 0) where there are none."""
    if "neighbours" not in fields and "neighbour_count" not in fields:
        return np.zeros((n, 0), np.float32)
    count, data = _need("spikes", fields, "neighbour_count", int), _need("spikes", fields, "neighbours", bytes)
    if not 0 <= count <= MOST_NEIGHBOURS:
        raise WireError(f"spikes: neighbour_count must be 0 … {MOST_NEIGHBOURS}, got {count}")
    if len(data) != n * count * 4:
        raise WireError(f"spikes: neighbours must be n · neighbour_count · 4 bytes, got {len(data)}")
    return np.frombuffer(data, "<f4").reshape(n, count).copy()


def _texts(fields: dict[str, Any], n: int) -> tuple[str, ...]:
    texts = _need("marks", fields, "texts", list)
    if len(texts) != n or not all(isinstance(text, str) and len(text) <= MOST_TEXT for text in texts):
        raise WireError(f"marks: texts must be {n} strings of ≤ {MOST_TEXT} characters, got {reprlib.repr(texts)}")
    return tuple(texts)


def fits(message: Message, info: dict[str, Any]) -> bool:
    """Tell whether a message keeps to what its session's `info` says of channels, waveforms and neighbours."""
    n_channels, table = info["n_channels"], message.table
    if message.waveforms is not None and message.waveforms.shape[1] != sum(info["snippet_samples"]):
        return False
    if message.neighbours is not None and message.neighbours.shape[1] != info.get("neighbour_count", 0):
        return False
    if message.kind == "thresholds" and table is not None:
        return bool(0 <= message.fields["first_channel"] <= n_channels - len(table))
    if table is not None and "channel" in (table.dtype.names or ()) and len(table):
        return bool(table["channel"].max() < n_channels)
    return True
