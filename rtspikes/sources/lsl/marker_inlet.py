"""One connected marker stream: waits for its samples, and puts their stamps on this computer's clock."""

from __future__ import annotations

import math
import platform
import re
import threading
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from rtspikes import lsl
from rtspikes.errors import SourceError
from rtspikes.lsl.find import Query, find, parse_address
from rtspikes.lsl.text import quoted
from rtspikes.sources.lsl.offset import SAME_CLOCK_S

STEP_S = 0.2
"""Longest single wait."""

OPEN_S = 5.0
"""How long a stream that was found may take to let us in, and again to tell the offset of its clock."""

STEPS = round(OPEN_S / STEP_S)

MOST_QUEUED, QUEUED_S = 100_000, 10
"""liblsl's own queue: samples of a stream without a sampling rate, seconds of one with."""

MOST_AT_ONCE = 1024
"""Samples that are pulled at a time."""

MOST_CHANNELS, MOST_RATE_HZ = 64, 50_000.0
"""A stream beyond these is a signal, and its queue would take a signal's memory."""


class Pulled(NamedTuple):
    """Samples (n, channels), of dtype object with bytes or of a number, and their stamps (n,), float64.

    on_clock: whether the stamps are of this computer's LSL clock; else its offset from the sender's is not known.
    overrun: liblsl's queue was full, and samples before these may be lost.
    """

    samples: NDArray[Any]
    stamps: NDArray[np.float64]
    on_clock: bool
    overrun: bool


def check_layout(info: Any) -> None:
    """Raise SourceError unless the stream `info` (pylsl) can be one of markers."""
    name, channels, rate_hz = quoted(info.name()), info.channel_count(), info.nominal_srate()
    if not 1 <= channels <= MOST_CHANNELS:
        raise SourceError(f"a marker stream has 1 … {MOST_CHANNELS} channels, got {channels} of {name}")
    if not (math.isfinite(rate_hz) and 0 <= rate_hz <= MOST_RATE_HZ):
        raise SourceError(f"a marker stream has a rate of 0 … {MOST_RATE_HZ:g} Hz, got {rate_hz:g} Hz of {name}")
    if not 1 <= info.channel_format() <= 7 or not re.fullmatch(r"[0-9A-Za-z-]{1,64}", info.uid()):
        raise SourceError(f"the stream {name} is not as liblsl makes them: no known format, or no uid")


class MarkerInlet:
    """An inlet to the stream `info` (pylsl); all but the constructor raises RuntimeError when the stream is lost."""

    def __init__(self, info: Any, stop: threading.Event) -> None:
        """Prepare; `stop` cuts every wait short."""
        pylsl = lsl.load()
        self._info = info
        self._stop = stop
        self._itself = parse_address(f"uid={quote(info.uid(), safe='')}")
        self._regular = info.nominal_srate() > 0
        self._most = round(info.nominal_srate() * QUEUED_S) if self._regular else MOST_QUEUED
        # With a source_id liblsl keeps what came in when the connection breaks, and connects again. Without one it
        # gives up, and what was not pulled by then is lost.
        self._inlet = pylsl.StreamInlet(
            info, max_buflen=QUEUED_S if self._regular else MOST_QUEUED // 100, recover=bool(info.source_id())
        )
        self._timed_out: type[Exception] = pylsl.util.TimeoutError
        self._offset_s = 0.0
        self._offset_known = False
        self._patience = STEPS

    @property
    def of_changes(self) -> bool:
        """Whether the stream is sampled, as a digital line is, so that only a change of its numbers is a marker."""
        return self._regular and self._inlet.np_dtype is not None

    def open(self) -> None:
        """Let samples come from now on, and learn the offset of the sender's clock."""
        for left in reversed(range(STEPS)):
            try:
                self._inlet.open_stream(STEP_S)
                break
            except self._timed_out:
                if self._stop.is_set() or not left:
                    raise
        self._learn_offset()
        self._offset_known = self._offset_known or self._same_computer

    def _learn_offset(self) -> None:
        """Learn the offset as it is now; where the sender does not answer, the last one known stays."""
        while not self._stop.is_set():
            try:
                offset_s = self._inlet.time_correction(STEP_S if self._patience else 0.0)
            except self._timed_out:
                if not self._patience:
                    return
                self._patience -= 1
                continue
            same = self._same_computer and abs(offset_s) <= SAME_CLOCK_S
            self._offset_s, self._offset_known, self._patience = 0.0 if same else offset_s, True, STEPS
            return

    @property
    def _same_computer(self) -> bool:
        return bool(self._info.hostname() == platform.node())

    def pull(self) -> Pulled | None:
        """Return what has come, at most MOST_AT_ONCE samples; None after STEP_S without any."""
        samples, stamps = self._inlet.pull_chunk(STEP_S, 1, as_numpy=True)
        if not len(stamps):
            return None
        overrun = self._inlet.samples_available() >= self._most - 1
        try:
            more, more_stamps = self._inlet.pull_chunk(0.0, MOST_AT_ONCE - 1, as_numpy=True)
            samples, stamps = np.concatenate([samples, more]), np.concatenate([stamps, more_stamps])
            self._learn_offset()
        except RuntimeError:  # lost just now: what is here must not be lost, too; the next call says so again
            pass
        return Pulled(samples, stamps + self._offset_s, self._offset_known, overrun)

    def reconnected(self) -> bool:
        """Tell whether liblsl has lost the stream and found it again since this was last asked."""
        return bool(self._inlet.was_clock_reset())

    def is_there(self, query: Query, wait_s: float) -> bool:
        """Tell whether the stream, or one to which liblsl connects again by itself, answers within `wait_s` each."""
        if find(self._itself, wait_s, self._stop, settle_s=0.0):
            return True
        again = find(query, wait_s, self._stop) if self._info.source_id() else []
        return any(_identity(each) == _identity(self._info) for each in again)


def _identity(info: Any) -> tuple[Any, ...]:
    """Return by what liblsl knows a stream again."""
    return info.name(), info.type(), info.source_id(), info.channel_count(), info.channel_format()
