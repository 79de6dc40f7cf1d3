"""`listen` and `log`: programs that receive what an engine publishes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from rtspikes.cli.children import READY
from rtspikes.cli.examples import examples
from rtspikes.cli.parameters import Number, OneOf
from rtspikes.clock import LslClock
from rtspikes.subscribers.listen import lines
from rtspikes.subscribers.log.writer import LOGGED_KINDS, check_free, record_session, session_path
from rtspikes.wire.codec import KINDS
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from rtspikes.wire.subscribe import subscribe

LOG_HIGH_WATER_MARK = 100_000
"""Messages that a logger lets wait (most are a few kB): a disk that stalls for a minute costs memory, not data."""


WAIT = click.option("--timeout", type=Number(), metavar="S", help="Give up when no engine is there within S seconds.")


@examples(f"rtspikes listen {DEFAULT_ENDPOINT}", f"rtspikes listen {DEFAULT_ENDPOINT} --topic crossings --json")
@click.command()
@click.argument("endpoint", default=DEFAULT_ENDPOINT)
@click.option(
    "--topic",
    "kinds",
    multiple=True,
    type=OneOf("topic", KINDS),
    metavar="KIND",
    help=f"What to print: {', '.join(KINDS)} (repeatable) [default: spikes].",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@WAIT
def listen(endpoint: str, kinds: Sequence[str], as_json: bool, timeout: float | None) -> None:
    """Print spikes as they happen, until the engine ends."""
    with (
        subscribe(endpoint, kinds=kinds or ("spikes",), connect_timeout_s=timeout) as subscriber,
        open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) as out,  # whole lines, also under python -u
    ):
        malformed = 0
        try:
            for batch in subscriber:
                if subscriber.malformed > malformed:
                    malformed = subscriber.malformed
                    click.echo(f"rtspikes: {malformed} messages were not of the protocol and were left out", err=True)
                for missed in batch.missed:
                    click.echo(f"rtspikes: missed {missed.count} {missed.kind} messages", err=True)
                text = "\n".join(lines(batch, subscriber.info or {}, as_json)) if batch.kind in subscriber.kinds else ""
                if text:
                    out.write(text + "\n")
                    out.flush()
        except KeyboardInterrupt:
            return


@examples(f"rtspikes log {DEFAULT_ENDPOINT} session1")
@click.command()
@click.argument("endpoint")
@click.argument("path", type=click.Path(path_type=Path))
@WAIT
@click.option("--child", is_flag=True, hidden=True)
def log(endpoint: str, path: Path, timeout: float | None, child: bool) -> None:
    """Record a running engine's session until it ends.

    The session's folder is PATH.rtspikes; an existing one is never overwritten.
    """
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    folder = session_path(path)
    check_free(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN if child else stop)
    signal.signal(signal.SIGTERM, stop)
    with subscribe(
        endpoint, kinds=LOGGED_KINDS, connect_timeout_s=timeout, high_water_mark=LOG_HIGH_WATER_MARK
    ) as subscriber:
        writer = record_session(
            subscriber, folder, LslClock(), lambda: stopped, lambda: click.echo(READY) if child else None
        )
    if not child:
        click.echo(
            "no session was met; nothing was logged"
            if writer is None
            else f"{writer.spikes} spikes logged, {writer.missed} messages missed: {folder}"
        )
