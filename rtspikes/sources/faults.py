"""Faults on purpose: which samples of a stream are not sent, or late, or carry another stamp than their own.

Everything follows from the settings and the index of a sample alone, counted from the stream's first:

    sample    0 ........ every ........ every+for ........ 2·every ......
    pause     sent       |  not sent    |  sent            |  not sent
    disconnect, stall: the same, with their own times; drop: stretches of chunks at random
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rtspikes.clock import SampleClock
from rtspikes.errors import ConfigError

LONGEST_DROP_S = 0.05
"""A dropped stretch is 1 chunk … this long."""

MOST_DROPPED = 0.5
"""Between two dropped stretches at least one chunk is sent."""

NEVER = 2**62
"""A sample that no stream reaches."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Which faults; none by default. Seconds are those of the signal: so many times the nominal rate in samples."""

    drop: float = 0.0
    """Part of the signal that is not sent, 0 … 0.5, in stretches of 1 chunk … 50 ms."""
    jitter_s: float = 0.0
    """A push is stamped as if it came so much late at most (uniform), never before the one that it follows."""
    drift: float = 0.0
    """The device's clock is fast by this ratio: samples come, and are stamped, at rate · (1 + drift)."""
    pause_every_s: float | None = None
    pause_for_s: float = 5.0
    """Nothing is sent; these samples are lost."""
    disconnect_every_s: float | None = None
    disconnect_for_s: float = 2.0
    """There is no outlet; these samples are lost."""
    stall_every_s: float | None = None
    stall_for_s: float = 1.0
    """Nothing is sent for a while, and then all of it at once."""
    clock_step_s: float = 0.0
    clock_step_at_s: float = 10.0
    """From there on all stamps are later (< 0: earlier) by the step."""
    default_stamps: bool = False
    """Push without a stamp, as simple producers do: liblsl takes the moment of the push."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Check what belongs together."""
        if not 0 <= self.drop <= MOST_DROPPED:
            raise ConfigError(f"--drop must be 0 … {MOST_DROPPED:.0%}, got {self.drop * 100:g}%")
        if not -0.01 <= self.drift <= 0.01:
            raise ConfigError(f"--drift must be -1% … 1%, got {self.drift * 100:g}%")
        for name in ("pause", "disconnect", "stall"):
            every, lasts = getattr(self, f"{name}_every_s"), getattr(self, f"{name}_for_s")
            if every is not None and not 0 < lasts < every:
                raise ConfigError(f"--{name}-for must be shorter than --{name}-every, got {lasts:g}s and {every:g}s")
        if self.default_stamps and (self.jitter_s or self.clock_step_s):
            raise ConfigError("--default-stamps leaves the stamps to liblsl: say it without --jitter and --clock-step")

    def step_at(self, rate_hz: float) -> int:
        """Return the sample at which the clock steps."""
        return round(self.clock_step_at_s * rate_hz) if self.clock_step_s else NEVER


class Stretch(NamedTuple):
    """What happens to a sample, and to all behind it before `end`."""

    end: int
    lost: str | None  # "disconnect", "pause", "drop"; None: it is sent
    late: bool  # it is held back until the stall is over


class Faults:
    """Tells what happens to each sample; to be asked in rising order."""

    def __init__(self, settings: FaultSettings, rate_hz: float, chunk_samples: int) -> None:
        self._lost = (
            ("disconnect", _Periodic(settings.disconnect_every_s, settings.disconnect_for_s, rate_hz)),
            ("pause", _Periodic(settings.pause_every_s, settings.pause_for_s, rate_hz)),
            ("drop", _Drops(settings.drop, rate_hz, chunk_samples, settings.seed)),
        )
        self._stall = _Periodic(settings.stall_every_s, settings.stall_for_s, rate_hz)
        self.step_at = settings.step_at(rate_hz)

    def at(self, sample: int) -> Stretch:
        """Return what happens to `sample`, and for how long; where faults meet, the first of the list counts."""
        late, end = self._stall.at(sample)
        if sample < self.step_at:
            end = min(end, self.step_at)
        lost = None
        for name, fault in self._lost:
            inside, border = fault.at(sample)
            end = min(end, border)
            if inside and lost is None:
                lost = name
        return Stretch(end, lost, late)


