"""Which band-pass and dead time find the true spikes, and only those, whatever else the tissue and the room add?

`rtspikes.detect` (what a live run gives, byte for byte) with the settings' own threshold and rules; `filter` is the
default, or the orders of a Butterworth high-pass at 300 Hz and low-pass at 3000 Hz. `hybrid`: F1 on hybrids of 20 s
made of real spike trains, waveforms and noise, beside the best of a hand-written SciPy detector of order 1 to 3 at 4 to
6 σ of the whole file; `clear_missed`: their spikes of 8 to 12 times the noise. `purkinje` at 8 σ: large spikes found of
508, and events of 12 σ and more that are none of 969. `locust` at 4 σ, positive: part found of a published procedure's
events, and events that are none of them. `martinez` at 5 σ, positive: single units found of 7, and events without a
label. `axion` at 5 σ: events per second and channel of near-silent wells. Simulated: `hum` of 50 µV at 50 and 60 Hz on
5 µV of noise multiplies σ by so much; `fields` of −300 µV, once a second, add so many events per second and channel;
`second_missed`: second spikes of doublets 2 to 5 ms apart (40 µV and more) without an event, and the part that the
rebound rule takes; recall and precision on `sim:60`.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rtspikes
from bench.scoring import CLEAR
from tests.recorded import events, near, recordings_folder
from tests.scipy_detector import Rival, make_rivals
from tests.simulated_truth import found_in, has_event, score_simulation, second_spikes

DEFAULT = "default"
FILTERS: dict[str, dict[str, Any]] = {DEFAULT: {}} | {
    f"{high}, {low}": {"highpass_order": high, "lowpass_order": low}
    for high, low in itertools.product((1, 2, 3), repeat=2)
}
AT_EVERY_DEAD_TIME = (DEFAULT, "1, 1", "1, 2", "1, 3")
DEAD_TIMES_MS = (1.0, 1.5, 2.0)

QUIET = "64?scenario=ttx&seconds=16&hum=0"
DOUBLETS = "64?seconds=30&doublets=0.5"
CULTURE = "60?seconds=30"

Settings = Mapping[str, Any]


def on_hybrids(settings: Settings, rivals: Mapping[str, Rival]) -> dict[str, Any]:
    """Return F1 by hybrid, and how many clear spikes were missed on all of them."""
    row: dict[str, Any] = {}
    missed = 0
    for name, rival in rivals.items():
        hybrid = rival.hybrid
        spikes, _ = rtspikes.detect(hybrid.raw, {"detect": settings})
        score = hybrid.score(spikes["sample"], spikes["channel"])
        row[f"hybrid, {name}"] = f"{score.f1:.4f}"
        missed += score.band_missed(CLEAR)
    return row | ({"clear_missed": missed} if rivals else {})


def on_recordings(settings: Settings, folder: Path) -> dict[str, Any]:
    """Return what is found on recordings with truth."""

    def found(name: str, **more: Any) -> NDArray[np.void]:
        return rtspikes.detect(folder / f"{name}.raw", {"detect": {**settings, **more}})[0]

    def known(name: str, kind: str) -> tuple[NDArray[np.int64], list[str]]:
        rows = events(folder, name, kind)
        return np.array([int(r["sample"]) for r in rows]), [r["label"] for r in rows]

    name = "purkinje_cell_attached_first_half"
    spikes = found(name, threshold=8)
    at, heights = known(name, "reference_height_sigma")
    large = near(at[np.array(heights, float) >= 12], spikes["sample"], 15).sum()
    high = spikes["sample"][spikes["amplitude_uv"] / spikes["threshold_uv"] * 8 >= 12]
    row = {"purkinje": f"{large} + {(~near(high, at, 15)).sum()}"}

    name = "locust20010201_trial_01"
    spikes = found(name, threshold=4, sign="pos")
    at, _ = known(name, "ref_box3_thr4")
    row["locust"] = f"{near(at, spikes['sample'], 15).mean():.3f} + {(~near(spikes['sample'], at, 15)).sum()}"

    name = "sim_martinez2009_simulation1_4s"
    spikes = found(name, threshold=5, sign="pos")
    at, units = known(name, "ground_truth")
    at += 22
    single = near(at[np.array(units) != "0"], spikes["sample"], 12).sum()
    row["martinez"] = f"{single} + {(~near(spikes['sample'], at, 12)).sum()}"

    wells = [len(found(f"axion_maestro_well_{well}_2s", threshold=5)) for well in ("A1", "B3", "C1")]
    return row | {"axion": round(sum(wells) / len(wells) / 2 / 16, 3)}


def sigma_uv(address: str, settings: Settings) -> float:
    """Return the mean noise level of a simulation's electrodes at its end, as a threshold of 1 σ tells it."""
    small = {"threshold": 1, "snippet_ms": [0, 0.1], "storm": {"cap_per_s": 0}, "rebound": {"reject": False}}
    spikes = found_in(address, {**settings, **small})
    _, last = np.unique(spikes["channel"][::-1], return_index=True)
    return float(np.abs(spikes["threshold_uv"][::-1][last]).mean())


def on_simulations(settings: Settings) -> dict[str, Any]:
    """Return what hum, fields and doublets do, and recall and precision."""
    still = sigma_uv(QUIET, settings)
    row: dict[str, Any] = {}
    for hz in (50, 60):
        humming = sigma_uv(f"{QUIET}&hum_hz={hz}".replace("hum=0", "hum=50"), settings)
        row[f"hum_{hz}"] = f"{humming / still:.2f}"
    deflected, flat = (len(found_in(f"{QUIET}{more}", settings)) for more in ("&fields=-300", ""))
    row["fields"] = f"{(deflected - flat) / 64 / 16:.2f}"
    second = second_spikes(DOUBLETS, 40.0)
    every, kept = (
        has_event(second, found_in(DOUBLETS, {**settings, "rebound": {"reject": own}}), 14) for own in (False, True)
    )
    row["second_missed"] = f"{1 - kept.mean():.1%}, {(every & ~kept).mean():.2%}"
    score = score_simulation(CULTURE, settings)
    return row | {"sim_recall": f"{score.recall:.3f}", "sim_precision": f"{score.precision:.3f}"}


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per filter and dead time, the default's first, and SciPy's on hybrids."""
    parser = argparse.ArgumentParser(prog="python -m bench filters")
    parser.add_argument("--filter", choices=FILTERS)
    args = parser.parse_args(arguments)
    folder = recordings_folder()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        rivals = make_rivals(folder, Path(scratch)) if folder.is_dir() else {}
        for name in [args.filter] if args.filter else FILTERS:
            for dead_ms in DEAD_TIMES_MS if name in AT_EVERY_DEAD_TIME else DEAD_TIMES_MS[:1]:
                settings = {"dead_time_ms": dead_ms, "filter": FILTERS[name]}
                row = {"filter": name, "dead_ms": dead_ms} | on_hybrids(settings, rivals)
                rows.append(row | (on_recordings(settings, folder) if folder.is_dir() else {}))
                rows[-1] |= on_simulations(settings)
    if rivals:
        best = {f"hybrid, {name}": f"{r.best.f1:.4f}: {r.order} at {r.k} σ" for name, r in rivals.items()}
        missed = sum(r.best.band_missed(CLEAR) for r in rivals.values())
        rows.append(dict.fromkeys(rows[0], "") | {"filter": "SciPy", **best, "clear_missed": missed})
    return rows
