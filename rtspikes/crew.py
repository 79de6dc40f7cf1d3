"""Threads that share the detection of a block, each with channels of its own.

They wait for work in between, without the processor. `run` belongs to one thread, which does the first part itself;
compiled kernels, which do not hold Python's lock, are what there is to gain by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

PATIENCE_S = 0.5
"""How long a thread waits before it looks whether it is to end."""

_Results = SimpleQueue[BaseException | None]

_Job = tuple[Callable[[int], None], int, _Results]


class ThreadCrew:
    """A `Crew` of one thread fewer than its size, from `__enter__` to `__exit__`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._ended = threading.Event()
        self._jobs: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in range(size - 1)]
        self._threads = [
            threading.Thread(target=self._work, args=(jobs,), name=f"rtspikes-detecting-{i + 2}", daemon=True)
            for i, jobs in enumerate(self._jobs)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._ended.set()
        for jobs in self._jobs:
            jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, jobs: SimpleQueue[_Job | None]) -> None:
        while not self._ended.is_set():
            try:
                given = jobs.get(timeout=PATIENCE_S)
            except Empty:
                continue
            if given is None:
                return
            job, part, results = given
            try:
                job(part)
            except BaseException as error:
                results.put(error)
            else:
                results.put(None)

    def run(self, job: Callable[[int], None], n: int) -> None:
        """See `Crew`."""
        results: _Results = SimpleQueue()
        for part in range(1, n):
            self._jobs[part - 1].put((job, part, results))
        errors: list[BaseException | None] = []
        try:
            job(0)
        finally:  # the others still work in the caller's memory
            errors = [self._result(results) for _ in range(1, n)]
        for error in errors:
            if error is not None:
                raise error

    def _result(self, results: _Results) -> BaseException | None:
        while True:
            try:
                return results.get(timeout=PATIENCE_S)
            except Empty:
                if not all(thread.is_alive() for thread in self._threads):
                    return RuntimeError("a detecting thread has died")
