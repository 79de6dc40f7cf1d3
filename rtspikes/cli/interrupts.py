"""Ctrl-C, and a polite kill: the first one asks for an orderly end, the second one does not wait for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts(stop: Callable[[], None], abort: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let the first signal call `stop`, and each further one `abort`, and raise KeyboardInterrupt."""
    asked = False

    def ask(signum: int, frame: object) -> None:
        nonlocal asked
        if asked:
            abort()
            raise KeyboardInterrupt
        asked = True
        stop()

    names = [n for n in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, n)]
    before = {n: signal.signal(getattr(signal, n), ask) for n in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
