"""A session: one layout of the stream, from its first sample to its `end`.

What is said of it is said by the processing thread alone; the acquiring thread owns `intake` and sets `acquired`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rtspikes.blanking import BlankRules
from rtspikes.clock import Clock, SampleClock
from rtspikes.commands import Commands
from rtspikes.config import Config, noise_from_file
from rtspikes.crew import ThreadCrew
from rtspikes.detect.changes import Change
from rtspikes.detect.detector import Detector
from rtspikes.detect.events import Events
from rtspikes.engine.figures import channel_figures, since_freeze
from rtspikes.engine.intake import Intake, largest_block
from rtspikes.engine.remarks import Bursts
from rtspikes.engine.service import Service
from rtspikes.engine.start import Start
from rtspikes.engine.stream_marks import StreamMarks
from rtspikes.engine.traces import Traces
from rtspikes.errors import ConfigError
from rtspikes.lines import marker_lines, stream_lines
from rtspikes.priority import detection_threads
from rtspikes.protocols import Remark, Source
from rtspikes.ring import Block, LeasedReader, Ring, Segment
from rtspikes.types import GapCause, StreamInfo
from rtspikes.wire.announce import Announcer, Passed
from rtspikes.wire.messages import session_facts
from rtspikes.wire.watches import TRACE_SIGNALS

START_S = 2.0
"""Signal (s) at a session's start in which latencies do not count before what was held has been caught up."""


