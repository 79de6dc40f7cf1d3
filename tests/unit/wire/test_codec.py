"""Messages to bytes and back; anything else is a WireError and nothing worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.detect.detector import ThresholdUpdate
from rtspikes.errors import WireError
from rtspikes.types import CROSSING_DTYPE, GAP_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, GapCause
from rtspikes.wire.codec import (
    KINDS,
    MAX_BYTES,
    TABLES,
    TARGET_BYTES,
    VERSION,
    Message,
    decode,
    encode,
    encode_items,
    table_fields,
    topic,
)
from rtspikes.wire.messages import event_messages, gap_table, table_messages, threshold_messages
from tests.simulated import wire_info

HEAD = {"v": VERSION, "session": "s1", "seq": 3}
HYPOTHESIS = settings(derandomize=True, database=None, deadline=None, max_examples=300)


def table(dtype: np.dtype[Any], n: int) -> np.ndarray:
    """Return a table of rising times and otherwise arbitrary bytes without NaN."""
    rows = np.zeros(n, dtype)
    for i, name in enumerate(dtype.names or ()):
        rows[name] = np.arange(n) * (i + 1) % 251
    if "crossing" in (dtype.names or ()):
        rows["crossing"] = np.arange(n) // 3 * 7
    return rows


def fields_of(kind: str, n: int = 5) -> dict[str, Any]:
    if kind not in TABLES:
        return (wire_info() if kind == "info" else {}) | {"text": "µV", "nested": {"list": [1, 2.5, None, True]}}
    fields = table_fields(table(TABLES[kind], n))
    if kind in ("spikes", "crossings"):
        fields |= {"from_sample": 10, "to_sample": 90}
    if kind == "thresholds":
        fields |= {"sample": 700, "first_channel": 0}
    if kind == "spikes":
        fields |= {"waveform_samples": 4, "waveforms": np.arange(4 * n, dtype="<f4").tobytes()}
    return fields


def frames_of(kind: str, fields: dict[str, Any], head: dict[str, Any] = HEAD) -> list[bytes]:
    return [topic(kind, "array-1"), encode(head, encode_items(fields))]


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_as_it_was_sent(kind: str, n: int) -> None:
    fields = fields_of(kind, n)
    message = decode(frames_of(kind, fields))
    assert (message.kind, message.stream, message.session, message.seq) == (kind, "array-1", "s1", 3)
    assert message.fields == HEAD | fields
    if kind in TABLES:
        assert message.table is not None
        assert message.table.dtype == TABLES[kind]
        assert message.table.tobytes() == table(TABLES[kind], n).tobytes()
    if kind == "spikes":
        np.testing.assert_array_equal(message.waveforms, np.arange(4 * n, dtype=np.float32).reshape(n, 4))


def test_a_plain_msgpack_reader_understands_a_message() -> None:
    _, body = frames_of("spikes", fields_of("spikes"))
    fields = msgpack.unpackb(body)
    peaks = np.frombuffer(fields["columns"]["sample"], fields["dtypes"]["sample"])
    np.testing.assert_array_equal(peaks, table(SPIKE_DTYPE, 5)["sample"])


def test_decoded_tables_can_be_changed_by_their_owner() -> None:
    message = decode(frames_of("spikes", fields_of("spikes")))
    assert message.table is not None
    assert message.waveforms is not None
    message.table["unit"] = 7
    message.waveforms[:] = 0


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "2 frames, got 0"),
        ([b"info/a/"], "2 frames, got 1"),
        ([b"info/a/", b"\x80", b""], "2 frames, got 3"),
        ([b"info/a", b"\x80"], "a topic is KIND/STREAM/"),
        ([b"info//", b"\x80"], "a topic is KIND/STREAM/"),
        ([b"info/a b/", b"\x80"], "a topic is KIND/STREAM/"),
        ([b"info/" + b"a" * 65 + b"/", b"\x80"], "a topic is KIND/STREAM/"),
        ([b"info/a/\n", b"\x80"], "a topic is KIND/STREAM/"),
        ([b"info/a/" + b"x" * 1000, b"\x80"], "a topic is KIND/STREAM/"),
        ([b"news/a/", b"\x80"], "unknown kind 'news'"),
        ([b"info/a/", b""], "not msgpack"),
        ([b"info/a/", b"\xc1"], "not msgpack"),
        ([b"info/a/", b"\x80\x00"], "not msgpack"),
        ([b"info/a/", b"\x81\xa1\xff\x00"], "not msgpack"),
        ([b"info/a/", b"\xdf\xff\xff\xff\xff"], "not msgpack"),
        ([b"info/a/", b"\x91" * 100_000], "not msgpack"),
        ([b"info/a/", b"\x81\x01\x02"], "not msgpack"),
        ([b"info/a/", b"\x93\x01\x02\x03"], "must be a map, got list"),
        ([b"info/a/", b"\xc0"], "must be a map, got NoneType"),
        ([b"info/a/", b"\x80"], "protocol version must be 1, got None"),
        ([b"info/a/", msgpack.packb(HEAD | {"v": 2})], "protocol version must be 1, got 2"),
        ([b"info/a/", msgpack.packb(HEAD | {"session": 5})], "session must be str, got 5"),
        ([b"info/a/", msgpack.packb(HEAD | {"seq": -1})], "seq must be ≥ 0, got -1"),
        ([b"info/a/", msgpack.packb(HEAD | {"seq": 1.0})], "seq must be int, got 1.0"),
        ([b"info/a/", msgpack.packb(HEAD | {"seq": True})], "seq must be int, got True"),
        ([b"info/a/", msgpack.packb(HEAD | {"x": msgpack.ExtType(5, b"")})], "extension types are not part"),
        ([b"info/a/", msgpack.packb(HEAD | {"x": msgpack.Timestamp(1)})], "extension types are not part"),
    ],
    ids=range(27),
)
def test_what_is_not_a_message_is_refused(frames: list[bytes], message: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(frames)
    assert message in str(caught.value)


def test_a_message_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(WireError, match=f"{MAX_BYTES} bytes at most"):
        decode([b"info/a/", b"\xc1" * (MAX_BYTES + 1)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 4}, "column id must be 32 bytes, got 40"),
        ({"n": -1}, "n must be 0"),
        ({"n": 2**63}, "n must fit into 64 bits"),
        ({"n": None}, "n must be int"),
        ({"columns": []}, "columns must be dict"),
        ({"columns": {}}, "column id must be 40 bytes, got None"),
        ({"dtypes": {}}, "dtype of id must be <u8, got None"),
        ({"dtypes": {"id": ">u8"}}, "dtype of id must be <u8, got '>u8'"),
        ({"from_sample": 91}, "from_sample must be ≤ to_sample"),
        ({"to_sample": "90"}, "to_sample must be int"),
        ({"waveforms": b"123"}, "waveforms must be n · waveform_samples · 4 bytes, got 3"),
        ({"waveform_samples": -4}, "waveforms must be n"),
        ({"waveform_samples": 2**62}, "waveforms must be n"),
        ({"waveforms": None}, "waveforms must be bytes"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(frames_of("spikes", fields_of("spikes") | change))
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["v", "session", "seq"])
def test_deeply_nested_values_are_refused_like_any_others(key: str) -> None:
    packed = {k: msgpack.packb(v) for k, v in HEAD.items()} | {key: b"\x91" * 1010 + b"\x00"}
    body = b"\x83" + b"".join(msgpack.packb(k) + v for k, v in packed.items())
    with pytest.raises(WireError, match="version must be" if key == "v" else f"{key} must be"):
        decode([b"info/a/", body])


@pytest.mark.parametrize("key", ["v", "session"])
def test_an_error_text_stays_short_however_long_the_value(key: str) -> None:
    with pytest.raises(WireError) as caught:
        decode([b"info/a/", msgpack.packb(HEAD | {key: b"x" * 100_000})])
    assert len(str(caught.value)) < 500


def survives(frames: list[bytes]) -> None:
    """Decode; let nothing out but a Message or a WireError."""
    try:
        assert isinstance(decode(frames), Message)
    except WireError:
        pass


@HYPOTHESIS
@given(st.lists(st.binary(max_size=200), max_size=3))
def test_arbitrary_frames_never_raise_anything_else(frames: list[bytes]) -> None:
    survives(frames)


@HYPOTHESIS
@given(st.sampled_from(KINDS), st.binary(max_size=300))
def test_arbitrary_bodies_never_raise_anything_else(kind: str, body: bytes) -> None:
    survives([topic(kind, "a"), body])


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
VALUES = st.recursive(
    SCALARS | st.text(max_size=5) | st.binary(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@HYPOTHESIS
@given(st.sampled_from(KINDS), st.data())
def test_valid_messages_with_one_wrong_value_never_raise_anything_else(kind: str, data: st.DataObject) -> None:
    fields = HEAD | fields_of(kind)
    inner = data.draw(st.sampled_from([fields, *(v for v in fields.values() if isinstance(v, dict) and v)]))
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(VALUES)
    survives([topic(kind, "a"), msgpack.packb(fields)])


@HYPOTHESIS
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
def test_valid_messages_with_wrong_bytes_never_raise_anything_else(kind: str, changes: list[tuple[int, int]]) -> None:
    body = bytearray(frames_of(kind, fields_of(kind))[1])
    for at, value in changes:
        body[at % len(body)] = value
    survives([topic(kind, "a"), bytes(body)])
    survives([topic(kind, "a"), bytes(body[: changes[0][0] % len(body)])])


def whole(parts: list[dict[str, Any]], kind: str) -> tuple[np.ndarray, list[Message]]:
    """Return the joined table of messages sent in parts, and the messages."""
    messages = [decode(frames_of(kind, part)) for part in parts]
    return np.concatenate([m.table for m in messages]), messages


def with_waveforms(rows: np.ndarray) -> Iterator[dict[str, Any]]:
    return event_messages(rows, 5, 10**6, np.repeat(np.arange(len(rows), dtype=np.float32)[:, None], 60, axis=1))


SPLITS: dict[str, tuple[np.dtype[Any], Callable[[np.ndarray], Iterator[dict[str, Any]]]]] = {
    "crossings": (CROSSING_DTYPE, lambda rows: event_messages(rows, 5, 10**6)),
    "spikes": (SPIKE_DTYPE, with_waveforms),
    "rejected": (REJECTED_DTYPE, table_messages),
    "gaps": (GAP_DTYPE, table_messages),
}


@pytest.mark.parametrize("kind", SPLITS)
def test_every_part_is_a_message_below_the_limit(kind: str) -> None:
    dtype, split = SPLITS[kind]
    head = {"v": VERSION, "session": "0" * 16, "seq": 2**32}
    stages = {"t_acquired": 1e5, "t_detected": 1e5, "t_sent": 1e5}
    for part in split(table(dtype, 20_000)):
        assert sum(map(len, frames_of(kind, part | stages, head))) < TARGET_BYTES


@pytest.mark.parametrize("kind", ["crossings", "spikes"])
def test_many_events_are_split_without_a_hole_between_the_parts(kind: str) -> None:
    dtype, split = SPLITS[kind]
    rows = table(dtype, 20_000)
    got, messages = whole(list(split(rows)), kind)
    assert len(messages) > 1
    assert got.tobytes() == rows.tobytes()
    edges = [(m.fields["from_sample"], m.fields["to_sample"]) for m in messages]
    assert edges[0][0] == 5
    assert edges[-1][1] == 10**6
    assert [start for start, _ in edges[1:]] == [stop for _, stop in edges[:-1]]
    end = 0
    for message, (_, stop) in zip(messages, edges, strict=True):
        end += len(message.table)
        assert (rows["crossing"][end:] >= stop).all(), "an event came after its to_sample was told"
    if kind == "spikes":
        waveforms = np.concatenate([m.waveforms for m in messages])
        np.testing.assert_array_equal(waveforms[:, 7], np.arange(len(rows)))


def test_no_events_are_one_message_that_moves_to_sample_on() -> None:
    (fields,) = event_messages(np.zeros(0, SPIKE_DTYPE), 30, 40, np.zeros((0, 60), np.float32))
    message = decode(frames_of("spikes", fields))
    assert (message.fields["from_sample"], message.fields["to_sample"], len(message.table)) == (30, 40, 0)
    assert message.waveforms is not None
    assert message.waveforms.shape == (0, 60)


@pytest.mark.parametrize("kind", ["rejected", "gaps"])
def test_long_tables_are_split_and_empty_ones_not_sent(kind: str) -> None:
    dtype, _ = SPLITS[kind]
    rows = table(dtype, 20_000)
    got, messages = whole(list(table_messages(rows)), kind)
    assert len(messages) > 1
    assert got.tobytes() == rows.tobytes()
    assert list(table_messages(rows[:0])) == []


def test_thresholds_of_many_channels_are_split_and_say_where_each_part_begins() -> None:
    n = 60_000
    levels = np.arange(n, dtype=np.float32)
    update = ThresholdUpdate(77, levels, -levels, np.full(n, np.inf, np.float32))
    got, messages = whole(list(threshold_messages(update)), "thresholds")
    np.testing.assert_array_equal(got["sigma_uv"], levels)
    np.testing.assert_array_equal(got["negative_uv"], -levels)
    assert np.isnan(got["positive_uv"]).all(), "no such crossing is NaN on the wire"
    firsts = np.cumsum([0, *(len(m.table) for m in messages)])[:-1]
    assert len(messages) > 1
    assert [m.fields["first_channel"] for m in messages] == firsts.tolist()
    assert {(m.fields["sample"], m.fields["n_channels"]) for m in messages} == {(77, n)}


def test_a_gap_is_a_table_of_one_row() -> None:
    (row,) = gap_table(40, 7, 1.5, GapCause.OVERRUN)
    assert row.dtype == GAP_DTYPE
    assert row.tolist() == (40, 7, 1.5, 2)
