"""The signal: spikes, noise, slow field potentials and disturbances, summed sample by sample."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import Samples
from rtspikes_devices.sim.address import Simulation
from rtspikes_devices.sim.bursts import BIN_HZ, BurstKind, Schedule, longest_burst_ms, superburst_envelope
from rtspikes_devices.sim.culture import Culture, broken_channels
from rtspikes_devices.sim.disturbances import Disturbances
from rtspikes_devices.sim.draws import key, mix, mix_all, normal_quantiles, quantised, uniform
from rtspikes_devices.sim.kernels import add_spikes, synthesize
from rtspikes_devices.sim.layouts import GAIN_UV, Layout
from rtspikes_devices.sim.scenarios import SCENARIOS

SHAPES = 64
"""Different waveforms; each neuron has one of them."""

BLOCK_MS = 20
"""Stretch whose spikes are drawn at a time: short, so that no pull takes long."""

SLOW_NOISE = 0.8
"""RMS of the slow part of the noise (below about 100 Hz), relative to the broadband part."""

FIELD_UV = 90.0
"""Peak of the negative field potential of a network burst (MEA recordings of cultures show some 50 … 200 µV)."""

STORM_FACTOR = 12.0
"""A storm's noise, added to the electrode's own: so many times that."""

OPEN_HUM_UV, OPEN_NOISE = 400.0, 6.0
"""An electrode without contact: its hum, and the factor on its noise."""

_SHAPE, _NOISE, _FIELD = 100, 103, 104

SUSTAINED = 0.5
"""Field potential of a superburst, relative to the peak of a network burst's."""


WORKSPACE = 2**21
"""Samples (rows × channels) that are made at a time: 8 MiB of float32."""


