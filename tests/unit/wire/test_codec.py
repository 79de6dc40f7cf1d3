"""Messages to bytes and back; anything else is a WireError and nothing worse."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.detect.detector import ThresholdUpdate
from rtspikes.errors import VersionError, WireError
from rtspikes.types import (
    CROSSING_DTYPE,
    GAP_DTYPE,
    MARK_DTYPE,
    REJECTED_DTYPE,
    SPIKE_DTYPE,
    UNOBSERVED_DTYPE,
    GapCause,
)
from rtspikes.wire.codec import (
    KINDS,
    MAX_BYTES,
    MOST_NEIGHBOURS,
    MOST_TEXT,
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
from rtspikes.wire.messages import Beside, event_messages, gap_table, mark_messages, table_messages, threshold_messages
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
        fields |= {"flags": bytes(range(n)), "neighbour_count": 2}
        fields |= {"neighbours": np.arange(2 * n, dtype="<f4").tobytes()}
    if kind == "marks":
        fields |= {"texts": [f"{i} µM" * (i % 3) for i in range(n)]}
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
        np.testing.assert_array_equal(message.neighbours, np.arange(2 * n, dtype=np.float32).reshape(n, 2))
        assert message.flags is not None
        assert (message.flags.dtype, message.flags.tolist()) == (np.uint8, list(range(n)))
    assert message.texts == tuple(fields.get("texts", ()))


def test_a_plain_msgpack_reader_understands_a_message() -> None:
    _, body = frames_of("spikes", fields_of("spikes"))
    fields = msgpack.unpackb(body)
    peaks = np.frombuffer(fields["columns"]["sample"], fields["dtypes"]["sample"])
    np.testing.assert_array_equal(peaks, table(SPIKE_DTYPE, 5)["sample"])


def test_decoded_tables_can_be_changed_by_their_owner() -> None:
    message = decode(frames_of("spikes", fields_of("spikes")))
    assert message.table is not None
    assert message.waveforms is not None
    assert message.flags is not None
    assert message.neighbours is not None
    message.table["unit"] = 7
    message.waveforms[:] = message.neighbours[:] = message.flags[:] = 0


def test_spikes_of_an_engine_without_flags_and_neighbours_have_none() -> None:
    for n in (0, 5):
        beside = ("flags", "neighbours", "neighbour_count")
        message = decode(frames_of("spikes", {k: v for k, v in fields_of("spikes", n).items() if k not in beside}))
        assert message.flags is not None
        assert message.neighbours is not None
        assert (message.flags.tolist(), message.neighbours.shape) == ([0] * n, (n, 0))


@pytest.mark.parametrize("count", [-1, MOST_NEIGHBOURS + 1, 2**40, 1.0, True, None, "2"], ids=str)
def test_info_that_announces_no_count_of_neighbours_is_refused(count: object) -> None:
    with pytest.raises(WireError, match="info: neighbour_count must be 0 … 64, got"):
        decode(frames_of("info", fields_of("info") | {"neighbour_count": count}))


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
        ([b"info/a/", b""], "info: must be a msgpack map, got b''"),
        ([b"info/a/", b"\xc1"], "must be a msgpack map"),
        ([b"info/a/", b"\x80\x00"], "not msgpack"),
        ([b"info/a/", b"\x81\xa1\xff\x00"], "not msgpack"),
        ([b"info/a/", b"\xdf\xff\xff\xff\xff"], "info: too many items"),
        ([b"info/a/", b"\x81\xa1k" * 100_000], "nesting must be ≤ 32 deep"),
        ([b"info/a/", b"\x81\x01\x02"], "keys must be str"),
        ([b"info/a/", b"\x93\x01\x02\x03"], "must be a msgpack map, got b'\\x93"),
        ([b"info/a/", b"\xc0"], "must be a msgpack map, got b'\\xc0'"),
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


@pytest.mark.parametrize("version", [None, True, 1.0, "1", b"1", 0, -1, 2, 2**64 - 1, [1], {"v": 1}], ids=str)
def test_another_version_is_told_from_what_is_no_message(version: object) -> None:
    for kind in KINDS:
        with pytest.raises(VersionError, match="protocol version must be 1, got"):
            decode(frames_of(kind, fields_of(kind), HEAD | {"v": version}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_beyond_the_limit_is_refused_unread(kind: str) -> None:
    most = MAX_BYTES if kind == "info" else TARGET_BYTES - 1
    with pytest.raises(WireError, match=f"{kind}: must have {most} bytes at most, got {most + 1}"):
        decode([topic(kind, "a"), b"\xc1" * (most + 1)])
    fields = fields_of(kind)
    room = most - len(frames_of(kind, fields | {"more": b""})[1]) - 3  # a long bin's head takes 3 bytes more
    frames = frames_of(kind, fields | {"more": b"x" * room})
    assert len(frames[1]) == most
    assert decode(frames).kind == kind


def test_info_of_a_hundred_thousand_channels_is_a_message() -> None:
    n = 100_000
    properties = {
        "label": [f"electrode {i}" for i in range(n)],
        **{name: ["electrode"] * n for name in ("kind", "electrode", "well")},
        **{name: [17.5] * n for name in ("x_um", "y_um", "gain_uv", "offset_uv")},
    }
    info = wire_info() | {"n_channels": n, "channels": properties, "enabled": [True] * n, "dead_time_samples": [60] * n}
    assert decode(frames_of("info", info)).fields["channels"] == properties


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
        ({"flags": b"1234"}, "flags must be 5 bytes (n), got 4"),
        ({"flags": b"123456"}, "flags must be 5 bytes (n), got 6"),
        ({"flags": [0] * 5}, "flags must be bytes"),
        ({"flags": None}, "flags must be bytes"),
        ({"neighbours": b"123"}, "neighbours must be n · neighbour_count · 4 bytes, got 3"),
        ({"neighbours": None}, "neighbours must be bytes"),
        ({"neighbour_count": 1}, "neighbours must be n · neighbour_count · 4 bytes, got 40"),
        ({"neighbour_count": None}, "neighbour_count must be int"),
        ({"neighbour_count": -1}, "neighbour_count must be 0 … 64, got -1"),
        ({"neighbour_count": 2**62}, "neighbour_count must be 0 … 64"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(frames_of("spikes", fields_of("spikes") | change))
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["v", "session", "seq"])
def test_deeply_nested_values_are_refused_like_any_others(key: str) -> None:
    packed = {k: msgpack.packb(v) for k, v in HEAD.items()} | {key: b"\x91" * 30 + b"\x00"}
    body = b"\x83" + b"".join(msgpack.packb(k) + v for k, v in packed.items())
    with pytest.raises(WireError, match="version must be" if key == "v" else f"{key} must be"):
        decode([b"info/a/", body])


@pytest.mark.parametrize(
    "texts",
    [None, "abc", [], ["a"], ["a", "b", "c"], ["a", b"b"], ["a", None], ["a", "µ" * (MOST_TEXT + 1)]],
    ids=range(8),
)
def test_marks_need_a_text_each(texts: object) -> None:
    with pytest.raises(WireError, match="marks: texts must be") as caught:
        decode(frames_of("marks", fields_of("marks", 2) | {"texts": texts}))
    assert len(str(caught.value)) < 500
    assert decode(frames_of("marks", fields_of("marks", 2) | {"texts": ["", "µ" * MOST_TEXT]})).texts[0] == ""


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


HOSTILE = st.sampled_from(
    [
        *(bytes([byte]) + b"\xff" * 4 for byte in range(0xC1, 0xE0)),
        *(bytes([byte]) + struct.pack(">I", 30_000) for byte in (0xC6, 0xDB, 0xDD, 0xDF)),
        b"\x91" * 10_000,
        b"\x81\xa1k" * 10_000,
        msgpack.packb([msgpack.Timestamp(1), msgpack.ExtType(1, b"x" * 17)]),
    ]
)


@HYPOTHESIS
@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.data())
def test_messages_cut_joined_and_spliced_never_raise_anything_else(kind: str, other: str, data: st.DataObject) -> None:
    body, donor = frames_of(kind, fields_of(kind))[1], frames_of(other, fields_of(other))[1]
    at, until = sorted(data.draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
    piece = data.draw(st.just(b"") | st.just(donor) | st.just(donor[at:until]) | HOSTILE)
    survives([topic(data.draw(st.sampled_from((kind, other))), "a"), body[:at] + piece + body[until:]])


@HYPOTHESIS
@given(st.sampled_from(sorted(TABLES)), st.integers(0, 9), st.data())
def test_tables_of_another_length_or_type_are_never_a_message(kind: str, n: int, data: st.DataObject) -> None:
    fields = HEAD | fields_of(kind, 5)
    name = data.draw(st.sampled_from(TABLES[kind].names or ()))
    wrong_type = data.draw(st.sampled_from(["<f8", ">i8", "<i8", "<u4", "|V8", "O", "", "<f4", "<m8[s]"]))
    if wrong_type != TABLES[kind][name].str:
        with pytest.raises(WireError):
            decode([topic(kind, "a"), msgpack.packb(fields | {"dtypes": fields["dtypes"] | {name: wrong_type}})])
    cut = fields["columns"][name][: data.draw(st.integers(0, 39))] * data.draw(st.integers(0, 3))
    if len(cut) != len(fields["columns"][name]):
        with pytest.raises(WireError):
            decode([topic(kind, "a"), msgpack.packb(fields | {"columns": fields["columns"] | {name: cut}})])
    if n != 5:
        with pytest.raises(WireError):
            decode([topic(kind, "a"), msgpack.packb(fields | {"n": n})])


def claims() -> Iterator[dict[str, Any]]:
    """Yield changes of a `spikes` message that claim more than comes."""
    nothing = {"n": 0, "columns": dict.fromkeys(SPIKE_DTYPE.names or (), b"")}
    nothing |= {"waveforms": b"", "flags": b"", "neighbours": b""}
    for many in (MAX_BYTES, MAX_BYTES + 1, 2**31, 2**62, 2**64 - 1):
        yield {"n": many}
        yield {"waveform_samples": many}
        yield nothing | {"waveform_samples": many}
        yield nothing | {"neighbour_count": many}
        yield {"n": many, "waveform_samples": 0, "waveforms": b""}
    yield {"list": [b""] * (TARGET_BYTES // 8 - 200)}


def test_what_a_message_claims_takes_no_memory_before_it_is_there() -> None:
    bodies = [frames_of("spikes", fields_of("spikes") | change) for change in claims()]
    bodies += [
        [topic(kind, "a"), b"\x81\xa1k" + header * 30_000] for kind in KINDS for header in (b"\x91", b"\xdd\0\0\x60\0")
    ]
    for frames in bodies:
        tracemalloc.start()
        survives(frames)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 14 * TARGET_BYTES, (peak, frames[1][:60])


def whole(parts: list[dict[str, Any]], kind: str) -> tuple[np.ndarray, list[Message]]:
    """Return the joined table of messages sent in parts, and the messages."""
    messages = [decode(frames_of(kind, part)) for part in parts]
    return np.concatenate([m.table for m in messages]), messages


def with_waveforms(rows: np.ndarray) -> Iterator[dict[str, Any]]:
    number = np.arange(len(rows))
    column = number.astype(np.float32)[:, None]
    beside = Beside(np.repeat(column, 60, axis=1), (number % 251).astype(np.uint8), np.repeat(-column, 6, axis=1))
    return event_messages(rows, 5, 10**6, beside)


SPLITS: dict[str, tuple[np.dtype[Any], Callable[[np.ndarray], Iterator[dict[str, Any]]]]] = {
    "crossings": (CROSSING_DTYPE, lambda rows: event_messages(rows, 5, 10**6)),
    "spikes": (SPIKE_DTYPE, with_waveforms),
    "rejected": (REJECTED_DTYPE, table_messages),
    "gaps": (GAP_DTYPE, table_messages),
    "unobserved": (UNOBSERVED_DTYPE, table_messages),
    "marks": (MARK_DTYPE, lambda rows: mark_messages(rows, ["µ" * (i % 40) for i in range(len(rows))])),
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
        np.testing.assert_array_equal(np.concatenate([m.flags for m in messages]), np.arange(len(rows)) % 251)
        np.testing.assert_array_equal(np.concatenate([m.neighbours for m in messages])[:, 5], -waveforms[:, 7])


def test_no_events_are_one_message_that_moves_to_sample_on() -> None:
    (fields,) = event_messages(np.zeros(0, SPIKE_DTYPE), 30, 40, Beside.of_none(60, 6))
    message = decode(frames_of("spikes", fields))
    assert (message.fields["from_sample"], message.fields["to_sample"], len(message.table)) == (30, 40, 0)
    assert message.waveforms is not None
    assert message.waveforms.shape == (0, 60)
    assert message.neighbours is not None
    assert message.neighbours.shape == (0, 6)
    (fields,) = event_messages(np.zeros(0, SPIKE_DTYPE), 30, 40, Beside.of_none(60))
    assert fields["flags"] == b""
    assert "neighbour_count" not in fields


@pytest.mark.parametrize("kind", ["rejected", "gaps", "unobserved"])
def test_long_tables_are_split_and_empty_ones_not_sent(kind: str) -> None:
    dtype, _ = SPLITS[kind]
    rows = table(dtype, 20_000)
    got, messages = whole(list(table_messages(rows)), kind)
    assert len(messages) > 1
    assert got.tobytes() == rows.tobytes()
    assert list(table_messages(rows[:0])) == []


@pytest.mark.parametrize("text", ["", "µM", "x" * MOST_TEXT, "😀" * MOST_TEXT], ids=["none", "short", "long", "wide"])
def test_marks_keep_their_texts_through_the_split(text: str) -> None:
    rows = table(MARK_DTYPE, 30_000 // (1 + len(text) // 20))
    texts = [text[: MOST_TEXT - 5] + str(i) for i in range(len(rows))]
    got, messages = whole(list(mark_messages(rows, texts)), "marks")
    assert len(messages) > 1
    assert got.tobytes() == rows.tobytes()
    assert [t for m in messages for t in m.texts] == texts
    assert min(len(m.table) for m in messages[:-1]) > 50, "one message per mark would be a waste"
    assert list(mark_messages(rows[:0], [])) == []


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
    (row,) = gap_table(40, 7, 1.5, GapCause.OVERRUN, 2)
    assert row.dtype == GAP_DTYPE
    assert row.tolist() == (40, 7, 1.5, 2, 2)
