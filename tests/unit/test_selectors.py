"""Selectors: positions, labels, globs, wells and kinds."""

from __future__ import annotations

from typing import Any

import pytest

from rtspikes.errors import ConfigError
from rtspikes.selectors import select
from rtspikes.types import ChannelInfo

CHANNELS = (
    ChannelInfo("12", 0, well="A1"),
    ChannelInfo("13", 1, well="A1"),
    ChannelInfo("Ref", 2, kind="reference"),
    ChannelInfo("21", 3, well="B2"),
    ChannelInfo("2*", 4, well="B2"),
    ChannelInfo("aux1", 5, kind="aux"),
)


@pytest.mark.parametrize(
    ("selector", "positions"),
    [
        (0, [0]),
        (5, [5]),
        ("#3", [3]),
        ("#1-3", [1, 2, 3]),
        ("#0-5", [0, 1, 2, 3, 4, 5]),
        ("12", [0]),  # a label, not position 12
        ("1*", [0, 1]),
        ("2?", [3, 4]),
        ("2*", [4]),  # an exact label comes before the glob
        ("1[23]", [0, 1]),
        ("*", [0, 1, 2, 3, 4, 5]),
        ("well:A1", [0, 1]),
        ("kind:aux", [5]),
        ("kind:electrode", [0, 1, 3, 4]),
        ([3, "12", "#0-1"], [0, 1, 3]),
        (("well:B2", 0), [0, 3, 4]),
    ],
)
def test_a_selector_names_positions_in_rising_order(selector: Any, positions: list[int]) -> None:
    assert select(selector, CHANNELS) == positions


@pytest.mark.parametrize("selector", [6, -1, "#6", "#0-6", "#3-1"])
def test_positions_outside_the_stream_are_refused(selector: str | int) -> None:
    with pytest.raises(ConfigError, match=r"must name positions 0 … 5 of this stream, in rising order") as caught:
        select(selector, CHANNELS)
    assert repr(selector) in str(caught.value)


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("ref", "did you mean 'Ref'?"),  # labels are case-sensitive
        ("aux2", "did you mean 'aux1'?"),
        ("zzz*", "known: 12, 13, Ref"),
        ("well:C3", "known: A1, B2"),
        ("kind:trigger", "known: aux, electrode, reference"),
        ("#x", "known: 12"),
        ("#1-", "known: 12"),
        ("", "known: 12"),
    ],
)
def test_a_selector_without_a_match_is_refused_with_a_hint(selector: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(selector, CHANNELS)
    assert f"selector {selector!r} matches no channel; {hint}" in str(caught.value)


def test_one_selector_of_a_list_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="'nope' matches no channel"):
        select(["12", "nope"], CHANNELS)


def test_the_hint_looks_at_all_labels_of_a_large_array() -> None:
    channels = [ChannelInfo(f"E{i}", i) for i in range(60)]
    with pytest.raises(ConfigError, match="did you mean 'E57'"):
        select("E57x", channels)
