"""What `stream` tells: lines for a person, figures that stay in place on a terminal, and the file of faults."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from rtspikes.errors import ConfigError, DataError, reason
from rtspikes.sources.faults import FaultSettings
from rtspikes.sources.lsl.feed import Feed
from rtspikes.sources.lsl.happenings import Began, Consumers, Event, Fault, Late, Said

if TYPE_CHECKING:
    import rich.progress

FIGURES_EVERY_S = 1.0


class Record:
    """The file of faults: JSON lines, each there as soon as it is known. None: no file."""

    def __init__(self, path: Path | None) -> None:
        if path is not None and (not path.name or str(path) == "-" or path.is_dir()):
            raise ConfigError(f"--faults must be the name of a file, new or old, got {str(path)!r}")
        self._path = path

    def __enter__(self) -> Self:
        """Begin the file anew."""
        try:
            self._file = None if self._path is None else open(self._path, "wb", buffering=0)
        except OSError as error:
            raise self._refused(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def write(self, entry: dict[str, Any]) -> None:
        """Write a line; raise DataError when it cannot be written whole."""
        if self._file is None:
            return
        left = (json.dumps(entry) + "\n").encode()
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> DataError:
        return DataError(f"--faults: cannot write {self._path}: {reason(error)}; choose another file")


class Display:
    """Lines on stderr; on a terminal the figures are below them, in place."""

    def __init__(self) -> None:
        self._progress: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        """Take the lowest line of a terminal."""
        if sys.stderr.isatty():
            import rich.progress
            from rich.console import Console

            column = rich.progress.TextColumn("{task.description}", markup=False)
            console = Console(stderr=True, highlight=False)
            self._progress = rich.progress.Progress(column, console=console, auto_refresh=False)
            self._progress.start()
            self._task = self._progress.add_task("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.stop()

    def say(self, text: str) -> None:
        """Write a line."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, soft_wrap=True)
        else:
            click.echo(text, err=True)

    def figures(self, text: str) -> None:
        """Show how it goes."""
        if self._progress is not None:
            self._progress.update(self._task, description=text, refresh=True)
        else:
            click.echo(text, err=True)


class Teller:
    """Tells what a feed says of itself: each event as it comes, and figures once a second."""

    def __init__(self, display: Display, file: Record, feed: Feed, injected: FaultSettings, wait: bool) -> None:
        self._display, self._file, self._feed, self._injected, self._wait = display, file, feed, injected, wait
        self._shown_s = time.monotonic()

    def tell(self, events: Iterable[Event]) -> None:
        """Tell of each event, and how it goes."""
        for event in events:
            if isinstance(event, Fault):
                self._file.write(_entry(event))
            if text := self._line(event):
                self._display.say(text)
        if time.monotonic() - self._shown_s >= FIGURES_EVERY_S:
            self._shown_s = time.monotonic()
            feed = self._feed
            text = f"{feed.signal_samples / feed.rate_hz:8.1f} s  sent {feed.sent}  lost {feed.lost}  late {feed.late}"
            self._display.figures(text if feed.consumers else f"{text}  no consumer")

    def end(self) -> None:
        """Write the totals."""
        self._file.write({"fault": "end", **self._feed.totals()})

    def _line(self, event: Event) -> str | None:
        """Return what a person reads about an event; None when that is nothing."""
        if isinstance(event, Late):
            n = event.pushes
            return f"{n} push{'es' * (n != 1)} late, by up to {event.worst_s * 1e3:.0f} ms"
        if isinstance(event, Consumers):
            return "a consumer is there" if event.there else "no consumer is there"
        if isinstance(event, Said):
            return f"the source: {event.text}"
        where = f"sample {event.sample} ({event.sample / self._feed.rate_hz:.3f} s): {event.fault}"
        if isinstance(event, Began):
            return f"{where}: {text}" if (text := self._lasting(event.fault)) else None
        if event.fault == "stall":
            return f"{where}: over, {event.facts['held']} samples sent at once"
        if event.fault == "clock-step":
            step_s = event.facts["step_s"]
            return f"{where}: from here on stamps are {abs(step_s):g} s {'later' if step_s > 0 else 'earlier'}"
        return f"{where}: {event.lost} sample{'s' * (event.lost != 1)} lost"

    def _lasting(self, fault: str) -> str | None:
        """Return what is going to happen during a fault that is long enough to be told when it begins."""
        injected = self._injected
        back = " and until a consumer is back" if self._wait else ""
        return {
            "pause": f"nothing is sent for {injected.pause_for_s:g} s",
            "disconnect": f"no outlet for {injected.disconnect_for_s:g} s{back}",
            "stall": f"nothing is sent for {injected.stall_for_s:g} s, and then all of it",
        }.get(fault)


def _entry(fault: Fault) -> dict[str, Any]:
    """Return a fault as a line of the file."""
    row = {"fault": fault.fault, "sample": fault.sample, "lost": fault.lost, "time_s": fault.time_s}
    return row | dict(fault.facts)


def summary(feed: Feed, name: str) -> str:
    """Return what has come of it all, for stdout."""
    late = f"{feed.late} push{'es' * (feed.late != 1)} late"
    if feed.late:
        late += f", by up to {feed.worst_s * 1e3:.0f} ms"
    return (
        f"sent {feed.sent} samples of {feed.n_channels} channels as {name!r}, "
        f"{feed.signal_samples / feed.rate_hz:g} s of signal; {feed.lost} lost; {late}"
    )
