"""Rules of blanking: which mark blanks what, and rules that cannot be are refused with their number."""

from __future__ import annotations

from typing import Any

import pytest

from rtspikes.blanking import BlankRules
from rtspikes.config import config_from
from rtspikes.detect.changes import Blank
from rtspikes.errors import ConfigError
from rtspikes.lines import marker_lines
from tests.simulated import stream_info

INFO = stream_info(4)
LINES = [*marker_lines(["lsl:type=Markers", "lsl:TTL"]), {"line": 1001, "channel": "D1"}]
ALL = Blank("kind:electrode", 5.0)


def blanking(*rules: dict[str, Any]) -> BlankRules:
    return BlankRules(config_from({"blank": list(rules)}).blank, LINES, INFO.channels)


@pytest.mark.parametrize(
    ("rule", "matching", "others"),
    [
        ({}, [(0, 0, "any"), (1001, 1, ""), (9, -3, "x")], []),
        ({"line": 1001}, [(1001, 0, ""), (1001, 1, "")], [(1, 0, ""), (0, 0, "")]),
        ({"line": "D1", "value": 1}, [(1001, 1, "")], [(1001, 0, ""), (1, 1, "")]),
        ({"line": ["lsl:*", 0]}, [(1, 0, ""), (2, 7, ""), (0, 0, "")], [(1001, 0, "")]),
        ({"text": "stim*"}, [(1, 0, "stim 3"), (0, 0, "stim")], [(1, 0, "a stim"), (1001, 1, "")]),
        ({"text": "[1]"}, [(1, 0, "[1]"), (1, 0, "1")], [(1, 0, "2")]),
        ({"text": ""}, [(1001, 1, "")], [(0, 0, "x")]),
    ],
)  # fmt: skip
def test_a_rule_matches_what_it_says(
    rule: dict[str, Any], matching: list[tuple[int, int, str]], others: list[tuple[int, int, str]]
) -> None:
    rules = blanking({"ms": 5, **rule})
    assert [rules.of(*mark) for mark in matching] == [[ALL]] * len(matching)
    assert [rules.of(*mark) for mark in others] == [[]] * len(others)


def test_each_rule_that_matches_blanks() -> None:
    rules = blanking({"ms": 5, "line": 1001}, {"ms": 2.5, "select": ["E1", 2]}, {"ms": 1, "line": 7})
    assert rules.of(1001, 1) == [ALL, Blank(("E1", 2), 2.5)]
    assert rules.of(3, 1) == [Blank(("E1", 2), 2.5)]
    assert bool(rules)
    assert not BlankRules(())


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([{"ms": 1}, {"ms": 2, "line": "D2"}], "blank, rule 2: line 'D2' matches no line of marks; did you mean 'D1'?"),
        ([{"ms": 1, "select": "E9"}], "blank, rule 1: selector 'E9' matches no channel"),
        ([{"ms": 1, "line": 70000}], "blank, rule 1: a line of marks must be 0 … 65535, got 70000"),
        ([{"ms": 0}], "blank[0].ms must be a number > 0 and ≤ 60000, got 0"),
        ([{"ms": 60001}], "blank[0].ms must be a number > 0 and ≤ 60000, got 60001"),
        ([{"line": 1}], "blank[0] must have the key 'ms'"),
        ([{"ms": 1, "value": 0.5}], "blank[0].value must be a whole number, got 0.5"),
        ([{"ms": 1, "line": 1.5}], "blank[0].line must be a whole number or text or a list, got 1.5"),
        ([{"ms": 1, "lines": 1}], "unknown key 'blank.lines'; did you mean 'blank.line'?"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused(tree: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        blanking(*tree)
    assert str(caught.value).startswith(said)
