"""What a subscriber hands out: batches, and what is missing between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.types import CROSSING_DTYPE, GAP_DTYPE, MARK_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, UNOBSERVED_DTYPE
from rtspikes.wire.codec import INTERVAL_KINDS, Message


@dataclass(frozen=True, slots=True)
class Missed:
    """`count` messages of one kind, from number `first_seq` on, that this subscriber did not get.

    For `spikes` and `crossings`, events with a trigger in [from_sample, to_sample) may be among them. Of kind `end`:
    so many sessions before this one ended, or went by, without their `end` having come.
    """

    kind: str
    first_seq: int
    count: int
    from_sample: int | None = None
    to_sample: int | None = None


def _empty(dtype: np.dtype[np.void]) -> Any:
    return field(default_factory=lambda: np.zeros(0, dtype))


@dataclass(frozen=True, slots=True)
class Batch:
    """One message and what was missed before it; tables of other kinds are empty.

    Every event of this kind with a trigger before `to_sample` has now been delivered, or is in a `missed`.
    waveforms: (spikes, samples) float32 µV. flags: (spikes,) uint8, SpikeFlag bits. neighbours: (spikes, K) float32
    µV, the filtered signal at `sample` on the electrodes that `info["neighbours"]` lists for the spike's channel (NaN:
    it has fewer); K = 0 where that was not asked for. texts: of `marks`, in their order. superseded: with `latest`,
    messages of this kind that came and were replaced before they were taken. fields: the message's map as it came.
    """

    kind: str
    session: str
    from_sample: int
    to_sample: int
    spikes: NDArray[np.void] = _empty(SPIKE_DTYPE)
    waveforms: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    flags: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    neighbours: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    crossings: NDArray[np.void] = _empty(CROSSING_DTYPE)
    rejected: NDArray[np.void] = _empty(REJECTED_DTYPE)
    gaps: NDArray[np.void] = _empty(GAP_DTYPE)
    unobserved: NDArray[np.void] = _empty(UNOBSERVED_DTYPE)
    marks: NDArray[np.void] = _empty(MARK_DTYPE)
    texts: tuple[str, ...] = ()
    thresholds: NDArray[np.void] | None = None
    missed: tuple[Missed, ...] = ()
    superseded: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


def batch_of(message: Message, missed: tuple[Missed, ...]) -> Batch:
    """Return a message as a batch."""
    tables: dict[str, Any] = {} if message.table is None else {message.kind: message.table}
    for name in ("waveforms", "flags", "neighbours"):
        if (beside := getattr(message, name)) is not None:
            tables[name] = beside
    interval = message.kind in INTERVAL_KINDS
    return Batch(
        kind=message.kind,
        session=message.session,
        from_sample=message.fields["from_sample"] if interval else 0,
        to_sample=message.fields["to_sample"] if interval else 0,
        texts=message.texts,
        missed=missed,
        fields=message.fields,
        **tables,
    )
