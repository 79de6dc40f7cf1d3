"""Traces: sends what the signals look like that somebody watches. Belongs to the processing thread.

Where nobody does, the detector has no tap and nothing is done.
"""

from __future__ import annotations

from typing import Any

from rtspikes.clock import Clock
from rtspikes.detect.detector import Detector
from rtspikes.detect.envelope import Envelopes, Watched
from rtspikes.wire.publish import Publisher
from rtspikes.wire.traces import trace_fields
from rtspikes.wire.watches import MOST_TRACES

SEND_S = 1 / 30
"""How often (s) each trace is sent."""

MOST_AT_ONCE = 4
"""Traces that are sent between two blocks, unless memory runs out: some 0.15 ms, which the next block may wait."""


class Traces:
    """Follows what is watched of one session, and sends it once the events of its block are out."""

    def __init__(self, publisher: Publisher, detector: Detector, clock: Clock, bin_ms: float, block: int) -> None:
        """block: samples that are detected at a time, at most."""
        self.bin_samples = max(1, round(bin_ms * 1e-3 * detector.info.rate_hz))
        self._publisher, self._clock = publisher, clock
        self._in_block = block // self.bin_samples + 2
        self._envelopes = Envelopes(detector, self.bin_samples, 2 * self._in_block, MOST_TRACES)
        self._watched: frozenset[Watched] = frozenset()
        self._due_s: dict[Watched, float] = {}  # the first is due first

    @property
    def state(self) -> dict[str, Any]:
        """What `status` says of them."""
        return {"watched": len(self._watched), "refused": self._publisher.watches.refused}

    def step(self) -> None:
        """Send what is due; see between blocks what is watched."""
        watched = self._publisher.watches.watched
        if watched is not self._watched:
            self._watch(watched)
        if not watched:
            return
        for key in self._envelopes.short_of(self._in_block):
            self._send(key)
        now_s = self._clock.now()
        for _ in range(min(MOST_AT_ONCE, len(watched))):
            key = next(iter(self._due_s))
            if self._due_s[key] > now_s:
                break
            self._send(key)

    def finish(self) -> None:
        """Send all that is left."""
        for key in self._watched:
            self._send(key, ended=True)

    def _watch(self, watched: frozenset[Watched]) -> None:
        now_s = self._clock.now()
        self._watched = watched
        self._envelopes.watch(watched)
        self._due_s = {key: due_s for key, due_s in self._due_s.items() if key in watched}
        self._due_s |= {key: now_s + SEND_S for key in sorted(watched - self._due_s.keys())}

    def _send(self, key: Watched, ended: bool = False) -> None:
        for run in self._envelopes.take(key, ended):
            fields = trace_fields(*key, run.sample, self.bin_samples, run.low, run.high)
            self._publisher.send_trace(*key, {**fields, "t_sent": self._clock.now()})
        del self._due_s[key]
        self._due_s[key] = self._clock.now() + SEND_S
