"""Rows that are held back come out once, in order, with what was said of them at the right rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.protocols import Anchor, Hole, Remark
from rtspikes.sources.lsl.hold import LEAST_ROWS, MOST_BYTES, Hold
from rtspikes.sources.lsl.timeline import Verdict
from rtspikes.types import ChannelInfo, StreamInfo


def info(n_channels: int = 2, rate_hz: float = 1000.0) -> StreamInfo:
    channels = tuple(ChannelInfo(str(i), i) for i in range(n_channels))
    return StreamInfo("lsl:x", rate_hz, "int16", channels, live=True)


def rows(first: int, n: int) -> np.ndarray:
    return np.repeat(np.arange(first, first + n, dtype=np.int16)[:, None], 2, axis=1)


@given(
    kept=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    parts=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    events=st.lists(st.floats(0, 1), max_size=6),
)
def test_what_goes_in_comes_out_with_its_events(
    kept: list[int], parts: list[int], sizes: list[int], events: list[float]
) -> None:
    hold = Hold(info())
    total, got, said, step = 0, [], [], 0
    expected = []
    for k in kept:
        hold.keep(rows(total, k), np.arange(total, total + k, dtype=float))
        total += k
    decided = 0
    for part in [*parts, total]:
        undecided = len(hold.stamps)
        assert hold.stamps.tolist() == list(range(decided, total))
        n = min(part, undecided)
        offsets = sorted({round(e * n) for e in events})
        expected += [decided + offset for offset in offsets]
        holes = tuple(Hole(offset, 5) for offset in offsets)
        anchors = tuple(Anchor(offset, 1.0, 1000.0) for offset in offsets)
        hold.decide(Verdict(holes, anchors, tuple(Remark(o, "x", "x") for o in offsets), n if n < undecided else None))
        while hold.decided:
            destination = np.zeros((sizes[step % len(sizes)], 2), np.int16)
            step += 1
            pull = hold.hand_on(destination)
            at = decided
            assert (
                [h.offset for h in pull.holes] == [a.offset for a in pull.anchors] == [r.offset for r in pull.remarks]
            )
            said += [at + h.offset for h in pull.holes]
            got += destination[: pull.n, 0].tolist()
            decided += pull.n
    assert got == list(range(total))
    assert said == expected
    assert not hold.undecided


def test_its_memory_is_bounded() -> None:
    assert Hold(info(rate_hz=20_000.0)).capacity == 40_000
    assert Hold(info(n_channels=4096, rate_hz=20_000.0)).capacity == MOST_BYTES // 8192
    assert Hold(info(rate_hz=10.0)).capacity == LEAST_ROWS
