"""`latency`: how late crossings reach another program on this computer, and where the time goes."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from rtspikes.cli.background import BackgroundEngine
from rtspikes.cli.children import start_rtspikes
from rtspikes.cli.examples import examples
from rtspikes.cli.interrupts import interrupts
from rtspikes.cli.latency_report import LOOPBACK, report
from rtspikes.cli.parameters import Number, OneOf, PathTo, Source, configurations, set_option
from rtspikes.cli.progress import said_if_slow
from rtspikes.clock import LslClock
from rtspikes.errors import ConfigError, DataError, nearest
from rtspikes.lines import FIRST_TRIGGER, PERSON
from rtspikes.sources.pulses import SPACING, pulses_of
from rtspikes.subscribers.latency import (
    Arrivals,
    after_marks_s,
    as_facts,
    behind_period_s,
    stages_s,
    summary_ms,
)
from rtspikes.types import MARK_DTYPE
from rtspikes.wire.subscribe import subscribe

KINDS = ("crossings", "marks", "status", "notices")

WARM_UP_S = 2.0
"""Signal (s) at the start that does not count: half a second is held to learn the noise level, then caught up."""

FEWEST = 5
"""Crossings without which nothing can be said."""

ANSWER_S = 1.0
"""A crossing that comes later (s) after a mark is not its answer."""

STEADY = 0.05
"""Pulses are regular when the middle half of their distances differs by less than this part."""

PATIENCE_S = 5.0


@dataclass
class Heard:
    """What the subscriber got."""

    arrivals: Arrivals = field(default_factory=Arrivals)
    marks: list[NDArray[np.void]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    missed: int = 0


@examples(
    "rtspikes latency --channels 256 --log",
    "rtspikes latency --source file:recording.raw --json",
)
@click.command()
@click.option("--source", "uri", type=Source(), metavar="URI", help="Your own signal [default: pulses made here].")
@click.option("--seconds", type=Number(positive=True), default=10.0, metavar="S", help="How long [default: 10].")
@click.option(
    "--channels", type=Number(positive=True, whole=True), metavar="N", help="Of the pulses' signal [default: 64]."
)
@click.option("--rate", "rate_hz", type=Number(positive=True), metavar="HZ", help="Its rate [default: 20000].")
@click.option("--chunk-ms", type=Number(positive=True), metavar="MS", help="Signal that comes at a time [default: 1].")
@click.option(
    "--via",
    type=OneOf("way", ("lsl",)),
    metavar="lsl",
    help="Send the pulses through the Lab Streaming Layer, from a program of their own.",
)
@click.option(
    "--loopback", metavar="CHANNEL", help="With --source: measure the rig, too, by pulses on this analogue input."
)
@click.option("--log", is_flag=True, help="With a logger beside it; its log is thrown away.")
@click.option("--config", "config_path", type=PathTo(configurations, ConfigError), help="Your settings (TOML).")
@set_option("A setting, for example cpu.priority=realtime (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")  # fmt: skip
def latency(
    uri: str | None,
    seconds: float,
    channels: int | None,
    rate_hz: float | None,
    chunk_ms: float | None,
    via: str | None,
    loopback: str | None,
    log: bool,
    config_path: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure how late crossings reach another program on this computer, and where the time goes.

    An engine with your settings runs in a process of its own, and this one subscribes to it. Without --source it
    detects pulses at known samples, handed on at exact times. With --source it takes your stream, and times count from
    what its stamps say: a sender that stamps when it sends hides what its rig held back before.

    --loopback measures the rig as well. Wire a pulse generator, or the TTL of your stimulus computer, to an analogue
    input. Where the program that sets the TTL also sends an LSL marker ([[markers]] in --config), the whole way counts,
    from the marker to the crossing in this program. Without markers, regular pulses show by how much the whole way
    varies; what all of them have in common, no program can see.
    """
    given = {"--channels": channels, "--rate": rate_hz, "--via": via}
    if uri is not None and (wrong := [name for name, value in given.items() if value is not None]):
        raise ConfigError(f"{wrong[0]} is of the pulses that are made here; leave it out with --source")
    if uri is None and loopback is not None:
        raise ConfigError("--loopback needs your rig's own signal: say --source URI, for example lsl:NAME")
    pulses = f"pulses:{channels or 64}?rate={rate_hz or 20_000:g}"
    with ExitStack() as stack:
        if via is not None:
            uri = stack.enter_context(_streamed(pulses, chunk_ms or 1.0))
        arguments = [] if config_path is None else [str(config_path)]
        arguments += ["--source", uri or pulses, "--duration", f"{WARM_UP_S + seconds:g}"]
        for override in (*overrides, *([f"source.chunk_ms={chunk_ms or 1.0:g}"] if chunk_ms or uri is None else [])):
            arguments += ["--set", override]
        if log:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rtspikes-latency-"))
            arguments += ["--log", str(Path(folder) / "session")]
        engine = stack.enter_context(BackgroundEngine(*arguments))
        with said_if_slow(f"measuring for {WARM_UP_S + seconds:g} s"):
            heard = _hear(engine)
    made_here = given["--via"] is not None or uri is None
    facts = _facts(heard, made_here, chunk_ms, loopback)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for line in report(facts):
            click.echo(line)


