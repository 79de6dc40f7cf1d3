"""Addresses, and finding what they mean: by texts alone, and among real outlets on this computer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from rtspikes.errors import ConfigError, SourceError
from rtspikes.lsl import find as module
from rtspikes.lsl import load
from rtspikes.lsl.find import SIGNALS, Query, choose, find, look, parse_address, rows
from tests.patience import Patience

PATIENCE_S = 30.0


@pytest.fixture
def tag() -> str:
    """Return a word that no stream of another test has in its name."""
    return uuid.uuid4().hex


@pytest.fixture
def outlets() -> Iterator[list[Any]]:
    """Return a list that keeps outlets open until the test ends."""
    kept: list[Any] = []
    yield kept
    kept.clear()


def outlet(
    name: str, type: str = "Ephys", source_id: str = "device-1", rate: float = 100.0, form: str = "int16"
) -> Any:
    pylsl = load()
    return pylsl.StreamOutlet(pylsl.StreamInfo(name, type, 2, rate, form, source_id))


def claim(name: str = "MEA", **said: Any) -> Any:
    """Return a stream as a row's facts say it."""
    facts = {"name": name, "type": "Ephys", "source_id": "s", "hostname": "rig", "uid": uuid.uuid4().hex}
    facts |= {"session_id": "default", "channel_count": 60, "nominal_srate": 20000.0, "channel_format": 5} | said
    return type("Stream", (), {key: lambda self, value=value: value for key, value in facts.items()})()


