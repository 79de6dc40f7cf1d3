"""What disturbs the recording: hum, common mode, drift, stimulus artifacts, storms of noise, field deflections."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtspikes_devices.sim.address import Simulation
from rtspikes_devices.sim.bursts import BIN_HZ, stimulated_channel
from rtspikes_devices.sim.draws import QUANTILES, key, mix_all, normal_quantiles, quantised, uniform
from rtspikes_devices.sim.kernels import add_courses
from rtspikes_devices.sim.layouts import GAIN_UV, Layout
from rtspikes_devices.sim.scenarios import SCENARIOS

HUM_UV = (2.0, 8.0)
"""Peak of the hum of an electrode, where the address does not say it: smallest, largest."""

COMMON_UV, DRIFT_UV = 1.5, 60.0
"""What all electrodes share: broadband noise (RMS) and slow drift (peak)."""

ARTIFACT_UV, ARTIFACT_UM = 60_000.0, 80.0
"""Stimulation artifact beside the stimulated electrode, and the distance over which it falls to one half."""

DEFLECTION_MS = 20
"""Time from a field deflection's begin to its peak. Its course, (t/τ)·exp(1 − t/τ), starts with a bend, which is what
passes a high-pass: −300 µV on 5 µV of white noise make 14, 0.3 and 0.05 events at 5 σ behind orders 1, 2 and 3."""

_HUM, _COMMON, _STORMY, _DEFLECTION = 101, 102, 105, 106
_TURN = 4096


class Disturbances:
    """Courses that channels share, by absolute sample; `gains` (4, channels) is each channel's part of them (steps).

    The four are hum, common mode, artifact, and whether it storms; `stormy` (channels,) tells who storms then, by 1.
    """

    def __init__(self, simulation: Simulation, layout: Layout, wells: list[str | None]) -> None:
        self._simulation, self._layout = simulation, layout
        self._rate = round(simulation.rate)
        self._scenario = SCENARIOS[simulation.scenario]
        self._table = normal_quantiles()
        turn = [2 * math.pi * i / _TURN for i in range(_TURN)]
        self._sine = quantised(np.array([math.sin(t) for t in turn]))
        overtones = quantised(np.array([math.sin(t) + 0.3 * math.sin(3 * t) for t in turn]))
        self._hum = overtones if simulation.hum is None else self._sine
        self._pulse = _pulse(simulation)
        seed, n = simulation.seed, len(layout.channels)
        hum: list[float] = [HUM_UV[0] + (HUM_UV[1] - HUM_UV[0]) * uniform(key(seed, _HUM), c) for c in range(n)]
        if simulation.hum is not None:
            hum = [simulation.hum] * n
        self.gains = np.zeros((4, n), np.float32)
        self.gains[0] = quantised(np.array(hum) / GAIN_UV)
        self.gains[1] = quantised(np.full(n, 1 / GAIN_UV))
        self.gains[2] = quantised(self._artifact_uv() / GAIN_UV)
        self.stormy = self._storming()
        self._n_wells = len(wells)
        self._well = np.array([wells.index(c.well) for c in layout.channels], np.int64)
        self._deflected = np.array([c.kind == "electrode" for c in layout.channels], np.float32)
        times = [k / (DEFLECTION_MS * 1e-3 * self._rate) for k in range(round(0.4 * self._rate))]
        self._deflection = quantised(np.array([t * math.exp(1 - t) for t in times]) * (simulation.fields / GAIN_UV))

    def _artifact_uv(self) -> NDArray[np.float64]:
        """Return the artifact's size (µV) on each channel, by its distance from the electrode that stimulates."""
        channels = self._layout.channels
        chosen = stimulated_channel(self._simulation, self._layout)
        away = [math.hypot((c.x_um or 0) - (chosen.x_um or 0), (c.y_um or 0) - (chosen.y_um or 0)) for c in channels]
        size = np.array([ARTIFACT_UV / (1 + d / ARTIFACT_UM) for d in away])
        size[[c.well != chosen.well for c in channels]] = 0
        return size

    def _storming(self) -> NDArray[np.float32]:
        """Return 1 for the electrodes that storm, else 0: about one in eight, or as many as asked for."""
        chance = {
            c.position: uniform(key(self._simulation.seed, _STORMY), c.position)
            for c in self._layout.channels
            if c.kind == "electrode"
        }
        chosen = [position for position, u in chance.items() if u < 1 / 8]
        if self._simulation.storms is not None:
            chosen = sorted(chance, key=lambda position: (chance[position], position))[: self._simulation.storms]
        stormy = np.zeros(len(self._layout.channels), np.float32)
        stormy[chosen] = 1
        return stormy

    def courses(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what all channels share at absolute samples `at` (n,): float32 (n, 4)."""
        shared = np.zeros((len(at), 4), np.float32)
        shared[:, 0] = self._hum[at * (round(self._simulation.hum_hz) * _TURN) // self._rate % _TURN]
        draws = mix_all(key(self._simulation.seed, _COMMON), at)
        a, b = (self._table[draws >> np.uint64(bits) & np.uint64(QUANTILES - 1)] for bits in (20, 42))
        drift = self._sine[at * _TURN // (7 * self._rate) % _TURN]  # 1/7 Hz
        drift += self._sine[at * (2 * _TURN) // (3 * self._rate) % _TURN]  # 2/3 Hz
        shared[:, 1] = (a + b) * np.float32(COMMON_UV / math.sqrt(2)) + drift * np.float32(DRIFT_UV / 2)
        since = at - self._simulation.onset_sample - self._rate
        if self._scenario.stimulus_s:
            after = since % round(self._scenario.stimulus_s * self._rate)
            hit = (after < len(self._pulse)) & (since >= 0)
            shared[hit, 2] = self._pulse[after[hit]]
        if self._scenario.storms_apart_s:
            after = since % round(self._scenario.storms_apart_s * self._rate)
            shared[:, 3] = (since >= 0) & (after < round(self._simulation.storm_s * self._rate))
        return shared

    def add_deflections(self, acc: NDArray[np.float32], first: int) -> None:
        """Add each well's field deflections to `acc` (n, channels), whose row 0 is absolute sample `first`."""
        if not self._simulation.fields:
            return
        courses = np.zeros((len(acc), self._n_wells), np.float32)
        seconds = range(max(0, first // self._rate - 1), (first + len(acc)) // self._rate + 1)
        for well in range(self._n_wells):
            under = key(self._simulation.seed, _DEFLECTION, well)
            for second in seconds:
                at_ms = 1000 * second + 300 + int(400 * uniform(under, second))
                start = at_ms * self._rate // BIN_HZ - first
                low, high = max(0, -start), min(len(self._deflection), len(acc) - start)
                if low < high:
                    courses[start + low : start + high, well] = self._deflection[low:high]
        add_courses(acc, courses, self._well, self._deflected)


def phase_samples(rate_hz: float) -> int:
    """Return how many samples each of a stimulus's two phases takes: 200 µs."""
    return round(round(rate_hz) * 200e-6)


def _pulse(simulation: Simulation) -> NDArray[np.float32]:
    """Return a stimulus artifact of unit height: two phases, then what the amplifier needs to recover."""
    rate, phase = round(simulation.rate), phase_samples(simulation.rate)
    tau, long = simulation.artifact_ms * 1e-4 * rate, round(simulation.artifact_ms * 1e-3 * rate)
    after = [0.3 * math.exp(-k / tau) for k in range(long)]
    return quantised(np.array([1.0] * phase + [-1.0] * phase + after))
