"""The culture: its neurons, its network bursts, and every spike of any stretch of time.

Time is cut into bins of 1 ms. Whether a neuron fires in a bin is a draw of its own against a rate that depends on the
network bursts around it, so any stretch can be asked for by itself; what a neuron did before is not needed but for its
refractory time: it does not fire within 3 bins of an earlier draw that said so.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import ChannelInfo
from rtspikes_devices.sim.address import Simulation
from rtspikes_devices.sim.draws import key, lognormal, uniform
from rtspikes_devices.sim.kernels import FIRING_DTYPE, draw_firings
from rtspikes_devices.sim.layouts import Layout
from rtspikes_devices.sim.scenarios import SCENARIOS, Scenario

BIN_HZ = 1000

DENSITY_PER_MM2 = 250.0
"""Neurons near enough to an electrode to be told apart from noise, where electrodes stand dense (HD-MEA recordings of
mature cultures show a few hundred units per mm²)."""

PER_ELECTRODE = (0.15, 0.65, 0.9)
"""Sparse arrays: cumulative parts of the electrodes that have 0, at most 1, at most 2 neurons; the rest has 3."""

AMPLITUDE_UV = (75.0, 0.45, 48.0, 300.0)
"""Trough of a neuron on its nearest electrode: median, σ of the logarithm, smallest, largest (µV)."""

DECAY_UM = 30.0
"""Distance over which a spike's amplitude falls to 1/e (Henze et al. 2000, J Neurophysiol 84:390: spikes of 60 µV and
more within 50 µm of the soma, none beyond 140 µm)."""

SMALLEST_UV = 2.0
"""Amplitude below which a neuron is not seen by an electrode."""

ENVELOPE_MS = 3000
STRETCH = 28
"""A burst lasts 4/16 to STRETCH/16 of its scenario's length."""

DRAWN_MS = 500
"""Stretch of time whose spikes are drawn at a time."""
_NEURONS, _AMPLITUDE, _PLACE, _RATE, _DELAY, _BURSTS, _FIRING, _BROKEN, _SIZE, _STIMULUS = range(10)


@dataclass(frozen=True, slots=True)
class Burst:
    """One network burst of one well; `stretch` (1/16) scales its envelope in time."""

    onset_ms: int
    well: int
    stretch: int
    scenario: bool
    number: int


class Neurons:
    """Who lives where: per neuron its well, rates, delay, and what each electrode sees of it.

    The electrodes of neuron i are `channels[offsets[i]:offsets[i+1]]`, its amplitudes there `amplitudes_uv` (> 0).
    """

    def __init__(self, simulation: Simulation, layout: Layout) -> None:
        seed = simulation.seed
        electrodes = [c for c in layout.channels if c.kind == "electrode"]
        self.wells = list(dict.fromkeys(c.well for c in layout.channels))
        places, mains, wells = [], [], []
        for channel in electrodes:
            for i in range(_count(seed, channel.position, layout.pitch_um)):
                number = channel.position * 4 + i
                radius = min(30.0, layout.pitch_um / 2) * math.sqrt(uniform(key(seed, _PLACE), 2 * number))
                angle = 2 * math.pi * uniform(key(seed, _PLACE), 2 * number + 1)
                places.append(((channel.x_um or 0) + radius * math.cos(angle),
                               (channel.y_um or 0) + radius * math.sin(angle)))  # fmt: skip
                median, spread, low, high = AMPLITUDE_UV
                mains.append(min(max(lognormal(key(seed, _AMPLITUDE), number, median, spread), low), high))
                wells.append(self.wells.index(channel.well))
        self.n = len(places)
        self.well = np.array(wells, np.int64)
        homes = [self.wells[w] for w in wells]
        self.offsets, self.channels, self.amplitudes_uv = _footprints(electrodes, places, mains, homes)
        rates = [lognormal(key(seed, _RATE), 2 * i, 0.3, 1.0) for i in range(self.n)]
        self.background = np.minimum(np.array(rates), 5.0) / BIN_HZ
        vigour = [lognormal(key(seed, _RATE), 2 * i + 1, 1.0, 0.3) for i in range(self.n)]
        self.vigour = np.minimum(np.array(vigour), 2.0)
        # Few neurons lead: recruitment follows a rising curve over some tens of ms (Eytan & Marom 2006).
        self.delay_ms = np.array([int(40 * math.sqrt(uniform(key(seed, _DELAY), i))) for i in range(self.n)], np.int64)


def _count(seed: int, position: int, pitch_um: float) -> int:
    chance = uniform(key(seed, _NEURONS), position)
    if pitch_um < 100:
        return int(chance < DENSITY_PER_MM2 * pitch_um**2 * 1e-6)
    return bisect.bisect_right(PER_ELECTRODE, chance)


