"""Child processes: started in a group of their own, which Ctrl-C does not reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

WINDOWS_NEW_GROUP = 0x200
"""CREATE_NEW_PROCESS_GROUP, which `subprocess` has on Windows only."""


def start_module(module: str, *arguments: str, pass_fds: Sequence[int] = (), **options: Any) -> subprocess.Popen[Any]:
    """Start `python -m MODULE ARGUMENTS`; `options` are those of `subprocess.Popen`.

    It looks for modules where this process does, and not in the current folder (-P): a file there may be called like
    a module of Python's own. pass_fds: file descriptors that it inherits (none on Windows).
    """
    own: dict[str, Any] = (
        {"creationflags": WINDOWS_NEW_GROUP}
        if sys.platform == "win32"
        else {"start_new_session": True, "pass_fds": tuple(pass_fds)}
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONIOENCODING": "utf-8"},
        **own,
        **options,
    )
