"""Makes tunings to draw, of every shape that occurs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rtspikes.tuning.findings import Curve, Found, Tuning, View

RATE_HZ, SECONDS = 20000.0, 20.0


def curve(default: float = 4.65, quiet: bool = False, **changed: Any) -> Curve:
    """Return spikes above noise; `quiet`: noise alone, nothing above."""
    levels = np.geomspace(0.65 * default, 2.6 * default, 28)
    floor = 400 * np.exp(-0.5 * (levels * 4.65 / default) ** 2)
    spikes = 0.0 if quiet else 5 / (1 + (levels / (2 * default)) ** 8)
    measured = np.floor((floor + spikes) * SECONDS) / SECONDS
    plateau = None if quiet else (0.9 * default, 1.3 * default)
    made = Curve(levels, measured, floor, 3 * floor, 1.1, plateau, default)
    return dataclasses.replace(made, **changed)


def view(
    position: int = 0, label: str = "E1", levels: tuple[float, ...] = (3.7, 4.65, 5.8), sigma_uv: float = 5.0,
    lines_of: Any = lambda height: (-height,), events: tuple[int, ...] = (60, 45, 40), compared: bool = False,
    known: bool = True, why: str = "the threshold matters most", **of_curve: Any,
) -> View:  # fmt: skip
    """Return a channel with events that begin 5 ms after the start and are 10 ms apart, fewer at higher levels."""
    random = np.random.default_rng(position)
    signal = random.standard_normal(4000).astype(np.float32) * sigma_uv
    shape = -12 * sigma_uv * np.exp(-0.5 * (np.arange(-20, 40) / 4) ** 2)
    found = []
    first = 30000
    for n, level in zip(events, levels, strict=True):
        sample = first + 100 + 200 * np.arange(n, dtype=np.int64)
        waveforms = shape + random.standard_normal((n, 60)) * sigma_uv
        amplitudes = waveforms[:, 20].astype(np.float32)
        found.append(Found(level, sample, amplitudes, waveforms.astype(np.float32)))
    if not known:
        signal[:] = np.nan
        signal[80:140] = -sigma_uv
    return View(
        position, label, why, curve(**of_curve), tuple(found), first, signal, np.abs(signal) if compared else None,
        sigma_uv, tuple(lines_of(level * sigma_uv) for level in levels),
    )  # fmt: skip


def tuning(views: tuple[View, ...], channels: int = 60, **changed: Any) -> Tuning:
    """Return a tuning of a square array, with one dead channel where there is more than one."""
    columns = int(np.ceil(np.sqrt(channels)))
    random = np.random.default_rng(1)
    rates = random.gamma(0.7, 4.0, channels)
    sigma = random.normal(5.0, 0.5, channels)
    if channels > 1:
        rates[-1] = sigma[-1] = np.nan
    places = 200.0 * np.stack([np.arange(channels) % columns, np.arange(channels) // columns], axis=1)
    made = Tuning(
        source="culture.raw", method="threshold", unit="σ", sign="neg", rate_hz=RATE_HZ, seconds=SECONDS,
        candidates=tuple(found.level for found in views[0].found), current=None, curve=curve(), views=views,
        labels=tuple(f"E{i + 1}" for i in range(channels)), rates_hz=rates, sigma_uv=sigma, places_um=places,
        wells=(None,) * channels, snippet=(20, 40), toml=("detect.threshold = 4.65",), notes=(),
    )  # fmt: skip
    return dataclasses.replace(made, **changed)


def unplaced(channels: int) -> np.ndarray:
    """Return that no place is known."""
    return np.full((channels, 2), np.nan)


def four(**changed: Any) -> tuple[View, ...]:
    """Return four views."""
    return tuple(view(position, f"E{position + 1}", **changed) for position in (0, 7, 9, 30))


def two(**changed: Any) -> tuple[View, ...]:
    """Return two views."""
    return four(**changed)[:2]


def plate(wells: int, columns: int, electrodes: int) -> tuple[str, ...]:
    """Return the well of each channel."""
    names = [f"{'ABCDEFGH'[i // columns]}{i % columns + 1}" for i in range(wells)]
    return tuple(name for name in names for _ in range(electrodes))


def _side_by_side(wells: int, electrodes: int) -> np.ndarray:
    """Return places that begin anew in every well."""
    side = int(np.ceil(np.sqrt(electrodes)))
    own = 350.0 * np.stack([np.arange(electrodes) % side, np.arange(electrodes) // side], axis=1)
    return np.tile(own, (wells, 1))


def _scaled(sigma_uv: float, unit: str) -> Tuning:
    """Return a tuning whose thresholds are heights."""
    levels = tuple(sigma_uv * k for k in (3.7, 4.65, 5.8))
    default = levels[1]
    views = tuple(
        dataclasses.replace(each, lines_uv=tuple((-level,) for level in levels))
        for each in two(sigma_uv=sigma_uv, levels=levels, default=default)
    )
    return tuning(
        views, unit=unit, candidates=levels, curve=curve(default), current=0.9 * default,
        sigma_uv=np.full(60, sigma_uv), toml=(f"detect.threshold_uv = {-default:g}",),
    )  # fmt: skip


LONG = r"Stim $electrode_1$ {of the second \headstage} " * 3

TUNINGS = {
    "array": lambda: tuning(four()),
    "one channel": lambda: tuning((view(),), 1, places_um=unplaced(1)),
    "one channel, energy": lambda: tuning((view(compared=True),), 1, method="energy"),
    "three channels of both signs": lambda: tuning(four(lines_of=lambda h: (-h, h))[:3], 31, sign="both"),
    "energy": lambda: tuning(two(compared=True), method="energy", toml=('detect.method = "energy"', "a = 1")),
    "bars": lambda: tuning(four()[:3], 16, places_um=unplaced(16), labels=(LONG,) * 16),
    "dense": lambda: tuning(four(), 4096),
    "probe": lambda: tuning(two(), 384, places_um=np.stack([np.zeros(384), 20.0 * np.arange(384)], axis=1)),
    "wells": lambda: tuning(four(), 384, places_um=_side_by_side(24, 16), wells=plate(24, 6, 16)),
    "wells with names": lambda: tuning(
        two(), 32, places_um=unplaced(32), wells=("control, untreated",) * 16 + ("BDNF",) * 16
    ),
    "long texts": lambda: tuning(
        tuple(dataclasses.replace(each, label=LONG, why=LONG) for each in two()), labels=(LONG,) * 60,
        source=LONG * 2, toml=(LONG * 2, 'detect.method = "energy"'), notes=(LONG * 3,) * 5, method="energy",
    ),
    "no signal": lambda: tuning(two(known=False)),
    "no events": lambda: tuning(
        two(events=(0, 0, 0), quiet=True), curve=curve(quiet=True), rates_hz=np.zeros(60)
    ),
    "no noise known": lambda: tuning(
        two(floor_hz=np.full(28, np.nan), plateau=None), curve=curve(floor_hz=np.full(28, np.nan), plateau=None)
    ),
    "candidates beyond the scan": lambda: tuning(two(levels=(0.5, 30.0, 100.0)), curve=curve()),
    "0.001 µV": lambda: _scaled(0.001, "µV"),
    "names of electrodes": lambda: tuning(
        tuple(view(p, f"A3_{p}") for p in (0, 1, 2, 3)), 900, labels=tuple(f"A3_{p}" for p in range(900))
    ),
}  # fmt: skip
"""Name → tuning."""
