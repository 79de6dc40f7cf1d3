"""The `sim:` source: the simulated signal at its pace, with holes where asked for."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError
from rtspikes.protocols import Hole, Pull
from rtspikes.sources.pace import Pace, PacedSource
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import TRUTH_DTYPE, Samples, StreamInfo
from rtspikes_devices.sim.address import Simulation, parse_address
from rtspikes_devices.sim.bursts import BIN_HZ
from rtspikes_devices.sim.culture import Culture, broken_channels
from rtspikes_devices.sim.draws import key, uniform
from rtspikes_devices.sim.kernels import RAILS
from rtspikes_devices.sim.layouts import make_layout
from rtspikes_devices.sim.signal import Signal
from rtspikes_devices.sim.stimulus_line import StimulusLine

VISIBLE = 8.0
"""A trough of so many times the electrode's noise should be found at 5 σ: the causal filter leaves about 0.7 of it,
and of the noise too."""

LEAST_VISIBLE_UV = 20.0
"""The same where noise is next to nothing: hum, common mode and the rest of other spikes remain."""

_GAPS = 200


def open_sim(address: str, settings: SourceSettings, clock: Clock) -> SimSource:
    """Simulate a culture on an array, with known truth: sim:60?scenario=bicuculline&seed=2 (see devices/README.md)."""
    if settings.start_s or settings.stop_s is not None or settings.loop or settings.uv_per_unit is not None:
        raise ConfigError(
            "sim: source.start_s, stop_s, loop and uv_per_unit are for files; "
            "a simulation's length is in its address: sim:60?seconds=10"
        )
    return SimSource(address, settings, clock)


class SimSource(PacedSource):
    """Makes the samples that are due, in order; the truth about them is SimTruth's."""

    first_sample = 0

    def __init__(self, address: str, settings: SourceSettings, clock: Clock) -> None:
        simulation = parse_address(address)
        self._layout = make_layout(simulation.layout, simulation.pitch)
        self._simulation = simulation
        self._total = None if simulation.seconds is None else round(simulation.seconds * simulation.rate)
        self._line = StimulusLine(simulation)
        self.info = StreamInfo(
            uri=f"sim:{address}",
            rate_hz=simulation.rate,
            dtype="int16",
            channels=self._layout.channels,
            live=simulation.live,
            n_samples=self._total,
            facts={
                "unit": "0.195 µV",
                "rails": [-RAILS, RAILS],
                "lines": self._line.names,
                "simulation": dataclasses.asdict(simulation),
            },
        )
        self._pace = Pace(simulation.rate, settings, clock)
        self._position = 0
        self._gap, self._gaps_done = _gap(simulation, 0), 0

    def __enter__(self) -> Self:
        """Grow the culture."""
        self._signal = Signal(self._simulation, self._layout)
        return self

    def pull(self, destination: Samples) -> Pull:
        """Write the samples that are due into `destination`; wait up to 0.1 s for the next chunk's deadline."""
        left = len(destination) if self._total is None else self._total - self._position
        if left <= 0:
            return Pull(0, ended=True)
        if self._gap is not None and self._position == self._gap[0]:
            return self._lose(min(self._gap[1], left))
        if self._gap is not None:
            left = min(left, self._gap[0] - self._position)
        n = min(left, len(destination), self._pace.due(left), self._signal.room())
        if n <= 0:
            return Pull(0)
        self._signal.make(destination[:n])
        marks = self._line.changes(self._position, n)
        self._position += n
        return Pull(n, anchors=self._pace.advance(n), marks=marks)

    def _lose(self, n: int) -> Pull:
        self._signal.skip(n)
        self._position += n
        self._pace.advance(n)
        self._gaps_done += 1
        self._gap = _gap(self._simulation, self._gaps_done)
        return Pull(0, holes=(Hole(0, n),))


class SimTruth:
    """The spikes of a simulation, by its address; dead and open electrodes see none from the onset on."""

    def __init__(self, address: str) -> None:
        simulation = parse_address(address)
        layout = make_layout(simulation.layout, simulation.pitch)
        self._culture = Culture(simulation, layout)
        self._onset = simulation.onset_sample
        dead, loose = broken_channels(simulation, layout)
        self._broken = np.array(dead + loose, np.int64)
        self.rate_hz = simulation.rate
        self.n_channels = len(layout.channels)
        self.visible_uv = max(VISIBLE * simulation.noise, LEAST_VISIBLE_UV)

    def spikes(self, first: int, end: int) -> NDArray[np.void]:
        """Return TRUTH_DTYPE, ordered by (sample, channel): all spikes whose trough lies in [first, end)."""
        per_ms = round(self._culture.simulation.rate) // BIN_HZ
        firings = self._culture.firings(first // per_ms, -(-end // per_ms))
        firings = firings[(firings["sample"] >= first) & (firings["sample"] < end)]
        neurons = self._culture.neurons
        starts = neurons.offsets[firings["neuron"]]
        seen = neurons.offsets[firings["neuron"] + 1] - starts
        of = np.repeat(np.arange(len(firings)), seen)
        pair = np.repeat(starts - np.cumsum(seen) + seen, seen) + np.arange(len(of))
        rows = np.empty(len(of), TRUTH_DTYPE)
        rows["sample"] = firings["sample"][of]
        rows["channel"] = neurons.channels[pair]
        rows["unit"] = firings["neuron"][of]
        rows["amplitude_uv"] = neurons.amplitudes_uv[pair] * firings["scale"][of]
        rows = rows[~(np.isin(rows["channel"], self._broken) & (rows["sample"] >= self._onset))]
        return np.sort(rows, order=("sample", "channel", "unit"))


def _gap(simulation: Simulation, number: int) -> tuple[int, int] | None:
    """Return (first sample, samples lost) of a hole; None without holes."""
    if not simulation.gaps:
        return None
    under = key(simulation.seed, _GAPS)
    every_s = 60 / simulation.gaps
    at_s = (number + 0.2 + 0.6 * uniform(under, 2 * number)) * every_s
    lost_s = min(0.005 + 0.045 * uniform(under, 2 * number + 1), every_s / 4)
    return round(at_s * simulation.rate), round(lost_s * simulation.rate)
