"""Chunking never changes what marks blank: trigger edges and marks of pulls, over random cuts and gaps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspikes.blanking import BlankRules
from rtspikes.clock import SampleClock
from rtspikes.config import config_from
from rtspikes.detect.detector import Detector, Events
from rtspikes.detect.settings import DetectSettings
from rtspikes.engine.stream_marks import MOST_WAITING, StreamMarks
from rtspikes.engine.waiting import Waiting
from rtspikes.lines import stream_lines
from rtspikes.protocols import Mark
from rtspikes.types import ChannelInfo
from tests.simulated import GAIN_UV, simulate, stream_info
from tests.unit.detect.streaming import cut
from tests.unit.engine.test_stream_marks import Announcer

N = 16_000

INFO = replace(
    stream_info(3),
    channels=(ChannelInfo("E1", 0, gain_uv=GAIN_UV), ChannelInfo("D1", 1, "trigger"), ChannelInfo("E2", 2)),
    facts={"lines": ["TTL 1"]},
)

RULES = config_from(
    {
        "blank": [
            {"ms": 3, "line": "D1", "value": 1},
            {"ms": 0.01, "line": "D1", "value": 0, "select": "E1"},
            {"ms": 20, "line": "TTL 1", "select": "E2"},
        ]
    }
).blank

ELECTRODES = simulate(n_channels=2, seconds=N / 20_000, spikes_per_s=100)[0]

TABLES = ("spikes", "waveforms", "crossings", "rejected")


def run(edges: list[int], given_: list[int], gaps: dict[int, int], sizes: list[int], ahead: bool) -> dict[str, bytes]:
    """Return all that came out, and the marks; `ahead`: rows are looked at long before they are detected."""
    word = np.zeros(N, np.int16)
    for edge in edges:
        word[edge:] ^= 1
    samples = np.insert(ELECTRODES, 1, word, axis=1)
    at = np.arange(N)
    for row, lost in gaps.items():
        at[row:] += lost
    detector, announcer, waiting = Detector(INFO, DetectSettings()), Announcer(), Waiting[Mark](MOST_WAITING)
    rules = BlankRules(RULES, stream_lines(INFO), INFO.channels)
    clock = SampleClock(20_000.0)
    clock.anchor(0, 0.0)
    marks = StreamMarks(INFO, rules, detector, announcer, clock, waiting)  # type: ignore[arg-type]
    for row in sorted(given_):
        waiting.put(int(at[row]), Mark(0, 1, 1))
    bounds = sorted({0, N, *gaps})
    blocks = [
        (samples[a + x : a + y], int(at[a + x]), x == 0 and a > 0)
        for a, b in zip(bounds, bounds[1:], strict=False)
        for x, y in cut(b - a, sizes)
    ]
    end = detector.initial_samples
    held = [(rows[: end - first], first) for rows, first, _ in blocks if first < end]
    for rows, first in held:
        marks.look(rows, first)
    detector.learn(held, [first for _, first, restart in blocks if restart])
    if ahead:
        for rows, first, _ in blocks:
            marks.look(rows, first)
    events: list[Events] = []
    for rows, first, restart in blocks:
        marks.look(rows, first)
        events.append(detector.process(rows, first, restart))
    events.append(detector.finish())
    found = {name: b"".join(getattr(e, name).tobytes() for e in events) for name in TABLES}
    return found | {"marks": repr(announcer.rows).encode()}


ROWS = st.integers(0, N - 1)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(ROWS, max_size=8),
    st.lists(ROWS, max_size=4),
    st.dictionaries(st.integers(1, N - 1), st.integers(1, 3000), max_size=2),
    st.lists(st.integers(1, 40) | st.integers(1, 4000), max_size=60),
    st.booleans(),
)
def test_marks_blank_the_same_however_the_signal_is_cut(
    edges: list[int], given_: list[int], gaps: dict[int, int], sizes: list[int], ahead: bool
) -> None:
    whole = run(edges, given_, gaps, [N], False)
    pieces: dict[str, Any] = run(edges, given_, gaps, [*sizes, 900], ahead)
    assert pieces == whole
