"""Lists what an evaluation found wrong, spike by spike: unmatched events and missed spikes."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.evaluation import Evaluation, Event, TrueSpike, grouped
from rtspikes.subscribers.names import reason_name

Signals = Mapping[int, NDArray[np.float32]]
"""Row of a labelled spike → the filtered signal (µV) around it, as many samples before it as from it on; NaN where it
is not known."""

NO_THRESHOLD = "no threshold"
"""Why a spike was missed where none was in force: the electrode was dead, its σ unknown, or it was switched off."""

COLUMNS = ("kind", "sample", "time_s", "channel", "label", "unit", "amplitude_uv", "threshold_uv", "snr", "why")


@dataclass(frozen=True, slots=True)
class Mistake:
    """An unmatched event, or a labelled spike that was missed.

    row: of `session.spikes`, or of the labelled spikes. label: of the channel. unit: "" where not known. amplitude_uv,
    threshold_uv: of the event; of a missed spike the extremum and the threshold in force, NaN where not known. snr: as
    labelled, NaN where not known. why: why it was missed, as far as the log knows; "" for an event.
    """

    kind: Literal["unmatched", "missed"]
    row: int
    sample: int
    time_s: float
    channel: int
    label: str
    unit: str
    amplitude_uv: float
    threshold_uv: float
    snr: float
    why: str

    @property
    def height(self) -> float:
        """Amplitude in multiples of the threshold; NaN where not known."""
        return abs(self.amplitude_uv / self.threshold_uv) if self.threshold_uv else math.nan


def unmatched_events(evaluation: Evaluation) -> list[Mistake]:
    """Return the unmatched events, the highest above its threshold first."""
    session = evaluation.session
    labels, rate = session.info["channels"]["label"], float(session.info["rate_hz"])
    rows = np.flatnonzero(evaluation.events == Event.UNMATCHED)
    events = session.spikes[rows]
    names = ("sample", "channel", "amplitude_uv", "threshold_uv")
    columns = [rows.tolist(), *(events[name].tolist() for name in names)]
    found = [
        Mistake("unmatched", row, at, at / rate, channel, str(labels[channel]), "", uv, threshold, math.nan, "")
        for row, at, channel, uv, threshold in zip(*columns, strict=True)
    ]
    return sorted(found, key=lambda mistake: (-_known(mistake.height), mistake.sample, mistake.channel))


def missed_spikes(evaluation: Evaluation) -> list[Mistake]:
    """Return the labelled spikes that were missed, those of the largest SNR first; their amplitude is not known."""
    session, truth = evaluation.session, evaluation.truth
    labels, rate = session.info["channels"]["label"], float(session.info["rate_hz"])
    rows = np.flatnonzero(evaluation.spikes == TrueSpike.MISSED)
    levels = thresholds_uv(evaluation, rows)
    only = np.where(np.isfinite(levels).all(1), np.nan, np.where(np.isfinite(levels[:, 0]), *levels.T))
    found = [
        Mistake("missed", row, at, at / rate, channel, str(labels[channel]), truth.unit[row], math.nan, level, snr, why)
        for row, at, channel, level, snr, why in zip(
            rows.tolist(), truth.sample[rows].tolist(), truth.channel[rows].tolist(), only.tolist(),
            truth.snr[rows].tolist(), _why(evaluation, rows), strict=True,
        )
    ]  # fmt: skip
    return sorted(found, key=lambda mistake: (-_known(mistake.snr), mistake.sample, mistake.channel))


def with_heights(evaluation: Evaluation, missed: Iterable[Mistake], signals: Signals) -> list[Mistake]:
    """Return missed spikes, those with a signal with its extremum as their amplitude, and the threshold it is near."""
    found = []
    for mistake in missed:
        if (signal := signals.get(mistake.row)) is not None:
            levels = thresholds_uv(evaluation, [mistake.row])[0]
            uv, threshold = _extremum(signal, evaluation.tolerance, levels)
            mistake = replace(mistake, amplitude_uv=uv, threshold_uv=threshold)
        found.append(mistake)
    return found


def write_csv(mistakes: Iterable[Mistake], path: Path) -> None:
    """Write a line per mistake, COLUMNS, in order of time; empty is what is not known. The file appears when whole."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for mistake in sorted(mistakes, key=lambda mistake: (mistake.sample, mistake.channel)):
                writer.writerow([_cell(getattr(mistake, name)) for name in COLUMNS])
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _cell(value: float | str) -> str:
    """Return a value as in a CSV file: "" for what is not known."""
    return "" if value != value else f"{value:.10g}" if isinstance(value, float) else str(value)