@pytest.mark.parametrize(
    ("address", "predicate", "text"),
    [
        ("", SIGNALS, "a steady sampling rate"),
        ("MEA", "(name='MEA')", "name 'MEA'"),
        ("MEA%201", "(name='MEA 1')", "name 'MEA 1'"),
        ("name=MEA&type=Ephys", "(name='MEA' and type='Ephys')", "name 'MEA', type 'Ephys'"),
        ("source_id=a%26b%3Dc", "(source_id='a&b=c')", "source_id 'a&b=c'"),
        ("name=it%27s", '(name="it\'s")', 'name "it\'s"'),
        ("name=%27%22", "(name=concat('',\"'\",'\"'))", "name '\\'\"'"),
        ("name='A' or name='B'", "(name='A' or name='B')", "[name='A' or name='B']"),
        ('starts-with(name,"M")', '(starts-with(name,"M"))', '[starts-with(name,"M")]'),
    ],
)
def test_addresses_mean(address: str, predicate: str, text: str) -> None:
    assert parse_address(address) == (predicate, text)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nam=MEA", "unknown key 'nam' in 'nam=MEA'; did you mean 'name'?"),
        (
            "name=MEA&colour=5",
            "unknown key 'colour' in 'name=MEA&colour=5'; known: name, type, source_id, hostname, uid, session_id",
        ),
        ("name=A&name=B", "name must have one value, got 'name=A&name=B'"),
        ("name=A&type=", "type must have one value, got 'name=A&type='"),
        ("A&B=C", "unknown key 'A' in 'A&B=C'; known: name, type, source_id, hostname, uid, session_id"),
        ("name=a%00b", "name must be printable text in UTF-8, got 'a%00b'"),
        ("name=a%0Ab", "name must be printable text in UTF-8, got 'a%0Ab'"),
        ("name=a%ff", "name must be printable text in UTF-8, got 'a%ff'"),
        ("a\nb", "the address must be printable and ≤ 1000 characters, got 'a\\nb'"),
        ("x" * 1001, f"the address must be printable and ≤ 1000 characters, got '{'x' * 79}…'"),
    ],
)
def test_addresses_that_mean_nothing_are_refused(address: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_address(address)
    assert str(refused.value) == f"lsl: {words}"


def test_a_predicate_that_is_none_is_refused() -> None:
    for address in ("name='", "foo(1)", "name='a')] | x[(name='b'"):
        with pytest.raises(ConfigError, match="^lsl: the address must be a predicate of XPath 1.0, got "):
            find(parse_address(address), 0.0)


NAMES = ("plain {}", 'it\'s "{}" (µ) a=b&c%41 電極;$(x)`', "{}\x01\x1b[2J", "<{}/>]]")


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_found_by_the_address_that_its_row_says(name: str, tag: str, outlets: list[Any]) -> None:
    outlets.append(outlet(name.format(tag), source_id=f"id-{tag}"))
    there = find(Query(f"contains(name,'{tag}')", tag), PATIENCE_S)
    (row,) = rows(there)
    assert (row["n_channels"], row["rate_hz"], row["format"], row["warnings"]) == (2, 100.0, "int16", [])
    assert row["address"].isprintable()
    assert not set(row["address"]) & set(" '\"()$`\\!|;<>*?")
    found = find(parse_address(row["address"].removeprefix("lsl:")), PATIENCE_S)
    assert choose(found, Query("", "")).uid() == row["uid"]


def test_all_that_match_are_found(tag: str, outlets: list[Any]) -> None:
    outlets += [outlet(tag, source_id="a"), outlet(tag, source_id="b"), outlet(tag, "Markers", "c", 0.0, "string")]
    query = parse_address(tag)
    patience = Patience(PATIENCE_S)
    while len(found := find(query, PATIENCE_S)) < 3:
        assert patience
    assert sorted(row["address"] for row in rows(found)) == [
        f"lsl:name={tag}&source_id=a",
        f"lsl:name={tag}&source_id=b",
        f"lsl:name={tag}&type=Markers",
    ]
    with pytest.raises(
        SourceError, match=rf"^3 LSL streams have name '{tag}'; say which one: lsl:name={tag}&source_id=a "
    ):
        choose(found, query)


def test_nothing_is_found_where_nothing_matches(tag: str, outlets: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    query = parse_address(f"name={tag}&hostname=nowhere")
    assert find(query, 0.1) == []
    monkeypatch.setattr(module, "look", lambda wait_s: [])
    with pytest.raises(SourceError) as refused:
        choose([], query)
    assert str(refused.value) == (
        f"no LSL stream has name '{tag}', hostname 'nowhere'; none at all answers: start the program that sends it"
    )
    monkeypatch.setattr(module, "look", lambda wait_s: [claim("Other\x1b")])
    with pytest.raises(SourceError) as refused:
        choose([], query)
    assert str(refused.value).endswith("there are: lsl:source_id=s (Ephys, 60 × 20000 Hz int16, on rig)")


def test_a_stream_that_appears_later_is_waited_for(tag: str, outlets: list[Any]) -> None:
    timer = threading.Timer(0.3, lambda: outlets.append(outlet(tag)))
    timer.start()
    try:
        assert [s.name() for s in find(parse_address(tag), PATIENCE_S, settle_s=0.0)] == [tag]
    finally:
        timer.join()


def test_where_nothing_can_be_looked_for_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("could not create continuous resolver.")

    monkeypatch.setattr(load(), "ContinuousResolver", refuse)
    for looking in (lambda: look(0.0), lambda: find(parse_address("x"), 0.0)):
        with pytest.raises(SourceError, match="^LSL cannot look for streams; check that this computer has a network"):
            looking()


def test_looking_ends_at_once_when_it_is_cancelled(tag: str) -> None:
    cancelled = threading.Event()
    found: list[Any] = [None]
    thread = threading.Thread(target=lambda: found.append(find(parse_address(tag), 3600.0, cancelled)))
    thread.start()
    cancelled.set()
    thread.join(PATIENCE_S)
    assert found == [None, []]


def test_everything_is_looked_at(tag: str, outlets: list[Any]) -> None:
    outlets += [outlet(f"{tag} signal"), outlet(f"{tag} marks", "Markers", "", 0.0, "string")]
    patience = Patience(PATIENCE_S)
    while len(there := [row for row in rows(look(1.0)) if tag in row["name"]]) < 2:
        assert patience
    marks, signal = there
    assert (signal["rate_hz"], signal["format"], signal["type"]) == (100.0, "int16", "Ephys")
    assert (marks["rate_hz"], marks["format"], marks["source_id"]) == (0.0, "string", "")
    assert marks["warnings"] == ["no source_id: after a restart it is found by its address alone"]


def test_the_shortest_address_that_lasts_is_said() -> None:
    there = [
        claim("A", hostname="h1", source_id="1"),
        claim("A", hostname="h2", source_id="1"),
        claim("B", type="EEG", uid="1"),
        claim("B", type="ECoG", uid="2"),
        claim("C\x07", source_id="unique"),
    ]
    assert [row["address"] for row in rows(there)] == [
        "lsl:name=A&hostname=h1",
        "lsl:name=A&hostname=h2",
        "lsl:name=B&type=EEG",
        "lsl:name=B&type=ECoG",
        "lsl:source_id=unique",
    ]


def test_streams_that_say_the_same_have_an_address_that_does_not_last() -> None:
    twins = rows([claim("A", source_id="", uid="1"), claim("A", source_id="", uid="2")])
    assert [row["address"] for row in twins] == ["lsl:uid=1", "lsl:uid=2"]
    assert twins[0]["warnings"][1] == "its address holds until it is restarted"


def test_hostile_rows_are_bounded_and_printable() -> None:
    text = "\x1b]0;\x07" + "x" * 100_000
    made = claim(
        text, type=text, source_id=text, hostname=text, uid=text, channel_format=99, nominal_srate=float("nan")
    )
    (row,) = rows([made])
    assert row["address"] is None
    assert row["format"] == "undefined"
    assert all(value.isprintable() and len(value) <= 200 for value in row.values() if isinstance(value, str))
    with pytest.raises(SourceError) as refused:
        choose([made, claim()], Query("", "x"))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 2000


def test_a_list_of_hundreds_is_cut() -> None:
    with pytest.raises(SourceError, match=r" and 290 more$"):
        choose([claim(f"A{i}") for i in range(300)], Query("", "x"))
