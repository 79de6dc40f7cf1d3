"""Which method finds the true spikes, and only those, and at which threshold?

`rtspikes.detect` with the default filter and rules; `k` in σ of what the method compares, its own default in the
middle. F1 on hybrids of 20 s made of real spike trains, waveforms and noise, beside the best of a hand-written SciPy
detector of order 1 to 3 at 4 to 6 σ of the whole file; `clear_missed`: their spikes of 8 to 12 times the noise. Recall
and precision on `sim:60`. The method `hoop` is not here: its windows fit one recording.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench.filters import CULTURE, on_hybrids
from bench.scoring import CLEAR
from rtspikes.detect.levels import DEFAULT_THRESHOLD
from tests.recorded import recordings_folder
from tests.scipy_detector import make_rivals
from tests.simulated_truth import score_simulation

METHODS = {
    "threshold": ("threshold", "none"),
    "energy": ("energy", "none"),
    "window": ("window", "none"),
    "matched": ("matched", "none"),
    "matched + median": ("matched", "median"),
}
"""Name → method, common reference."""

PARTS = (0.9, 0.95, 1.0, 1.05, 1.1)


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per method and threshold, and SciPy's on hybrids."""
    parser = argparse.ArgumentParser(prog="python -m bench methods")
    parser.add_argument("--method", choices=METHODS, action="append")
    args = parser.parse_args(arguments)
    folder = recordings_folder()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        rivals = make_rivals(folder, Path(scratch)) if folder.is_dir() else {}
        for name in args.method or METHODS:
            method, reference = METHODS[name]
            for part in PARTS:
                k = round(DEFAULT_THRESHOLD[method] * part, 2)
                settings = {"method": method, "threshold": k, "reference": {"kind": reference}}
                score = score_simulation(CULTURE, settings)
                rows.append({"method": name, "k": k} | on_hybrids(settings, rivals))
                rows[-1] |= {"sim_recall": f"{score.recall:.3f}", "sim_precision": f"{score.precision:.3f}"}
    if rivals:
        best = {f"hybrid, {name}": f"{r.best.f1:.4f}: {r.order} at {r.k} σ" for name, r in rivals.items()}
        missed = sum(r.best.band_missed(CLEAR) for r in rivals.values())
        rows.append(dict.fromkeys(rows[0], "") | {"method": "SciPy", **best, "clear_missed": missed})
    return rows
