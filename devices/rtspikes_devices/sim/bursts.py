"""When network bursts come, how long they last, and how they rise and fall; and the stimuli that evoke some."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import ChannelInfo
from rtspikes_devices.sim.address import Simulation
from rtspikes_devices.sim.draws import key, lognormal, uniform
from rtspikes_devices.sim.layouts import Layout
from rtspikes_devices.sim.scenarios import SCENARIOS, Scenario

BIN_HZ = 1000

ENVELOPE_MS = 3000
STRETCH = (4, 28)
"""A burst lasts so many sixteenths of its scenario's length: fewest, most."""

SUPERBURST_MS = 10_000
SUPERBURST_STRETCH = (16, 48)
"""A superburst lasts 10 to 30 s."""

FIRST_SUPERBURST_MS = (5000, 10_000)
"""When a well's first superburst begins, counted from the onset: earliest, latest; the next ones keep this distance."""

_BURSTS, _SIZE, _STIMULUS = 5, 8, 9
_EVOKED, _SUPERBURST = 2**31, 2**30
"""Numbers of such bursts begin here."""


class BurstKind(IntEnum):
    """Whose figures a burst has."""

    BASELINE = 0
    SCENARIO = 1
    SUPERBURST = 2


@dataclass(frozen=True, slots=True)
class Burst:
    """One network burst of one well; `stretch` (1/16) scales its envelope in time."""

    onset_ms: int
    well: int
    stretch: int
    kind: BurstKind
    number: int


class Schedule:
    """The network bursts of all wells, made as far as they are asked for; old ones are forgotten."""

    def __init__(self, simulation: Simulation, layout: Layout, wells: list[str | None]) -> None:
        self._simulation = simulation
        self._n_wells = len(wells)
        self._stimulated_well = wells.index(stimulated_channel(simulation, layout).well)
        self._superbursts_apart_ms = round(SCENARIOS[simulation.scenario].superbursts_apart_s * BIN_HZ)
        self._restart()

    def _restart(self) -> None:
        self._bursts: list[Burst] = []
        self._next = [self._interval(well, 0, 0, first=True) for well in range(self._n_wells)]
        self._number = [0] * self._n_wells
        self._superbursts = [0] * self._n_wells
        self._stimuli = 0
        self._forgotten_ms = 0

    def between(self, first_ms: int, end_ms: int) -> list[Burst]:
        """Return the bursts whose onsets lie in [first, end), by well and onset."""
        if first_ms < self._forgotten_ms:
            self._restart()
        for well in range(self._n_wells):
            while self._next[well] < end_ms:
                onset, number = self._next[well], self._number[well]
                self._add(onset, well, number)
                self._number[well] = number + 1
                self._next[well] = onset + self._interval(well, number + 1, onset)
            self._add_superbursts(well, end_ms)
        for stimulus_ms in stimuli_ms(self._simulation, self._stimuli, end_ms):
            self._stimuli += 1
            self._add(stimulus_ms + 8, self._stimulated_well, _EVOKED + self._stimuli, stretch=8)
        self._bursts = [b for b in self._bursts if b.onset_ms >= first_ms]
        self._forgotten_ms = first_ms
        return sorted((b for b in self._bursts if b.onset_ms < end_ms), key=lambda b: (b.well, b.onset_ms, b.number))

    def _scenario(self, at_ms: int) -> Scenario:
        return SCENARIOS[self._simulation.scenario if at_ms >= self._simulation.onset_ms else "baseline"]

    def _interval(self, well: int, number: int, after_ms: int, first: bool = False) -> int:
        scenario = self._scenario(after_ms)
        under = key(self._simulation.seed, _BURSTS, well)
        if first:
            return 700 + int(1000 * scenario.interval_s * uniform(under, number))
        return 300 + int(1000 * lognormal(under, number, scenario.interval_s, scenario.interval_spread))

    def _add(self, onset_ms: int, well: int, number: int, stretch: int | None = None) -> None:
        kind = BurstKind(onset_ms >= self._simulation.onset_ms)
        self._bursts.append(Burst(onset_ms, well, stretch or self._stretch(well, number, STRETCH), kind, number))

    def _add_superbursts(self, well: int, end_ms: int) -> None:
        if not self._superbursts_apart_ms:
            return
        low, high = FIRST_SUPERBURST_MS
        first_ms = low + int((high - low) * uniform(key(self._simulation.seed, _BURSTS, well), _SUPERBURST))
        first_ms += self._simulation.onset_ms
        while (onset := first_ms + self._superbursts[well] * self._superbursts_apart_ms) < end_ms:
            number = _SUPERBURST + self._superbursts[well]
            stretch = self._stretch(well, number, SUPERBURST_STRETCH)
            self._bursts.append(Burst(onset, well, stretch, BurstKind.SUPERBURST, number))
            self._superbursts[well] += 1

    def _stretch(self, well: int, number: int, limits: tuple[int, int]) -> int:
        fewest, most = limits
        return fewest + int((most - fewest + 1) * uniform(key(self._simulation.seed, _SIZE, well), number))


def longest_burst_ms(simulation: Simulation) -> int:
    """Return how long (ms) the longest burst of a simulation can last."""
    if SCENARIOS[simulation.scenario].superbursts_apart_s:
        return SUPERBURST_MS * SUPERBURST_STRETCH[1] // 16
    return ENVELOPE_MS * STRETCH[1] // 16


def burst_envelope(scenario: str) -> NDArray[np.float64]:
    """Return a burst's course, peak about 1, one value per ms: a rise of 10 ms, then a decay that steepens."""
    scale = SCENARIOS[scenario].burst_ms
    course = [(1 - math.exp(-(k + 1) / 10)) * math.exp(-((k / scale) ** 1.5)) for k in range(ENVELOPE_MS)]
    return np.floor(np.array(course) * 4096 + 0.5) / 4096


def superburst_envelope() -> NDArray[np.float64]:
    """Return a superburst's course, peak about 1, one value per ms: bursts that run together, weaker with time."""
    course = [
        (1 - math.exp(-(k + 1) / 50)) * (0.7 + 0.3 * math.sin(k / 50)) * (1 - 0.6 * k / SUPERBURST_MS)
        for k in range(SUPERBURST_MS)
    ]
    return np.floor(np.array(course) * 4096 + 0.5) / 4096


def stimulated_channel(simulation: Simulation, layout: Layout) -> ChannelInfo:
    """Return the electrode that stimulates, where a scenario has stimuli."""
    electrodes = [c for c in layout.channels if c.kind == "electrode"]
    return electrodes[int(uniform(key(simulation.seed, _STIMULUS), 0) * len(electrodes))]


def stimuli_ms(simulation: Simulation, skip: int, end_ms: int) -> list[int]:
    """Return when (ms) the stimuli come, from number `skip` on, before `end_ms`."""
    every = SCENARIOS[simulation.scenario].stimulus_s * BIN_HZ
    if not every:
        return []
    first = simulation.onset_ms + 1000
    return list(range(int(first + skip * every), end_ms, int(every)))