class Signal:
    """Makes the samples in order; `skip` passes over lost ones."""

    def __init__(self, simulation: Simulation, layout: Layout) -> None:
        self._simulation, self._layout = simulation, layout
        self._rate = round(simulation.rate)
        self._scenario = SCENARIOS[simulation.scenario]
        self._culture = Culture(simulation, layout)
        self._position = 0
        self._shapes, self._trough = _shapes(simulation.seed, self._rate)
        self._firings: NDArray[np.void] = self._culture.firings(0, 0)
        self._drawn_ms = 0
        n = len(layout.channels)
        self._workspace = np.zeros((max(1, WORKSPACE // n), n), np.float32)
        wells = self._culture.neurons.wells
        self._disturbances = Disturbances(simulation, layout, wells)
        self._fields_schedule = Schedule(simulation, layout, wells)
        self._course = _field_course()
        self._sustained = superburst_envelope().astype(np.float32) * np.float32(SUSTAINED)
        self._field_reach_ms = longest_burst_ms(simulation) if self._scenario.superbursts_apart_s else len(self._course)
        self._prepare_channels()

    def _prepare_channels(self) -> None:
        simulation, channels = self._simulation, self._layout.channels
        n, seed = len(channels), simulation.seed
        neurons = self._culture.neurons
        shape_draws = mix_all(key(seed, _SHAPE), np.arange(neurons.n, dtype=np.int64))
        self._shape_of = (shape_draws % np.uint64(SHAPES)).astype(np.int64)
        self._steps = (neurons.amplitudes_uv / GAIN_UV).astype(np.float32)
        draws = [int(mix(key(seed, _NOISE), np.uint64(c))) for c in range(n)]
        self._state = np.array([d & 0xFFFFFFFF or 1 for d in draws], np.uint32)
        self._weyl = np.zeros(n, np.uint32)
        self._stride = np.array([d >> 32 | 1 for d in draws], np.uint32)
        self._slow = np.zeros(n, np.float32)
        self._table = normal_quantiles()
        white = simulation.noise / GAIN_UV / math.sqrt(2)
        keep = 1 - 2 * math.pi * 100 / self._rate
        self._keep = np.float32(round(keep * 4096) / 4096)
        slow = SLOW_NOISE * white * math.sqrt(1 - keep**2)
        self._white, self._low = _steps(n, white), _steps(n, slow)
        self._shared_gain = self._disturbances.gains.copy()
        self._well = np.array([neurons.wells.index(c.well) for c in channels], np.int64)
        strength = [0.5 + uniform(key(seed, _FIELD), c) for c in range(n)]
        self._field_gain = quantised(np.array(strength) * FIELD_UV / GAIN_UV)
        for c in channels:
            if c.kind == "reference":
                self._field_gain[c.position] = 0
        self._stormy = _steps(n, STORM_FACTOR * white) * self._disturbances.stormy
        self._dead, self._open = broken_channels(simulation, self._layout)
        self._broken = False

    def make(self, out: Samples) -> None:
        """Write the next len(out) samples into `out`, int16 (n, channels); no more than there is `room` for."""
        first, n = self._position, len(out)
        self._break_electrodes(first)
        acc = self._workspace[:n]
        acc[:] = 0
        add_spikes(
            acc, first, self._firings_near(first, first + n), self._trough, self._shapes, self._shape_of,
            self._culture.neurons.offsets, self._culture.neurons.channels, self._steps,
        )  # fmt: skip
        self._disturbances.add_deflections(acc, first)
        if self._broken:
            acc[:, self._dead + self._open] = 0
        at = np.arange(first, first + n, dtype=np.int64)
        synthesize(
            out, acc, self._state, self._weyl, self._stride, self._slow, self._table, self._white, self._low,
            self._keep, self._disturbances.courses(at), self._shared_gain, first, self._rate // BIN_HZ,
            self._fields(first, first + n), self._well, self._field_gain, self._stormy,
        )  # fmt: skip
        self._position += n

    def skip(self, n: int) -> None:
        """Pass over `n` samples that nobody will see."""
        self._position += n

    def room(self) -> int:
        """Return how many samples may be made at once: no further than where a scenario changes the electrodes."""
        onset = self._simulation.onset_sample
        return min(len(self._workspace), onset - self._position if self._position < onset else 2**31)

    def _break_electrodes(self, first: int) -> None:
        if self._broken or not (self._dead or self._open) or first < self._simulation.onset_sample:
            return
        self._broken = True
        dead, loose = self._dead, self._open
        for gains in (self._white, self._low, self._field_gain, self._slow):
            gains[dead] = 0
        self._shared_gain[:, dead] = 0
        self._white[loose] *= np.float32(OPEN_NOISE)
        self._shared_gain[0, loose] = np.float32(round(OPEN_HUM_UV / GAIN_UV))
        self._field_gain[loose] = 0

    def _firings_near(self, first: int, end: int) -> NDArray[np.void]:
        """Return the firings whose waveforms reach into [first, end), drawing further ones as needed."""
        per_ms = self._rate // BIN_HZ
        while self._drawn_ms * per_ms < end + self._trough:
            more = self._culture.firings(self._drawn_ms, self._drawn_ms + BLOCK_MS)
            self._drawn_ms += BLOCK_MS
            kept = self._firings["sample"] + self._shapes.shape[1] > first
            self._firings = np.concatenate([self._firings[kept], more])
        reach = self._firings["sample"] - self._trough
        near: NDArray[np.void] = self._firings[(reach < end) & (reach + self._shapes.shape[1] > first)]
        return near

    def _fields(self, first: int, end: int) -> NDArray[np.float32]:
        """Return the field potential of each well, peak −1, at the ms around [first, end): float32 (ms, wells)."""
        per_ms = self._rate // BIN_HZ
        first_ms, last_ms = first // per_ms, (end - 1) // per_ms + 1
        values = np.zeros((last_ms - first_ms + 1, len(self._culture.neurons.wells)), np.float32)
        at_ms = np.arange(first_ms, last_ms + 1, dtype=np.int64)
        for burst in self._fields_schedule.between(max(0, first_ms - self._field_reach_ms), last_ms + 1):
            if burst.kind == BurstKind.SCENARIO and self._scenario.wash_s:
                continue
            since, course = at_ms - burst.onset_ms, self._course
            if burst.kind == BurstKind.SUPERBURST:
                since, course = since * 16 // burst.stretch, self._sustained
            inside = (since >= 0) & (since < len(course))
            values[inside, burst.well] -= course[since[inside]]
        return values


def _steps(n: int, value: float) -> NDArray[np.float32]:
    return quantised(np.full(n, value))


def _field_course() -> NDArray[np.float32]:
    """Return the field potential of a network burst, peak 1 after 60 ms, one value per ms."""
    return quantised(np.array([(k / 60) * math.exp(1 - k / 60) for k in range(1500)]))


def _shapes(seed: int, rate: int) -> tuple[NDArray[np.float32], int]:
    """Return biphasic waveforms (SHAPES, samples) of unit trough, and the column of the trough.

    A trough 0.12 to 0.25 ms wide, after it a slower positive phase of 15 to 40 % (Henze et al. 2000; cultures look
    alike), in some a small positive peak before it, as near the axon's initial segment.
    """
    before, length = round(1e-3 * rate), round(3e-3 * rate)
    spare = before // 4  # the positive phase pulls the minimum forward by some µs
    shapes = []
    for i in range(SHAPES):
        draws = [uniform(key(seed, _SHAPE, 1, i), j) for j in range(6)]
        times_ms = [(k - before) * 1e3 / rate for k in range(-spare, length + spare)]
        course = quantised(np.array([_height(ms, *draws) for ms in times_ms]))
        start = int(course.argmin()) - before
        shapes.append(quantised(course[start : start + length] / -course.min()))
    return np.array(shapes), before


def _height(ms: float, a: float, b: float, c: float, d: float, e: float, f: float) -> float:
    """Return a waveform's height at a time (ms) from its trough; six draws in [0, 1) choose the waveform."""
    width, late, late_width = 0.12 + 0.13 * a, 0.45 + 0.4 * b, 0.25 + 0.25 * c
    hump, early = 0.15 + 0.25 * d, 0.15 * e if f < 0.3 else 0.0
    return (
        -math.exp(-((ms / width) ** 2))
        + hump * math.exp(-(((ms - late) / late_width) ** 2))
        + early * math.exp(-(((ms + 0.35) / 0.12) ** 2))
    )
