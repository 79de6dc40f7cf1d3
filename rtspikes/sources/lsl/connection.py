"""One connection to one stream: its samples into the caller's memory, and the offset of its clock.

The thread `correcting` measures the offset until `close`; everything else belongs to the caller's thread.
"""

from __future__ import annotations

import ctypes
import math
import platform
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import SourceError
from rtspikes.lsl import load
from rtspikes.lsl.metadata import FORMATS, Described, LayoutOverrides, describe
from rtspikes.sources.lsl.offset import ClockOffset, Offset
from rtspikes.types import Samples

OPEN_S = 5.0
"""How long a stream that was found may take to let us in."""

WAIT_S = 0.1
"""How long a pull waits for the first sample."""

MEASURE_S = 2.0
"""How often the offset of the clocks is measured; liblsl itself measures each 2 s."""

MOST_BUFFERED = 512 * 1024 * 1024
"""Bytes that liblsl's queue may take; it counts whole seconds, so one second is the least."""


MOST_ROWS = 32_768
"""Rows of one pull at most."""


class Lost(Exception):
    """The stream's sender has gone."""


class Connection:
    """An inlet to the stream `found` (pylsl.StreamInfo), whose description is read at once.

    Raises SourceError when the stream does not answer, or cannot be used.
    """

    def __init__(self, found: Any, uri: str, settings: LayoutOverrides, buffer_s: float) -> None:
        pylsl = load()
        self.uid = str(found.uid())
        described = self._describe(pylsl, found, uri, settings)
        self.info, self.warnings = described.info, described.warnings
        self.nominal_hz = float(found.nominal_srate()) or self.info.rate_hz
        frame = FORMATS[found.channel_format()].n_bytes * found.channel_count()
        most_s = MOST_BUFFERED / (frame * self.info.rate_hz)
        self.buffer_s = max(1, math.floor(min(buffer_s, most_s)))
        # Without liblsl's own recovery: it would not say that anything happened, and wait for ever for a stream whose
        # layout has changed.
        buffered = self.buffer_s if found.nominal_srate() > 0 else math.ceil(self.buffer_s * self.info.rate_hz / 100)
        self._inlet = pylsl.StreamInlet(found, max_buflen=buffered, recover=False)
        self._lost_error, self._handle_error = pylsl.util.LostError, pylsl.util.handle_error
        self._stamps = np.empty(MOST_ROWS)
        self._pull_error = ctypes.c_int()
        self._pull_error_at = ctypes.byref(self._pull_error)
        same_dtype = self._inlet.np_dtype == np.dtype(self.info.dtype)
        self._converted = None if same_dtype else np.empty((4096, self.info.n_channels), self._inlet.np_dtype)
        self.offset = ClockOffset(found.hostname() == platform.node())
        self._measure = _offset_function(pylsl)
        self._closing = threading.Event()
        self._correcting = threading.Thread(target=self._correct, name="rtspikes-correcting", daemon=True)
        self.offset_jumps = 0
        self.failed: BaseException | None = None
        """What ended the thread that measures the clocks' offset."""

    @staticmethod
    def _describe(pylsl: Any, found: Any, uri: str, settings: LayoutOverrides) -> Described:
        """Return the stream's layout: checked by what its announcement says before the whole description is fetched."""
        describe(found, uri, _Sizes(settings))
        asking = pylsl.StreamInlet(found, max_buflen=1, recover=False)
        try:
            return describe(asking.info(timeout=OPEN_S), uri, settings)
        except RuntimeError as error:
            raise SourceError(f"{uri}: the stream was found, but does not answer ({error})") from None

    def open(self) -> None:
        """Let samples come, if they do not yet; raise SourceError when the sender does not let us in."""
        if self._correcting.ident is not None:
            return
        try:
            self._inlet.open_stream(OPEN_S)
        except RuntimeError as error:
            raise SourceError(f"{self.info.uri}: the stream does not let us in ({error})") from None
        self._correcting.start()

    def pull(self, rows: Samples, wait_s: float = WAIT_S) -> NDArray[np.float64]:
        """Write what has come into `rows` (n, channels); return the raw stamps, none after `wait_s` without samples.

        Raises Lost.
        """
        target = rows if self._converted is None else self._converted
        most = min(len(rows), len(target), MOST_ROWS)
        n = self._pull(target, 0, 1, wait_s)
        if n and most > 1:
            n += self._pull(target, 1, most - 1, 0.0)
        if self._converted is not None and n:
            with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf, held and counted
                rows[:n] = self._converted[:n]
        return self._stamps[:n].copy()

    def _pull(self, rows: Samples, at: int, most: int, wait_s: float) -> int:
        """Let liblsl write up to `most` rows, and their stamps, from `at` on; return how many came.

        What pylsl's `pull_chunk(dest_obj=…, min_samples=1)` does, without the types and arrays that it makes each time:
        the same two calls took 87 µs of each millisecond there.
        """
        error, n_channels = self._pull_error, self.info.n_channels
        values = self._inlet.do_pull_chunk(
            self._inlet.obj,
            ctypes.c_void_p(rows.ctypes.data + at * rows.strides[0]),
            ctypes.c_void_p(self._stamps.ctypes.data + at * self._stamps.itemsize),
            ctypes.c_size_t(most * n_channels),
            ctypes.c_size_t(most),
            ctypes.c_double(wait_s),
            self._pull_error_at,
        )
        if error.value:
            self._check(error)
        return int(values) // n_channels

    def _check(self, error: ctypes.c_int) -> None:
        """Raise what liblsl's error means."""
        try:
            self._handle_error(error)
        except self._lost_error:
            raise Lost from None
        except RuntimeError as failed:
            raise SourceError(f"{self.info.uri}: liblsl failed: {failed}") from None

    @property
    def waiting(self) -> int:
        """Samples in liblsl's queue."""
        return int(self._inlet.samples_available())

    def close(self) -> None:
        """Disconnect."""
        self._closing.set()
        if self._correcting.ident is not None:
            self._correcting.join()
        self._inlet.close_stream()
        del self._inlet

    # correcting thread

    def _correct(self) -> None:
        try:
            while not self._closing.is_set():
                measured = self._measure(self._inlet.obj, WAIT_S)
                if measured is not None and self.offset.add(measured):
                    self.offset_jumps += 1
                self._closing.wait(MEASURE_S if measured is not None else WAIT_S)
        except BaseException as error:
            self.failed = error


class _Sizes:
    """Overrides with which any unit and rate is accepted: for a first look at the sizes only."""

    def __init__(self, settings: LayoutOverrides) -> None:
        self.uv_per_unit = settings.uv_per_unit or 1.0
        self.rate_hz = settings.rate_hz


def _offset_function(pylsl: Any) -> Any:
    """Return a function (inlet, timeout s) → Offset, None when the sender does not answer in time."""
    function = pylsl.lib.lib.lsl_time_correction_ex
    function.restype = ctypes.c_double

    def measure(inlet: Any, timeout_s: float) -> Offset | None:
        at_s, uncertain_s, error = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
        offset_s = function(
            inlet, ctypes.byref(at_s), ctypes.byref(uncertain_s), ctypes.c_double(timeout_s), ctypes.byref(error)
        )
        return None if error.value else Offset(at_s.value, float(offset_s), uncertain_s.value)

    return measure
