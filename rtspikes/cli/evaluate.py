"""`evaluate`: a session's events compared with spikes that somebody labelled."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import click

from rtspikes.cli.evaluate_report import facts_of, remarks_on, text_of
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.parameters import PathTo, recordings, sessions
from rtspikes.cli.quantities import time
from rtspikes.cli.sessions import log_warnings, whole
from rtspikes.errors import ConfigError, DataError, reason
from rtspikes.pictures.style import check_picture
from rtspikes.subscribers.evaluation import Evaluation
from rtspikes.subscribers.evaluation import evaluate as compare
from rtspikes.subscribers.labelled import read_labelled
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.log.settings import detection_settings, recording_of
from rtspikes.subscribers.mistakes import Mistake, Signals, missed_spikes, unmatched_events, with_heights, write_csv

WIDEST_S = 0.1
"""No spike is further from its label."""

MOST_LOOKED_UP = 2000
"""Missed spikes, those of the largest SNR first, whose signal is taken out of the recording."""


def tables() -> tuple[str, ...]:
    """Return the suffix of tables."""
    return (".csv",)


@examples(
    "rtspikes evaluate session1.rtspikes --truth labels.csv",
    "rtspikes evaluate session1.rtspikes --truth labels.csv --shift 0.5 -o mistakes.png --csv mistakes.csv",
)
@click.command()
@click.argument("session", type=PathTo(sessions))
@click.option("--truth", "truth_file", type=PathTo(tables), required=True, metavar="CSV", help="Labelled spikes.")
@click.option("--kind", help="The kind of labels to take [default: ground_truth, or the only one].")
@click.option(
    "--shift",
    type=time("0.5ms", signed=True, bare="ms"),
    metavar="MS",
    help="Added to the labels' times: some mark a spike's start.",
)
@click.option(
    "--within", type=time("1ms", bare="ms"), default="1ms", show_default=True, metavar="MS", help="Tolerance, ±."
)
@click.option("-o", "picture", type=click.Path(path_type=Path), metavar="PICTURE", help="Draw it: .png or .svg.")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="List every mistake in FILE.")
@click.option(
    "--recording",
    "recording_file",
    type=PathTo(recordings),
    metavar="FILE",
    help="The session's recording, where it has been moved; also gives the height of missed spikes.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def evaluate(
    session: Path,
    truth_file: Path,
    kind: str | None,
    shift: float | None,
    within: float,
    picture: Path | None,
    table: Path | None,
    recording_file: Path | None,
    as_json: bool,
) -> None:
    """Compare a session's events with labelled spikes: recall, precision, and every mistake.

    One to one within ± 1 ms on each channel. The CSV has a line per spike: `sample`, counted in the recording, or
    `time_s`; `channel`, a position from 0 or a label (`channel_label` is always a label); if known `kind`, `label` (the
    unit) and `snr`. Spikes that could not be seen (gaps, blanked, muted, disabled channels) are excused; on dead
    electrodes they are missed.
    """
    if within > WIDEST_S:
        raise ConfigError(f"--within must be ≤ {WIDEST_S * 1e3:g} ms, got {within * 1e3:g} ms")
    if picture is not None:
        check_picture(picture)
    if table is not None:
        _check_table(table, truth_file)
    log = read_session(session)
    with whole(session):
        truth = read_labelled(truth_file, log.info, kind)
        moved = round((shift or 0.0) * float(log.info["rate_hz"]))
        evaluation = compare(log, replace(truth, sample=truth.sample + moved), within)
        missed, signals = missed_spikes(evaluation), None
        if picture is not None or recording_file is not None:
            signals = _signals(evaluation, missed, recording_file)
            missed = missed if signals is None else with_heights(evaluation, missed, signals)
        unmatched = unmatched_events(evaluation)
        facts = facts_of(evaluation, unmatched, missed) | {"truth": str(truth_file), "shift_ms": (shift or 0.0) * 1e3}
        remarks = [*log_warnings(log), *remarks_on(evaluation, missed, shift or 0.0)]
    if table is not None:
        try:
            write_csv([*unmatched, *missed], table)
        except OSError as error:
            raise DataError(f"cannot write {table}: {reason(error)}; choose another file with --csv") from None
    if picture is not None:
        from rtspikes.pictures.unmatched import draw_evaluation

        draw_evaluation(evaluation, unmatched, missed, signals, picture)
    click.echo(
        json.dumps(facts | {"remarks": remarks}, ensure_ascii=False, indent=1, allow_nan=False)
        if as_json
        else "\n".join(text_of(facts, table is not None))
    )
    for remark in remarks:
        click.echo(f"rtspikes: {one_line(remark)}", err=True)


def _check_table(table: Path, truth_file: Path) -> None:
    if not table.name or str(table) == "-" or (table.exists() and not table.is_file()):
        raise ConfigError(f"--csv must be the name of a file, new or old, got {str(table)!r}")
    if table.exists() and os.path.samefile(table, truth_file):
        raise ConfigError(f"--csv must be another file than --truth, got {str(table)!r}")


def _signals(evaluation: Evaluation, missed: list[Mistake], file: Path | None) -> Signals | None:
    """Return the signal around missed spikes; None where the session's recording is not here."""
    from rtspikes.offline import excerpts
    from rtspikes.pictures.unmatched import AROUND_S

    recording = recording_of(evaluation.session, file)
    if recording is None:
        return None
    around = round(AROUND_S * float(evaluation.session.info["rate_hz"]))
    some = missed[:MOST_LOOKED_UP]
    if not some:
        return {}
    places = [(mistake.sample, mistake.channel) for mistake in some]
    session = evaluation.session
    found = excerpts(recording, detection_settings(session), places, around, around, session.changes)
    return {mistake.row: signal for mistake, signal in zip(some, found, strict=True)}
