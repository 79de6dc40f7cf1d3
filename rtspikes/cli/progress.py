"""How it goes, on stderr: a bar on a terminal, a plain line per second otherwise, and what is waited for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    import rich.progress

    from rtspikes.sources.settings import SourceSettings
    from rtspikes.types import StreamInfo

SLOW_S = 2.0
"""What takes longer is announced."""


@contextmanager
def said_if_slow(text: str, unless: Callable[[], bool] = lambda: False, after_s: float = SLOW_S) -> Iterator[None]:
    """Say `text` when the block has not ended after some time (s), unless `unless()` is true by then."""
    timer = threading.Timer(after_s, lambda: None if unless() else click.echo(text, err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Bar:
    """A bar on a terminal for as long as the block lasts; elsewhere nothing."""

    def __init__(self, total: float | None) -> None:
        """total: where it ends, if that is known."""
        self._total = total
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        """Draw the bar on a terminal."""
        if sys.stderr.isatty():
            import rich.progress
            from rich.console import Console

            columns = (rich.progress.BarColumn(20), rich.progress.TextColumn("{task.description}"))
            self._bar = rich.progress.Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class Progress(_Bar):
    """Shows each new status once."""

    def __init__(self, info: StreamInfo, source: SourceSettings) -> None:
        total_s: float | None = None
        if info.n_samples is not None and not source.loop:
            total_s = (source.stop_s or info.n_samples / info.rate_hz) - source.start_s
        super().__init__(total_s)
        self._shown: dict[str, Any] = {}

    def show(self, status: dict[str, Any]) -> None:
        """Show a status if it is another than the last."""
        if not status or status is self._shown:
            return
        self._shown = status
        if self._bar is not None:
            self._bar.update(self._task, completed=status["signal_s"], description=short_line(status))
        else:
            click.echo(status_line(status), err=True)


class Steps(_Bar):
    """Shows how many of some steps are done: a bar on a terminal, else a line for each kind of step."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._said = ""

    def done(self, text: str, steps: float = 1) -> None:
        """Say that another step of a kind is done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=steps, description=text)
        elif text != self._said:
            click.echo(text, err=True)
        self._said = text


def samples_lost(status: dict[str, Any]) -> int:
    """Return the samples lost so far, for whatever cause."""
    counts = status.get("counts", {})
    return int(counts.get("lost_source", 0) + counts.get("lost_overrun", 0))


def short_line(status: dict[str, Any]) -> str:
    """Return what fits beside a bar: position, rate, losses, how late crossings and the replay are (p99)."""
    latency = status["latency_ms"].get("total", {})
    text = f"{status['signal_s']:.0f} s  {status['spikes_per_s']:.0f}/s  lost {samples_lost(status)}"
    if latency:
        text += f"  out after {latency['p99']:.1f} ms"
    if lateness := status["source"].get("lateness_ms"):
        text += f"  late {lateness['p99']:.1f} ms"
    return text


def status_line(status: dict[str, Any]) -> str:
    """Return the figures of a `status` message as one line; losses are always there."""
    latency = status["latency_ms"].get("total", {})
    parts = [
        f"{status['signal_s']:8.1f} s",
        f"{status['spikes_per_s']:8.1f} spikes/s",
        f"lost {samples_lost(status)}",
        f"ring {status['ring_fill']:.0%}",
        f"subscribers {status['subscribers']}",
    ]
    if latency:
        parts.append(f"out after p50 {latency['p50']:.2f} p99 {latency['p99']:.2f} ms")
    lateness = status["source"].get("lateness_ms")
    if lateness:
        parts.append(f"replay late p50 {lateness['p50']:.2f} p99 {lateness['p99']:.2f} ms")
    return "  ".join(parts)
