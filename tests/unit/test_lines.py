"""Lines of marks: numbers that stay, whatever is taken in beside them, and names that mean them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtspikes.errors import ConfigError
from rtspikes.lines import LAST, marker_lines, numbers, of_source, stream_lines
from rtspikes.types import ChannelInfo, StreamInfo
from tests.simulated import stream_info

KINDS = ("electrode", "trigger", "aux", "trigger")
CHANNELS = tuple(ChannelInfo(f"C{i}", i, kind) for i, kind in enumerate(KINDS))  # type: ignore[arg-type]
INFO: StreamInfo = replace(stream_info(4), channels=CHANNELS, facts={"lines": ["TTL 1", "TTL 2"]})
DESCRIBED = [*marker_lines(["lsl:type=Markers", "lsl:TTL"]), *stream_lines(INFO)]


def test_every_line_is_described() -> None:
    assert DESCRIBED == [
        {"line": 1, "uri": "lsl:type=Markers"},
        {"line": 2, "uri": "lsl:TTL"},
        {"line": 1001, "channel": "C1"},
        {"line": 1002, "channel": "C3"},
        {"line": 10001, "name": "TTL 1"},
        {"line": 10002, "name": "TTL 2"},
    ]
    assert stream_lines(stream_info(4)) == []


def test_a_name_or_a_glob_or_a_number_means_lines() -> None:
    assert numbers("C3", DESCRIBED) == {1002}
    assert numbers("C*", DESCRIBED) == {1001, 1002}
    assert numbers(("lsl:TTL", 0, "TTL ?"), DESCRIBED) == {0, 2, 10001, 10002}
    assert numbers(LAST, ()) == {LAST}


def test_a_line_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 'C4' matches no line of marks; did you mean 'C"):
        numbers("C4", DESCRIBED)
    with pytest.raises(ConfigError, match="must be 0 … 65535, got 65536"):
        numbers(LAST + 1, DESCRIBED)


def test_the_lines_of_a_source_stay_within_their_range() -> None:
    assert [of_source(n) for n in (1, 2, 10**9, -5)] == [10001, 10002, LAST, 10001]