def _footprints(
    electrodes: list[ChannelInfo], places: list[tuple[float, float]], mains: list[float], homes: list[str | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (offsets, channels, amplitudes) of what its well's electrodes see of each neuron; the nearest, `mains`."""
    at = np.array([(c.x_um or 0.0, c.y_um or 0.0) for c in electrodes])
    positions = np.array([c.position for c in electrodes], np.int64)
    offsets, channels, amplitudes = [0], [], []
    well = np.array([c.well or "" for c in electrodes])
    for place, main, home in zip(places, mains, homes, strict=True):
        away = np.sqrt(((at - place) ** 2).sum(axis=1))
        seen = np.floor(main * np.exp((away.min() - away) / DECAY_UM) * 64 + 0.5) / 64
        near = np.flatnonzero((seen >= SMALLEST_UV) & (well == (home or "")))
        channels.append(positions[near])
        amplitudes.append(seen[near])
        offsets.append(offsets[-1] + len(near))
    return (
        np.array(offsets, np.int64),
        np.concatenate([*channels, np.zeros(0, np.int64)]),
        np.concatenate([*amplitudes, np.zeros(0)]),
    )


class Schedule:
    """The network bursts of all wells, made as far as they are asked for; old ones are forgotten."""

    def __init__(self, simulation: Simulation, layout: Layout, wells: list[str | None]) -> None:
        self._simulation = simulation
        self._n_wells = len(wells)
        self._stimulated_well = wells.index(stimulated_channel(simulation, layout).well)
        self._restart()

    def _restart(self) -> None:
        self._bursts: list[Burst] = []
        self._next = [self._interval(well, 0, 0, first=True) for well in range(self._n_wells)]
        self._number = [0] * self._n_wells
        self._stimuli = 0
        self._forgotten_ms = 0

    def between(self, first_ms: int, end_ms: int) -> list[Burst]:
        """Return the bursts whose onsets lie in [first, end), by well and onset."""
        if first_ms < self._forgotten_ms:
            self._restart()
        for well in range(self._n_wells):
            while self._next[well] < end_ms:
                onset, number = self._next[well], self._number[well]
                self._add(onset, well, number, evoked=False)
                self._number[well] = number + 1
                self._next[well] = onset + self._interval(well, number + 1, onset)
        for stimulus_ms in stimuli_ms(self._simulation, self._stimuli, end_ms):
            self._stimuli += 1
            self._add(stimulus_ms + 8, self._stimulated_well, 2**31 + self._stimuli, evoked=True)
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

    def _add(self, onset_ms: int, well: int, number: int, evoked: bool) -> None:
        size = 8 if evoked else 4 + int((STRETCH - 3) * uniform(key(self._simulation.seed, _SIZE, well), number))
        self._bursts.append(Burst(onset_ms, well, size, onset_ms >= self._simulation.onset_ms, number))


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


def broken_channels(simulation: Simulation, layout: Layout) -> tuple[list[int], list[int]]:
    """Return the positions of the dead and of the open electrodes."""
    part = SCENARIOS[simulation.scenario].broken
    electrodes = [c.position for c in layout.channels if c.kind == "electrode"]
    ranked = sorted(electrodes, key=lambda p: (uniform(key(simulation.seed, _BROKEN), p), p))
    chosen = ranked[: math.ceil(part * len(electrodes))]
    return sorted(chosen[::2]), sorted(chosen[1::2])


class Culture:
    """Every spike of any stretch of time."""

    def __init__(self, simulation: Simulation, layout: Layout) -> None:
        self.simulation = simulation
        self.neurons = Neurons(simulation, layout)
        self.schedule = Schedule(simulation, layout, self.neurons.wells)
        self._firing_key = key(simulation.seed, _FIRING)
        self._recruit_key = key(simulation.seed, _DELAY, 1)
        self._figures = np.array([_figures("baseline"), _figures(simulation.scenario)])
        self._envelopes = np.array([_envelope("baseline"), _envelope(simulation.scenario)])
        wash_s = SCENARIOS[simulation.scenario].wash_s
        decay = (
            [math.floor(math.exp(-k / (wash_s * BIN_HZ)) * 4096 + 0.5) / 4096 for k in range(8192)] if wash_s else []
        )
        self._wash = np.array(decay)

    def firings(self, first_ms: int, end_ms: int) -> NDArray[np.void]:
        """Return FIRING_DTYPE, ordered by (sample, neuron): every spike that fires in bins [first, end)."""
        starts = range(first_ms, end_ms, DRAWN_MS)
        parts = [self._draw(start, min(start + DRAWN_MS, end_ms)) for start in starts]
        return np.concatenate([np.empty(0, FIRING_DTYPE), *parts])

    def _draw(self, first_ms: int, end_ms: int) -> NDArray[np.void]:
        neurons, simulation = self.neurons, self.simulation
        longest = ENVELOPE_MS * STRETCH // 16 + 100
        bursts = self.schedule.between(max(0, first_ms - longest), end_ms + 1)
        table = np.array([(b.onset_ms, b.stretch, b.scenario, b.number) for b in bursts], np.int64).reshape(-1, 4)
        bursts_of = np.searchsorted([b.well for b in bursts], np.arange(len(neurons.wells) + 1)).astype(np.int64)
        found = np.empty(neurons.n * ((end_ms - first_ms) // 3 + 1), FIRING_DTYPE)
        n = draw_firings(
            found, first_ms, end_ms, round(simulation.rate) // BIN_HZ, simulation.onset_ms,
            self._firing_key, self._recruit_key, neurons.well, neurons.background, neurons.vigour, neurons.delay_ms,
            table, bursts_of, self._figures, self._envelopes, self._wash,
        )  # fmt: skip
        found = found[:n]
        return found[np.argsort(found["sample"], kind="stable")]  # by neuron before; `order=` would keep Python's lock


def _figures(name: str) -> tuple[float, float, float]:
    scenario = SCENARIOS[name]
    return scenario.background, scenario.burst_hz / BIN_HZ, scenario.recruited


def _envelope(name: str) -> NDArray[np.float64]:
    """Return a burst's course, peak about 1, one value per ms: a rise of 10 ms, then a decay that steepens."""
    scale = SCENARIOS[name].burst_ms
    course = [(1 - math.exp(-(k + 1) / 10)) * math.exp(-((k / scale) ** 1.5)) for k in range(ENVELOPE_MS)]
    return np.floor(np.array(course) * 4096 + 0.5) / 4096
