"""What the engine asks of a source, and nothing more; a device adapter needs only this file and `types`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import GapCause, Samples, StreamInfo


class Hole(NamedTuple):
    """Samples missing inside a pull: `lost` of them just before row `offset` (offset = n: after the last row).

    How many were lost is known to ± `uncertain` samples.
    """

    offset: int
    lost: int
    cause: GapCause = GapCause.SOURCE
    uncertain: int = 0


class Anchor(NamedTuple):
    """Row `offset` of a pull happened at `time_s` (LSL clock), and the rows behind it follow at `rate_hz`.

    Anchors of one clock segment follow each other without a jump. A new segment says `reset`. An offset below 0 means
    the sample so many before row 0: its time is known better now.
    """

    offset: int
    time_s: float
    rate_hz: float
    reset: bool = False


class Remark(NamedTuple):
    """Something that happened to the source at row `offset` and that a person should know: becomes a notice.

    `amount` is the notice's `count`, `facts` are further entries of it: numbers, texts.
    """

    offset: int
    cause: str
    text: str
    amount: int = 1
    facts: Mapping[str, Any] = MappingProxyType({})


class Mark(NamedTuple):
    """A mark inside the signal: row `offset` is the first with the line's new value.

    `line` counts from 1; `facts["lines"]` of the source's `StreamInfo` names the lines in that order. An offset below 0
    means the row so many before row 0: it was heard of late, and blanks only if that row is not detected yet. Channels
    of kind `trigger` need no marks: their changes are found in the samples.
    """

    offset: int
    line: int
    value: int
    text: str = ""


class Pull(NamedTuple):
    """What one pull brought.

    `n` rows were written to the start of the destination. The first pull that brings rows has an anchor at row 0;
    later ones come when the source's clock is known better, or begins a new segment. `ended`: this stream has ended.
    With `another` the source goes on with another layout: from then on `info` and `first_sample` are its, and the
    engine calls `start` again, once everything behind it is ready.
    """

    n: int
    holes: tuple[Hole, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    remarks: tuple[Remark, ...] = ()
    ended: bool = False
    another: bool = False
    marks: tuple[Mark, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A signal: opened as a context manager, started once everything behind it is ready, then pulled."""

    @property
    def info(self) -> StreamInfo:
        """The layout; known from `__enter__` on."""

    @property
    def first_sample(self) -> int:
        """Absolute index of the first sample that will be pulled."""

    def __enter__(self) -> Self:
        """Open; raise SourceError or DataError when that is not possible."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close."""

    def start(self) -> None:
        """Let samples come: readers are ready."""

    def pull(self, destination: Samples) -> Pull:
        """Write what has arrived into `destination` (n, channels); wait 0.1 s at most when nothing has.

        Rows of `destination` behind the n returned may be written to.
        """

    def cancel(self) -> None:
        """End a waiting pull at once (called from another thread)."""

    def status(self) -> dict[str, Any]:
        """Return figures about the source for the `status` message."""


class Crew(Protocol):
    """Threads that share a piece of work."""

    @property
    def size(self) -> int:
        """How many work at the same time, the caller's own thread among them."""

    def run(self, job: Callable[[int], None], n: int) -> None:
        """Call `job` with 0 … n − 1, n ≤ size, at the same time; return once all have ended, raise what one raised."""


@runtime_checkable
class Truth(Protocol):
    """What a simulation knows of its own spikes, by absolute sample index alone."""

    @property
    def rate_hz(self) -> float:
        """Sampling rate of the stream that it belongs to."""

    @property
    def n_channels(self) -> int:
        """Channels of that stream."""

    @property
    def visible_uv(self) -> float:
        """Trough (µV, raw) from which on a spike stands well above its electrode's noise and should be found."""

    def spikes(self, first: int, end: int) -> NDArray[np.void]:
        """Return TRUTH_DTYPE, ordered by (sample, channel): all spikes whose trough lies in [first, end)."""