class Session:
    """Ring, detector and announcer of one layout, begun anew for each.

    Making one says nothing yet; raises ConfigError when the settings do not fit the layout.
    """

    def __init__(
        self,
        name: str,
        part: int,
        config: Config,
        source: Source,
        clock: Clock,
        service: Service,
        moved: threading.Condition,
        stop: Callable[[], None],
        changes: Sequence[tuple[int, Change]] = (),
    ) -> None:
        """Take `moved`, notified by whoever moves the ring; `stop`, which ends the run; `changes`: see `Engine`."""
        self.name = name
        self.part = part
        self.info: StreamInfo = source.info
        self.first_sample = source.first_sample
        self.acquired = threading.Event()
        self.another = False
        """Once `acquired`: whether the source goes on with another layout."""
        self._config, self._source, self._clock = config, source, clock
        self._service, self._moved, self._changes = service, moved, changes
        info = self.info
        if info.n_channels < 1:
            raise ConfigError(f"source: a stream must have channels, got 0 from {info.uri}")
        lines = [*marker_lines(each.uri for each in config.markers), *stream_lines(info)]
        blanking = BlankRules(config.blank, lines, info.channels)
        sigma = noise_from_file(config, info)
        self.crew = ThreadCrew(detection_threads(config.cpu, info.n_channels))
        """Its threads detect; whoever calls `step` starts and ends them."""
        self._detector = Detector(info, config.detect, config.channels, self.first_sample, sigma, crew=self.crew)
        self._ring = Ring(info.n_channels, info.dtype, self._ring_samples(), self.first_sample)
        self._reader = LeasedReader(self._ring)
        self._largest = largest_block(info)
        self.sample_clock = SampleClock(info.rate_hz)
        self.intake = Intake(info, self._ring, self.sample_clock, clock)
        self.announcer = Announcer(
            service.publisher,
            info,
            self.sample_clock,
            clock,
            self.first_sample,
            self._detector.pre + self._detector.post,
            config.publish.tick_ms * 1e-3,
            config.detect.neighbours.amplitudes,
        )
        self.traces = Traces(service.publisher, self._detector, clock, config.publish.trace_bin_ms, self._largest)
        self.commands = Commands(
            service.reply, self._detector, self.announcer, info, self.sample_clock, clock,
            lambda: max(self.first_sample, self._ring.next_sample - 1), stop, name, blanking,
        )  # fmt: skip
        self._marks = StreamMarks(info, blanking, self._detector, self.announcer, self.sample_clock, self.intake.marks)
        self._start = Start(
            self._ring, self._reader, self._detector, self.first_sample, self._tell_weak, self._marks.look
        )
        self._bursts = Bursts(self._tell_remark, clock)
        self._kept_up = False  # whether what was held at the start is detected
        self._start_over = self.first_sample + round(START_S * info.rate_hz)

    def _ring_samples(self) -> int:
        """Return the ring's capacity; raise ConfigError when the held start does not fit."""
        settings, info = self._config.ring, self.info
        frame = np.dtype(info.dtype).itemsize * info.n_channels
        capacity = min(round(settings.seconds * info.rate_hz), int(settings.max_mib * 2**20 / frame))
        need = self._detector.initial_samples + largest_block(info)
        if capacity < need:
            raise ConfigError(
                f"the ring must hold {need} samples (detect.noise.initial_s and one block), "
                f"but ring.seconds = {settings.seconds:g} and ring.max_mib = {settings.max_mib:g} allow {capacity}; "
                f"raise them, or lower detect.noise.initial_s"
            )
        return capacity

    @property
    def facts(self) -> dict[str, Any]:
        """What `info` says of the stream and its detection."""
        facts = session_facts(self.info, self._detector, self._config.channels)
        traces = {"trace_signals": list(TRACE_SIGNALS), "trace_bin_samples": self.traces.bin_samples}
        return {**facts, **traces, "first_sample": self.first_sample, "part": self.part}

    @property
    def next_sample(self) -> int:
        """The absolute sample that comes next."""
        return self._ring.next_sample

    def greet(self) -> None:
        """Tell who has just joined what no update will tell."""
        if self._start.learned and self._detector.frozen:
            self.announcer.thresholds(self._detector.levels())

    def step(self) -> bool:
        """Detect and say what has come, or wait for it; return False once all is said but the end."""
        ended = self.acquired.is_set()  # read before the ring: what is in it then is all there will be
        seen, reached = self._ring.written, self._ring.next_sample
        block = self._reader.next(self._largest) if self._start.look(ended) else None
        if block is None and not ended:
            self._tell_remarks(reached + 1)
            self._idle(seen)
            self._kept_up = self._start.learned
            block = self._reader.next(self._largest) if self._start.learned else None
        if block is not None:
            if self._changes:
                self.commands.schedule(self._changes, "the session that is repeated")  # now that all hear of it
                self._changes = ()
            self._detect(block)
            self._reader.release()
            with self._moved:
                self._moved.notify_all()
            return True
        if ended:
            self._tell_remarks(reached + 1)
        return not ended

    def _idle(self, seen: int) -> None:
        """Wait until the source has brought something, at most until the next tick."""
        left_s = self.announcer.due_s - self._clock.now()
        with self._moved:
            if self._ring.written == seen and not self.acquired.is_set():
                self._moved.wait(max(left_s, 1e-4))

    def _detect(self, block: Block) -> None:
        begun_s = self._clock.now()
        end = block.first + len(block.samples)
        pulled_to, acquired_s = self.intake.arrival(block.first)
        self._kept_up = self._kept_up or end > self._start_over
        self._tell_gaps(block.gaps)
        self._tell_remarks(end)
        self._marks.look(block.samples, block.first)
        events = self._detector.process(block.samples, block.first, restart=bool(block.gaps))
        detected_s = self._clock.now()
        self._tell_findings(events)
        sampled_s = self.sample_clock.time(pulled_to - 1) if self._kept_up else math.nan
        self.announcer.events(events, Passed(sampled_s, acquired_s, begun_s, detected_s), self._kept_up)

    def _tell_weak(self, samples: int) -> None:
        self.announcer.notice("short_start", f"the noise level was learnt from {samples} samples only", samples)

    def _tell_gaps(self, gaps: tuple[Segment, ...]) -> None:
        for gap in gaps:
            self.announcer.gap(gap.sample - gap.lost, gap.lost, gap.cause or GapCause.SOURCE, gap.uncertain)

    def _tell_remarks(self, before: int) -> None:
        """Tell what the source remarked at samples < `before`."""
        for sample, remark in self.intake.remarks.take(before):
            self._bursts.say(sample, remark)
        self._bursts.look()

    def remark(self, remark: Remark) -> None:
        """Tell what has just happened beside the stream."""
        self._bursts.say(self._ring.next_sample, remark)

    def _tell_findings(self, events: Events) -> None:
        """Tell what detection found out about the signal."""
        for finding in events.findings:
            self._bursts.say(
                finding.sample, Remark(0, finding.cause, finding.text, finding.amount, dict(finding.facts))
            )

    def _tell_remark(self, sample: int, remark: Remark) -> None:
        self._service.news.append(remark.text)
        self.announcer.notice(remark.cause, remark.text, remark.amount, sample, **remark.facts)

    def state(self) -> dict[str, Any]:
        """Return the session's part of `status`."""
        return {
            "part": self.part,
            "bad_samples": self.announcer.bad_samples(self._detector.bad_samples),
            "settling_samples": self._detector.settling_total,
            "ring_fill": round(self._ring.fill, 4),
            "source": self._source.status(),
            "remarks_dropped": self.intake.remarks.dropped,
            "marks_dropped": self.intake.marks.dropped,
            "commands": {"done": self.commands.done, "refused": self.commands.refused},
            "frozen": self._detector.frozen,
            "muted": int(self._detector.muted.sum()),
            **channel_figures(self._detector, self.info, self._detector.table.enabled),
            "health": self._detector.health.states,
            "sigma_since_freeze": since_freeze(self._detector.since_freeze),
            "traces": self.traces.state,
        }

    def finish(self) -> None:
        """Tell the last gap and the last remarks, and end the pending events."""
        self._tell_gaps(self._ring.gaps_at(self._ring.written))
        self._tell_remarks(self._ring.next_sample + 1)
        self._marks.finish(self._ring.next_sample + 1)
        events = self._detector.finish()
        now = self._clock.now()
        self._tell_findings(events)
        self._bursts.finish()
        self.announcer.events(events, Passed(math.nan, now, now, now), counts=False)
        self.traces.finish()
