"""`run` and `replay`: an engine, its log, and the person in front of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtspikes.cli.children import LogChild
from rtspikes.cli.debug import debugging
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.figures import counted
from rtspikes.cli.interrupts import interrupts
from rtspikes.cli.like import given_keys, like_session
from rtspikes.cli.parameters import Number, PathTo, Source, configurations, recordings, sessions, set_option
from rtspikes.cli.progress import Progress, said_if_slow, samples_lost
from rtspikes.cli.recording import Recording
from rtspikes.cli.view_child import ViewChild
from rtspikes.config import Config, documented_keys, load_config
from rtspikes.errors import ConfigError
from rtspikes.lsl import be_verbose
from rtspikes.subscribers.log.writer import check_free, session_path
from rtspikes.wire.keys import Right

if TYPE_CHECKING:
    from rtspikes.detect.changes import Change
    from rtspikes.engine import Engine

LOOK_S = 0.2

SWITCH_S = 5e-4
"""How long a thread that shows how it goes may keep Python's lock from those that take in and detect."""

STALL_S = 2.0
"""A paced run that waits for a subscriber for longer than this says so."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--publish", metavar="ENDPOINT", help="Address to publish on [default: tcp://127.0.0.1:5570]."),
            click.option("--log", "log_path", type=click.Path(path_type=Path), metavar="PATH",
                         help="Record the session into the new folder PATH.rtspikes."),
            click.option("--duration", type=Number(positive=True), metavar="S",
                         help="Stop after S seconds."),
            click.option("--wait-subscribers", type=Number(whole=True), metavar="N",
                         help="Begin when N subscribers are there."),
            click.option("--like", type=PathTo(sessions), metavar="SESSION",
                         help="Detect as that session did: its settings, its control changes at their samples, and of "
                              "a file the same stretch."),
            click.option("--keys", type=PathTo(lambda: (), ConfigError), metavar="DIR",
                         help="Encrypt, and let in only the keys of this folder (see rtspikes keys)."),
            click.option("--insecure", is_flag=True,
                         help="Let --publish be an address for others without keys: whoever reaches it can read."),
            click.option("--view", is_flag=True,
                         help="Show the array at work in the browser (see rtspikes view)."),
            click.option("--no-browser", is_flag=True, help="With --view: only print the page's address."),
            click.option("-v", "--verbose", is_flag=True, help="Show liblsl's own messages."),
            set_option("Any setting, for example detect.threshold=4.5 (repeatable)."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@examples(
    "rtspikes run --source file:recording.raw --log session1",
    'rtspikes run --source "sim:60?scenario=bicuculline" --duration 10 --log session1',
    "rtspikes run --list-keys",
)
@click.command()
@click.argument("config_path", required=False, type=PathTo(configurations, ConfigError), metavar="[CONFIG.toml]")
@click.option("--source", type=Source(), metavar="URI", help="The signal; `rtspikes devices` lists what it may be.")
@click.option("--list-keys", is_flag=True, help="Show every setting with its default and unit, and exit.")
@_options
def run(
    config_path: Path | None, source: str | None, list_keys: bool, overrides: tuple[str, ...], **options: Any
) -> int:
    """Detect spikes in a signal and publish them until it ends."""
    if list_keys:
        for key, default, description in documented_keys():
            click.echo(f"{key:28} {default:24} {description}")
        return 0
    if config_path is not None and config_path.suffix.lower() in recordings():
        raise ConfigError(f"run takes a configuration (TOML), got a recording; say: rtspikes replay {config_path}")
    return _run(config_path, overrides, {"uri": source} if source is not None else {}, **options)


@examples("rtspikes replay recording.raw", "rtspikes replay recording.raw --speed max --log session1")
@click.command()
@click.argument("file", type=PathTo(recordings))
@click.option("--config", "config_path", type=PathTo(configurations, ConfigError), help="Settings (TOML).")
@click.option(
    "--speed",
    type=Number(positive=True, words=("max",)),
    metavar="1|N|max",
    help="Multiple of real speed, or max [default: 1].",
)
@click.option("--start", type=Number(), metavar="S", help="Begin at S seconds.")
@click.option("--stop", type=Number(positive=True), metavar="S", help="End at S seconds.")
@click.option("--loop", is_flag=True, help="Begin again at the end, until stopped.")
@_options
def replay(
    file: Path,
    config_path: Path | None,
    speed: float | str | None,
    start: float | None,
    stop: float | None,
    loop: bool,
    overrides: tuple[str, ...],
    **options: Any,
) -> int:
    """Replay a recording at real speed, as if it came from the rig."""
    extra: dict[str, Any] = {"uri": f"file:{file}"}
    extra |= {k: v for k, v in (("speed", speed), ("start_s", start), ("stop_s", stop)) if v is not None}
    if loop:
        extra["loop"] = True
    return _run(config_path, overrides, extra, **options)


def _run(
    config_path: Path | None,
    overrides: tuple[str, ...],
    source: dict[str, Any],
    publish: str | None,
    log_path: Path | None,
    duration: float | None,
    wait_subscribers: int | None,
    like: Path | None,
    keys: Path | None,
    insecure: bool,
    view: bool,
    no_browser: bool,
    verbose: bool,
) -> int:
    if verbose:
        be_verbose()
    asked: dict[str, Any] = {"endpoint": publish, "wait_subscribers": wait_subscribers}
    asked |= {"keys": None if keys is None else str(keys), "insecure": insecure or None}
    asked = {k: v for k, v in asked.items() if v is not None}
    config = load_config(config_path, overrides, {"source": source, "publish": asked})
    changes: Sequence[tuple[int, Change]] = ()
    if log_path is not None:
        log_path = session_path(log_path)
        check_free(log_path)
    if like is not None:
        config, changes, differs = like_session(like, config, given_keys(config_path, overrides, source))
        n = len(changes)
        click.echo(f"detection as in {like}, with its {n} control change{'s' * (n != 1)}", err=True)
        if differs:
            click.echo(f"rtspikes: not all can be as in {like}: {'; '.join(differs)}", err=True)
    with said_if_slow("loading the kernels; compiling them, once on this computer, takes half a minute"):
        from rtspikes.engine import Engine
    child: LogChild | None = None
    page: ViewChild | None = None
    beside = ExitStack()
    try:
        with beside, Engine(config, changes=changes) as engine:
            if log_path is not None:
                child = LogChild(engine.endpoint, log_path, debugging(), engine.child_key(Right.READ))
            if view:
                page = beside.enter_context(ViewChild(engine.endpoint, engine.child_key(Right.CONTROL), not no_browser))
            with interrupts(engine.stop, engine.abort):
                _supervise(engine, config, child, page, duration)
        _tell_news(engine)
        logged = child.finish(config.publish.linger_s) if child else 0
    finally:
        if child is not None:
            child.kill()
    _summary(engine, [] if child is None else child.paths)
    return logged


def _supervise(
    engine: Engine, config: Config, child: LogChild | None, page: ViewChild | None, duration: float | None
) -> None:
    """Begin when all who are waited for are there; show how it goes until the end."""
    click.echo(f"publishing on {engine.endpoint}", err=True)
    engine.start()
    wanted = config.publish.wait_subscribers + (1 if child else 0)
    while engine.subscribers < wanted or (child is not None and not child.ready):
        if child is not None:
            child.check_alive()
        if engine.wait(LOOK_S / 10):
            return
    sys.setswitchinterval(SWITCH_S)
    engine.release()
    begun_s = time.monotonic()
    stalled = False
    part = engine.part
    recording = Recording()
    with Progress(engine.info, config.source) as progress:
        while not engine.wait(LOOK_S):
            _tell_news(engine)
            if part != engine.part:
                part, info = engine.part, engine.info
                click.echo(f"session {part}: {info.n_channels} channels at {info.rate_hz:g} Hz", err=True)
            progress.show(engine.status)
            if child is not None:
                child.tell_if_dead()
                engine.tell("recording", recording.figures(child.paths) if child.alive else None)
            if page is not None:
                page.tell_if_dead()
            if engine.waiting_s > STALL_S and not stalled:
                click.echo("waiting for a subscriber that does not keep up; Ctrl-C twice ends the run", err=True)
            stalled = engine.waiting_s > STALL_S
            if duration is not None and time.monotonic() - begun_s >= duration:
                engine.stop()


def _tell_news(engine: Engine) -> None:
    """Say what the source said."""
    for text in engine.take_news():
        click.echo(one_line(text), err=True)


def _summary(engine: Engine, logs: Sequence[str]) -> None:
    totals = engine.totals
    counts = totals["counts"]
    of = f"{engine.info.n_channels} channels" if engine.part == 1 else f"{engine.part} sessions"
    parts = [
        f"{counts.get('spikes', 0)} spikes in {totals['signal_s']:g} s of {of}",
        f"{samples_lost(totals)} samples lost",
    ]
    if n := counts.get("rejected"):
        parts.append(f"{n} event{'s' * (n != 1)} rejected ({counted(totals['rejected'])})")
    if n := counts.get("flagged"):
        parts.append(f"{n} spike{'s' * (n != 1)} flagged")
    if n := totals["bad_samples"]:
        parts.append(f"{n} bad samples held")
    for n, what in ((counts.get("marks"), "mark"), (totals["commands_done"], "control request")):
        if n:
            parts.append(f"{n} {what}{'s' * (n != 1)}")
    if logs:
        parts.append(f"log: {', '.join(logs)}")
    click.echo("; ".join(parts))
