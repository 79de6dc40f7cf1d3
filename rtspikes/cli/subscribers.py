"""`listen` and `log`: programs that receive what an engine publishes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from rtspikes.cli.children import READY
from rtspikes.cli.engines import KEY, WAIT, Endpoint, client_key, waiting_is_said
from rtspikes.cli.examples import examples
from rtspikes.cli.parameters import OneOf
from rtspikes.clock import LslClock
from rtspikes.errors import ConfigError
from rtspikes.sources.truth import find_truth
from rtspikes.subscribers.listen import lines, truth_lines
from rtspikes.subscribers.log.record import record_session
from rtspikes.subscribers.log.writer import LOGGED_KINDS, LogWriter, check_free, session_path
from rtspikes.subscribers.score import SCORED_KINDS, Scorer
from rtspikes.wire.codec import KINDS
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from rtspikes.wire.subscribe import subscribe

FROM_START = ("notices", "marks")
"""What a logger fetches from before it came: a change that was made then is in force for what it logs."""

LOG_HIGH_WATER_MARK = 100_000
"""Messages that a logger lets wait (most are a few kB): a disk that stalls for a minute costs memory, not data."""


@examples(f"rtspikes listen {DEFAULT_ENDPOINT}", f"rtspikes listen {DEFAULT_ENDPOINT} --topic crossings --json")
@click.command()
@click.argument("endpoint", type=Endpoint(), default=DEFAULT_ENDPOINT)
@click.option(
    "--topic",
    "kinds",
    multiple=True,
    type=OneOf("topic", KINDS),
    metavar="KIND",
    help=f"What to print: {', '.join(KINDS)} (repeatable) [default: spikes].",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@click.option("--truth", is_flag=True, help="With a simulation: also print what is false, and what was missed.")
@KEY
@WAIT
def listen(
    endpoint: str, kinds: Sequence[str], as_json: bool, truth: bool, key_file: Path | None, timeout: float | None
) -> None:
    """Print spikes as they happen, until the engine ends."""
    printed = kinds or ("spikes",)
    received = (*printed, *SCORED_KINDS) if truth else printed
    scorer: Scorer | None = None
    session = ""
    with (
        subscribe(endpoint, kinds=received, key=client_key(key_file), connect_timeout_s=timeout) as subscriber,
        waiting_is_said(endpoint, subscriber),
        open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) as out,  # whole lines, also under python -u
    ):
        malformed = 0
        try:
            for batch in subscriber:
                if subscriber.malformed > malformed:
                    malformed = subscriber.malformed
                    click.echo(f"rtspikes: {malformed} messages were not of the protocol and were left out", err=True)
                if batch.session != session:
                    if session:
                        click.echo(_another_session(subscriber.info or {}), err=True)
                    session, scorer = batch.session, None
                for missed in batch.missed:
                    click.echo(f"rtspikes: missed {missed.count} {missed.kind} messages", err=True)
                info = subscriber.info or {}
                if truth and scorer is None:
                    scorer = _scorer(info)
                text = list(lines(batch, info, as_json)) if batch.kind in printed else []
                if scorer is not None:
                    text += truth_lines(*scorer.add(batch), info, as_json)
                if text:
                    out.write("\n".join(text) + "\n")
                    out.flush()
        except KeyboardInterrupt:
            pass
        if scorer is not None and subscriber.end is not None:
            last = scorer.finish(int(subscriber.end["to_sample"]))
            out.writelines(f"{line}\n" for line in truth_lines(*last, subscriber.info or {}, as_json))
    if scorer is not None:
        score = scorer.score
        click.echo(
            f"recall {score.recall:.3f} ({score.missed} of {score.found + score.missed} missed), "
            f"precision {score.precision:.3f} ({score.false} of {score.hits + score.false} false)",
            err=True,
        )


def _another_session(info: dict[str, Any]) -> str:
    """Return what a person must know when samples begin anew."""
    return (
        f"rtspikes: another session: {info.get('n_channels')} channels at {info.get('rate_hz', 0):g} Hz; "
        f"samples, and times of spikes, count from its start"
    )


def _scorer(info: dict[str, Any]) -> Scorer:
    uri = info["source"]["uri"]
    if (truth := find_truth(uri)) is None:
        raise ConfigError(f"--truth needs an engine whose source is a simulation, such as sim:60, got {uri}")
    return Scorer(truth, info)


@examples(f"rtspikes log {DEFAULT_ENDPOINT} session1")
@click.command()
@click.argument("endpoint", type=Endpoint())
@click.argument("path", type=click.Path(path_type=Path))
@KEY
@WAIT
@click.option("--child", is_flag=True, hidden=True)
def log(endpoint: str, path: Path, key_file: Path | None, timeout: float | None, child: bool) -> None:
    """Record a running engine's session until it ends.

    What did not arrive is asked for again, as far back as the engine keeps it (history.seconds, history.max_mib).
    The session's folder is PATH.rtspikes; an existing one is never overwritten. When the stream's layout changes, a new
    session begins, and a folder of its own: PATH-2.rtspikes and so on.
    """
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    key = client_key(key_file)
    folder = session_path(path)
    check_free(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN if child else stop)
    signal.signal(signal.SIGTERM, stop)
    with (
        subscribe(
            endpoint,
            kinds=LOGGED_KINDS,
            lossless=True,
            from_start=FROM_START,
            key=key,
            connect_timeout_s=timeout,
            high_water_mark=LOG_HIGH_WATER_MARK,
        ) as subscriber,
        nullcontext() if child else waiting_is_said(endpoint, subscriber),
    ):
        logs = record_session(subscriber, folder, LslClock(), lambda: stopped, _tell_parent if child else _tell_part)
    if not child:
        for log in logs:
            click.echo(f"{log.spikes} spikes logged, {log.missed} messages missed: {log.path}")
        if not logs:
            click.echo("no session was met; nothing was logged")


def _tell_parent(log: LogWriter) -> None:
    click.echo(f"{READY} {log.path}")


def _tell_part(log: LogWriter) -> None:
    if log.part > 1:
        click.echo(f"rtspikes: the stream has another layout; its new session is logged in {log.path}", err=True)
