"""Sends on what a subscriber receives as LSL streams, through all sessions until the engine's end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rtspikes.clock import Clock
from rtspikes.subscribers.lsl_description import layout_digest
from rtspikes.subscribers.lsl_outlet import SpikeOutlet
from rtspikes.wire.batch import Batch
from rtspikes.wire.subscribe import Subscriber

STEP_S = 0.1
"""Longest single wait."""

CONSUMER_S = 0.02
"""How often it is looked whether a consumer is there: liblsl's own wait for one cannot be cut short."""

RELAYED_KINDS, MARKED_KINDS = ("spikes",), ("spikes", "gaps", "marks")
"""What to subscribe to, without markers and with."""


@dataclass
class Sent:
    """What was sent, and what was not: messages missed, spikes without a time stamp, markers left out."""

    sessions: int = 0
    spikes: int = 0
    missed: int = 0
    unstamped: int = 0
    unmarked: int = 0


class Relay:
    """Sends a subscriber's spikes on, as streams that are made anew when the layout of the channels changes.

    `say` gets lines that tell how it goes, `warn` what was lost. `wait`: send nothing before a consumer is there.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        clock: Clock,
        stop: threading.Event,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        *,
        name: str | None = None,
        markers: bool = False,
        wait: bool = False,
    ) -> None:
        self.sent = Sent()
        self._subscriber = subscriber
        self._clock = clock
        self._say, self._warn = say, warn
        self._stop = stop
        self._name, self._markers, self._wait = name, markers, wait
        self._outlet: SpikeOutlet | None = None
        self._session, self._layout = "", ""

    def run(self) -> None:
        """Go on until the engine's end or `stop`; raises what the subscriber raises, after closing the streams."""
        malformed = 0
        try:
            while not self._stop.is_set():
                batch = self._subscriber.get(STEP_S)
                if self._subscriber.malformed > malformed:
                    malformed = self._subscriber.malformed
                    self._warn(f"{malformed} messages were not of the protocol and were left out")
                if batch is not None:
                    self._send(batch)
                elif self._subscriber.ended:
                    return
                else:
                    self._follow(self._subscriber.info)
        finally:
            self._close()

    def _send(self, batch: Batch) -> None:
        if batch.session != self._session:
            self._follow(self._subscriber.info)
        for missed in batch.missed:
            self.sent.missed += missed.count
            self._warn(f"missed {missed.count} {missed.kind} messages")
        if self._outlet is None or batch.session != self._session:  # `info` is of yet another session
            self.sent.missed += 1
            self._warn(f"missed 1 {batch.kind} messages: what session {batch.session} was is not known any more")
        else:
            self._outlet.add(batch)

    def _follow(self, info: Mapping[str, Any] | None) -> None:
        """Turn to the session of `info`, if it is another one."""
        if info is not None and info["session"] != self._session:
            self._begin(info)

    def _begin(self, info: Mapping[str, Any]) -> None:
        """Have the streams of a session that begins; those of the one before if its channels were the same."""
        self._session = str(info["session"])
        self.sent.sessions += 1
        layout = layout_digest(info, self._subscriber.endpoint)
        if self._outlet is None or layout != self._layout:
            self._close()
            self._outlet = SpikeOutlet(
                info, self._subscriber.endpoint, self._clock, self._warn, name=self._name, markers=self._markers
            )
            self._layout = layout
            self._say(f"LSL stream {self._outlet.name!r}: spikes of {info['n_channels']} channels")
            self._await_consumers(self._outlet)
        self._outlet.mark(f"session {self._session}")

    def _await_consumers(self, outlet: SpikeOutlet) -> None:
        if self._wait:
            self._say("waiting until it is received")
        while self._wait and not outlet.has_consumers:
            if self._clock.wait_until(self._clock.now() + CONSUMER_S, self._stop):
                return

    def _close(self) -> None:
        if self._outlet is not None:
            outlet, self._outlet = self._outlet, None
            outlet.close()
            self.sent.spikes += outlet.spikes
            self.sent.unstamped += outlet.unstamped
            self.sent.unmarked += outlet.unmarked
