"""Gets the signal that thresholds are tried on into memory: from a file, or from anything that streams."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from rtspikes.clock import LslClock
from rtspikes.config import Config
from rtspikes.errors import DataError, SourceError
from rtspikes.offline import MemoryRecording
from rtspikes.sources import open_source
from rtspikes.sources.formats import Recording
from rtspikes.types import Samples, StreamInfo

MOST_BYTES = 1 << 30
"""Of samples in memory."""

LEAST_S = 2.0
"""A stretch that is shorter tells nothing."""

CHUNK_S = 0.05

PATIENCE_S = 10.0
"""A live source that brings nothing for so long is given up."""


@dataclass(frozen=True, slots=True)
class Material:
    """Contiguous samples, and what is to be known of them. first: the absolute index of the first one."""

    source: str
    recording: MemoryRecording
    first: int
    notes: tuple[str, ...] = ()

    @property
    def info(self) -> StreamInfo:
        """The layout; `n_samples` is how many are here."""
        return self.recording.info

    @property
    def samples(self) -> Samples:
        """The samples (time, channels), raw."""
        return self.recording.samples

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.info.n_samples or 0) / self.info.rate_hz


def from_recording(recording: Recording, name: str, start_s: float, seconds: float) -> Material:
    """Return `seconds` of a recording from `start_s` on, as far as there are; raise DataError when it is too little."""
    info = recording.info
    total = info.n_samples or 0
    first = round(start_s * info.rate_hz)
    n = min(total - first, _most(info, seconds))
    if n < LEAST_S * info.rate_hz:
        raise DataError(
            f"{name}: at least {LEAST_S:g} s are needed, got {max(0, n) / info.rate_hz:g} s from {start_s:g} s on"
        )
    samples = np.empty((n, info.n_channels), info.dtype)
    recording.read(first, samples)
    part = f"{n / info.rate_hz:g} s from {start_s:g} s on, of {total / info.rate_hz:g} s"
    return Material(name, _in_memory(info, samples), first, () if n == total else (part,))


def from_source(
    config: Config, seconds: float, progress: Callable[[float], None] = lambda s: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Material:  # fmt: skip
    """Return `seconds` of what the source brings: after a hole, anew, for three times as long at most.

    progress: called with the seconds that are here. stopped: asked whether to be content with these. Raises
    SourceError when too little comes, and what the source raises.
    """
    with open_source(config.source, LslClock()) as source:
        info = source.info
        chunk: Samples = np.empty((max(1, round(CHUNK_S * info.rate_hz)), info.n_channels), info.dtype)
        runs = _Runs(info, _most(info, seconds), source.first_sample)
        source.start()
        heard_s = time.monotonic()
        while not runs.enough and not stopped():
            pull = source.pull(chunk)
            if pull.n:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > PATIENCE_S:
                break
            begin = 0
            for hole in sorted(pull.holes):
                runs.add(chunk[begin : hole.offset])
                runs.skip(hole.lost)
                begin = hole.offset
            runs.add(chunk[begin : pull.n])
            progress(runs.longest / info.rate_hz)
            if pull.ended or pull.another:
                break
    best, first, lost = runs.best()
    if len(best) < LEAST_S * info.rate_hz:
        raise SourceError(
            f"{info.uri}: at least {LEAST_S:g} s without a loss are needed, got {len(best) / info.rate_hz:g} s"
        )
    notes = (f"{lost} samples were lost; the longest stretch between losses is shown",) if lost else ()
    return Material(info.uri, _in_memory(info, best), first, notes)


class _Runs:
    """Takes in samples with holes between them, and keeps the longest run without one."""

    def __init__(self, info: StreamInfo, wanted: int, first: int) -> None:
        self._wanted = wanted
        self._run: Samples = np.empty((wanted, info.n_channels), info.dtype)
        self._n = self._received = self._lost = 0
        self._first = self._next = first
        self._best, self._best_first = self._run[:0], first

    def add(self, samples: Samples) -> None:
        """Take in the next samples, as far as they are wanted."""
        kept = samples[: self._wanted - self._n]
        self._run[self._n : self._n + len(kept)] = kept
        self._n += len(kept)
        self._next += len(samples)
        self._received += len(samples)

    def skip(self, lost: int) -> None:
        """Begin a new run behind a hole."""
        self._best, self._best_first, _ = self.best()
        if self._n:
            self._best = self._best.copy()
        self._lost += lost
        self._next += lost
        self._first, self._n = self._next, 0

    @property
    def longest(self) -> int:
        """Samples of the longest run."""
        return max(self._n, len(self._best))

    @property
    def enough(self) -> bool:
        """Whether a run is as long as wanted, or three times as much has come."""
        return self._n >= self._wanted or self._received >= 3 * self._wanted

    def best(self) -> tuple[Samples, int, int]:
        """Return the longest run, the index of its first sample, and how many samples were lost in all."""
        mine = self._n >= len(self._best)
        return (self._run[: self._n], self._first, self._lost) if mine else (self._best, self._best_first, self._lost)


def source_config(config: Config, uri: str) -> Config:
    """Return the settings for taking in `uri`, a simulation as fast as it goes."""
    source = msgspec.structs.replace(config.source, uri=uri)
    if uri.startswith("sim:"):
        source = msgspec.structs.replace(source, speed="max")
    return msgspec.structs.replace(config, source=source)


def _most(info: StreamInfo, seconds: float) -> int:
    """Return how many samples are taken in at most."""
    row = info.n_channels * np.dtype(info.dtype).itemsize
    return min(math.ceil(seconds * info.rate_hz), MOST_BYTES // row)


def _in_memory(info: StreamInfo, samples: Samples) -> MemoryRecording:
    return MemoryRecording(dataclasses.replace(info, n_samples=len(samples), live=False), samples)
