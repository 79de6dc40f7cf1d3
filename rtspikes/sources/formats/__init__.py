"""Recording files: one reader per format, one table suffix → reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rtspikes.errors import DataError
from rtspikes.sources.formats.raw import RawRecording
from rtspikes.types import Samples, StreamInfo


class Recording(Protocol):
    """A file of samples that can be read anywhere."""

    @property
    def info(self) -> StreamInfo:
        """The layout; `n_samples` is known."""

    def read(self, start: int, destination: Samples) -> None:
        """Write the samples [start, start + len(destination)) into `destination` (n, channels)."""


READERS: dict[str, Callable[[Path, float | None], Recording]] = {".raw": RawRecording}


def open_recording(path: Path, uv_per_unit: float | None = None) -> Recording:
    """Open a recording by its suffix; raise DataError when it is missing, damaged or of an unknown format."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown format {path.suffix or 'without suffix'!r}; known: {', '.join(READERS)}")
    return reader(path, uv_per_unit)
