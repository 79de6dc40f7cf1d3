"""`demo`: a simulated culture, spikes in the terminal, a log, and what was found against the truth."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import click
from rich.console import Console
from rich.live import Live

from rtspikes.cli.background import BackgroundEngine
from rtspikes.cli.examples import examples
from rtspikes.cli.interrupts import interrupts
from rtspikes.cli.parameters import Number
from rtspikes.cli.screen import MAP_COLUMNS, panel
from rtspikes.cli.view_child import ViewChild
from rtspikes.clock import LslClock
from rtspikes.errors import DataError, EngineVanished
from rtspikes.protocols import Truth
from rtspikes.sources.truth import find_truth
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.log.writer import check_free, session_path
from rtspikes.subscribers.score import Scorer
from rtspikes.subscribers.watch import WATCHED_KINDS, Watch
from rtspikes.wire.subscribe import Subscriber, subscribe

DEFAULT_S = 12.0

FRAMES_PER_S = 8

WAIT_S = 0.2
HEADER = "    s   spikes/s     active    noise σ    latency p50 / p99     lost   found"

NEXT = """
Next:
  this log         rtspikes info {log}
  your recording   rtspikes replay FILE.raw --log session1
  your LSL stream  rtspikes devices, then rtspikes run --source lsl:NAME --log session1
  your program     rtspikes run --source sim:60, and in Python elsewhere:

    import rtspikes
    with rtspikes.subscribe() as s:
        for batch in s:
            print(batch.spikes["channel"], batch.missed)
"""


@examples("rtspikes demo", "rtspikes demo --view", "rtspikes demo --scenario bicuculline --seconds 10")
@click.command()
@click.option(
    "--scenario",
    default="baseline",
    metavar="NAME",
    help="baseline, bicuculline, ttx, artifact, deadelectrode, storm, superburst.",
)
@click.option("--layout", default="60", metavar="LAYOUT", help="60, 64x64, wells:24x16, or a number of electrodes.")
@click.option(
    "--seconds", type=Number(positive=True), metavar="S", help="Length [default: 12; with --view until Ctrl-C]."
)
@click.option("--seed", type=Number(whole=True), default=1, metavar="N", help="Another culture [default: 1].")
@click.option(
    "--log", "log_path", type=click.Path(path_type=Path), metavar="PATH", help="Folder of the log [default: demo-TIME]."
)
@click.option("--view", is_flag=True, help="Show it in the browser, until Ctrl-C (see rtspikes view).")
@click.option("--no-browser", is_flag=True, help="With --view: only print the page's address.")
def demo(
    scenario: str,
    layout: str,
    seconds: float | None,
    seed: int,
    log_path: Path | None,
    view: bool,
    no_browser: bool,
) -> None:
    """Simulate a culture on an array, and show its spikes as they are found.

    Needs no file, no network and no settings; ends by itself. Everything is as beside a rig: one process takes in the
    signal, detects and publishes, a second one logs, and this one listens.
    """
    if seconds is None and not view:
        seconds = DEFAULT_S
    length = {} if seconds is None else {"seconds": f"{seconds:g}"}
    uri = f"sim:{layout}?" + urlencode({"scenario": scenario, "seed": seed, **length})
    folder = session_path(log_path or _free_path())
    check_free(folder)
    truth = find_truth(uri)
    console = Screen(highlight=False, soft_wrap=True)
    how_long = "until Ctrl-C" if seconds is None else f"{seconds:g} s"
    console.print(f"A simulated culture on an array ({layout}, {scenario}): {how_long}, as if it came from a rig.")
    with ExitStack() as beside, BackgroundEngine("--source", uri, "--log", str(folder)) as engine:
        try:
            if view:
                beside.enter_context(ViewChild(engine.endpoint(), browser=not no_browser))
            with subscribe(engine.endpoint(), kinds=WATCHED_KINDS) as subscriber:
                watch, scorer, asked = _show(console, engine, subscriber, truth)
        except EngineVanished:
            raise EngineVanished(
                f"the engine died in the middle of it; what it found until then: rtspikes info {folder}"
            ) from None
        engine.check()
        _tell_result(console, watch, scorer, folder)
        if view and not asked:
            _await_interrupt(lambda: console.print("The page stays until Ctrl-C."))


class Screen(Console):
    """A console whose reader may go, as `| head` does, without that being an error of its own."""

    def on_broken_pipe(self) -> None:
        """Hand the BrokenPipeError on, to be answered like any other."""
        raise


def _tell_result(console: Console, watch: Watch, scorer: Scorer | None, folder: Path) -> None:
    """Say what came of it, and where to go from here."""
    console.print()
    for name, text in summary(watch, scorer, folder):
        console.print(f"  {name:8} {text}", style="red" if name == "lost" and watch.lost + watch.missed else None)
    console.print(NEXT.format(log=folder), markup=False)


def _await_interrupt(tell: Callable[[], object]) -> None:
    """Return at Ctrl-C, or a polite kill; `tell` once they are waited for."""
    stopped = threading.Event()
    with interrupts(stopped.set):
        tell()
        while not stopped.wait(WAIT_S):
            continue


def _free_path() -> Path:
    """Return where the log goes: a name of its own in the current folder."""
    return Path(f"{time.strftime('demo-%Y%m%d-%H%M%S')}-{os.getpid()}")


def _show(
    console: Console, engine: BackgroundEngine, subscriber: Subscriber, truth: Truth | None
) -> tuple[Watch, Scorer | None, bool]:
    """Show what comes until the engine ends; a first Ctrl-C asks it to, a second one is not waited for.

    Returns what was seen, how it compares with the truth, and whether somebody asked for the end.
    """
    clock = LslClock()
    watch: Watch | None = None
    scorer: Scorer | None = None
    told_s, asked = 0, False
    with _picture(console) as live:
        while not subscriber.ended:
            try:
                batch = subscriber.get(1 / FRAMES_PER_S)
                if watch is None and subscriber.info is not None:
                    watch = Watch(subscriber.info)
                    scorer = Scorer(truth, subscriber.info) if truth is not None else None
                    console.print(HEADER, style="dim")
                if batch is None or watch is None:
                    continue
                watch.add(batch, clock.now())
                if scorer is not None:
                    scorer.add(batch)
                if watch.seconds >= told_s + 1:
                    told_s = int(watch.seconds)
                    console.print(figures(watch, scorer))
                if live is not None:
                    live.show(watch)
            except KeyboardInterrupt:
                if asked:
                    raise
                asked = True
                engine.stop()
    if watch is None:
        raise DataError("the engine ended without a session; try: rtspikes doctor")
    if scorer is not None and subscriber.end is not None:
        scorer.finish(int(subscriber.end["to_sample"]))
    return watch, scorer, asked


class _Picture:
    """The array in the terminal, drawn anew a few times per second."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._drawn_s = -math.inf

    def show(self, watch: Watch) -> None:
        """Draw the array if it is time to."""
        now = time.monotonic()
        if now - self._drawn_s >= 1 / FRAMES_PER_S:
            self._drawn_s = now
            channels = int(watch.electrodes.sum())
            title = f"{channels} electrodes, {watch.seconds:.1f} s"
            self._live.update(panel(watch, title, self._live.console.width), refresh=True)


