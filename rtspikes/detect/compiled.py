"""How kernels are compiled: with explicit signatures, when they are defined, and kept on disk.

Numba keeps a kernel as long as its own file is unchanged, and does not see that a function which it calls, in another
file, has changed. So all sources of this package are part of what a kept kernel is found by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

from numba import njit

Arguments = tuple[Any, ...]
"""What a kernel is called with."""


def _digest() -> str:
    """Return the hash of the package's sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


DIGEST = _digest()


def kernel(
    signatures: Any, using: Mapping[str, Any] | None = None, key: object = None
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for `signatures`, without the GIL, unless it is on disk from the same sources.

    using: what stands for these global names in it, where that is not the same in every kernel that is made of the
    function; `key` tells them apart, on disk by files of their own: processes that compile different ones at the same
    time would otherwise take each other's numbers.
    """

    def compiled(function: Any) -> Any:
        code = function.__code__
        code = code.replace(co_freevars=(*code.co_freevars, "_sources"))
        cells = (*(function.__closure__ or ()), CellType((DIGEST, key)))
        names = {**function.__globals__, **(using or {})}
        stamped = FunctionType(code, names, function.__name__, function.__defaults__, cells)
        stamped.__doc__, stamped.__module__ = function.__doc__, function.__module__
        own = "" if key is None else "_" + hashlib.sha256(repr(key).encode()).hexdigest()[:12]
        stamped.__qualname__ = function.__qualname__ + own
        return njit(signatures, nogil=True, cache=True)(stamped)

    return compiled