class Stamps:
    """Gives a push its stamp: the source's own time of its last sample, with the faults of clocks in it."""

    def __init__(self, settings: FaultSettings, rate_hz: float, chunk_samples: int) -> None:
        self._settings, self._chunk = settings, chunk_samples
        self._step_at = settings.step_at(rate_hz)
        self._clock = SampleClock(rate_hz)
        self._last_push_s = -math.inf
        self.begun_s = math.nan
        """When sample 0 happened (LSL clock, s)."""

    def anchor(self, sample: int, time_s: float, rate_hz: float) -> None:
        """Let `sample` have happened at `time_s`, and those behind it follow at `rate_hz`, by the source's clock."""
        self._clock.anchor(sample, time_s, rate_hz)
        if math.isnan(self.begun_s):
            self.begun_s = self._clock.time(0)

    def due(self, sample: int) -> float:
        """Return when `sample` happens (LSL clock, s), drift included: begun + sample / (rate · (1 + drift))."""
        return self.begun_s + (self._clock.time(sample) - self.begun_s) / (1 + self._settings.drift)

    def time(self, sample: int) -> float:
        """Return the stamp that belongs to `sample`, without jitter."""
        return self.due(sample) + (self._settings.clock_step_s if sample >= self._step_at else 0.0)

    def of_push(self, last: int) -> float | None:
        """Return the stamp of the push that ends with sample `last`; None: liblsl's. To be asked in rising order."""
        if self._settings.default_stamps:
            return None
        if not self._settings.jitter_s:
            return self.time(last)
        late_s = self._settings.jitter_s * _uniform(self._settings.seed, "jitter", last // self._chunk)
        self._last_push_s = max(self._last_push_s, self.due(last) + late_s)
        return self._last_push_s + (self.time(last) - self.due(last))


class _Periodic:
    """Something that begins every so often, first after `every_s`, and lasts `for_s`."""

    def __init__(self, every_s: float | None, for_s: float, rate_hz: float) -> None:
        self._every = NEVER if every_s is None else max(1, round(every_s * rate_hz))
        self._for = round(for_s * rate_hz)

    def at(self, sample: int) -> tuple[bool, int]:
        """Return whether it goes on at `sample`, and the sample at which that changes."""
        number, inside = divmod(sample, self._every)
        if number and inside < self._for:
            return True, sample - inside + self._for
        return False, (number + 1) * self._every


class _Drops:
    """Stretches of whole chunks at random: lengths uniform, distances geometric, of the given mean."""

    def __init__(self, part: float, rate_hz: float, chunk_samples: int, seed: int) -> None:
        self._stretches = self._draw(part, rate_hz, chunk_samples, seed)
        self._first, self._end = next(self._stretches)

    def at(self, sample: int) -> tuple[bool, int]:
        """Return whether `sample` is dropped, and the sample at which that changes; `sample` never falls."""
        while sample >= self._end:
            self._first, self._end = next(self._stretches)
        return (True, self._end) if sample >= self._first else (False, self._first)

    @staticmethod
    def _draw(part: float, rate_hz: float, chunk: int, seed: int) -> Iterator[tuple[int, int]]:
        if not part:
            yield NEVER, NEVER + 1
            return
        most = max(1, int(LONGEST_DROP_S * rate_hz) // chunk)
        mean_sent = (1 + most) / 2 * (1 - part) / part  # chunks between two drops, ≥ 1
        further = (mean_sent - 1) / mean_sent  # chance of one more chunk beyond the first
        at = number = 0
        while True:
            sent = 1
            if further:
                sent += int(math.log(1 - _uniform(seed, "distance", number)) / math.log(further))
            lost = 1 + int(most * _uniform(seed, "drop", number))
            first = at + sent
            at = first + lost
            number += 1
            yield first * chunk, at * chunk


def _uniform(seed: int, of_what: str, number: int) -> float:
    """Return a number, uniform in [0, 1): always the same for the same arguments."""
    digest = hashlib.blake2b(f"{seed} {of_what} {number}".encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "little") >> 3) / 2**53
