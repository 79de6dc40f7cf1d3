"""`stream`: any source as an LSL outlet, with faults on request."""

from __future__ import annotations

import hashlib
import re
import shlex
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
import msgspec

import rtspikes.lsl
from rtspikes.cli.examples import examples
from rtspikes.cli.interrupts import interrupts
from rtspikes.cli.parameters import Number, Source, set_option
from rtspikes.cli.quantities import time as time_with_unit
from rtspikes.cli.stream_options import fault_options, fault_settings
from rtspikes.cli.stream_report import Display, Record, Teller, summary
from rtspikes.clock import LslClock
from rtspikes.config import load_config
from rtspikes.errors import ConfigError
from rtspikes.sources import open_source
from rtspikes.sources.lsl.feed import Feed
from rtspikes.sources.lsl.outlet import LslOutlet

if TYPE_CHECKING:
    from rtspikes.sources.settings import SourceSettings
    from rtspikes.types import StreamInfo

LOOK_S = 0.2

LINGER_S = 1.0
"""Behind the last sample the outlet stays so long while somebody is there: liblsl does not say when all is sent."""

LONGEST_NAME = 200


@examples(
    "rtspikes stream sim:60",
    "rtspikes stream file:recording.raw --loop --name MEA",
    "rtspikes stream sim:60 --drop 0.1% --jitter 5ms --drift 50ppm --pause-every 30s --faults faults.jsonl",
)
@click.command()
@click.argument("uri", type=Source())
@click.option("--name", metavar="NAME", help="Name of the LSL stream [default: from the URI].")
@click.option("--type", "kind", metavar="TYPE", default="Ephys", help="Its type [default: Ephys].")
@click.option("--source-id", metavar="ID", help="By which consumers find it again [default: from URI and host].")
@click.option(
    "--speed",
    type=Number(positive=True),
    metavar="N",
    help="Multiple of real speed; stamps stay those of the signal [default: 1].",
)
@click.option("--start", type=Number(), metavar="S", help="Begin at S seconds (files).")
@click.option("--stop", type=Number(positive=True), metavar="S", help="End at S seconds (files).")
@click.option("--loop", is_flag=True, help="Begin again at the end, until stopped (files).")
@click.option(
    "--chunk",
    "chunk_s",
    type=time_with_unit("1ms", bare="ms"),
    metavar="MS",
    help="Signal (ms) per push [default: 2].",
)
@click.option("--duration", type=Number(positive=True), metavar="S", help="Stop after S seconds of signal.")
@click.option("--wait", is_flag=True, help="Begin when a consumer is there: it gets everything from sample 0 on.")
@fault_options
@click.option(
    "--faults",
    "record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write every fault, its sample and what was lost as JSON lines; totals are the last.",
)
@set_option("A setting of the source, for example source.uv_per_unit=0.1 (repeatable).")
@click.option("-v", "--verbose", is_flag=True, help="Show liblsl's own messages.")
def stream(
    uri: str,
    name: str | None,
    kind: str,
    source_id: str | None,
    speed: float | None,
    start: float | None,
    stop: float | None,
    loop: bool,
    chunk_s: float | None,
    duration: float | None,
    wait: bool,
    record: Path | None,
    overrides: Sequence[str],
    verbose: bool,
    **faults: Any,
) -> None:
    """Offer a recording, a simulation or a device as an LSL stream.

    Stamps come from the sample counter. Faults rehearse what happens beside a rig; each is told, and counted exactly.
    What a consumer does not take is kept for it (1 GiB, 6 min at most); then LSL discards the oldest, and tells nobody.
    LSL listens on all interfaces of this computer, and encrypts nothing: isolate its network.
    """
    injected = fault_settings(faults)
    asked = {"speed": speed, "start_s": start, "stop_s": stop, "loop": loop or None}
    asked |= {"chunk_ms": None if chunk_s is None else chunk_s * 1e3}
    settings, speed = _source_settings(uri, overrides, {k: v for k, v in asked.items() if v is not None})
    name = _text("--name", _default_name(uri) if name is None else name)
    source_id = _text("--source-id", _default_source_id(uri) if source_id is None else source_id)
    kind = _text("--type", kind)
    if verbose:
        rtspikes.lsl.be_verbose()
    rtspikes.lsl.load()
    clock, stopped = LslClock(), threading.Event()
    paced = msgspec.structs.replace(settings, speed=speed * (1 + injected.drift))
    with interrupts(stopped.set), open_source(paced, clock) as source:
        info = source.info
        outlet = LslOutlet(info, name=name, type=kind, source_id=source_id)
        feed = Feed(
            source,
            outlet,
            injected,
            clock,
            chunk_samples=max(1, round(settings.chunk_ms * 1e-3 * info.rate_hz)),
            speed=speed,
            wait=wait,
            most=None if duration is None else max(1, round(duration * info.rate_hz)),
        )
        with Record(record) as file, Display() as display:
            outlet.open()
            display.say(_greeting(info, name, source_id))
            try:
                if wait:
                    display.say("waiting for a consumer")
                    while not stopped.is_set() and not outlet.wait_for_consumers(LOOK_S):
                        pass
                _run(feed, stopped, Teller(display, file, feed, injected, wait))
                _linger(outlet)
            finally:
                outlet.close()
    click.echo(summary(feed, name))


