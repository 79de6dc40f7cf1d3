"""Looking for a stream again, in a thread of its own, so that nobody waits for the network."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from rtspikes.errors import SourceError
from rtspikes.lsl.find import Query, find
from rtspikes.sources.lsl.connection import Connection

BACK_OFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
LOOK_S = 2.0
SETTLE_S = 0.1
"""A stream that comes back is taken as soon as it is there."""


class Search:
    """Finds the stream that `wanted` picks among those that match a query, and connects to it.

    The thread `searching` runs until it has found it, or `stop`.
    """

    def __init__(
        self, query: Query, wanted: Callable[[list[Any]], Any | None], connect: Callable[[Any], Connection]
    ) -> None:
        self._query, self._wanted, self._connect = query, wanted, connect
        self._stop = threading.Event()
        self._handing = threading.Lock()
        self._found: queue.Queue[Connection] = queue.Queue(1)
        self.trouble = ""
        """Why the last attempt failed; replaced, never changed."""
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._search, name="rtspikes-searching", daemon=True)
        self._thread.start()

    def get(self, wait_s: float) -> Connection | None:
        """Return the connection, entered and open, once there is one; None after `wait_s`. Raises what ended it."""
        try:
            return self._found.get(timeout=wait_s) if wait_s else self._found.get_nowait()
        except queue.Empty:
            if self._failed is not None:
                raise self._failed from None
            return None

    def stop(self) -> None:
        """Let the search end by itself, within some seconds; a connection that nobody took is closed."""
        with self._handing:
            self._stop.set()
            with contextlib.suppress(queue.Empty):
                self._found.get_nowait().close()

    def _search(self) -> None:
        try:
            tries = 0
            while not self._stop.wait(BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)]):
                connection = self._try()
                if connection is not None:
                    self._hand_over(connection)
                    return
                tries += 1 if self.trouble else 0
        except BaseException as error:
            self._failed = error

    def _hand_over(self, connection: Connection) -> None:
        with self._handing:
            if self._stop.is_set():
                connection.close()
            else:
                self._found.put_nowait(connection)

    def _try(self) -> Connection | None:
        self.trouble = ""
        found = find(self._query, LOOK_S, self._stop, SETTLE_S)
        chosen = self._wanted(found)
        if chosen is None or self._stop.is_set():
            return None
        try:
            return self._connect(chosen)
        except SourceError as error:
            self.trouble = str(error)
            return None
