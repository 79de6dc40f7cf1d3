"""Lab Streaming Layer: the library, loaded when it is first used, and what streams say of themselves."""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from types import ModuleType

from rtspikes.errors import SourceError

LEAST_VERSION = 116
"""liblsl 1.16: the first that takes its configuration from the program."""

LEAST_PYLSL = (1, 18)
"""The first pylsl whose `pull_chunk` returns what is there as soon as there is something."""

QUIET = "level = -3"
"""liblsl's log level that says nothing but what ends the program."""

RESERVE = "InletBufferReserveMs = 500\nOutletBufferReserveMs = 100"
"""liblsl allots memory for so much signal at the start of an inlet and of an outlet; by default 5 s, 0.8 GB of 4096
channels, which takes a second and costs processor time for good."""

_VERBOSE = [False]


def be_verbose() -> None:
    """Let liblsl's own messages reach stderr; to be called before `load`."""
    _VERBOSE[0] = True


@functools.cache
def load() -> ModuleType:
    """Return pylsl; raise SourceError, with what to install, when it or liblsl is missing or too old."""
    try:
        pylsl = importlib.import_module("pylsl")
    except ImportError as error:
        raise SourceError(f"LSL needs the package pylsl ({error}); install it: pip install 'pylsl>=1.18'") from None
    except (RuntimeError, OSError) as error:
        first_line = str(error).strip().partition("\n")[0][:160]
        raise SourceError(
            f"LSL needs the library liblsl, which cannot be loaded ({first_line}); install it: "
            f"conda install -c conda-forge liblsl, or set PYLSL_LIB to the file"
        ) from None
    version = tuple(int(part) for part in str(pylsl.__version__).split(".")[:2] if part.isdigit())
    if version < LEAST_PYLSL:
        raise SourceError(f"LSL needs pylsl 1.18 or newer, got {pylsl.__version__}; install it: pip install -U pylsl")
    found = int(pylsl.library_version())
    if found < LEAST_VERSION or not hasattr(pylsl, "set_config_content"):
        raise SourceError(
            f"LSL needs liblsl 1.16 or newer, got {found // 100}.{found % 100}; install it: "
            f"conda install -c conda-forge liblsl, or set PYLSL_LIB to a newer file"
        )
    pylsl.set_config_content(configuration())
    return pylsl


def configuration() -> str:
    """Return liblsl's configuration: the file that it would read, and where that is silent our own settings."""
    text = ""
    for path in _places():
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        break
    sections = {line.strip().lower() for line in text.splitlines()}
    for section, setting in (("[log]", QUIET), ("[tuning]", RESERVE)):
        if section not in sections and not (section == "[log]" and _VERBOSE[0]):
            text += f"\n{section}\n{setting}\n"
    return text


def _places() -> list[Path]:
    """Return where liblsl looks for its configuration, in its order."""
    named = os.environ.get("LSLAPICFG")
    usual = [Path("lsl_api.cfg"), Path.home() / "lsl_api" / "lsl_api.cfg", Path("/etc/lsl_api/lsl_api.cfg")]
    return [Path(named), *usual] if named else usual
