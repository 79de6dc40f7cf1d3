"""`listen` and `log`: programs that receive what an engine publishes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from rtspikes.cli.children import READY
from rtspikes.clock import LslClock
from rtspikes.subscribers.listen import lines
from rtspikes.subscribers.log.writer import LOGGED_KINDS, check_free, record_session, session_path
from rtspikes.wire.codec import KINDS
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from rtspikes.wire.subscribe import subscribe

LOG_HIGH_WATER_MARK = 100_000
"""Messages that a logger lets wait (most are a few kB): a disk that stalls for a minute costs memory, not data."""


@click.command()
@click.argument("endpoint", default=DEFAULT_ENDPOINT)
@click.option("--topic", "kinds", multiple=True, type=click.Choice(KINDS), help="What to print [default: spikes].")
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Give up when no engine is there for S s.")
def listen(endpoint: str, kinds: Sequence[str], as_json: bool, timeout: float | None) -> None:
    """Print spikes as they happen, one line each, until the engine ends.

    Example: rtspikes listen tcp://127.0.0.1:5570 --json
    """
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


@click.command()
@click.argument("endpoint")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Give up when no engine is there for S s.")
@click.option("--child", is_flag=True, hidden=True)
def log(endpoint: str, path: Path, timeout: float | None, child: bool) -> None:
    """Record a running engine's session into the new folder PATH.rtspikes.

    Example: rtspikes log tcp://127.0.0.1:5570 session1
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
