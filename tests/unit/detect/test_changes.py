"""Changes as values and as maps: what comes back, what is refused and in which words."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.detect.changes import (
    MOST_SELECTORS,
    Change,
    Follow,
    Freeze,
    Levels,
    Mute,
    Recalibrate,
    Threshold,
    Unmute,
    check,
    from_map,
    to_map,
)
from rtspikes.errors import ConfigError

MAPS: list[tuple[Change, dict[str, Any]]] = [
    (Threshold("E1*", threshold=4.5), {"change": "threshold", "select": "E1*", "threshold": 4.5}),
    (Threshold(("E1", 3), threshold_uv=-30.0), {"change": "threshold", "select": ["E1", 3], "threshold_uv": -30.0}),
    (Freeze(), {"change": "freeze"}),
    (Follow(), {"change": "follow"}),
    (Recalibrate(), {"change": "recalibrate"}),
    (Mute(7), {"change": "mute", "select": 7}),
    (Unmute("well:B2"), {"change": "unmute", "select": "well:B2"}),
    (
        Levels(("E1", "E2"), (-30.5, None), (None, 20.25)),
        {"change": "levels", "labels": ["E1", "E2"], "negative_uv": [-30.5, None], "positive_uv": [None, 20.25]},
    ),
]


@pytest.mark.parametrize(("change", "tree"), MAPS, ids=lambda x: "" if isinstance(x, dict) else type(x).__name__)
def test_a_change_is_its_map_and_comes_back_from_bytes(change: Change, tree: dict[str, Any]) -> None:
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in to_map(change).items()} == tree
    assert from_map(msgpack.unpackb(msgpack.packb(to_map(change)))) == change


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({}, "change must be one of threshold, levels, freeze, follow, recalibrate, mute, unmute, blank, got None"),
        ({"change": "thaw"}, "change must be one of .*, got 'thaw'"),
        ({"change": ["freeze"]}, r"change must be one of .*, got \['freeze'\]"),
        ({"change": "x" * 10_000}, "got 'x{79}$"),
        ({"change": "freeze", "select": "E1"}, "unknown key 'select' of the change 'freeze'; known: none"),
        ({"change": "mute", "slect": "E1"}, "unknown key 'slect' of the change 'mute'; did you mean 'select'?"),
        ({"change": "mute", b"select": "E1"}, "unknown key b'select'"),
        ({"change": "mute"}, "the change 'mute' must have the key 'select'"),
        ({"change": "mute", "select": None}, "select must be text or a whole number or a list, got None"),
        ({"change": "mute", "select": [1.5]}, r"select must be text or a whole number or a list, got \[1.5\]"),
        ({"change": "mute", "select": True}, "select must be text or a whole number or a list, got True"),
        ({"change": "mute", "select": [0] * (MOST_SELECTORS + 1)}, "at most 1024 selectors, got 1025"),
        ({"change": "threshold", "select": "E1"}, "give either threshold .* or threshold_uv .*, got neither"),
        ({"change": "threshold", "select": "E1", "threshold": 4, "threshold_uv": 30}, "got both"),
        ({"change": "threshold", "select": "E1", "threshold": "4"}, "threshold must be a number, got '4'"),
        ({"change": "threshold", "select": "E1", "threshold": 0}, "threshold must be > 0 and ≤ 1000 σ, got 0"),
        ({"change": "threshold", "select": "E1", "threshold": -5.0}, "threshold must be > 0 and ≤ 1000 σ, got -5"),
        ({"change": "threshold", "select": "E1", "threshold": 1000.1}, "≤ 1000 σ, got 1000.1"),
        ({"change": "threshold", "select": "E1", "threshold": math.nan}, "threshold must be > 0 and ≤ 1000 σ, got nan"),
        ({"change": "threshold", "select": "E1", "threshold": 2**1100}, "threshold must be"),
        ({"change": "threshold", "select": "E1", "threshold_uv": 0.0}, "height .µV. other than 0, got 0"),
        ({"change": "threshold", "select": "E1", "threshold_uv": math.inf}, "other than 0, got inf"),
        ({"change": "threshold", "select": "E1", "threshold_uv": 1e39}, r"other than 0, got 1e\+39"),
        ({"change": "threshold", "select": "E1", "threshold_uv": 1e-60}, "other than 0, got 1e-60"),
        ({"change": "levels", "labels": ["E1"], "negative_uv": [], "positive_uv": [None]}, "equally long, got 1, 0, 1"),
        ({"change": "levels", "labels": ["E1"], "negative_uv": [5.0], "positive_uv": [None]},
         "negative_uv must be a number < 0 .µV. or none, got 5 for channel 'E1'"),
        ({"change": "levels", "labels": ["E1"], "negative_uv": [None], "positive_uv": [-5.0]},
         "positive_uv must be a number > 0 .µV. or none, got -5 for channel 'E1'"),
        ({"change": "levels", "labels": ["E1"], "negative_uv": [math.nan], "positive_uv": [None]}, "got nan"),
        ({"change": "levels", "labels": ["E1"], "negative_uv": [-math.inf], "positive_uv": [None]}, "got -inf"),
        ({"change": "levels", "labels": [1], "negative_uv": [None], "positive_uv": [None]}, "labels must be a list"),
    ],
)  # fmt: skip
def test_a_map_that_is_no_change_is_refused_in_one_line(tree: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as refused:
        from_map(tree)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["change", "select", "threshold", "threshold_uv", "labels", "negative_uv", "positive_uv", "x"]),
        st.sampled_from(["threshold", "levels", "freeze", "mute", "unmute"]) | ANYTHING,
    )
    | ANYTHING
)
def test_any_map_is_a_change_or_a_config_error(tree: Any) -> None:
    try:
        change = from_map(tree)
    except ConfigError:
        return
    assert from_map(to_map(change)) == change


def test_values_are_checked_however_a_change_was_made() -> None:
    with pytest.raises(ConfigError, match="got nan"):
        check(Threshold("E1", threshold=math.nan))
    with pytest.raises(ConfigError, match="got neither"):
        check(Threshold("E1"))