@contextmanager
def _picture(console: Console) -> Iterator[_Picture | None]:
    """Yield a picture below the lines where the output is a terminal, else None."""
    if not console.is_terminal or console.width < MAP_COLUMNS or not console.encoding.startswith("utf"):
        yield None
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _Picture(live)


def figures(watch: Watch, scorer: Scorer | None) -> str:
    """Return the figures of the last second as a line below HEADER."""
    latency = watch.latency.summary_ms()
    late = f"{latency['p50']:.1f} / {latency['p99']:.1f} ms" if latency else "-"
    sigma = watch.median_sigma_uv
    found = f"{scorer.score.recall:.0%}" if scorer is not None and scorer.score.found else "-"
    spikes, electrodes = int(watch.recent().sum()), int(watch.electrodes.sum())
    return (
        f"{watch.seconds:5.0f}   {spikes:8d}   {watch.active:4d} of {electrodes:<4d}"
        f"{f'{sigma:.1f} µV' if sigma == sigma else '-':>8}   {late:>18}   {watch.lost + watch.missed:6d}   {found:>5}"
    )


def summary(watch: Watch, scorer: Scorer | None, folder: Path) -> list[tuple[str, str]]:
    """Return what was found, lost and written, as (name, text)."""
    log = read_session(folder)
    rows: list[tuple[str, str]] = []
    if scorer is not None:
        s = scorer.score
        rows.append(("found", f"{s.found} of {s.found + s.missed} true spikes (recall {s.recall:.3f})"))
        rows.append(("false", f"{s.false} of {s.hits + s.false} events (precision {s.precision:.3f})"))
    rows.append(("lost", f"{watch.lost} samples, {watch.missed + log.missed} messages"))
    if latency := watch.latency.summary_ms():
        late = f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"
        rows.append(("latency", f"{late}, from signal to here, 2 ms chunks included"))
    if len(log.spikes) != (published := int(watch.counts.sum())):
        raise DataError(f"{folder} holds {len(log.spikes)} spikes, {published} came here; try: rtspikes doctor")
    rows.append(("log", f"{folder} ({len(log.spikes)} spikes)"))
    return rows
