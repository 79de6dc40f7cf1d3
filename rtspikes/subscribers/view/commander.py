"""Carries out what pages ask of the engine, one after the other, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, Self

from rtspikes.errors import EngineVanished, RtspikesError
from rtspikes.wire.control import Control
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.settings import DEFAULT_ENDPOINT

MOST_WAITING = 16
"""Requests that wait for their turn; what is more is refused."""

WAIT_S = 0.1
CONNECT_S = 5.0

Asked = Callable[[Control], object]
Answer = Callable[[bool, str], None]


class _Request(NamedTuple):
    session: str | None
    do: Asked
    done: str
    answer: Answer


class Commander:
    """Asks the engine at one address, connecting for each request to what runs there by then; a context manager."""

    def __init__(self, endpoint: str = DEFAULT_ENDPOINT, key: ClientKey | None = None) -> None:
        self._endpoint, self._key = endpoint, key
        self._waiting: queue.Queue[_Request] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtspikes-view-commander", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def ask(self, session: str | None, do: Asked, done: str, answer: Answer) -> None:
        """Let `do` be done with the engine's control; then `answer` is called, from another thread: ok, text.

        session: the only one in which it may be done, for in another positions mean other electrodes; None: any.
        """
        try:
            self._waiting.put_nowait(_Request(session, do, done, answer))
        except queue.Full:
            answer(False, f"{MOST_WAITING} requests are waiting for the engine already")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                request = self._waiting.get(timeout=WAIT_S)
            except queue.Empty:
                continue
            try:
                with Control(self._endpoint, key=self._key, connect_timeout_s=CONNECT_S) as control:
                    if request.session not in (None, control.info["session"]):
                        raise EngineVanished("the engine was started anew, or its layout changed: nothing was done")
                    request.do(control)
            except RtspikesError as error:
                request.answer(False, str(error))
            except Exception as error:  # what an engine of another make may cause must not end the page's control
                request.answer(False, f"{type(error).__name__}: {error}")
            else:
                request.answer(True, request.done)