@contextmanager
def _streamed(pulses: str, chunk_ms: float) -> Iterator[str]:
    """Offer the pulses as an LSL stream, from another process; yield its address."""
    name = f"rtspikes-latency-{os.getpid()}"
    process = start_rtspikes(
        "stream", pulses, "--name", name, "--chunk", f"{chunk_ms:g}ms", "--wait",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"lsl:name={name}"
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _hear(engine: BackgroundEngine) -> Heard:
    """Subscribe until the engine ends, and note when everything came."""
    clock, heard = LslClock(), Heard()
    with subscribe(engine.endpoint(), kinds=KINDS) as subscriber, interrupts(engine.stop):
        for batch in subscriber:
            now_s = clock.now()
            if batch.kind == "crossings":
                heard.arrivals.add(batch, now_s)
            elif batch.kind == "marks":
                heard.marks.append(batch.marks)
            elif batch.kind == "status":
                heard.status = batch.fields
            elif batch.fields.get("cause") == "cpu":
                click.echo(f"rtspikes: {batch.fields['text']}", err=True)
        heard.info, heard.end = subscriber.info or {}, subscriber.end or {}
        heard.missed = subscriber.missed_total
    engine.check()
    return heard


def _facts(heard: Heard, made_here: bool, chunk_ms: float | None, loopback: str | None) -> dict[str, Any]:
    """Return all figures."""
    info, rate = heard.info, float(heard.info["rate_hz"])
    first, n_channels = int(info["first_sample"]), int(info["n_channels"])
    uri = str(info["source"]["uri"])
    after = first + round(WARM_UP_S * rate)
    rows = heard.arrivals.rows(after)
    chunk = None
    if uri.startswith("pulses:") or not info["source"]["live"]:
        chunk = max(1, round((chunk_ms or 1.0) * 1e-3 * rate)) if chunk_ms or uri.startswith("pulses:") else None
    facts: dict[str, Any] = {
        "source": uri,
        "channels": n_channels,
        "rate_hz": rate,
        "chunk_ms": None if chunk is None else chunk / rate * 1e3,
        "crossings": len(rows),
        "missed_messages": heard.missed,
        "lost_samples": sum(heard.status.get("counts", {}).get(name, 0) for name in ("lost_source", "lost_overrun")),
    }
    if made_here:
        planted, rows, found = _pulses(rows, after, int(heard.end.get("to_sample", after)), n_channels)
        facts |= {"pulses": planted, "found": found}
    if loopback is not None:
        rows = rows[rows["channel"] == _position(loopback, info)]
    if len(rows) < FEWEST:
        what = f"on {loopback} " if loopback is not None else ""
        raise DataError(
            f"{len(rows)} crossings {what}came in {heard.status.get('signal_s', 0):g} s, and {FEWEST} are the fewest; "
            f"measure for longer (--seconds), or with a lower --set detect.threshold"
        )
    facts["latency_ms"] = summary_ms(stages_s(rows, rate, first, chunk))
    facts["engine_cpu"] = round(heard.status["cpu_s"] / max(heard.status["elapsed_s"], 1e-9), 3)
    facts["engine_latency_ms"] = heard.status["latency_ms"]
    if loopback is not None:
        facts["loopback"] = {"channel": loopback, **_loopback(rows, heard.marks, after)}
    return facts


def _pulses(rows: NDArray[np.void], after: int, to_sample: int, n_channels: int) -> tuple[int, NDArray[np.void], int]:
    """Return how many pulses were there, the crossings (ROW) that are theirs, and how many pulses have one."""
    of = pulses_of(rows["crossing"], rows["channel"].astype(np.int64), n_channels)
    planted = np.arange(-(-after // SPACING), to_sample // SPACING)  # those that lie in it as a whole
    own = np.isin(of, planted)
    return len(planted), rows[own], len(np.unique(of[own]))


def _position(label: str, info: dict[str, Any]) -> int:
    """Return the position of a channel; raise ConfigError when there is none of this label."""
    labels = [str(x) for x in info["channels"]["label"]]
    if label.startswith("#") and label[1:].isdigit() and int(label[1:]) < len(labels):
        return int(label[1:])
    if label not in labels:
        raise ConfigError(f"--loopback: no channel {label!r}; {nearest(label, labels)}")
    return labels.index(label)


def _loopback(rows: NDArray[np.void], parts: Sequence[NDArray[np.void]], after: int) -> dict[str, Any]:
    """Return what the pulses on one channel show of the way before this computer."""
    marks = np.concatenate([np.empty(0, MARK_DTYPE), *parts])
    marks = marks[marks["sample"] >= after]
    facts: dict[str, Any] = {}
    outside = (marks["line"] != PERSON) & (marks["line"] < FIRST_TRIGGER)
    for name, own in (("markers", marks[outside]), ("triggers", marks[marks["line"] >= FIRST_TRIGGER])):
        if len(own):
            by_time, until_received = after_marks_s(rows, np.sort(own, order="time"), ANSWER_S)
            facts[name] = {"sent": len(own), "by_stamps": as_facts(by_time), "whole_way": as_facts(until_received)}
    distances = np.diff(rows["crossing"])
    if len(distances) and np.ptp(np.percentile(distances, [25, 75])) <= STEADY * np.median(distances):
        period_s, behind = behind_period_s(rows)
        facts["periodic"] = {"period_s": round(period_s, 9), "behind_fastest": as_facts(behind)}
    if not facts:
        facts["nothing"] = LOOPBACK
    return facts
