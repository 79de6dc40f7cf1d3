"""What `evaluate` tells: figures for a program, lines for a person, and remarks on what they rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rtspikes.cli.failures import one_line
from rtspikes.subscribers.evaluation import Evaluation, Event, Tally
from rtspikes.subscribers.labelled import DETECTORS
from rtspikes.subscribers.mistakes import NO_THRESHOLD, Mistake
from rtspikes.types import GapCause

MOST_LISTED = 20
"""Channels, unmatched events and missed spikes that are printed at most, each."""

MOST_NAMED = 10
"""Channels that a remark names."""

Row = dict[str, Any]


def facts_of(evaluation: Evaluation, unmatched: Sequence[Mistake], missed: Sequence[Mistake]) -> dict[str, Any]:
    """Return everything as values for JSON; None is what is not known."""
    session, truth, total = evaluation.session, evaluation.truth, evaluation.total
    late_ms = evaluation.late_s * 1e3
    quantiles = np.percentile(late_ms, [5, 50, 95]).tolist() if len(late_ms) else [math.nan] * 3
    labels = session.info["channels"]["label"]
    by_channel = sorted(
        evaluation.by_channel.items(), key=lambda entry: (-(entry[1].missed + entry[1].unmatched), entry[0])
    )
    return {
        "session": session.info["session"],
        "kind": truth.kind,
        "within_ms": evaluation.tolerance / session.info["rate_hz"] * 1e3,
        "labelled": len(truth.sample),
        "events": len(session.spikes),
        **_figures(total),
        "false_per_s_and_channel": _known(evaluation.false_per_s),
        "observed_s": float(session.observed_s.sum()),
        "late_ms": dict(zip(("p5", "p50", "p95"), map(_known, quantiles), strict=True)),
        "by_snr": [{"snr": name} | _recall(tally) for name, tally in evaluation.by_snr.items()],
        "by_unit": [{"unit": name or "none"} | _recall(tally) for name, tally in evaluation.by_unit.items()],
        "by_channel": [{"channel": i, "label": str(labels[i])} | _figures(tally) for i, tally in by_channel],
        "unmatched_events": [_told(mistake) for mistake in unmatched],
        "missed_spikes": [_told(mistake) for mistake in missed],
    }


def _recall(tally: Tally) -> Row:
    return {"found": tally.found, "missed": tally.missed, "excused": tally.excused, "recall": _known(tally.recall)}


def _figures(tally: Tally) -> Row:
    return {
        "found": tally.found,
        "missed": tally.missed,
        "excused": tally.excused,
        "unmatched": tally.unmatched,
        "near_excused": tally.near_excused,
        "recall": _known(tally.recall),
        "precision": _known(tally.precision),
        "f1": _known(tally.f1),
    }


def _told(mistake: Mistake) -> Row:
    told = {
        "sample": mistake.sample,
        "time_s": mistake.time_s,
        "channel": mistake.channel,
        "label": mistake.label,
        "amplitude_uv": _known(mistake.amplitude_uv),
        "threshold_uv": _known(mistake.threshold_uv),
    }
    return told if mistake.kind == "unmatched" else told | {
        "unit": mistake.unit, "snr": _known(mistake.snr), "why": mistake.why
    }  # fmt: skip


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def text_of(facts: dict[str, Any], all_in_csv: bool) -> Iterator[str]:
    """Yield the lines that a person reads; all_in_csv: every mistake is in a file."""
    found, wanted = facts["found"], facts["found"] + facts["missed"]
    false, counted = facts["unmatched"], found + facts["unmatched"]
    kind = f" of kind {facts['kind']}" if facts["kind"] else ""
    shift = f", shifted by {facts['shift_ms']:g} ms" if facts["shift_ms"] else ""
    late = facts["late_ms"]
    lines = {
        "labelled": f"{facts['labelled']} spikes{kind} in {one_line(facts['truth'])}{shift}",
        "compared": f"one to one on each channel, within ± {facts['within_ms']:.4g} ms",
        "recall": f"{_ratio(facts['recall'])}  {found} of {wanted} labelled spikes found, {facts['missed']} missed"
        + f"; {facts['excused']} excused, for they could not be seen" * bool(facts["excused"]),
        "precision": f"{_ratio(facts['precision'])}  {found} of {counted} events matched, {false} unmatched"
        + f"; {facts['near_excused']} belong to excused spikes" * bool(facts["near_excused"]),
        "F1": _ratio(facts["f1"]),
        "unmatched": f"{_number(facts['false_per_s_and_channel'], '.3g')} /s and channel, "
        f"in {facts['observed_s']:.6g} s of observed channel time",
        "event − label": f"{_number(late['p50'], '+.2f')} ms (median; 5 % below {_number(late['p5'], '+.2f')}, "
        f"5 % above {_number(late['p95'], '+.2f')})",
    }
    yield from (f"{key:20} {value}" for key, value in lines.items())
    for key, title in (("by_snr", "SNR of the label"), ("by_unit", "unit")):
        if facts[key]:
            rows = [[row[key[3:]], *_counts(row), _ratio(row["recall"])] for row in facts[key]]
            yield from _table([title, "labelled", "found", "missed", "excused", "recall"], rows)
    yield from _channels(facts["by_channel"])
    yield from _unmatched(facts["unmatched_events"], all_in_csv)
    yield from _missed(facts["missed_spikes"], all_in_csv)


def _counts(row: Row) -> list[str]:
    return [str(row["found"] + row["missed"] + row["excused"]), *(str(row[n]) for n in ("found", "missed", "excused"))]


def _channels(rows: Sequence[Row]) -> Iterator[str]:
    names = ["channel", "labelled", "found", "missed", "excused", "unmatched", "recall", "precision", "F1"]
    shown = [
        [row["label"], *_counts(row), str(row["unmatched"]), *(_ratio(row[n]) for n in ("recall", "precision", "f1"))]
        for row in rows[:MOST_LISTED]
    ]
    yield from _table(names, shown)
    if len(rows) > MOST_LISTED:
        rest = sum(row["missed"] + row["unmatched"] for row in rows[MOST_LISTED:])
        yield f"  … and {len(rows) - MOST_LISTED} more channels with {rest} mistakes together; --json lists them"


def _unmatched(rows: Sequence[Row], all_in_csv: bool) -> Iterator[str]:
    if rows:
        shown = [_place(row) for row in rows[:MOST_LISTED]]
        yield from _table(["unmatched events: s", "channel", "µV", "× threshold"], shown)
        yield from _more(len(rows), "unmatched events", all_in_csv)


def _missed(rows: Sequence[Row], all_in_csv: bool) -> Iterator[str]:
    if rows:
        shown = [[*_place(row), _number(row["snr"], ".1f"), row["why"]] for row in rows[:MOST_LISTED]]
        yield from _table(["missed spikes: s", "channel", "µV", "× threshold", "SNR", "why"], shown)
        yield from _more(len(rows), "missed spikes", all_in_csv)


def _place(row: Row) -> list[str]:
    uv, threshold = row["amplitude_uv"], row["threshold_uv"]
    height = abs(uv / threshold) if uv is not None and threshold else None
    return [f"{row['time_s']:.4f}", row["label"], _number(uv, ".1f"), _number(height, ".2f")]


def _more(n: int, what: str, all_in_csv: bool) -> Iterator[str]:
    if n > MOST_LISTED:
        yield f"  … and {n - MOST_LISTED} more {what}; {'the csv has' if all_in_csv else '--csv FILE lists'} them all"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a blank line and a table whose last column alone is free in width; figures to the right."""
    cells = [names, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield ""
    for row in cells:
        yield (
            "  "
            + "  ".join(
                cell.ljust(width) if name in ("channel", "why", "unit") else cell.rjust(width)
                for name, cell, width in zip(names, row, widths, strict=True)
            ).rstrip()
        )


def _ratio(value: float | None) -> str:
    return _number(value, ".3f")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def remarks_on(evaluation: Evaluation, missed: Sequence[Mistake], shift_s: float) -> Iterator[str]:
    """Yield what a person should know of the labels before believing the figures."""
    yield from _without_threshold(missed)
    session, truth, total = evaluation.session, evaluation.truth, evaluation.total
    if truth.kind.startswith(DETECTORS):
        yield (
            f"these labels (kind {truth.kind}) come from another detector; agreement with it is not accuracy: "
            f"its mistakes count as ours"
        )
    if (better := evaluation.better_shift_s()) is not None:
        shift, found = better
        both = (shift_s + shift) * 1e3
        yield (
            f"only {total.found} of {total.found + total.missed} are found, but {found} with the labels "
            f"{abs(shift) * 1e3:.2f} ms {'later' if shift > 0 else 'earlier'}: do they mark the peak? "
            + (f"try --shift {both:.3f}" if round(both, 3) else "leave out --shift")
        )
    if total.excused == len(truth.sample):
        yield "none of the labelled spikes could be seen in this session; are they of its recording?"
        return
    unmatched = session.spikes[evaluation.events == Event.UNMATCHED]
    silent = np.setdiff1d(unmatched["channel"], truth.channel)
    elsewhere = int(np.isin(unmatched["channel"], silent).sum())
    if elsewhere > max(5, 0.2 * len(unmatched)):
        yield (
            f"{elsewhere} of the {len(unmatched)} unmatched events are on {len(silent)} "
            f"channel{'s' * (len(silent) > 1)} without any label; are they labelled?"
        )
    rate = float(session.info["rate_hz"])
    first, last = int(truth.sample.min()) - evaluation.tolerance, int(truth.sample.max()) + evaluation.tolerance
    outside = int(((unmatched["sample"] < first) | (unmatched["sample"] > last)).sum())
    if outside > max(5, 0.2 * len(unmatched)):
        yield (
            f"{outside} of the {len(unmatched)} unmatched events are before the first label or after the last "
            f"({first / rate:.3f} … {last / rate:.3f} s); is the rest labelled?"
        )
    if (session.gaps["cause"] == GapCause.SEAM).any():
        yield "this session replayed its recording with --loop; labels are compared with the first round alone"


def _without_threshold(missed: Sequence[Mistake]) -> Iterator[str]:
    """Yield a remark on labelled spikes that nothing could have found, though they count as missed."""
    there = [mistake for mistake in missed if mistake.why == NO_THRESHOLD]
    if there:
        names = list(dict.fromkeys(mistake.label for mistake in sorted(there, key=lambda mistake: mistake.channel)))
        more = f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)
        yield (
            f"{len(there)} of the {len(missed)} missed spikes are where no threshold was in force, as on a dead "
            f"electrode, whose σ is unknown: {', '.join(names[:MOST_NAMED])}{more}; they count as missed, as that time "
            f"counts as observed, unless the session is made with these channels disabled"
        )
