"""What a session's log says of how it was detected, and in what."""

from __future__ import annotations

from pathlib import Path

from rtspikes.config import Config, config_from
from rtspikes.errors import ConfigError, DataError
from rtspikes.sources.formats import Recording, open_recording
from rtspikes.subscribers.log.reader import Session


def detection_settings(session: Session) -> Config:
    """Return the session's `detect`, `channels` and `blank`; raise DataError where they are another version's."""
    told = session.info
    try:
        return config_from(
            {"detect": told["detect"], "channels": told["channel_rules"], "blank": told.get("blank", [])}
        )
    except ConfigError as error:
        raise DataError(
            f"{session.path}: its settings are not this version's: {error}; use the version that wrote it"
        ) from None


def recording_of(session: Session, file: Path | None = None) -> Recording | None:
    """Return the recording that a session replayed, or that lies in `file`; None where there is none.

    The one that was replayed is looked for where it was, and beside the session.

    Its samples are worth as many µV as in the session. Raises DataError when it cannot be read, or is of another
    layout than the session.
    """
    its, uri = session.info, str(session.info["source"]["uri"])
    path = file
    if file is None and uri.startswith("file:"):
        named = Path(uri.removeprefix("file:"))
        beside = session.path.parent
        path = next((p for p in (named, beside / named, beside / named.name) if p.is_file()), None)
    if path is None:
        return None
    gains = [float(gain) for gain in its["channels"]["gain_uv"]]
    recording = open_recording(path, gains[0] if len(set(gains)) == 1 else None)
    ours, wanted = (recording.info.n_channels, recording.info.rate_hz), (its["n_channels"], its["rate_hz"])
    if ours != wanted:
        raise DataError(
            f"{path} has {ours[0]} channels at {ours[1]:g} Hz, the session {session.path} "
            f"{wanted[0]} at {wanted[1]:g} Hz; name its recording"
        )
    if [channel.gain_uv for channel in recording.info.channels] != gains:
        raise DataError(f"{path} has other scales (µV per unit) than the session {session.path}; name its recording")
    return recording
