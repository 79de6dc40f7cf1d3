"""`export` and `info`: finished things, sessions and recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from rtspikes.activity import active, spread
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.figures import counted
from rtspikes.cli.parameters import OneOf, PathTo, recordings_and_sessions, sessions
from rtspikes.errors import ConfigError, DataError, reason
from rtspikes.sources.formats import open_recording
from rtspikes.subscribers.log.export import FORMATS, export_session
from rtspikes.subscribers.log.layout import SESSION_FILE
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.record import LAYOUT_CHANGED
from rtspikes.subscribers.names import reason_name
from rtspikes.subscribers.plain import plain
from rtspikes.subscribers.score import score_session

MOST_SCORED = 500_000
"""Spikes of a log up to which `info` compares it with its simulation's truth."""

MOST_LISTED = 20
"""Marks, or control changes, up to which `info` shows each."""


COUNTS = ("rejected_by_reason", "flagged", "observed_s")
"""Maps of figures that `info` shows as a line each."""


@examples(
    "rtspikes export session1.rtspikes --to npz -o session1.npz",
    "rtspikes export session1.rtspikes --to csv -o session1.csv",
)
@click.command()
@click.argument("session", type=PathTo(sessions))
@click.option("--to", type=OneOf("format", list(FORMATS)), required=True, help="Format.")
@click.option("-o", "output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="File to write.")
def export(session: Path, to: str, output: Path) -> None:
    """Write the spikes of a session log in another format.

    npz: arrays by field, with waveforms, marks, control changes and observed time. csv: a line per spike, with its
    channel's label; beside it FILE-channels with a line per channel: spikes, observed time, rate. marks-csv: a line per
    mark.
    """
    if not output.name or str(output) == "-" or (output.exists() and not output.is_file()):
        raise ConfigError(f"-o must be the name of a file, new or old, got {str(output)!r}")
    log = read_session(session)
    try:
        with whole(session):
            _, *others = export_session(log, to, output)
    except OSError as error:
        raise DataError(f"cannot write {output}: {reason(error)}; choose another file with -o") from None
    n, what = (len(log.marks), "mark") if to == "marks-csv" else (len(log.spikes), "spike")
    click.echo(f"{n} {what}{'s' * (n != 1)} written to {output}")
    for other in others:
        click.echo(f"{log.info['n_channels']} channels, with spikes, observed time and rate of each, in {other}")
    if to == "csv" and (n := len(log.marks)):
        click.echo(f"rtspikes: a csv of spikes holds no marks ({n} here); write them with --to marks-csv", err=True)
    for warning in log_warnings(log):
        click.echo(f"rtspikes: {warning}", err=True)


@examples("rtspikes info recording.raw", "rtspikes info session1.rtspikes --json")
@click.command()
@click.argument("path", type=PathTo(recordings_and_sessions), metavar="FILE|SESSION")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def info(path: Path, as_json: bool) -> None:
    """Tell what a recording or a session log holds."""
    if path.is_dir():
        with whole(path):
            facts = _session_facts(read_session(path))
    else:
        facts = _recording_facts(path)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    for key, value in facts.items():
        if isinstance(value, list):
            many = len(value) > MOST_LISTED
            click.echo(f"{key.replace('_', ' '):20} {len(value)}{'; --json lists them' if many else ''}")
            for happened in () if many else value:
                click.echo(f"  {happened['at_s']:14.4f} s  {one_line(str(happened['text']))}")
        elif key in COUNTS:
            click.echo(f"{key.replace('_', ' '):20} {one_line(counted(value)) or 'none'}")
        elif not isinstance(value, dict):
            click.echo(f"{key.replace('_', ' '):20} {value}")


@contextmanager
def whole(session: Path) -> Iterator[None]:
    """Raise DataError when the block misses something that every session.json has."""
    try:
        yield
    except (KeyError, IndexError, TypeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{session / SESSION_FILE} is damaged: {what}") from None


def log_warnings(log: Session) -> list[str]:
    """Return what a person must know of a log before relying on it."""
    found = []
    if log.ended not in ("end", "stopped", LAYOUT_CHANGED):
        state = {"open": "is still being written, or was cut off"}.get(log.ended, f"ended because the {log.ended}")
        found.append(f"this log {state}; it is complete up to sample {log.to_sample}")
    if log.missed:
        found.append(f"{log.missed} messages did not reach this log; notices.jsonl says which")
    if len(log.gaps) and log.gaps["lost"].sum():
        found.append(f"{int(log.gaps['lost'].sum())} samples were lost in {len(log.gaps)} gaps")
    if log.torn_bytes:
        found.append(f"{log.torn_bytes} bytes after the last flush are torn and left out")
    return found


def _session_facts(log: Session) -> dict[str, Any]:
    rate = log.info["rate_hz"]
    observed_s, enabled = log.observed_s, np.array(log.info["enabled"], bool)
    names = log.marks.dtype.names or ()
    return {
        "session": log.info["session"],
        "source": log.info["source"]["uri"],
        "recorded": log.facts["clocks"][0]["utc"],
        "ended": log.ended,
        "part": log.facts.get("part", 1),
        "length_s": (log.to_sample - log.info["first_sample"]) / rate,
        "channels": log.info["n_channels"],
        "sampling_rate_hz": rate,
        "spikes": len(log.spikes),
        "channels_with_spikes": int(np.count_nonzero(log.counts)),
        "active_electrodes": int(active(log.counts, observed_s).sum()),
        "flagged": _flagged(log),
        "rejected": len(log.rejected),
        "rejected_by_reason": log.rejections,
        "gaps": len(log.gaps),
        "samples_lost": int(log.gaps["lost"].sum()) if len(log.gaps) else 0,
        "messages_missed": log.missed,
        "torn_bytes": log.torn_bytes,
        "marks": [
            {"at_s": mark["sample"] / rate, **{name: plain(mark[name]) for name in names}, "text": text}
            for mark, text in zip(log.marks, log.mark_texts, strict=True)
        ],
        "control_changes": [
            {"at_s": n["sample"] / rate} | {k: n.get(k) for k in ("sample", "change", "by", "text")}
            for n in log.controls
        ],
        "observed_s": spread(observed_s[enabled]),
        "amplitudes": log.info["units"]["amplitude_uv"],
        **_truth_facts(log),
        "info": log.info,
    }


def _flagged(log: Session) -> dict[str, int]:
    """Return how many spikes have each flag that occurs."""
    counts = {1 << bit: int(np.count_nonzero(log.flags & (1 << bit))) for bit in range(8)}
    return {reason_name(log.info, "spike_flags", flag): n for flag, n in counts.items() if n}


def _truth_facts(log: Session) -> dict[str, Any]:
    """Return how the log compares with the truth behind a simulated source; nothing for real signals."""
    score = score_session(log) if len(log.spikes) <= MOST_SCORED else None
    if score is None:
        return {}
    return {
        "true_spikes": score.found + score.missed,
        "recall": round(score.recall, 4),
        "precision": round(score.precision, 4),
    }


def _recording_facts(path: Path) -> dict[str, Any]:
    recording = open_recording(path).info
    gains = {c.gain_uv for c in recording.channels}
    labels = recording.labels
    return {
        "recording": str(path),
        "length_s": (recording.n_samples or 0) / recording.rate_hz,
        "channels": recording.n_channels,
        "labels": ", ".join(labels[:16]) + (" …" if len(labels) > 16 else ""),
        "sampling_rate_hz": recording.rate_hz,
        "stored_as": recording.dtype,
        "uv_per_unit": gains.pop() if len(gains) == 1 else "differs by channel",
        "unit": recording.facts.get("unit", ""),
        "sidecar": recording.facts.get("sidecar", {}),
    }
