"""The announcer: what is said, and when: a block's events, ticks, gaps, the state once a second, the end.

Belongs to the thread that owns the publisher.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.clock import Clock, SampleClock
from rtspikes.detect.events import Events, ThresholdUpdate
from rtspikes.meters import Percentiles
from rtspikes.types import CROSSING_DTYPE, OVERRUNS, SPIKE_DTYPE, GapCause, RejectReason, StreamInfo
from rtspikes.wire.messages import (
    Beside,
    event_messages,
    gap_table,
    mark_messages,
    table_messages,
    threshold_messages,
)
from rtspikes.wire.publish import Publisher

STATUS_INTERVAL_S = 1.0

COUNTED = ("spikes", "flagged", "crossings", "rejected", "gaps", "lost_source", "lost_overrun", "marks")

LABELS_TOLD = 8
"""Channels that a notice names."""

MARKS_TOLD = 1024
"""Marks that a notice names."""


class Passed(NamedTuple):
    """When (LSL s) a block passed each stage.

    A block may join what several pulls brought. The first of them counts, because it has waited longest: when its
    newest sample happened (NaN: not known), and when it was in the ring. Then when detection of the block began and
    ended.
    """

    sampled_s: float
    acquired_s: float
    begun_s: float
    detected_s: float

    def fields(self) -> dict[str, Any]:
        """Return the map entries that say so."""
        return {"t_acquired": self.acquired_s, "t_begun": self.begun_s, "t_detected": self.detected_s}


STAGES = ("arrive", "wait", "detect", "publish", "total")
"""Of `status.latency_ms`, see PROTOCOL.md."""


class Announcer:
    """Turns what the detector found into messages, and counts what was said.

    After an event table every later one begins where it ended (`told`), so that intervals join whatever was split.
    """

    def __init__(
        self,
        publisher: Publisher,
        info: StreamInfo,
        sample_clock: SampleClock,
        clock: Clock,
        first_sample: int,
        snippet_samples: int,
        tick_s: float,
        neighbours: int = 0,
    ) -> None:
        """neighbours: amplitudes of neighbours that go with each spike."""
        self._publisher = publisher
        self._info = info
        self._sample_clock = sample_clock
        self._clock = clock
        self._first = first_sample
        self._nothing: dict[str, tuple[NDArray[np.void], Beside | None]] = {
            "crossings": (np.zeros(0, CROSSING_DTYPE), None),
            "spikes": (np.zeros(0, SPIKE_DTYPE), Beside.of_none(snippet_samples, neighbours)),
        }
        self._tick_s = tick_s
        self._told = {"crossings": first_sample, "spikes": first_sample}
        self._reached = dict(self._told)
        self._told_s = dict.fromkeys(self._told, 0.0)
        self._counts = dict.fromkeys(COUNTED, 0)
        self._rejected = dict.fromkeys((reason.name.lower() for reason in RejectReason), 0)
        self._bad_told = 0
        self._latency = {stage: Percentiles() for stage in STAGES}
        self._sent_s = 0.0
        self._spikes_before = 0
        self.status: dict[str, Any] = {}
        """The last `status` message; replaced, never changed, so that other threads may read it."""
        self.begin()

    def begin(self) -> None:
        """Count elapsed time from here on."""
        self._begun_s = self._status_s = self._clock.now()
        self._begun_cpu_s = time.process_time()

    @property
    def due_s(self) -> float:
        """When the next tick is due, on the clock (s)."""
        return min(self._told_s.values()) + self._tick_s

    def gap(self, first: int, lost: int, cause: GapCause, uncertain: int = 0) -> None:
        """Say that `lost` samples (± `uncertain`) from absolute index `first` on are missing."""
        self._counts["gaps"] += 1
        self._counts["lost_overrun" if cause in OVERRUNS else "lost_source"] += lost
        for fields in table_messages(gap_table(first, lost, self._sample_clock.time(first), cause, uncertain)):
            self._send("gaps", fields)

    def events(self, events: Events, passed: Passed, counts: bool = True) -> None:
        """Say what a block brought, but for its findings; fills the events' `time` columns.

        counts: whether its times go into `status`.
        """
        crossings, spikes = events.crossings, events.spikes
        self._reached["crossings"], self._reached["spikes"] = events.crossings_to, events.spikes_to
        latency = self._latency
        if len(crossings) or len(spikes) or len(events.rejected) or len(events.unobserved) or events.thresholds:
            stages = passed.fields()
            for update in events.thresholds:
                self.thresholds(update, stages)
            if len(crossings):
                crossings["time"] = self._sample_clock.times(crossings["crossing"])
                self._table("crossings", crossings, None, stages)
                if counts:
                    latency["total"].add(self._sent_s - passed.acquired_s)
            if len(spikes):
                spikes["time"] = self._sample_clock.times(spikes["sample"])
                self._table("spikes", spikes, Beside(events.waveforms, events.flags, events.neighbours), stages)
                self._counts["flagged"] += int(np.count_nonzero(events.flags))
            self._without_spikes(events, stages)
        if counts:
            if not math.isnan(passed.sampled_s):
                latency["arrive"].add(passed.acquired_s - passed.sampled_s)
            latency["wait"].add(passed.begun_s - passed.acquired_s)
            latency["detect"].add(passed.detected_s - passed.begun_s)
            latency["publish"].add(self._clock.now() - passed.detected_s)

    def _without_spikes(self, events: Events, stages: Mapping[str, float]) -> None:
        """Say what became no spike, and where none could have been found."""
        if len(events.rejected):
            events.rejected["time"] = self._sample_clock.times(events.rejected["crossing"])
            self._counts["rejected"] += len(events.rejected)
            for number, count in zip(*np.unique(events.rejected["reason"], return_counts=True), strict=True):
                self._rejected[RejectReason(number).name.lower()] += int(count)
        for kind, rows in (("rejected", events.rejected), ("unobserved", events.unobserved)):
            for fields in table_messages(rows):
                self._send(kind, fields | dict(stages))

    def thresholds(self, update: ThresholdUpdate, stages: Mapping[str, float] | None = None) -> None:
        """Say which thresholds are in force."""
        for fields in threshold_messages(update):
            self._send("thresholds", fields | dict(stages or {}))

    def _table(self, kind: str, table: NDArray[np.void], beside: Beside | None, stages: dict[str, float]) -> None:
        to = max(self._reached[kind], self._told[kind])
        for fields in event_messages(table, self._told[kind], to, beside):
            self._send(kind, fields | stages)
        self._told[kind], self._told_s[kind] = to, self._clock.now()
        self._counts[kind] += len(table)

    def tick(self, state: Callable[[], dict[str, Any]]) -> None:
        """Say "nothing so far" where nothing was said for a tick; once a second, say how the run goes.

        state: what others know of it, for `status`.
        """
        now = self._clock.now()
        for kind, told_s in self._told_s.items():
            if now - told_s >= self._tick_s:
                self._nothing_more(kind, now)
        if now - self._status_s >= STATUS_INTERVAL_S:
            self._send_status(now, state())

    def _nothing_more(self, kind: str, now: float) -> None:
        table, beside = self._nothing[kind]
        self._table(kind, table, beside, Passed(math.nan, now, now, now).fields())

    def _send_status(self, now: float, state: dict[str, Any]) -> None:
        elapsed_s = max(now - self._status_s, 1e-9)
        self.status = {
            "elapsed_s": round(now - self._begun_s, 3),
            "cpu_s": round(time.process_time() - self._begun_cpu_s, 3),
            "to_sample": self._told["crossings"],
            "signal_s": round((self._told["crossings"] - self._first) / self._info.rate_hz, 3),
            "spikes_per_s": round((self._counts["spikes"] - self._spikes_before) / elapsed_s, 1),
            "counts": dict(self._counts),
            "rejected": dict(self._rejected),
            "subscribers": self._publisher.subscribers,
            "bad_upstream": self._publisher.bad_upstream,
            "waited_for_subscribers_s": round(self._publisher.waited_s, 3),
            "latency_ms": {stage: figures.summary_ms() for stage, figures in self._latency.items()},
            **state,
        }
        self._status_s, self._spikes_before = now, self._counts["spikes"]
        self._send("status", dict(self.status))

    def bad_samples(self, per_channel: NDArray[np.int64]) -> int:
        """Tell of samples (channels,) that were held since this was last told; return how many there were in all."""
        total = int(per_channel.sum())
        if new := total - self._bad_told:
            channels = np.flatnonzero(per_channel)
            labels = ", ".join(self._info.channels[c].label for c in channels[:LABELS_TOLD])
            more = " …" if len(channels) > LABELS_TOLD else ""
            self.notice(
                "bad_samples",
                f"{new} samples were NaN, infinite or no voltage and were held; channels so far: {labels}{more}",
                new,
            )
            self._bad_told = total
        return total

    def notice(self, cause: str, text: str, count: int, sample: int | None = None, **more: Any) -> None:
        """Say something that a person should know, at `sample`, or about now."""
        at = self._told["crossings"] if sample is None else sample
        self._send("notices", {"cause": cause, "text": text, "count": count, "sample": at, **more})

    def marks(self, table: NDArray[np.void], texts: Sequence[str]) -> None:
        """Say where marks are: MARK_DTYPE and their texts."""
        self._counts["marks"] += len(table)
        for fields in mark_messages(table, texts):
            self._send("marks", fields)

    def end(self, reason: str, to_sample: int, state: dict[str, Any], next_session: str | None = None) -> None:
        """Say what is left: how far it went, the last state, and `end` with the last number of each kind.

        next_session: the one that follows at once.
        """
        now = self._clock.now()
        self._reached = dict.fromkeys(self._reached, to_sample)
        for kind in self._reached:
            self._nothing_more(kind, now)
        self._send_status(now, state)
        self._send(
            "end",
            {
                "reason": reason,
                "to_sample": to_sample,
                "counts": dict(self._counts),
                "took_s": now - self._begun_s,
                "last_seq": self._publisher.last_seqs(),
                **({} if next_session is None else {"next_session": next_session}),
            },
        )

    def _send(self, kind: str, fields: dict[str, Any]) -> None:
        self._sent_s = fields["t_sent"] = self._clock.now()
        self._publisher.send(kind, fields)


def tell_late(announcer: Announcer, late: Sequence[tuple[int, int]], what: str) -> None:
    """Say of which marks, (sample, line) each, nothing was blanked, and why: `what` they did."""
    text = f"{len(late)} marks {what}, the first at sample {late[0][0]}"
    samples, lines = zip(*late[:MARKS_TOLD], strict=True)
    announcer.notice("blank_late", text, len(late), late[0][0], samples=list(samples), lines=list(lines))
