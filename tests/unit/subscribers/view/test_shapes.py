from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.subscribers.view.shapes import KEPT, Shapes
from rtspikes.subscribers.view.tally import ISI_EDGES_MS, bins_of
from tests.unit.subscribers.view.pages import RATE_HZ, spikes


def fed(events: list[tuple[int, int]], cuts: list[int]) -> Shapes:
    shapes = Shapes(3, 3, RATE_HZ)
    bounds = [0, *sorted(cuts), len(events)]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        batch = spikes(events[start:stop], 0)
        shapes.add(batch.spikes, batch.waveforms)
    return shapes


@given(
    st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 2)), max_size=300, unique=True),
    st.lists(st.integers(0, 300), max_size=5),
)
def test_however_it_is_cut_intervals_and_waveforms_are_those_of_each_channel(
    events: list[tuple[int, int]], cuts: list[int]
) -> None:
    events.sort()
    shapes = fed(events, [min(cut, len(events)) for cut in cuts])
    for channel in range(3):
        at = np.array([s for s, c in events if c == channel])
        assert shapes.counts[channel] == len(at)
        assert shapes.waveforms(channel)[:, 0].tolist() == at[-KEPT:].tolist()
        expected = np.bincount(bins_of(np.diff(at) * 1e3 / RATE_HZ), minlength=len(ISI_EDGES_MS) - 1)
        assert shapes.isi(channel).tolist() == expected.tolist()


def test_no_interval_goes_across_a_gap() -> None:
    shapes = fed([(10, 0)], [])
    shapes.interrupt()
    late = spikes([(50, 0), (60, 0)], 0)
    shapes.add(late.spikes, late.waveforms)
    assert shapes.isi(0).sum() == 1
    assert shapes.isi(0)[bins_of(np.array([10.0]))[0]] == 1


def test_of_very_many_channels_fewer_waveforms_are_kept() -> None:
    shapes = Shapes(26_400, 60, 20_000.0)
    batch = np.repeat(spikes([(1, 26_399)], 0).spikes, 100)
    shapes.add(batch, np.zeros((100, 60), np.float32))
    assert 4 <= len(shapes.waveforms(26_399)) < KEPT
