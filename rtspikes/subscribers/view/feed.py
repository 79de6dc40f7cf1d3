"""Takes in what an engine says, of one run after the other, until told to stop."""

from __future__ import annotations

import threading
import time
from itertools import groupby

from rtspikes.errors import EngineVanished
from rtspikes.subscribers.view.health import NOT_UNDERSTOOD, SILENT_S
from rtspikes.subscribers.view.live import NO_ENGINE, LiveScene
from rtspikes.wire.batch import Batch
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.subscribe import Subscriber

VIEWED_KINDS = ("spikes", "thresholds", "gaps", "marks", "notices", "status")

TOGETHER_S = 0.025
"""How long what comes is collected before it is worked in: a page is sent no more than 30 pictures a second."""

PATIENCE_S = 2.0
"""How long it takes to look again at an engine that is not understood: its session cannot be shown, the next may."""


class Feed:
    """Follows the engine at one address with a thread of its own; a context manager."""

    def __init__(self, scene: LiveScene, key: ClientKey | None) -> None:
        self._scene, self._key = scene, key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtspikes-view-feed", daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._follow()
                except EngineVanished as error:
                    self._scene.tell("lost", f"{error}; {NO_ENGINE} at {self._scene.endpoint}")
                except NOT_UNDERSTOOD as error:
                    self._scene.give_up(f"what the engine says is not understood: {type(error).__name__}: {error}")
                    self._stop.wait(PATIENCE_S)
        except BaseException as error:
            self._scene.fail(error)

    def _follow(self) -> None:
        """Follow one run of an engine to its end."""
        session = ""
        with Subscriber(self._scene.endpoint, kinds=VIEWED_KINDS, key=self._key, connect_timeout_s=None) as subscriber:
            heard_s, silent = time.monotonic(), False
            while not (self._stop.is_set() or subscriber.ended):
                batches = self._collect(subscriber)
                now_s = time.monotonic()
                if batches:
                    heard_s, silent = now_s, False
                elif session and not silent and now_s - heard_s > SILENT_S:
                    silent = True
                    self._scene.tell("silent", f"nothing has come for {SILENT_S:g} s: the engine is held up, or waits")
                for name, part in groupby(batches, key=lambda batch: batch.session):
                    if name != session and subscriber.info is not None and subscriber.info["session"] == name:
                        session = name
                        self._scene.begin(subscriber.info)
                    if name == session:
                        self._scene.add(part, subscriber.malformed)
            end = subscriber.end
        if end is not None and session:
            self._scene.tell("ended", f"the run has ended: {str(end.get('reason'))[:200]}")

    def _collect(self, subscriber: Subscriber) -> list[Batch]:
        """Return what comes within TOGETHER_S."""
        until_s = time.monotonic() + TOGETHER_S
        batches: list[Batch] = []
        while (left_s := until_s - time.monotonic()) > 0 and not self._stop.is_set():
            batch = subscriber.get(left_s)
            if batch is None:
                if subscriber.ended:
                    break
                continue
            batches.append(batch)
        return batches