def thresholds_uv(evaluation: Evaluation, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the thresholds (rows, 2) in force at labelled spikes: negative, positive (µV); NaN where there is none."""
    table = evaluation.session.thresholds
    levels = np.column_stack([table["negative_uv"], table["positive_uv"]]).astype(np.float64)
    levels[~np.isfinite(levels) | (levels == 0)] = np.nan
    return np.vstack([levels, (np.nan, np.nan)])[_in_force(evaluation, rows)]


def _in_force(evaluation: Evaluation, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of `session.thresholds` in force at each of some labelled spikes; −1 where none is told yet."""
    found = np.full(len(rows), -1, np.int64)
    table, truth = evaluation.session.thresholds, evaluation.truth
    at, of = truth.sample[rows], truth.channel[rows]
    for channel in np.unique(of):
        own = np.flatnonzero(table["channel"] == channel)
        before = np.searchsorted(table["sample"][own], at[of == channel], "right")
        found[of == channel] = np.concatenate([[-1], own])[before]
    return found


def _extremum(signal: NDArray[np.float32], tolerance: int, levels: NDArray[np.float64]) -> tuple[float, float]:
    """Return the value within ± tolerance of the middle that comes nearest to passing a threshold, and that one."""
    middle = len(signal) // 2
    near = signal[max(0, middle - tolerance) : middle + tolerance + 1]
    near, known = near[np.isfinite(near)], levels[np.isfinite(levels)]
    if not len(near) or not len(known):
        return math.nan, float(known[0]) if len(known) == 1 else math.nan
    height, level = max((float((near / level).max()), float(level)) for level in known)
    return height * level, level


def _why(evaluation: Evaluation, rows: NDArray[np.int64]) -> list[str]:
    """Return why each of these labelled spikes was missed, as far as the log knows."""
    session, tolerance = evaluation.session, evaluation.tolerance
    dead = session.info["dead_time_samples"]
    refused, crossings = session.rejected, np.asarray(session.rejected["crossing"])
    events, samples = session.spikes, np.asarray(session.spikes["sample"])
    rejected_by_channel = grouped(refused["channel"], crossings, len(dead))
    events_by_channel = grouped(events["channel"], samples, len(dead))
    their_crossings = [crossings[own] for own in rejected_by_channel]
    their_samples = [samples[own] for own in events_by_channel]
    is_without = (_in_force(evaluation, rows) >= 0) & np.isnan(thresholds_uv(evaluation, rows)).all(1)
    found = []
    truth = evaluation.truth
    for at, channel, without in zip(
        truth.sample[rows].tolist(), truth.channel[rows].tolist(), is_without.tolist(), strict=True
    ):
        if (i := _nearest(their_crossings[channel], at, tolerance)) is not None:
            number = int(refused[rejected_by_channel[channel][i]]["reason"])
            found.append(f"rejected: {reason_name(session.info, 'reject_reasons', number)}")
        elif _nearest(their_samples[channel], at, tolerance) is not None:
            found.append("event is another spike's")
        elif (i := _nearest(their_samples[channel], at, dead[channel])) is not None and (
            0 <= at - int(events[events_by_channel[channel][i]]["crossing"]) < dead[channel]
        ):
            found.append("in an event's dead time")
        else:
            found.append(NO_THRESHOLD if without else "no event")
    return found


def _nearest(samples: NDArray[np.int64], at: int, within: int) -> int | None:
    """Return the index of the one of ascending `samples` nearest to `at`; None where none is within ± `within`."""
    i = int(np.searchsorted(samples, at))
    near = [k for k in (i - 1, i) if 0 <= k < len(samples) and abs(int(samples[k]) - at) <= within]
    return min(near, key=lambda k: abs(int(samples[k]) - at), default=None)


def _known(value: float) -> float:
    """Return a figure that can be sorted by: what is not known comes last."""
    return -math.inf if math.isnan(value) else value
