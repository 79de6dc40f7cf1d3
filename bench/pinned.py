"""One core for what is measured, where the system can pin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_LIMITS = ("OMP", "OPENBLAS", "MKL", "NUMBA")
"""Libraries that start threads of their own, as their settings begin."""


def one_thread() -> dict[str, str]:
    """Return the environment in which no library starts threads of its own."""
    return {f"{name}_NUM_THREADS": "1" for name in THREAD_LIMITS}


def cores() -> set[int]:
    """Return the cores that this process may use; empty where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those that it starts, on its last core."""
    before = cores()
    if before:
        os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)
