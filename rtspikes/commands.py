"""What control requests do to a run: each is checked, announced, and in force from a sample that is still to come.

Belongs to the engine's processing thread, which calls `handle` between blocks. That is also why what is announced is
true: nothing is detected between the announcement of a sample and the entry of its change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtspikes.blanking import BlankRules
from rtspikes.clock import Clock, SampleClock
from rtspikes.detect.changes import Blank, Change, TooLate, from_map, to_map
from rtspikes.detect.detector import Detector
from rtspikes.errors import ConfigError
from rtspikes.lines import PERSON
from rtspikes.types import MARK_DTYPE, StreamInfo
from rtspikes.wire.announce import Announcer, tell_late
from rtspikes.wire.codec import MOST_TEXT
from rtspikes.wire.messages import levels_part
from rtspikes.wire.reply import Command, ReplyService

LEAD_S = 0.02
"""How far ahead of detection a change is put, so that its announcement comes before its effect."""

MOST_AT_ONCE = 4
"""Commands taken between two blocks."""

MOST_SCHEDULED = 256
"""Changes that may wait for their samples."""

LABELS_SAID, LONGEST_SAID = 8, 64
"""Selectors that a notice's text names, and characters of each."""

MOST_GLOBS = 16
"""Globs in one change; each is tried on every channel, and meanwhile nothing is detected."""

LARGEST_CHANGE = 200 * 1024
"""Bytes of a change as its notice carries it: loaded thresholds of some 8000 electrodes."""


class Commands:
    """Carries out control requests and answers them."""

    def __init__(
        self,
        service: ReplyService,
        detector: Detector,
        announcer: Announcer,
        info: StreamInfo,
        sample_clock: SampleClock,
        clock: Clock,
        received: Callable[[], int],
        stop: Callable[[], None],
        session: str = "",
        blanking: BlankRules | None = None,
    ) -> None:
        """received: the newest absolute sample that came in. stop: ends the run as Ctrl-C does. session: its name.

        blanking: what marks blank.
        """
        self._service = service
        self._detector = detector
        self._announcer = announcer
        self._info = info
        self._sample_clock = sample_clock
        self._clock = clock
        self._received = received
        self._stop = stop
        self._session = session
        self._blanking = blanking or BlankRules(())
        self._lead = max(1, round(LEAD_S * info.rate_hz))
        self._scheduled: list[int] = []
        self.done = self.refused = 0

    def handle(self) -> None:
        """Carry out what waits."""
        for _ in range(MOST_AT_ONCE):
            if self._service.commands.empty():  # asked after each block: costs a tenth of a failing `get_nowait`
                return
            command = self._service.commands.get_nowait()
            self._service.settle(command, self._outcome(command))

    def schedule(self, changes: Sequence[tuple[int, Change]], by: str) -> None:
        """Enter changes for given samples, those before the stream's first at it; raise ConfigError for a wrong one."""
        for sample, change in changes:
            at = max(sample, self._detector.next_sample)
            self._detector.schedule(change, at)
            self._announce(describe(change), at, to_map(change), by)

    def _outcome(self, command: Command) -> dict[str, Any]:
        """Return the head of the answer to a command, once it is done or refused."""
        try:
            entries = dict(command.entries)
            if entries.pop("session", self._session) != self._session:
                self.refused += 1
                text = f"this engine's session is {self._session}"
                return {"ok": False, "error": "unknown_session", "text": text, "session": self._session}
            outcome = self._carry_out(entries, command.by)
        except ConfigError as error:
            self.refused += 1
            return {"ok": False, "error": "too_late" if isinstance(error, TooLate) else "refused", "text": str(error)}
        self.done += 1
        return {"ok": True, **outcome}

    def _carry_out(self, entries: dict[str, Any], by: str) -> dict[str, Any]:
        name = entries.pop("command", None)
        if name == "levels":
            return self._levels(entries.get("first_channel", 0))
        if name == "mark":
            return self._mark(entries.get("text"), by)
        if name == "shutdown":
            sample = self._received()
            self._announce("shutdown", sample, {"change": "shutdown"}, by)
            self._stop()
            return self._in_force(sample)
        at = entries.pop("at_sample", None)
        if at is not None and (isinstance(at, bool) or not isinstance(at, int)):
            raise ConfigError(f"at_sample must be an absolute sample, got {at!r:.40}")
        change = from_map(_as_change(name, entries))
        if (n := sum(any(c in str(part) for c in "*?[") for part in _parts(entries.get("select", ())))) > MOST_GLOBS:
            raise ConfigError(
                f"select must have {MOST_GLOBS} globs at most, got {n}; name channels, positions or wells"
            )
        sample = self._detector.next_sample + self._lead if at is None else at
        self._enter(change, sample, by)
        return self._in_force(sample)

    def _enter(self, change: Change, sample: int, by: str) -> None:
        """Put a change in force from `sample` on, and say so."""
        if (size := len(msgspec.msgpack.encode(change))) > LARGEST_CHANGE:
            raise ConfigError(f"a change must fit into one message: {LARGEST_CHANGE} bytes at most, got {size}")
        self._scheduled = [s for s in self._scheduled if s > self._detector.next_sample]
        if len(self._scheduled) >= MOST_SCHEDULED:
            raise ConfigError(f"{MOST_SCHEDULED} changes wait for their samples already; ask again later")
        self._detector.schedule(change, sample)
        self._scheduled.append(sample)
        self._announce(describe(change), sample, to_map(change), by)

    def _announce(self, text: str, sample: int, change: dict[str, Any], by: str) -> None:
        self._announcer.notice("control", f"{text} from sample {sample} on (by {by})", 1, sample, change=change, by=by)

    def _mark(self, text: Any, by: str) -> dict[str, Any]:
        if not isinstance(text, str) or not 1 <= len(text) <= MOST_TEXT:
            raise ConfigError(f"a mark's text must have 1 … {MOST_TEXT} characters, got {text!r:.80}")
        sample = self._received()
        time_s = self._sample_clock.time(sample)
        mark = np.array([(sample, self._clock.now() if math.isnan(time_s) else time_s, 0, 0)], MARK_DTYPE)
        self.marks(mark, [text])
        return self._in_force(sample)

    def marks(self, table: NDArray[np.void], texts: Sequence[str]) -> None:
        """Say marks (MARK_DTYPE) that are not in the signal, and blank as the settings say, from a sample to come on.

        A marker of another stream comes too late when all that it should blank was detected or is about to be; that
        is told. A person's mark has no time but that of its arrival.
        """
        self._announcer.marks(table, texts)
        late: list[tuple[int, int]] = []
        columns = (table[name].tolist() for name in ("sample", "line", "value"))
        for sample, line, value, text in zip(*columns, texts, strict=True):
            for blank in self._blanking.of(line, value, text):
                if not self._blank(blank, sample, line):
                    late.append((sample, line))
        if late:
            tell_late(self._announcer, late, "came too late to blank, or too many at once")

    def _blank(self, blank: Blank, sample: int, line: int) -> bool:
        """Blank for a mark at `sample`, or as soon as can be announced; return False when that would be too late."""
        earliest = self._detector.next_sample + self._lead
        if line != PERSON and sample + blank.ms * 1e-3 * self._info.rate_hz <= earliest:
            return False
        by = f"the mark at sample {sample} on line {line}"
        try:
            self._enter(blank, earliest if line == PERSON else max(sample, earliest), by)
        except ConfigError:  # too many wait
            return False
        return True

    def _levels(self, first: Any) -> dict[str, Any]:
        if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first < self._info.n_channels:
            raise ConfigError(f"first_channel must be 0 … {self._info.n_channels - 1}, got {first!r:.40}")
        return levels_part(self._detector.levels(unmuted=True), first)

    def _in_force(self, sample: int) -> dict[str, Any]:
        time_s = self._sample_clock.time(sample)
        return {"sample": sample, "time": None if math.isnan(time_s) else time_s}


