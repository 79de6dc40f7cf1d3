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

from rtspikes.subscribers.match import pair_up

HYBRID_RATE_HZ, HYBRID_CHANNELS = 20000, 59
LEARNING_S = 0.5
"""The beginning of a hybrid that does not count."""

TOLERANCE_S = 1e-3


def recordings_folder() -> Path:
    """Return where the real recordings are, if they are anywhere."""
    return Path(os.environ.get("RTSPIKES_DATA", Path(__file__).parents[2] / "shared" / "data")) / "recordings"


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


class Score(NamedTuple):
    """Events compared with true spikes. `clear`: the recall of those of 8 to 12 times the noise."""

    recall: float
    precision: float
    clear: float
    clear_missed: int

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision."""
        return 2 * self.recall * self.precision / max(self.recall + self.precision, 1e-9)


class Hybrid(NamedTuple):
    """A recording made of real parts. Truth: `sample`, `channel`, `snr`, each (spikes,)."""

    raw: Path
    sample: NDArray[np.int64]
    channel: NDArray[np.int64]
    snr: NDArray[np.float64]

    def score(self, sample: NDArray[np.int64], channel: NDArray[np.int64]) -> Score:
        """Compare events with the truth, one to one."""
        begin = LEARNING_S * HYBRID_RATE_HZ
        is_hit = np.zeros(len(self.sample), bool)
        counted = self.sample > begin
        for c in range(HYBRID_CHANNELS):
            mine = np.flatnonzero(counted & (self.channel == c))
            mine = mine[np.argsort(self.sample[mine], kind="stable")]
            found = np.sort(sample[(sample > begin) & (channel == c)])
            is_hit[mine[pair_up(self.sample[mine], found, round(TOLERANCE_S * HYBRID_RATE_HZ))[0]]] = True
        clear = counted & (self.snr >= 8) & (self.snr < 12)
        n_found = max(1, int((sample > begin).sum()))
        recalls = float(is_hit[counted].mean()), float(is_hit[clear].mean())
        return Score(recalls[0], float(is_hit.sum() / n_found), recalls[1], int((~is_hit[clear]).sum()))


def make_hybrid(recordings: Path, out: Path, seed: int, start_s: int) -> Hybrid | None:
    """Write a hybrid of 20 s; None where its tool is not beside the recordings. Needs h5py."""
    tool = recordings.parents[1] / "tools" / "make_hybrid.py"
    if not tool.exists():
        return None
    options = ["--seconds", "20", "--start", str(start_s), "--seed", str(seed), "--data", str(recordings.parent)]
    subprocess.run([sys.executable, str(tool), str(out), *options], check=True, stdout=subprocess.DEVNULL)
    rows = events(out.parent, out.name, "ground_truth")
    sample, channel = (np.array([int(r[name]) for r in rows], np.int64) for name in ("sample", "channel"))
    return Hybrid(out.with_suffix(".raw"), sample, channel, np.array([float(r["snr"]) for r in rows]))
