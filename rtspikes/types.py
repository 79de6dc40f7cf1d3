"""What travels along the data path: channels, streams, and the event dtypes, each defined once.

A "spike" here is an unsorted threshold event of one channel until a classifier gives it a unit.
All dtypes are packed and little-endian, so that a record on the wire, in the log and in memory is the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""Raw samples, int16 or float32, shape (time, channel), C order."""

SPIKE_DTYPE = np.dtype(
    [
        ("id", "<u8"),  # counts up from 0 in the order of (trigger, channel)
        ("sample", "<i8"),  # absolute index of the peak (of the crossing with align="crossing")
        ("crossing", "<i8"),  # absolute index of the trigger
        ("time", "<f8"),  # LSL clock, s, of `sample`
        ("channel", "<u4"),  # position in the stream
        ("unit", "<i4"),  # -1: unsorted
        ("amplitude_uv", "<f4"),  # filtered signal at `sample`, signed
        ("threshold_uv", "<f4"),  # the threshold that was crossed, signed
    ]
)

CROSSING_DTYPE = np.dtype(
    [
        ("id", "<u8"),
        ("crossing", "<i8"),
        ("time", "<f8"),  # LSL clock, s, of `crossing`
        ("channel", "<u4"),
        ("value_uv", "<f4"),  # filtered signal at the crossing, signed
        ("threshold_uv", "<f4"),
    ]
)

REJECTED_DTYPE = np.dtype(
    [
        ("id", "<u8"),
        ("crossing", "<i8"),
        ("time", "<f8"),  # LSL clock, s, of `crossing`
        ("channel", "<u4"),
        ("reason", "<u4"),  # RejectReason
        ("threshold_uv", "<f4"),
    ]
)

GAP_DTYPE = np.dtype(
    [
        ("sample", "<i8"),  # first absolute index that is missing
        ("lost", "<i8"),  # samples missing, on every channel; 0 for a seam
        ("time", "<f8"),  # LSL clock, s, of `sample`
        ("cause", "<u4"),  # GapCause
        ("uncertain", "<u4"),  # `lost` is known to ± so many samples
    ]
)

MARK_DTYPE = np.dtype(
    [
        ("sample", "<i8"),  # the absolute index that it marks
        ("time", "<f8"),  # LSL clock, s, of `sample`
        ("line", "<u2"),  # the digital line or marker stream; 0: set by a person or a program
        ("value", "<i4"),  # the line's value from `sample` on
    ]
)

THRESHOLD_DTYPE = np.dtype(
    [
        ("sample", "<i8"),  # in force from this absolute index on
        ("channel", "<u4"),
        ("sigma_uv", "<f4"),  # noise level; 0 while it is unknown: the channel has been dead so far
        ("negative_uv", "<f4"),  # threshold for falling crossings; NaN: none
        ("positive_uv", "<f4"),  # threshold for rising crossings; NaN: none
    ]
)


TRUTH_DTYPE = np.dtype(
    [
        ("sample", "<i8"),  # absolute index of the trough in the raw signal
        ("channel", "<u4"),  # an electrode that sees the spike
        ("unit", "<i4"),  # the neuron
        ("amplitude_uv", "<f4"),  # height of the trough at that electrode, > 0, raw
    ]
)
"""A spike of a simulation as one electrode sees it: as many rows as electrodes that do."""


UNOBSERVED_DTYPE = np.dtype(
    [
        ("sample", "<i8"),  # first absolute index of the interval
        ("stop", "<i8"),  # the first behind it
        ("channel", "<u4"),
        ("reason", "<u4"),  # UnobservedReason
    ]
)
"""An interval in which a channel could not have reported a spike; gaps, settling and muting are known otherwise.

Intervals of one channel and reason do not overlap, and come in order.
"""


class RejectReason(IntEnum):
    """Why an event that got an id is not a spike."""

    CUT = 1  # a gap or the end came before its peak search was complete
    REBOUND = 2  # the band-pass's own after-swing of a larger deflection just before
    COINCIDENCE = 3  # too many electrodes of its well crossed at the same moment
    NEIGHBOUR = 4  # the same spike stood out more at an electrode near by
    BLANKED = 5  # blanking began before its peak search was complete


class UnobservedReason(IntEnum):
    """Why a channel could not have reported a spike."""

    BLANKED = 1  # an artifact or a mark: the filter was held, or had not decayed yet
    STORM = 2  # more triggers than `storm.cap_per_s`: suppressed and counted


class SpikeFlag(IntFlag):
    """What is to be known of a spike beside its row."""

    COINCIDENT = 1  # many electrodes of its well crossed at the same moment


class GapCause(IntEnum):
    """Why samples are missing between two segments."""

    SOURCE = 1  # the source said so
    OVERRUN = 2  # the ring was full: detection was slower than the live source
    SEAM = 3  # a file's end joined to its start by --loop; nothing is missing
    PAUSE = 4  # the source fell silent and went on
    RECONNECT = 5  # the source was lost and found again
    BUFFER = 6  # the queue of this computer before the ring was overrun


OVERRUNS = (GapCause.OVERRUN, GapCause.BUFFER)
"""Causes that lie on this computer; what any other takes was lost by the source."""


ChannelKind = Literal["electrode", "reference", "ground", "aux", "trigger", "unconnected"]


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """One channel of a stream; `gain_uv` and `offset_uv` give µV = raw · gain_uv + offset_uv."""

    label: str
    position: int
    kind: ChannelKind = "electrode"
    electrode: str | None = None
    well: str | None = None
    x_um: float | None = None
    y_um: float | None = None
    gain_uv: float = 1.0
    offset_uv: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream's layout; constant for a session."""

    uri: str
    rate_hz: float
    dtype: Literal["int16", "float32"]
    channels: tuple[ChannelInfo, ...]
    live: bool  # live: nothing waits; paced: the writer waits for its readers
    n_samples: int | None = None  # where the length is known
    facts: dict[str, Any] = field(default_factory=dict)  # what the source adds: unit text, conversions, rails

    @property
    def n_channels(self) -> int:
        """Channels in the stream, of any kind."""
        return len(self.channels)

    @property
    def labels(self) -> list[str]:
        """Channel labels in stream order."""
        return [c.label for c in self.channels]
