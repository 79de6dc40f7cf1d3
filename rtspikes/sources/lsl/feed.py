"""From a source to an outlet, with faults on the way: every sample is sent or accounted for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError, SourceError
from rtspikes.protocols import Pull, Source
from rtspikes.sources.faults import NEVER, Faults, FaultSettings, Stamps
from rtspikes.sources.lsl.happenings import Began, Consumers, Event, Fault, Late, Said
from rtspikes.sources.lsl.outlet import Outlet
from rtspikes.types import Samples

DRAIN_S = 0.2
"""A disconnected outlet sends nothing more, but goes only after this: consumers get all that was sent before."""

LATE_S = 0.02
"""A push that comes so much after its last sample is late."""

TOLD_EVERY_S = 1.0
"""Late pushes are told at most this often."""

LOOK_EVERY_S = 0.2
"""How often it is looked whether consumers are there."""

MOST_HELD_BYTES = 2**30
"""What a stall may hold back."""


class Feed:
    """Moves samples from a source that was entered to an outlet that is open, one pull per `step`.

    `most`: samples after which it ends. With `wait`, an outlet that comes back sends nothing before a consumer is
    there; what it did not send until then is lost by the disconnect.
    """

    def __init__(
        self,
        source: Source,
        outlet: Outlet,
        faults: FaultSettings,
        clock: Clock,
        *,
        chunk_samples: int,
        speed: float = 1.0,
        wait: bool = False,
        most: int | None = None,
    ) -> None:
        info = source.info
        self._source, self._outlet, self._clock = source, outlet, clock
        self._chunk, self._speed, self._wait = chunk_samples, speed, wait
        self._most = NEVER if most is None else most
        self._settings = faults
        self._faults = Faults(faults, info.rate_hz, chunk_samples)
        self.stamps = Stamps(faults, info.rate_hz, chunk_samples)
        self._paced = not info.live
        self._buffer = np.zeros((chunk_samples, info.n_channels), info.dtype)
        if faults.stall_every_s is not None:
            held = round(faults.stall_for_s * info.rate_hz) * self._buffer[:1].nbytes
            if held > MOST_HELD_BYTES:
                raise ConfigError(
                    f"--stall-for would hold {held / 2**30:.1f} GiB of this signal back, and 1 GiB is the most; "
                    f"say at most --stall-for {faults.stall_for_s * MOST_HELD_BYTES / held:.1f}s"
                )
        self._drain_samples = round(min(DRAIN_S * speed, faults.disconnect_for_s / 2) * info.rate_hz)
        self._next = 0
        self._open = True
        self._alone = False  # the outlet is back, and nobody has come to it yet
        self._loss: Fault | None = None  # what is being lost
        self._held: list[tuple[int, Samples]] = []  # (last sample, rows) of a stall
        self._stalled_at: int | None = None
        self._stepped = False
        self._late = Late(0, 0.0)  # not told yet
        self._told_s = self._looked_s = -math.inf
        self._events: list[Event] = []
        self.sent = self.lost = self.late = 0
        self.worst_s = 0.0
        self.consumers: bool | None = None
        self.ended = False

    @property
    def rate_hz(self) -> float:
        """Nominal sampling rate."""
        return self._source.info.rate_hz

    @property
    def n_channels(self) -> int:
        """Channels of the stream."""
        return self._source.info.n_channels

    @property
    def signal_samples(self) -> int:
        """Samples of the source so far: sent, lost, or held back by a stall."""
        return self._next

    def start(self) -> None:
        """Let samples come."""
        self._source.start()

    def step(self) -> list[Event]:
        """Pull once, send what came, and return what happened."""
        stretch = self._faults.at(self._next)
        border = min(self._next - self._next % self._chunk + self._chunk, stretch.end, self._most)
        pull = self._source.pull(self._buffer[: border - self._next])
        self._anchor(pull)
        row = 0
        for hole in pull.holes:
            self._take(self._buffer[row : hole.offset])
            row = hole.offset
            self._miss(hole.lost)
        self._take(self._buffer[row : pull.n])
        self._events += [Said(remark.text) for remark in pull.remarks]
        if pull.another:
            raise SourceError("the source goes on with other channels or another rate; start rtspikes stream again")
        self.ended = pull.ended or self._next >= self._most
        self._look(self._clock.now())
        return self._take_events()

    def finish(self) -> list[Event]:
        """Send what a stall holds back, and return what was still going on."""
        self._release()
        self._end_loss()
        self._tell_late()
        return self._take_events()

    def totals(self) -> dict[str, Any]:
        """Return the figures of the whole: `signal` = `sent` + `lost` after `finish`."""
        begun_s = self.stamps.begun_s
        return {
            "sent": self.sent,
            "lost": self.lost,
            "signal": self._next,
            "late": self.late,
            "t0": None if math.isnan(begun_s) else begun_s,
            "rate_hz": self._source.info.rate_hz,
            "drift": self._settings.drift,
            "seed": self._settings.seed,
        }

    def _anchor(self, pull: Pull) -> None:
        for anchor in pull.anchors:
            before = sum(hole.lost for hole in pull.holes if hole.offset <= anchor.offset)
            self.stamps.anchor(self._next + anchor.offset + before, anchor.time_s, anchor.rate_hz)

    def _take(self, rows: Samples) -> None:
        """Take in rows that follow each other."""
        rows = rows[: max(0, self._most - self._next)]
        while len(rows):
            stretch = self._faults.at(self._next)
            n = min(len(rows), stretch.end - self._next)
            if not stretch.late:
                self._release()
            lost = self._connect(n, stretch.lost)
            if self._faults.step_at <= self._next and not self._stepped:
                self._step()
            if lost is not None:
                self._lose(lost, n)
            else:
                self._end_loss()
                self._send(rows[:n], stretch.late)
            self._next += n
            rows = rows[n:]

    def _connect(self, n: int, lost: str | None) -> str | None:
        """Open or close the outlet as the next `n` samples need; return what loses them, None if nothing does."""
        if lost == "disconnect":
            self._release()
            begun = self._loss.sample if self._loss is not None and self._loss.fault == lost else self._next
            if self._open and self._next + n - begun > self._drain_samples:
                self._outlet.close()
                self._open = False
            return lost
        if not self._open:
            self._outlet.open()
            self._open, self._alone = True, self._wait
        if self._alone:
            self._alone = not self._outlet.has_consumers()
            return "disconnect" if self._alone else lost
        return lost

    def _send(self, rows: Samples, late: bool) -> None:
        last = self._next + len(rows) - 1
        if late:
            if self._stalled_at is None:
                self._stalled_at = self._next
                self._events.append(Began("stall", self._next))
            self._held.append((last, rows.copy()))
            return
        self._outlet.push(rows, self.stamps.of_push(last))
        self.sent += len(rows)
        if self._paced:
            self._judge(self._clock.now(), last)

    def _release(self) -> None:
        """Send what a stall has held back."""
        if self._stalled_at is None:
            return
        for last, rows in self._held:
            self._outlet.push(rows, self.stamps.of_push(last))
        held = sum(len(rows) for _, rows in self._held)
        self.sent += held
        at = self._stalled_at
        self._events.append(Fault("stall", at, 0, self._time(at), {"held": held}))
        self._held, self._stalled_at = [], None

    def _miss(self, n: int) -> None:
        """Pass over samples that the source has lost."""
        n = min(n, self._most - self._next)
        if n > 0:
            self._lose("source", n)
            self._next += n

    def _lose(self, fault: str, n: int) -> None:
        if self._loss is None or self._loss.fault != fault:
            self._end_loss()
            self._loss = Fault(fault, self._next, 0, self._time(self._next))
            self._events.append(Began(fault, self._next))
        self.lost += n
        self._loss = Fault(fault, self._loss.sample, self._loss.lost + n, self._loss.time_s)

    def _end_loss(self) -> None:
        if self._loss is not None:
            self._events.append(self._loss)
            self._loss = None

    def _step(self) -> None:
        self._stepped = True
        at = self._faults.step_at
        facts = {"step_s": self._settings.clock_step_s}
        self._events.append(Fault("clock-step", at, 0, self._time(at), facts))

    def _time(self, sample: int) -> float | None:
        time_s = self.stamps.time(sample)
        return None if math.isnan(time_s) else time_s

    def _judge(self, now_s: float, last: int) -> None:
        """Count a push that came long after its samples."""
        begun_s = self.stamps.begun_s
        late_s = now_s - (begun_s + (self.stamps.due(last) - begun_s) / self._speed)
        if late_s > LATE_S:
            self.late += 1
            self.worst_s = max(self.worst_s, late_s)
            self._late = Late(self._late.pushes + 1, max(self._late.worst_s, late_s))

    def _look(self, now_s: float) -> None:
        """Tell about late pushes and about consumers that came or went, now and then."""
        if now_s - self._told_s >= TOLD_EVERY_S:
            self._told_s = now_s
            self._tell_late()
        if self._open and now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            if (there := self._outlet.has_consumers()) != self.consumers:
                self.consumers = there
                self._events.append(Consumers(there))

    def _tell_late(self) -> None:
        if self._late.pushes:
            self._events.append(self._late)
            self._late = Late(0, 0.0)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events
