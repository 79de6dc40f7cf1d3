"""Real recordings and hybrids with known spikes: where they are, and how events are compared with them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.scoring import ANYWHERE, Score, Truth, score

HYBRID_RATE_HZ = 20000
HYBRIDS = {"seed 1": (1, 100), "seed 2": (2, 300)}
"""Hybrids that are looked at: seed, and second of the spike trains at which they start."""


def recordings_folder(data: Path | None = None) -> Path:
    """Return where the real recordings are, if they are anywhere: in `data`, if given, or in its folder recordings."""
    folder = data or Path(os.environ.get("RTSPIKES_DATA", Path(__file__).parents[2] / "shared" / "data"))
    inside = folder.resolve() / "recordings"
    return inside.parent if not inside.is_dir() and any(inside.parent.glob("*.raw")) else inside


def events(folder: Path, name: str, kind: str) -> list[dict[str, str]]:
    """Return the rows of one kind of a recording's events."""
    with open(folder / f"{name}.events.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind]


def near(a: NDArray[np.int64], b: NDArray[np.int64], tolerance: int) -> NDArray[np.bool_]:
    """Tell for each of `a` whether one of `b` lies within `tolerance`."""
    if not len(b):
        return np.zeros(len(a), bool)
    b = np.sort(b)
    at = np.searchsorted(b, a)
    left, right = b[np.maximum(at - 1, 0)], b[np.minimum(at, len(b) - 1)]
    return np.minimum(np.abs(a - left), np.abs(a - right)) <= tolerance


class Hybrid(NamedTuple):
    """A recording made of real parts, and its true spikes."""

    raw: Path
    truth: Truth

    def score(self, sample: NDArray[np.int64], channel: NDArray[np.int64]) -> Score:
        """Compare events with the truth."""
        return score(self.truth, sample, channel, HYBRID_RATE_HZ)


def make_hybrid(recordings: Path, out: Path, seed: int, start_s: int) -> Hybrid | None:
    """Write a hybrid of 20 s; None where its tool is not beside the recordings. Needs h5py."""
    tool = recordings.parents[1] / "tools" / "make_hybrid.py"
    if not tool.exists():
        return None
    options = ["--seconds", "20", "--start", str(start_s), "--seed", str(seed), "--data", str(recordings.parent)]
    subprocess.run([sys.executable, str(tool), str(out), *options], check=True, capture_output=True, text=True)
    return Hybrid(out.with_suffix(".raw"), truth_in(events(out.parent, out.name, "ground_truth")))


def truth_in(rows: list[dict[str, str]]) -> Truth:
    """Return a recording's events as true spikes, all wanted; ANYWHERE where the channel is not told."""
    return Truth(
        np.array([int(row["sample"]) for row in rows], np.int64),
        np.array([int(row["channel"] or ANYWHERE) for row in rows], np.int64),
        np.array([float(row.get("snr") or "nan") for row in rows]),
        np.ones(len(rows), bool),
    )
