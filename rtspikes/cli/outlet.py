"""`outlet`: an engine's spikes as LSL streams, for LabRecorder and whatever else reads LSL."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from rtspikes import lsl
from rtspikes.cli.engines import KEY, WAIT, Endpoint, client_key, waiting_is_said
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.interrupts import interrupts
from rtspikes.clock import LslClock
from rtspikes.errors import ConfigError
from rtspikes.subscribers.lsl_description import LONGEST_NAME
from rtspikes.subscribers.lsl_relay import MARKED_KINDS, RELAYED_KINDS, Relay, Sent
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from rtspikes.wire.subscribe import subscribe

HIGH_WATER_MARK = 100_000
"""Messages that may wait here while nobody takes the streams; after that they are asked for again."""


@examples(f"rtspikes outlet {DEFAULT_ENDPOINT}", f"rtspikes outlet {DEFAULT_ENDPOINT} --name MEA-spikes --markers")
@click.command()
@click.argument("endpoint", type=Endpoint(), default=DEFAULT_ENDPOINT)
@click.option("--name", metavar="NAME", help="Name of the LSL stream [default: from the engine's stream].")
@click.option("--markers", is_flag=True, help="Also a stream NAME-markers of texts: spikes up to 200/s, marks, gaps.")
@click.option("--wait", is_flag=True, help="Send nothing before each stream has a consumer: it misses no spike.")
@KEY
@WAIT
@click.option("-v", "--verbose", is_flag=True, help="Show liblsl's own messages.")
def outlet(
    endpoint: str,
    name: str | None,
    markers: bool,
    wait: bool,
    key_file: Path | None,
    timeout: float | None,
    verbose: bool,
) -> None:
    """Send an engine's spikes on as an LSL stream until it ends.

    One sample per spike, stamped with the spike's own time: channel, amplitude (µV), unit, threshold (µV), sample,
    crossing, id. LSL listens on all interfaces of this computer, and encrypts nothing: isolate its network.
    """
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise ConfigError(f"--name must be printable and have 1 … {LONGEST_NAME} characters, got {name!r:.80}")
    if verbose:
        lsl.be_verbose()
    lsl.load()
    stop = threading.Event()
    relay: Relay | None = None
    with interrupts(stop.set):
        try:
            with (
                subscribe(
                    endpoint,
                    kinds=MARKED_KINDS if markers else RELAYED_KINDS,
                    lossless=True,
                    key=client_key(key_file),
                    connect_timeout_s=timeout,
                    high_water_mark=HIGH_WATER_MARK,
                ) as subscriber,
                waiting_is_said(endpoint, subscriber),
            ):
                relay = Relay(subscriber, LslClock(), stop, _say, _warn, name=name, markers=markers, wait=wait)
                relay.run()
        finally:
            if relay is not None:
                click.echo(_summary(relay.sent))


def _say(line: str) -> None:
    click.echo(one_line(line), err=True)


def _warn(line: str) -> None:
    click.echo(f"rtspikes: {one_line(line)}", err=True)


def _summary(sent: Sent) -> str:
    if not sent.sessions:
        return "no session was met; nothing was sent"
    parts = [f"{sent.spikes} spikes sent", f"{sent.missed} messages missed"]
    if sent.unstamped:
        parts.append(f"{sent.unstamped} spikes without a time left out")
    if sent.unmarked:
        parts.append(f"{sent.unmarked} markers left out")
    return ", ".join(parts)
