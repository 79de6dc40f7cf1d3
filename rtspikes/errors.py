"""One family of exceptions; each knows the exit code of the command that it ends."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

MOST_NAMED = 24
"""Known words that a hint lists at most."""


class RtspikesError(Exception):
    """Anything that rtspikes refuses or cannot do, in one line: what, the rule, the value, what to do."""

    exit_code = 1


class ConfigError(RtspikesError):
    """A setting, a selector or a command line that breaks a rule."""

    exit_code = 2


class SourceError(RtspikesError):
    """A source that cannot be opened or that failed."""

    exit_code = 3


class TransportError(RtspikesError):
    """A socket that cannot be opened, or whose other side has gone."""

    exit_code = 4


class EngineVanished(TransportError):
    """The engine closed its connection without saying `end`."""


class WireError(TransportError):
    """Bytes from a socket that are not a message of the protocol."""


class VersionError(WireError):
    """A message of another protocol version."""


class RequestError(TransportError):
    """A request that an engine did not grant; `code` is one of PROTOCOL.md's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        if code in ("refused", "too_late", "forbidden"):
            self.exit_code = ConfigError.exit_code


class DataError(RtspikesError):
    """A file whose content is missing, damaged or contradicts its description."""

    exit_code = 5


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint naming the known word nearest to `word`, or all of them when none is near."""
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(choices[:MOST_NAMED]) or 'none'}{' …' if len(choices) > MOST_NAMED else ''}"


def reason(error: OSError) -> str:
    """Return why the system refused, as a part of a sentence, without the path."""
    return (os.strerror(error.errno) if error.errno else str(error) or type(error).__name__).lower()
