"""Real-time spikes from multi-electrode arrays: source → ring → detect → publish ══ZeroMQ══▶ subscribers.

>>> import rtspikes
>>> with rtspikes.subscribe("tcp://127.0.0.1:5570") as s:      # doctest: +SKIP
...     for batch in s:
...         print(batch.spikes["channel"], batch.missed)
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rtspikes.detect as _detection  # noqa: F401  (registers the package, so that the function below keeps its name)
from rtspikes.errors import (
    ConfigError,
    DataError,
    EngineVanished,
    RequestError,
    RtspikesError,
    SourceError,
    TransportError,
)
from rtspikes.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from rtspikes.config import Config
    from rtspikes.detect.changes import Change
    from rtspikes.detect.settings import DetectSettings
    from rtspikes.subscribers.log.reader import Session
    from rtspikes.wire.batch import Batch, Missed
    from rtspikes.wire.control import Control, control
    from rtspikes.wire.subscribe import Subscriber, subscribe

__all__ = [
    "Batch",
    "ConfigError",
    "Control",
    "DataError",
    "EngineVanished",
    "Missed",
    "RequestError",
    "RtspikesError",
    "SourceError",
    "Subscriber",
    "TransportError",
    "__version__",
    "control",
    "detect",
    "read_session",
    "subscribe",
]

if not TYPE_CHECKING:
    _WIRE = {"Batch": "batch", "Missed": "batch", "Subscriber": "subscribe", "subscribe": "subscribe"}
    _WIRE |= {"Control": "control", "control": "control"}

    def __getattr__(name: str) -> Any:
        """Load what talks to engines, and with it ZeroMQ and NumPy, when it is asked for."""
        if name not in _WIRE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"rtspikes.wire.{_WIRE[name]}"), name)


def detect(
    recording: str | Path | ArrayLike,
    settings: Config | DetectSettings | Mapping[str, Any] | str | Path | None = None,
    *,
    rate_hz: float | None = None,
    uv_per_unit: float | None = None,
    changes: Iterable[tuple[int, Change]] = (),
) -> tuple[NDArray[np.void], NDArray[np.float32]]:
    """Detect the spikes of a whole recording; see `rtspikes.offline.detect` (loads the kernels at the first call)."""
    from rtspikes.offline import detect as run

    return run(recording, settings, rate_hz=rate_hz, uv_per_unit=uv_per_unit, changes=changes)


def read_session(path: str | Path) -> Session:
    """Open a session log; see `rtspikes.subscribers.log.reader.read_session`."""
    from rtspikes.subscribers.log.reader import read_session as read

    return read(path)
