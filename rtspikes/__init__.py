"""Real-time spikes from multi-electrode arrays: source → ring → detect → publish ══ZeroMQ══▶ subscribers.

>>> import rtspikes
>>> with rtspikes.subscribe("tcp://127.0.0.1:5570") as s:      # doctest: +SKIP
...     for batch in s:
...         print(batch.spikes["channel"], batch.missed)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rtspikes.detect as _detection  # noqa: F401  (registers the package, so that the function below keeps its name)
from rtspikes.errors import (
    ConfigError,
    DataError,
    EngineVanished,
    RtspikesError,
    SourceError,
    TransportError,
)
from rtspikes.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from rtspikes.config import Config
    from rtspikes.detect.settings import DetectSettings
    from rtspikes.subscribers.log.reader import Session
    from rtspikes.wire.subscribe import Batch, Missed, Subscriber, subscribe

__all__ = [
    "Batch",
    "ConfigError",
    "DataError",
    "EngineVanished",
    "Missed",
    "RtspikesError",
    "SourceError",
    "Subscriber",
    "TransportError",
    "__version__",
    "detect",
    "read_session",
    "subscribe",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load the subscriber, and with it ZeroMQ and NumPy, when it is asked for."""
        if name not in ("Batch", "Missed", "Subscriber", "subscribe"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from rtspikes.wire import subscribe as module

        return getattr(module, name)


def detect(
    recording: str | Path | ArrayLike,
    settings: Config | DetectSettings | Mapping[str, Any] | str | Path | None = None,
    *,
    rate_hz: float | None = None,
    uv_per_unit: float | None = None,
) -> tuple[NDArray[np.void], NDArray[np.float32]]:
    """Detect the spikes of a whole recording; see `rtspikes.offline.detect` (loads the kernels at the first call)."""
    from rtspikes.offline import detect as run

    return run(recording, settings, rate_hz=rate_hz, uv_per_unit=uv_per_unit)


def read_session(path: str | Path) -> Session:
    """Open a session log; see `rtspikes.subscribers.log.reader.read_session`."""
    from rtspikes.subscribers.log.reader import read_session as read

    return read(path)
