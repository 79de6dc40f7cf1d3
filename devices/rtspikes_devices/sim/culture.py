"""The culture: its neurons, and every spike of any stretch of time.

Time is cut into bins of 1 ms. Whether a neuron fires in a bin is a draw of its own against a rate that depends on the
network bursts around it, so any stretch can be asked for by itself; what a neuron did before is not needed but for its
refractory time: it does not fire within 3 bins of an earlier draw that said so.
"""

from __future__ import annotations

import bisect
import math

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import ChannelInfo
from rtspikes_devices.sim.address import Simulation
from rtspikes_devices.sim.bursts import (
    BIN_HZ,
    Schedule,
    burst_envelope,
    longest_burst_ms,
    superburst_envelope,
)
from rtspikes_devices.sim.doublets import APART_MS, REST_MS, second_spikes
from rtspikes_devices.sim.draws import key, lognormal, uniform
from rtspikes_devices.sim.kernels import FIRING_DTYPE, draw_firings
from rtspikes_devices.sim.layouts import Layout
from rtspikes_devices.sim.scenarios import SCENARIOS

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

SUPERBURST_RECRUITED = 0.97
"""Part of the neurons that takes part in a superburst."""

DRAWN_MS = 500
"""Stretch of time whose spikes are drawn at a time."""
_NEURONS, _AMPLITUDE, _PLACE, _RATE, _DELAY, _FIRING, _BROKEN, _DOUBLETS = 0, 1, 2, 3, 4, 6, 7, 10


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
        self._figures, self._envelopes = _figures(simulation.scenario)
        self._doublets_key = key(simulation.seed, _DOUBLETS)
        wash_s = SCENARIOS[simulation.scenario].wash_s
        decay = (
            [math.floor(math.exp(-k / (wash_s * BIN_HZ)) * 4096 + 0.5) / 4096 for k in range(8192)] if wash_s else []
        )
        self._wash = np.array(decay)

    def firings(self, first_ms: int, end_ms: int) -> NDArray[np.void]:
        """Return FIRING_DTYPE, ordered by (sample, neuron): every spike that fires in bins [first, end)."""
        starts = range(first_ms, end_ms, DRAWN_MS)
        draw = self._draw_with_doublets if self.simulation.doublets else self._draw
        parts = [draw(start, min(start + DRAWN_MS, end_ms)) for start in starts]
        return np.concatenate([np.empty(0, FIRING_DTYPE), *parts])

    def _draw_with_doublets(self, first_ms: int, end_ms: int) -> NDArray[np.void]:
        per_ms = round(self.simulation.rate) // BIN_HZ
        firings = self._draw(max(0, first_ms - APART_MS[1] - 1), end_ms + REST_MS + 1)
        second = second_spikes(firings, self._doublets_key, self.simulation.doublets, per_ms)
        every = np.concatenate([firings, second])
        every = every[(every["sample"] >= first_ms * per_ms) & (every["sample"] < end_ms * per_ms)]
        return every[np.lexsort((every["neuron"], every["sample"]))]

    def _draw(self, first_ms: int, end_ms: int) -> NDArray[np.void]:
        neurons, simulation = self.neurons, self.simulation
        longest = longest_burst_ms(simulation) + 100  # the last neurons to be recruited follow by less
        bursts = self.schedule.between(max(0, first_ms - longest), end_ms + 1)
        table = np.array([(b.onset_ms, b.stretch, b.kind, b.number) for b in bursts], np.int64).reshape(-1, 4)
        bursts_of = np.searchsorted([b.well for b in bursts], np.arange(len(neurons.wells) + 1)).astype(np.int64)
        found = np.empty(neurons.n * ((end_ms - first_ms) // 3 + 1), FIRING_DTYPE)
        n = draw_firings(
            found, first_ms, end_ms, round(simulation.rate) // BIN_HZ, simulation.onset_ms,
            self._firing_key, self._recruit_key, neurons.well, neurons.background, neurons.vigour, neurons.delay_ms,
            table, bursts_of, self._figures, self._envelopes, self._wash,
        )  # fmt: skip
        found = found[:n]
        return found[np.argsort(found["sample"], kind="stable")]  # by neuron before; `order=` would keep Python's lock


def _figures(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, by BurstKind, (background, burst rate per bin, recruited), and the envelope, ending in zeros."""
    baseline, scenario = SCENARIOS["baseline"], SCENARIOS[name]
    figures = [(s.background, s.burst_hz / BIN_HZ, s.recruited) for s in (baseline, scenario)]
    envelopes = [burst_envelope("baseline"), burst_envelope(name)]
    if scenario.superbursts_apart_s:
        figures.append((scenario.background, scenario.superburst_hz / BIN_HZ, SUPERBURST_RECRUITED))
        envelopes.append(superburst_envelope())
    padded = np.zeros((len(envelopes), max(map(len, envelopes))))
    for row, envelope in zip(padded, envelopes, strict=True):
        row[: len(envelope)] = envelope
    return np.array(figures), padded
