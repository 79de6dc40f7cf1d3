"""Samples and truth of a simulation by its address, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, cycle

import numpy as np
from numpy.typing import NDArray
from rtspikes_devices.sim.source import SimSource, open_sim

from rtspikes.protocols import Hole, Truth
from rtspikes.sources.settings import SourceSettings
from rtspikes.sources.truth import find_truth
from rtspikes.types import Samples, StreamInfo
from tests.clocks import HandClock


def opened(address: str, clock: HandClock | None = None, **settings: object) -> SimSource:
    """Return a started source, as fast as it goes if not said otherwise."""
    source = open_sim(address, SourceSettings(**{"speed": "max", **settings}), clock or HandClock())  # type: ignore[arg-type]
    source.__enter__()
    source.start()
    return source


def pulled(address: str, sizes: Iterable[int] = (4096,)) -> tuple[Samples, dict[int, int]]:
    """Return all samples of a simulation that ends, pulled in pieces of `sizes` (repeated); {index: lost before it}."""
    source = opened(address)
    pieces, holes, position = [np.zeros((0, source.info.n_channels), np.int16)], {}, 0
    for size in chain(sizes, cycle(sizes)):
        rows = np.full((size, source.info.n_channels), -7, np.int16)
        pull = source.pull(rows)
        assert all(isinstance(hole, Hole) and hole.offset == 0 for hole in pull.holes)
        for hole in pull.holes:
            position += hole.lost
            holes[position] = hole.lost
        position += pull.n
        pieces.append(rows[: pull.n])
        if pull.ended:
            break
    assert position == source.info.n_samples
    return np.concatenate(pieces), holes


def marked(address: str, sizes: Iterable[int] = (4096,)) -> list[tuple[int, int, int]]:
    """Return (sample, line, value) of all marks of a simulation that ends, pulled in pieces of `sizes` (repeated)."""
    source = opened(address)
    marks, position = [], 0
    for size in chain(sizes, cycle(sizes)):
        pull = source.pull(np.zeros((size, source.info.n_channels), np.int16))
        position += sum(hole.lost for hole in pull.holes)
        assert all(0 <= mark.offset < pull.n for mark in pull.marks)
        marks += [(position + mark.offset, mark.line, mark.value) for mark in pull.marks]
        position += pull.n
        if pull.ended:
            return marks
    raise AssertionError("unreachable: sizes repeat for ever")


def microvolts(address: str) -> tuple[NDArray[np.float64], StreamInfo]:
    """Return float64 (time, channels), and what they are."""
    return pulled(address)[0] * 0.195, opened(address).info


def truth_of(address: str) -> Truth:
    truth = find_truth(f"sim:{address}")
    assert truth is not None
    return truth


def true_spikes(address: str, first_s: float, end_s: float, rate_hz: int = 20000) -> NDArray[np.void]:
    """Return the true spikes from `first_s` to `end_s`."""
    truth, step = truth_of(address), rate_hz
    borders = [*range(round(first_s * rate_hz), round(end_s * rate_hz), step), round(end_s * rate_hz)]
    return np.concatenate([truth.spikes(a, b) for a, b in zip(borders, borders[1:], strict=False)])