def _as_change(name: Any, entries: dict[str, Any]) -> dict[str, Any]:
    """Return a request's command as the map of a change; `load` brings its levels as columns of float32."""
    if name != "load":
        return {**entries, "change": name}
    columns = {}
    for key in ("negative_uv", "positive_uv"):
        data = entries.get(key)
        if not isinstance(data, bytes) or len(data) % 4:
            raise ConfigError(f"load: {key} must be float32 as bytes, got {data!r:.40}")
        columns[key] = [None if math.isnan(x) else x for x in np.frombuffer(data, "<f4").tolist()]
    return {"change": "levels", "labels": entries.get("labels"), **columns}


def describe(change: Change) -> str:
    """Return what a change does, for people."""
    tree = to_map(change)
    name = tree.pop("change")
    match name:
        case "threshold":
            height = f"{tree['threshold']:g} σ" if "threshold" in tree else f"{tree['threshold_uv']:g} µV"
            return f"threshold {height} for {_selected(tree['select'])}"
        case "levels":
            return f"thresholds loaded for {len(tree['labels'])} electrodes"
        case "mute" | "unmute":
            return f"{name} {_selected(tree['select'])}"
        case "blank":
            return f"{_selected(tree['select'])} blanked for {tree['ms']:g} ms"
        case "freeze":
            return "thresholds frozen"
        case "follow":
            return "thresholds follow the noise"
        case _:
            return "noise level learnt anew"


def _parts(select: Any) -> list[Any]:
    return list(select) if isinstance(select, list | tuple) else [select]


def _selected(select: Any) -> str:
    parts = [str(part)[:LONGEST_SAID] for part in _parts(select)]
    return ", ".join(parts[:LABELS_SAID]) + (" …" if len(parts) > LABELS_SAID else "")