def _run(feed: Feed, stopped: threading.Event, teller: Teller) -> None:
    """Move the samples until the end, telling and recording what happens."""
    feed.start()
    try:
        while not feed.ended and not stopped.is_set():
            teller.tell(feed.step())
    finally:
        teller.tell(feed.finish())
        teller.end()


def _linger(outlet: LslOutlet) -> None:
    """Leave consumers time to take what was sent last."""
    until_s = time.monotonic() + LINGER_S
    while outlet.has_consumers() and time.monotonic() < until_s:
        time.sleep(LOOK_S / 10)


def _source_settings(uri: str, overrides: Sequence[str], asked: dict[str, Any]) -> tuple[SourceSettings, float]:
    """Return the settings of the source, and its speed; raise ConfigError for other settings, and for max."""
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key.partition(".")[0] != "source":
            raise ConfigError(f"--set of stream must be a setting of the source (source.…), got {key!r}")
    settings = load_config(None, overrides, {"source": {"uri": uri, **asked}}).source
    if settings.speed == "max":
        raise ConfigError("source.speed must be a number for an LSL stream, which no consumer can hold up, got max")
    return settings, settings.speed


def _is_file(uri: str) -> bool:
    """Tell whether a URI is one of a file, or a bare path."""
    scheme, colon, _ = uri.partition(":")
    return not colon or len(scheme) == 1 or scheme == "file"


def _default_name(uri: str) -> str:
    """Return a name without characters that a shell or an LSL predicate minds."""
    plain = Path(uri.removeprefix("file:")).stem if _is_file(uri) else uri.partition("?")[0]
    return re.sub(r"[^\w.]+", "-", plain)[:LONGEST_NAME].strip("-.") or "rtspikes"


def _default_source_id(uri: str) -> str:
    """Return the same text for the same source on the same computer, and another for any other."""
    if _is_file(uri):
        uri = f"file:{Path(uri.removeprefix('file:')).resolve()}"
    digest = hashlib.blake2b(f"{socket.gethostname()} {uri}".encode(errors="surrogateescape"), digest_size=6)
    return f"rtspikes-{digest.hexdigest()}"


def _text(option: str, value: str) -> str:
    if not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
        raise ConfigError(f"{option} must be 1 … {LONGEST_NAME} printable characters, got {value[:40]!r}")
    return value


def _greeting(info: StreamInfo, name: str, source_id: str) -> str:
    return (
        f"streaming {info.n_channels} × {info.dtype} at {info.rate_hz:g} Hz as {name!r}, source_id {source_id!r}; "
        f"detect with: rtspikes run --source {shlex.quote(f'lsl:name={quote(name)}')}"
    )
