"""What the engine asks of a source, and nothing more; a device adapter needs only this file and `types`."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import GapCause, Samples, StreamInfo


class Hole(NamedTuple):
    """Samples missing inside a pull: `lost` of them just before row `offset` (offset = n: after the last row)."""

    offset: int
    lost: int
    cause: GapCause = GapCause.SOURCE


class Pull(NamedTuple):
    """What one pull brought.

    `n` rows were written to the start of the destination. `time_s` is the LSL time of the first of them where the
    source starts a clock segment there (the first pull always does), else None.
    """

    n: int
    time_s: float | None = None
    holes: tuple[Hole, ...] = ()
    ended: bool = False


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
        """Write what has arrived into `destination` (n, channels); wait 0.1 s at most when nothing has."""

    def cancel(self) -> None:
        """End a waiting pull at once (called from another thread)."""

    def status(self) -> dict[str, Any]:
        """Return figures about the source for the `status` message."""


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
