"""The newest batch of each kind, for programs that show the present: kept by a thread of the subscriber's own."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from rtspikes.wire.batch import Batch, Missed

WAIT_S = 0.1

MOST_MISSED = 64
"""Parts in which a batch tells what was missed before it."""


class Latest:
    """Takes batches as fast as they come and keeps the newest of each kind.

    The thread owns what `take` uses from `start` to `stop`. An exception in it ends it and is raised by `get`.
    """

    def __init__(self, take: Callable[[float], Batch | None], ended: Callable[[], bool]) -> None:
        """take: waits for the next batch for some seconds at most. ended: whether none can come any more."""
        self._take, self._ended = take, ended
        self._newest: dict[str, Batch] = {}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="rtspikes-latest", daemon=True)

    def start(self) -> None:
        """Begin to take."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Whether everything was handed out and nothing more will come."""
        with self._changed:
            return not self._newest and not self._thread.is_alive() and self._error is None

    def get(self, deadline_s: float | None) -> Batch | None:
        """Return the batch that has waited longest; None at the deadline (monotonic), or when no more will come."""
        with self._changed:
            while not self._newest:
                if self._error is not None:
                    raise self._error
                left_s = WAIT_S if deadline_s is None else min(WAIT_S, deadline_s - time.monotonic())
                if left_s <= 0 or not self._thread.is_alive():
                    return None
                self._changed.wait(left_s)
            kind = next(iter(self._newest))
            return self._newest.pop(kind)

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self._ended():
                batch = self._take(WAIT_S)
                if batch is not None:
                    self._keep(batch)
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._changed.notify_all()

    def _keep(self, batch: Batch) -> None:
        """Let `batch` take the place of the one before, with what that one had to tell of losses."""
        with self._changed:
            before = self._newest.get(batch.kind)
            if before is not None:
                earlier = before.missed if before.session == batch.session else _without_samples(before.missed)
                missed = _bounded(earlier + batch.missed)
                batch = dataclasses.replace(batch, missed=missed, superseded=before.superseded + 1 + batch.superseded)
            self._newest[batch.kind] = batch
            self._changed.notify_all()


def _without_samples(missed: tuple[Missed, ...]) -> tuple[Missed, ...]:
    """Return what was missed in another session, whose samples mean nothing in this one."""
    return tuple(dataclasses.replace(part, from_sample=None, to_sample=None) for part in missed)


def _bounded(missed: tuple[Missed, ...]) -> tuple[Missed, ...]:
    """Return what was missed in MOST_MISSED parts at most: the last ones become one, which begins as their first."""
    if len(missed) <= MOST_MISSED:
        return missed
    kept, rest = missed[: MOST_MISSED - 1], missed[MOST_MISSED - 1 :]
    count = sum(part.count for part in rest)
    return (*kept, dataclasses.replace(rest[0], count=count, to_sample=rest[-1].to_sample))
