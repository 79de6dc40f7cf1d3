"""Offline detection: the detector of the live path, fed from a file or an array instead of a ring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtspikes.blanking import BlankRules
from rtspikes.clock import SampleClock
from rtspikes.config import Config, noise_from_file, resolve_settings
from rtspikes.detect.changes import Change
from rtspikes.detect.detector import Detector, Events
from rtspikes.detect.settings import DetectSettings
from rtspikes.errors import ConfigError
from rtspikes.lines import marker_lines, stream_lines
from rtspikes.sources.formats import Recording, open_recording
from rtspikes.triggers import TriggerEdges
from rtspikes.types import ChannelInfo, Samples, StreamInfo

BLOCK = 8192
"""Samples in memory at a time."""


class MemoryRecording:
    """Samples (time, channels) in memory, in the form of a recording."""

    def __init__(self, info: StreamInfo, samples: Samples) -> None:
        """info: of a stream of exactly these samples."""
        self.info = info
        self.samples = samples

    def read(self, start: int, destination: Samples) -> None:
        """Write the samples [start, start + len(destination)) into `destination`."""
        destination[:] = self.samples[start : start + len(destination)]


def array_recording(samples: ArrayLike, rate_hz: float | None, uv_per_unit: float | None) -> MemoryRecording:
    """Return an array (time, channels) of int16 or float32 as a recording; raise ConfigError where it is none."""
    array = np.asarray(samples)
    if array.ndim == 1:
        array = array[:, None]
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.ndim != 2 or not array.size or array.dtype not in (np.int16, np.float32):
        raise ConfigError(
            f"an array must be (time, channels), not empty, of int16, float32 or float64, "
            f"got shape {array.shape} of {array.dtype}"
        )
    if array.shape[1] > 10 * len(array):
        raise ConfigError(
            f"an array must be (time, channels), got {len(array)} samples of {array.shape[1]} channels; "
            f"pass its transpose, array.T"
        )
    if rate_hz is None or not rate_hz > 0:
        raise ConfigError(f"an array needs its sampling rate: detect(array, settings, rate_hz=…), got {rate_hz}")
    gain = 1.0 if uv_per_unit is None else uv_per_unit
    info = StreamInfo(
        uri="array:",
        rate_hz=float(rate_hz),
        dtype="int16" if array.dtype == np.int16 else "float32",
        channels=tuple(ChannelInfo(str(i), i, gain_uv=gain) for i in range(array.shape[1])),
        live=False,
        n_samples=len(array),
    )
    return MemoryRecording(info, array)


def detect(
    recording: str | Path | ArrayLike,
    settings: Config | DetectSettings | Mapping[str, Any] | str | Path | None = None,
    *,
    rate_hz: float | None = None,
    uv_per_unit: float | None = None,
    changes: Iterable[tuple[int, Change]] = (),
) -> tuple[NDArray[np.void], NDArray[np.float32]]:
    """Detect the spikes of a whole recording: what a live run on the same samples would publish, byte for byte.

    Parameters
    ----------
    recording
        A file (as for `rtspikes replay`) or an array (time, channels), int16 or float32.
    settings
        A Config, DetectSettings, a mapping of the TOML tables (`{"detect": {"threshold": 4}}`), a TOML file, or None
        for the defaults.
    rate_hz
        Sampling rate of an array (Hz).
    uv_per_unit
        µV per unit of the samples; for a file it overrides the sidecar, for an array the default is 1.
    changes
        Changes of detection (`rtspikes.detect.changes`), each with the sample from which it is in force.

    Returns
    -------
    spikes
        Structured array of SPIKE_DTYPE, ordered by (crossing, channel); `time` is sample / rate (s).
    waveforms
        float32 (spikes, samples), µV of the filtered signal.

    Raises
    ------
    ConfigError, DataError
        For settings and changes that do not fit, and files that cannot be read.
    """
    config = resolve_settings(settings)
    source: Recording
    if isinstance(recording, str | Path):
        gain = config.source.uv_per_unit if uv_per_unit is None else uv_per_unit
        source = open_recording(Path(recording), gain)
    else:
        source = array_recording(recording, rate_hz, uv_per_unit)
    events = list(Passage(source, config, changes))
    spikes = np.concatenate([e.spikes for e in events])
    clock = SampleClock(source.info.rate_hz)
    clock.anchor(0, 0.0)
    spikes["time"] = clock.times(spikes["sample"])
    return spikes, np.concatenate([e.waveforms for e in events])


class Passage:
    """A recording on its way through a detector, once: iterating gives what each block brought, the end last.

    `detector` is the one that it goes through. Raises ConfigError and DataError as `detect` does.
    """

    def __init__(
        self,
        source: Recording,
        config: Config,
        changes: Iterable[tuple[int, Change]] = (),
        looked_at: bool = False,
    ) -> None:
        """looked_at: blocks are short enough for `detector.filtered` to tell of the whole of each."""
        self._source = source
        self._total = source.info.n_samples or 0
        self.detector = Detector(
            source.info, config.detect, config.channels, sigma_uv=noise_from_file(config, source.info)
        )
        self._block = min(BLOCK, self.detector.longest_look) if looked_at else BLOCK
        self._marks = _Marks(config, source.info, self.detector)
        for sample, change in changes:
            self.detector.schedule(change, sample)

    def __iter__(self) -> Iterator[Events]:
        """Go through the recording."""
        if self.detector.initial_samples:
            start = self._read(0, min(self.detector.initial_samples, self._total))
            self._marks.look(start, 0)
            self.detector.learn([(start, 0)])
        for first in range(0, self._total, self._block):
            block = self._read(first, min(self._block, self._total - first))
            self._marks.look(block, first)
            yield self.detector.process(block, first)
        yield self.detector.finish()

    def _read(self, start: int, n: int) -> Samples:
        block = np.empty((n, self._source.info.n_channels), self._source.info.dtype)
        self._source.read(start, block)
        return block


def excerpts(
    source: Recording,
    config: Config,
    places: Iterable[tuple[int, int]],
    before: int,
    after: int,
    changes: Iterable[tuple[int, Change]] = (),
    compared: bool = False,
) -> NDArray[np.float32]:
    """Return the filtered, referenced signal (µV) around places (sample, channel): (places, before + after).

    Samples [sample − before, sample + after); NaN outside of the recording. compared: what the method compares with
    its threshold instead. Goes through the whole recording.
    """
    rows = np.array(list(places), np.int64).reshape(-1, 2)
    found = np.full((len(rows), before + after), np.nan, np.float32)
    passage = Passage(source, config, changes, looked_at=True)
    detector = passage.detector
    look, delay = (detector.compared, detector.method.delay) if compared else (detector.filtered, 0)
    starts = rows[:, 0] - before + delay
    stops = starts + before + after
    done = 0
    for _ in passage:
        reached = detector.next_sample
        for i in np.flatnonzero((starts < reached) & (stops > done)):
            first, stop = max(int(starts[i]), done), min(int(stops[i]), reached)
            found[i, first - starts[i] : stop - starts[i]] = look([int(rows[i, 1])], first, stop)[:, 0]
        done = reached
    return found


class _Marks:
    """The marks inside a recording's signal, which blank as in a live run."""

    def __init__(self, config: Config, info: StreamInfo, detector: Detector) -> None:
        lines = [*marker_lines(each.uri for each in config.markers), *stream_lines(info)]
        self._blanking = BlankRules(config.blank, lines, info.channels)
        self._edges = TriggerEdges(info)
        self._detector = detector

    def look(self, samples: Samples, first: int) -> None:
        """Schedule what the marks in a block blank, before it is detected."""
        if self._blanking:
            for mark in self._edges.find(samples, first):
                for blank in self._blanking.of(int(mark["line"]), int(mark["value"])):
                    self._detector.schedule(blank, int(mark["sample"]))
