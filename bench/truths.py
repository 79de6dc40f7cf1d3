"""Recordings whose spikes are known: simulated twins that are always there, and what a data folder holds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from bench.events import IN_SIGMA, events_of
from bench.scoring import ANYWHERE, LEARNING_S, Truth
from rtspikes.errors import RtspikesError, reason
from rtspikes.sources.formats import open_recording
from rtspikes.subscribers.labelled import DETECTORS, TRUE_KIND
from rtspikes.types import Samples
from tests.recorded import HYBRIDS, make_hybrid, truth_in
from tests.simulated_truth import simulated
from tests.unit.devices.simulations import true_spikes, truth_of

TWINS = {
    "culture": "16?seconds=15",
    "hum and fields": "16?seconds=15&hum=50&fields=-300",
    "doublets": "16?seconds=15&doublets=0.5",
    "bicuculline": "16?seconds=15&scenario=bicuculline",
    "small spikes": "16?seconds=15&noise=12",
}
"""Name → address of a simulation. Its 16 electrodes are 200 µm apart, so that hardly a spike is seen by two."""

LEAST_SNR = {"small spikes": 5.0}
"""Simulation → height over noise from which on its spikes are wanted, where that is not what its truth says."""

LEAST_HEIGHT = 12.0
"""Of reference events that tell their height in σ, those so high are wanted: it depends on the filter what else is."""

NOT_WANTED = {"sim_martinez2009*": "0"}
"""Recording → label of true spikes that are no larger than the noise: that simulation's multi-unit activity (1.9 σ)."""

LEFT_OUT = ("mcs_w8*",)
"""Recordings of no cells: a vendor's test signal."""

SEARCHED_MS = 1.5
"""How far from its label a spike's extremum can be."""

ALIGNED_MS, ALIGNED_PART = 0.3, 0.5
"""An extremum of the mean signal that is so near to its labels is what they mean, unless it is far from the largest."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A signal and its true spikes, each at its extremum.

    `known`: what the truth is worth. samples: (time, electrodes), int16 or float32, in units of `gain_uv` µV.
    positions_um: (electrodes, 2), None where not known.
    """

    name: str
    known: Literal["exact", "simulated", "reference detector"]
    samples: Samples
    rate_hz: float
    gain_uv: float
    positions_um: NDArray[np.float64] | None
    sign: Literal["neg", "pos"]
    truth: Truth


def twin(name: str) -> Recording:
    """Return a simulation of `TWINS` with its truth: spikes large enough to be found are wanted."""
    address = TWINS[name]
    samples, info = simulated(address)
    rows = true_spikes(address, 0, len(samples) / info.rate_hz, round(info.rate_hz))
    snr = rows["amplitude_uv"] / float(info.facts["simulation"]["noise"])
    wanted = snr >= LEAST_SNR[name] if name in LEAST_SNR else rows["amplitude_uv"] >= truth_of(address).visible_uv
    truth = Truth(rows["sample"].astype(np.int64), rows["channel"].astype(np.int64), snr.astype(float), wanted)
    positions = np.array([(c.x_um, c.y_um) for c in info.channels], float)
    return Recording(
        f"sim: {name}", "simulated", samples, info.rate_hz, info.channels[0].gain_uv, positions, "neg", truth
    )


class HybridError(RuntimeError):
    """Hybrids cannot be made."""


def hybrids(folder: Path, scratch: Path) -> Iterator[Recording]:
    """Make the hybrids of what a folder of recordings holds; raise HybridError where that is not possible."""
    for name, (seed, start_s) in HYBRIDS.items():
        try:
            made = make_hybrid(folder, scratch / f"hybrid_{seed}", seed, start_s)
        except subprocess.CalledProcessError as error:
            last_line = error.stderr.strip().rpartition("\n")[2]
            raise HybridError(f"no hybrids: make_hybrid.py failed: {last_line}") from None
        if made is None:
            raise HybridError(f"no hybrids: no ../tools/make_hybrid.py beside {folder.parent}")
        yield replace(recorded(made.raw), name=f"hybrid, {name}")


