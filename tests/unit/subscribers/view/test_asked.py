from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import WireError
from rtspikes.subscribers.view.asked import LARGEST, Asked, command, parse

GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"do": "hello", "v": 1, "token": "t"}, {"v": 1, "token": "t"}),
    ({"do": "hello", "v": "x", "token": [1]}, {"v": "x", "token": None}),
    ({"do": "got", "n": 7}, {"n": 7}),
    ({"do": "select", "channels": [], "of": "raw"}, {"channels": [], "of": "raw"}),
    ({"do": "threshold", "channels": [3], "sigma": 4}, {"channels": [3], "sigma": 4.0, "uv": None}),
    ({"do": "mark", "text": "10 µM <b>"}, {"text": "10 µM <b>"}),
    ({"do": "mute", "channels": [1, 2], "on": False}, {"channels": [1, 2], "on": False}),
    ({"do": "freeze", "on": True}, {"on": True}),
    ({"do": "seek", "sample": 5, "window_s": 2}, {"sample": 5, "window_s": 2.0}),
    ({"do": "play", "speed": 0}, {"speed": 0.0}),
]

BAD: list[Any] = [
    b"{}", "", "[]", "null", "{", "[" * LARGEST, '{"do": 1}', '{"do": "eval"}', '{"do": "got", "n": 1e400}',
    {"do": "got"}, {"do": "got", "n": True}, {"do": "got", "n": 2**60},
    {"do": "select", "channels": list(range(17))}, {"do": "select", "channels": ["1"]},
    {"do": "select", "channels": [-1]}, {"do": "select", "channels": [1], "of": "everything"},
    {"do": "select", "channels": "12"}, {"do": "threshold", "channels": [], "sigma": 4},
    {"do": "threshold", "channels": [1]}, {"do": "threshold", "channels": [1], "sigma": 4, "uv": 20},
    {"do": "threshold", "channels": [1], "sigma": 0},
    {"do": "threshold", "channels": [1], "sigma": 0, "uv": 5}, {"do": "threshold", "channels": [1], "uv": -5},
    {"do": "threshold", "channels": [1], "sigma": "4"}, {"do": "threshold", "channels": [1], "uv": 10**400},
    {"do": "mark", "text": ""}, {"do": "mark", "text": "x" * 1001}, {"do": "mark", "text": 5},
    {"do": "mark", "text": "\ud800"}, {"do": "mute", "channels": [1]}, {"do": "freeze", "on": 1},
    {"do": "seek", "sample": 0, "window_s": 1e9}, {"do": "seek", "sample": 0.5, "window_s": 1},
    {"do": "play", "speed": -1}, {"do": "play", "speed": float("nan")},
]  # fmt: skip


@pytest.mark.parametrize(("fields", "given"), GOOD)
def test_what_a_page_may_ask_for(fields: dict[str, Any], given: dict[str, Any]) -> None:
    assert parse(json.dumps(fields)) == Asked(fields["do"], given)


@pytest.mark.parametrize("message", BAD, ids=lambda message: repr(message)[:60])
def test_what_it_may_not(message: Any) -> None:
    with pytest.raises(WireError):
        parse(json.dumps(message) if isinstance(message, dict) else message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_nothing_else_ever_comes_of_it(value: Any) -> None:
    for message in (value, {"do": "select", "channels": value}, {"do": "threshold", "channels": [1], "uv": value}):
        try:
            parse(json.dumps(message))
        except WireError:
            continue


class Engine:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self.asked.append((name, *args, more))


def test_the_engine_is_asked_for_what_the_page_asked_for() -> None:
    engine: Any = Engine()
    for message in (
        {"do": "threshold", "channels": [3], "sigma": 4.2}, {"do": "threshold", "channels": [3], "uv": 30},
        {"do": "mark", "text": "drug"}, {"do": "mute", "channels": [1], "on": True},
        {"do": "mute", "channels": [1], "on": False}, {"do": "freeze", "on": True}, {"do": "freeze", "on": False},
    ):  # fmt: skip
        order = command(parse(json.dumps(message)))
        assert order is not None
        order[0](engine)
    assert engine.asked == [
        ("threshold", [3], {"sigma": 4.2}), ("threshold", [3], {"uv": 30.0}), ("mark", "drug", {}), ("mute", [1], {}),
        ("unmute", [1], {}), ("freeze", {}), ("follow", {}),
    ]  # fmt: skip
    assert command(parse('{"do": "got", "n": 1}')) is None
