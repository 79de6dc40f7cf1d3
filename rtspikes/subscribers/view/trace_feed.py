"""Subscribes to the traces that pages look at, and takes in what comes of them."""

from __future__ import annotations

import threading

from rtspikes.subscribers.view.live import LiveScene
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.traces import TraceSubscriber

WAIT_S = 0.05
"""How long one wait for a trace lasts; what pages want is looked at in between."""


class TraceFeed:
    """Follows what pages want with a thread of its own; a context manager."""

    def __init__(self, scene: LiveScene, key: ClientKey | None) -> None:
        self._scene, self._key = scene, key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtspikes-view-traces", daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._stop.set()
        self._scene.wanted_changed.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._scene.wanted_changed.wait(WAIT_S)
                self._scene.wanted_changed.clear()
                if self._scene.wanted and self._scene.stream:
                    self._follow(self._scene.stream)
        except BaseException as error:
            self._scene.fail(error)

    def _follow(self, stream: str) -> None:
        """Take in traces of one stream until nobody wants any."""
        with TraceSubscriber(self._scene.endpoint, stream, self._key) as subscriber:
            while not self._stop.is_set() and self._scene.stream == stream:
                self._scene.wanted_changed.clear()  # before it is read: what changes behind is then not overlooked
                if not (wanted := self._scene.wanted):
                    return
                subscriber.watch(wanted)
                while not (self._stop.is_set() or self._scene.wanted_changed.is_set()):
                    trace = subscriber.get(WAIT_S)
                    if trace is None:
                        break
                    self._scene.add_trace(trace)