def recorded_with_truth(folder: Path, tell: Callable[[str], None], tell_all: bool = False) -> Iterator[Recording]:
    """Return the recordings of a folder of which true spikes, or a reference detector's, are known.

    Those that cannot be read are told; tell_all: those whose spikes are not known, too.
    """
    for raw in sorted(folder.glob("*.raw")):
        try:
            recording, why = None, "a test signal of no cells"
            if not any(fnmatch(raw.stem, pattern) for pattern in LEFT_OUT):
                recording, why = recorded(raw), _without_spikes(raw)
        except (RtspikesError, OSError, ValueError, KeyError) as error:
            tell(f"{raw.name} is left out: {reason(error) if isinstance(error, OSError) else error}")
            continue
        if recording is not None and recording.truth.wanted.any():
            yield recording
        elif tell_all:
            tell(f"{raw.name} is left out: {why}")


def _without_spikes(raw: Path) -> str:
    """Return why nothing is known of a recording's spikes, or nothing that counts."""
    path = raw.with_suffix(".events.csv")
    if not path.exists():
        return f"its spikes are not known: there is no {path.name}"
    return f"{path.name} has no true spike that counts: kind must be {TRUE_KIND}, or begin with {', '.join(DETECTORS)}"


def recorded(raw: Path) -> Recording | None:
    """Read a recording and its events, None if it has none; raise DataError where they are broken or do not fit.

    Spikes go the way that the mean signal goes at their labels; where it hardly does, as labels may mark their
    beginning, the way that it goes most near by, and are where it does.
    """
    source = open_recording(raw)
    n_samples, n_channels = source.info.n_samples or 0, len(source.info.channels)
    rows = events_of(raw.with_suffix(".events.csv"), n_samples, n_channels)
    if not rows:
        return None
    samples = np.empty((n_samples, n_channels), source.info.dtype)
    source.read(0, samples)
    known, truth = _known(raw.stem, rows)
    if samples.shape[1] == 1:
        truth = truth._replace(channel=np.zeros(len(truth.sample), np.int64))
    meta = json.loads(raw.with_suffix(".json").read_text("utf-8"))
    positions = np.array(meta["positions_um"], float) if meta.get("positions_um") else None
    rate_hz, gain_uv = source.info.rate_hz, source.info.channels[0].gain_uv
    sign, shift = _extremum(samples, rate_hz, truth)
    truth = truth._replace(sample=truth.sample + shift)
    return Recording(raw.stem, known, samples, rate_hz, gain_uv, positions, sign, truth)


def _known(name: str, rows: list[dict[str, str]]) -> tuple[Literal["exact", "reference detector"], Truth]:
    """Return what is known of a recording's spikes, at their labels."""
    truth, kind = truth_in(rows), rows[0]["kind"]
    labels = np.array([row["label"] for row in rows])
    if kind == TRUE_KIND:
        not_wanted = [label for pattern, label in NOT_WANTED.items() if fnmatch(name, pattern)]
        return "exact", truth._replace(wanted=~np.isin(labels, not_wanted))
    if kind.endswith(IN_SIGMA):
        heights = labels.astype(float)
        truth = truth._replace(snr=heights, wanted=heights >= LEAST_HEIGHT)
    return "reference detector", truth


def _extremum(samples: Samples, rate_hz: float, truth: Truth) -> tuple[Literal["neg", "pos"], int]:
    """Return which way the mean wanted spike goes, and how many samples behind its label its extremum is."""
    around = np.arange(-round(SEARCHED_MS * 1e-3 * rate_hz), round(SEARCHED_MS * 1e-3 * rate_hz) + 1)
    inside = (truth.sample >= LEARNING_S * rate_hz) & (truth.sample < len(samples) - len(around))
    spikes = truth.only(truth.wanted & inside)
    if not len(spikes.sample):
        return "neg", 0
    sos = signal.butter(1, [300, min(3000, 0.42 * rate_hz)], "bandpass", fs=rate_hz, output="sos")
    total = np.zeros((len(around), samples.shape[1]))
    for channel in range(samples.shape[1]):
        rows = spikes.sample[(spikes.channel == channel) | (spikes.channel == ANYWHERE)]
        if len(rows):
            filtered = signal.sosfiltfilt(sos, samples[:, channel].astype(float))
            total[:, channel] = filtered[rows[:, None] + around].sum(axis=0)
    anywhere = (spikes.channel == ANYWHERE).any()
    mean = total[:, np.abs(total).max(axis=0).argmax()] if anywhere else total.sum(axis=1)
    height = np.abs(mean)
    near = np.where(np.abs(around) <= ALIGNED_MS * 1e-3 * rate_hz, height, 0)
    aligned = near.max() >= ALIGNED_PART * height.max()
    at = int((near if aligned else height).argmax())
    return "pos" if mean[at] > 0 else "neg", 0 if aligned else int(around[at])
