"""Which true spikes are found, and what else: each method beside itself written by hand, and beside SpikeInterface?

Recall, precision and F1 within ± 1 ms, one to one, on each electrode; recall by the spikes' height over the noise of
their electrode (`<5` to `≥12`). The first 0.5 s counts for nobody.

`rtspikes`: `rtspikes.detect` (what a live run gives, byte for byte), told which way the spikes go. `default`: nothing
else is known of the recording. `best`: the one of 5 thresholds (`hoop`: of 4 largest amplitudes) whose F1 is best on
that very recording, which only those can choose who know its spikes already. `by hand`: the method in the plainest
SciPy of the field, on the whole file at once, always at such a best, of 20 to 160 filters and settings. `zero-phase`
filters run forth and back over the file, so that each sample knows what comes behind it: as good as it gets offline,
and not to be had in real time. `SpikeInterface`: its detectors behind its own band-pass (zero-phase, order 5, 300 to
6000 Hz) at their default threshold, and at the best of 4 to 6.

`truth`: `exact` (hybrids of 20 s made of real spike trains, waveforms and noise; others that came with their spikes),
`simulated` (twins, `sim:` of 16 electrodes and 15 s, that need no data; what is too small to be found is neither
missed nor false), or only a `reference detector`: agreement with a procedure of somebody, who may be wrong.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import rtspikes
from bench import by_spikeinterface
from bench.by_hand.best import METHODS, best_by_hand
from bench.by_hand.hoop import LARGEST
from bench.scoring import BANDS, Score, score
from bench.truths import TWINS, HybridError, Recording, hybrids, recorded_with_truth, twin
from rtspikes.detect.levels import DEFAULT_THRESHOLD
from rtspikes.errors import RtspikesError
from tests.recorded import recordings_folder

OURS, HAND, PEER = "rtspikes", "by hand", "SpikeInterface"
"""Whose a row is."""

PARTS = (0.9, 1, 1.1, 1.25, 1.5)
"""Of a method's default threshold: which ours is tried at."""

Row = dict[str, Any]


def row(recording: Recording, detector: str, setting: str, result: Score) -> Row:
    """Return a row of the table."""
    names = [f"<{BANDS[0][1]:g}", *(f"{low:g}–{high:g}" for low, high in BANDS[1:-1]), f"≥{BANDS[-1][0]:g}"]
    return {
        "recording": recording.name,
        "truth": recording.known,
        "spikes": result.wanted,
        "detector": detector,
        "setting": setting,
        "recall": _figure(result.recall),
        "precision": _figure(result.precision),
        "F1": _figure(result.f1),
        **{name: _figure(result.band_recall(band), 3) for band, name in enumerate(names)},
    }


def _figure(value: float, digits: int = 4) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def ours(recording: Recording, methods: Iterable[str] = METHODS) -> Iterator[Row]:
    """Return two rows per method of ours, its default and the best of a few thresholds; for hoop the latter alone."""
    for method in methods:
        if method == "hoop":
            sigma_uv = _sigma_uv(recording)
            tries = {f"best, up to {n} σ": {"hoop": {"largest_uv": n * sigma_uv}} for n in LARGEST}
        else:
            multiples = [round(part * DEFAULT_THRESHOLD[method], 2) for part in PARTS]
            tries = {f"best, {k:g} σ": {"threshold": k} for k in multiples}
            default = _detected(recording, {"method": method})
            yield row(recording, f"{OURS}: {method}", "default", default)
        scores = {name: _detected(recording, {"method": method, **more}) for name, more in tries.items()}
        best = max(scores, key=lambda name: scores[name].f1)
        yield row(recording, f"{OURS}: {method}", best, scores[best])


def _detected(recording: Recording, settings: Mapping[str, Any]) -> Score:
    detect = {"detect": {**settings, "sign": recording.sign}}
    spikes, _ = rtspikes.detect(recording.samples, detect, rate_hz=recording.rate_hz, uv_per_unit=recording.gain_uv)
    return score(recording.truth, spikes["sample"], spikes["channel"], recording.rate_hz)


def _sigma_uv(recording: Recording) -> float:
    """Return the median electrode's noise level behind the default filter, as thresholds of 1 σ tell it."""
    one = {"detect": {"threshold": 1, "snippet_ms": [0, 0.1], "storm": {"cap_per_s": 0}, "rebound": {"reject": False}}}
    start = recording.samples[: round(recording.rate_hz)]
    spikes, _ = rtspikes.detect(start, one, rate_hz=recording.rate_hz, uv_per_unit=recording.gain_uv)
    return float(np.median(np.abs(spikes["threshold_uv"])))


def by_hand(recording: Recording, methods: Iterable[str] = METHODS) -> Iterator[Row]:
    """Return a row per method written by hand and kind of filter: the best on this very recording."""
    for best in best_by_hand(recording, methods):
        yield row(recording, f"{HAND}, {best.kind}: {best.method}", best.setting, best.score)


def by_peer(recording: Recording) -> Iterator[Row]:
    """Return two rows per detector of SpikeInterface: at its default threshold, and at the best of a few."""
    scores: dict[str, dict[float, Score]] = {}
    for method, threshold, (sample, channel) in by_spikeinterface.found(recording):
        scores.setdefault(method, {})[threshold] = score(recording.truth, sample, channel, recording.rate_hz)
    for method, tried in scores.items():
        default, best = by_spikeinterface.DEFAULT_THRESHOLD, max(tried, key=lambda k: tried[k].f1)
        for setting, k in (("default", default), ("best", best)):
            yield row(recording, f"{PEER}: {method}", f"{setting}, {k:g} σ", tried[k])


def recordings(folder: Path, scratch: Path, is_named: bool = False) -> Iterator[Recording]:
    """Return the simulated twins, and what a folder of recordings gives; tell what is not there.

    is_named: somebody asked for this very folder and wants to know of each recording why it is left out.
    """
    yield from map(twin, TWINS)
    if not folder.is_dir():
        _tell(f"no recordings at {folder}: simulated twins alone (--data DIR or RTSPIKES_DATA names others)")
        return
    try:
        yield from hybrids(folder, scratch)
    except (HybridError, RtspikesError) as error:
        _tell(str(error))
    yield from recorded_with_truth(folder, _tell, is_named)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(arguments: list[str]) -> list[Row]:
    """Return a row per recording and detector."""
    parser = argparse.ArgumentParser(
        prog="python -m bench accuracy", epilog="--json and --save: see python -m bench --help"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="folder of recordings (*.raw with *.json and *.events.csv), or one that holds them in recordings/; "
        "default: RTSPIKES_DATA",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    folder = recordings_folder(args.data)
    if args.data is not None and not any(folder.glob("*.raw")):
        sys.exit(f"--data: no recordings (*.raw) in {args.data} or its folder recordings; name a folder that has some")
    peer = by_spikeinterface.is_installed()
    if not peer:
        _tell('SpikeInterface is not installed (pip install -e ".[bench]"): its rows are left out')
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for recording in recordings(folder, Path(scratch), args.data is not None):
            rows += [*ours(recording), *by_hand(recording), *(by_peer(recording) if peer else ())]
    return rows


def as_object(rows: list[Row]) -> dict[str, Any]:
    """Return all rows as one object, figures as numbers; None where they are not known."""
    texts = ("recording", "truth", "detector", "setting")
    return {"accuracy": [{name: v if name in texts else _number(v) for name, v in each.items()} for each in rows]}


def _number(cell: Any) -> float | None:
    return (float(cell) if cell else None) if isinstance(cell, str) else cell
