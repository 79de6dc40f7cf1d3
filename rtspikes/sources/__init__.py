"""Sources: one table scheme → opener; devices add schemes by the entry-point group `rtspikes.devices`.

A device's entry point is a callable `(address, settings, clock) -> Source`, `address` being what follows the scheme.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError, nearest
from rtspikes.protocols import Source
from rtspikes.sources.formats import open_recording
from rtspikes.sources.pulses import open_pulses
from rtspikes.sources.replay import FileSource
from rtspikes.sources.settings import SourceSettings

DEVICE_GROUP = "rtspikes.devices"

Opener = Callable[[str, SourceSettings, Clock], Source]


def _open_file(address: str, settings: SourceSettings, clock: Clock) -> Source:
    """Replay a recording at real speed: file:recording.raw."""
    if not address:
        raise ConfigError("source.uri must name a file, for example file:recording.raw, got nothing after file:")
    return FileSource(open_recording(Path(address), settings.uv_per_unit), settings, clock)


def _open_lsl(address: str, settings: SourceSettings, clock: Clock) -> Source:
    """Take a stream of the Lab Streaming Layer: lsl:NAME, or lsl:type=Ephys&hostname=rig."""
    from rtspikes.sources.lsl.source import LslSource

    return LslSource(address, settings, clock)


SCHEMES: dict[str, Opener] = {"file": _open_file, "lsl": _open_lsl, "pulses": open_pulses}


def known_schemes() -> dict[str, Callable[[], Opener]]:
    """Return what loads each scheme's opener; ours win over a device package's of the same name."""
    found: dict[str, Callable[[], Opener]] = {scheme: partial(SCHEMES.__getitem__, scheme) for scheme in SCHEMES}
    for entry in importlib.metadata.entry_points(group=DEVICE_GROUP):
        found.setdefault(entry.name, entry.load)
    return found


def open_source(settings: SourceSettings, clock: Clock) -> Source:
    """Return the source that `settings.uri` names, not yet entered; raise ConfigError for an unknown scheme."""
    if not settings.uri:
        raise ConfigError("source.uri is missing; say --source URI, for example --source file:recording.raw")
    scheme, colon, address = settings.uri.partition(":")
    if not colon or len(scheme) == 1:  # a bare path, or a Windows drive
        scheme, address = "file", settings.uri
    schemes = known_schemes()
    if scheme not in schemes:
        raise ConfigError(f"source.uri: unknown scheme {scheme!r}; {nearest(scheme, schemes)}")
    return schemes[scheme]()(address, settings, clock)
