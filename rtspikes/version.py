"""The version, in one place for the package, the wire and the log; and those of what detection rests on."""

import importlib.metadata
import platform

__version__ = "0.1.0"

LIBRARIES = ("numpy", "numba", "scipy")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries, by name."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
