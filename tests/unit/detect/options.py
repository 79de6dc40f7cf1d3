"""A short recording in which every option of detection has something to do, and a case of settings for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from msgspec.structs import replace as with_
from numpy.typing import NDArray

from rtspikes.detect.settings import (
    ArtifactSettings,
    DetectSettings,
    EnergySettings,
    FilterSettings,
    Hoop,
    HoopSettings,
    MatchedSettings,
    NeighbourSettings,
    NoiseSettings,
    ReboundSettings,
    ReferenceSettings,
    StormSettings,
    WindowSettings,
)
from rtspikes.types import ChannelInfo, StreamInfo
from tests.simulated import GAIN_UV, RATE_HZ, spike_shape

GRID, SMALL_WELL = 16, 3
"""Electrodes of well A, 4 × 4, 30 µm apart; and of well B, which is too small for coincidence. One aux channel more."""

CHANNELS = GRID + SMALL_WELL + 1
AUX = 7
"""Position of the aux channel: among the electrodes."""


def channels() -> tuple[ChannelInfo, ...]:
    found = []
    electrodes = iter(range(GRID + SMALL_WELL))
    for position in range(CHANNELS):
        if position == AUX:
            found.append(ChannelInfo("sync", position, kind="aux", gain_uv=GAIN_UV))
            continue
        e = next(electrodes)
        well, at = ("A", e) if e < GRID else ("B", e - GRID)
        x, y = 30.0 * (at % 4), 30.0 * (at // 4)
        found.append(ChannelInfo(f"{well}{at}", position, well=well, x_um=x, y_um=y, gain_uv=GAIN_UV))
    return tuple(found)


INFO = StreamInfo("test:", RATE_HZ, "int16", channels(), False)
ELECTRODES = np.array([c.position for c in INFO.channels if c.kind == "electrode"])
POSITION = {c.label: c.position for c in INFO.channels}


def recording(length: int, seed: int = 5) -> NDArray[np.int16]:
    """Return int16 (length, CHANNELS) in which there is something of everything.

    Spikes with copies on neighbours, coincident ones, doublets, a busy channel, common noise, saturated stretches and
    leaps, each of one and of many channels.
    """
    rng = np.random.default_rng(seed)
    uv = rng.normal(0, 5.0, (length, CHANNELS))
    uv += rng.normal(0, 4.0, (length, 1)) + 150.0 * np.sin(np.arange(length)[:, None] / RATE_HZ * 2 * np.pi * 2)
    shape = spike_shape()

    def add(at: int, channel: int, height: float) -> None:
        part = uv[at : at + len(shape), channel]
        part += height * shape[: len(part)]

    xy = np.array([[c.x_um or 0.0, c.y_um or 0.0] for c in INFO.channels])
    for channel in ELECTRODES:
        for at in rng.integers(0, length, max(1, round(25 * length / RATE_HZ))):
            height = rng.uniform(50, 140) * rng.choice([1, 1, 1, -0.7])
            add(at, channel, height)
            if rng.random() < 0.3:
                add(at + rng.integers(24, 100), channel, 0.8 * height)
            for other in ELECTRODES:
                near = (
                    np.hypot(*(xy[other] - xy[channel])) < 45
                    and INFO.channels[other].well == INFO.channels[channel].well
                )
                if other != channel and near:
                    add(at + rng.integers(-1, 3), other, 0.6 * height)
    busy = POSITION["A10"]
    for at in range(length // 8, length - length // 4, 35):
        add(at + rng.integers(0, 5), busy, 90.0)
    for at in rng.integers(0, length, 4):
        for channel in rng.choice(ELECTRODES[:GRID], 11, replace=False):
            add(at + rng.integers(0, 2), channel, rng.uniform(70, 120))
    samples = np.round(uv / GAIN_UV)
    for at, n, count in ((length // 5, 25, 1), (length // 3, 40, 7), (length * 3 // 4, 3, 1), (length * 4 // 5, 1, 5)):
        for channel in rng.choice(ELECTRODES[:GRID], count, replace=False):
            samples[at : at + n, channel] = rng.choice([-32768, 32767])
    for at, count in ((length // 4, 1), (length * 2 // 5, 8), (length * 3 // 5, 1)):
        for channel in rng.choice(ELECTRODES[:GRID], count, replace=False):
            samples[at:, channel] += round(rng.choice([-1, 1]) * 500 / GAIN_UV)
    return np.clip(samples, -32768, 32767).astype(np.int16)


def in_float(samples: NDArray[np.int16], seed: int = 6) -> tuple[NDArray[np.float32], StreamInfo]:
    """Return the same as float32 µV, with samples that are no voltage, alone and in stretches; and its stream."""
    uv = samples.astype(np.float32) * np.float32(GAIN_UV)
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(uv), 25):
        bad = rng.choice([np.nan, np.inf, -np.inf, 3e9])
        uv[at : at + rng.choice([1, 1, 3, 40]), rng.integers(0, CHANNELS)] = bad
    uv[len(uv) // 2 : len(uv) // 2 + 30] = np.nan
    plain = tuple(replace(c, gain_uv=1.0) for c in INFO.channels)
    return uv, replace(INFO, dtype="float32", channels=plain)


QUICK = NoiseSettings(initial_s=0.05, block_s=0.05, window_s=0.2)
CALM = StormSettings(cap_per_s=0)
PLAIN = DetectSettings(
    threshold=4.0,
    noise=QUICK,
    storm=CALM,
    artifacts=ArtifactSettings(coincidence="off"),
    rebound=ReboundSettings(False),
)
"""No option, so that each case has its own only."""

BLANKS = ArtifactSettings(saturation=True, slew_uv=300.0, fraction=0.4, hold_off_ms=2.0, coincidence="off")
HOOPS = HoopSettings((Hoop((0.0, 0.6), (-110.0, -25.0)), Hoop((0.2, 1.2), (-8.0, 60.0))), 150.0)


def of(**changed: Any) -> DetectSettings:
    return with_(PLAIN, **changed)


METHODS = {
    "threshold": PLAIN,
    "threshold, both signs, often": of(threshold=2.0, sign="both", dead_time_ms=0.4),
    "energy": of(method="energy", threshold=5.0),
    "energy, k = 1, both signs": of(method="energy", threshold=4.0, sign="both", energy=EnergySettings(1)),
    "window": of(method="window", threshold=4.5),
    "window, small hop, often": of(
        method="window", threshold=2.5, sign="both", window=WindowSettings(40, 7), dead_time_ms=2.5
    ),
    "window, in units": of(method="window", window=WindowSettings(60, 30, 200.0)),
    "hoop": of(method="hoop", hoop=HOOPS),
    "hoop, amplitude only, both signs": of(method="hoop", sign="both", hoop=HoopSettings((), 100.0)),
}
MATCHED = {
    "matched": of(method="matched"),
    "matched, shared, both signs": of(method="matched", matched=MatchedSettings("shared"), sign="both"),
}
REFERENCES = {
    "average of all": of(reference=ReferenceSettings("average", "all")),
    "median of wells": of(reference=ReferenceSettings("median", "well")),
    "average of selectors": of(reference=ReferenceSettings("average", ("A[0-4]", "well:B"))),
    "median of selectors, energy": of(reference=ReferenceSettings("median", ("A1*", "B*")), method="energy"),
}
BLANKINGS = {
    "blanking": of(artifacts=BLANKS),
    "blanking, no filter": of(artifacts=BLANKS, filter=FilterSettings("none"), threshold_uv=200.0),
    "blanking, energy": of(artifacts=BLANKS, method="energy"),
    "blanking, window": of(artifacts=BLANKS, method="window", window=WindowSettings(50)),
    "blanking, hoop": of(artifacts=BLANKS, method="hoop", hoop=HOOPS),
    "rails in µV, no hold-off": of(
        artifacts=ArtifactSettings(True, (-230.0, 230.0), hold_off_ms=0.0, fraction=1.0, coincidence="off")
    ),
}
VETOES = {
    "coincidence flags": of(artifacts=ArtifactSettings(coincidence_electrodes=6)),
    "coincidence rejects": of(
        artifacts=ArtifactSettings(coincidence="reject", coincidence_electrodes=5, coincidence_ms=0.3)
    ),
    "exclusive": of(neighbours=NeighbourSettings(exclusive=True)),
    "exclusive, amplitudes, coincidence rejects": of(
        artifacts=ArtifactSettings(coincidence="reject", coincidence_electrodes=6),
        neighbours=NeighbourSettings(True, 65.0, 0.6, 5),
        align="crossing",
    ),
    "amplitudes of neighbours": of(neighbours=NeighbourSettings(amplitudes=4)),
    "exclusive, window": of(method="window", neighbours=NeighbourSettings(True), window=WindowSettings(50)),
    "storm": of(storm=StormSettings(25.0)),
    "storm, hoop": of(storm=StormSettings(25.0), method="hoop", hoop=HOOPS),
    "rebound": of(filter=FilterSettings(highpass_order=2), rebound=ReboundSettings(True), threshold=3.0),
}
EVERYTHING = of(
    filter=FilterSettings(highpass_order=2),
    reference=ReferenceSettings("median", "well"),
    artifacts=ArtifactSettings(
        True, None, 300.0, 0.4, 2.0, coincidence="reject", coincidence_electrodes=6, coincidence_ms=0.2
    ),
    neighbours=NeighbourSettings(True, 45.0, 0.5, 3),
    storm=StormSettings(30.0),
    rebound=ReboundSettings(True),
    threshold=3.5,
)
TOGETHER = {
    f"everything, {method}": with_(EVERYTHING, method=method, hoop=HOOPS, window=WindowSettings(50, 25))
    for method in ("threshold", "energy", "window", "hoop", "matched")
}
CASES = METHODS | MATCHED | REFERENCES | BLANKINGS | VETOES | TOGETHER
