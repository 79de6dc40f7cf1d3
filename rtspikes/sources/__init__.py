"""Sources: one table scheme → opener; devices add schemes by the entry-point group `rtspikes.devices`.

A device's entry point is a callable `(address, settings, clock) -> Source`, `address` being what follows the scheme.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError, nearest
from rtspikes.protocols import Source
from rtspikes.sources.formats import open_recording
from rtspikes.sources.replay import FileSource
from rtspikes.sources.settings import SourceSettings

DEVICE_GROUP = "rtspikes.devices"

Opener = Callable[[str, SourceSettings, Clock], Source]


def _open_file(address: str, settings: SourceSettings, clock: Clock) -> Source:
    return FileSource(open_recording(Path(address), settings.uv_per_unit), settings, clock)


SCHEMES: dict[str, Opener] = {"file": _open_file}


def open_source(settings: SourceSettings, clock: Clock) -> Source:
    """Return the source that `settings.uri` names, not yet entered; raise ConfigError for an unknown scheme."""
    if settings.uri is None:
        raise ConfigError("source.uri is missing; say --source URI, for example --source file:recording.raw")
    scheme, colon, address = settings.uri.partition(":")
    if not colon or len(scheme) == 1:  # a bare path, or a Windows drive
        scheme, address = "file", settings.uri
    if scheme in SCHEMES:
        return SCHEMES[scheme](address, settings, clock)
    devices = {e.name: e for e in importlib.metadata.entry_points(group=DEVICE_GROUP)}
    if scheme in devices:
        opener: Opener = devices[scheme].load()
        return opener(address, settings, clock)
    raise ConfigError(f"source.uri: unknown scheme {scheme!r}; {nearest(scheme, [*SCHEMES, *devices])}")
