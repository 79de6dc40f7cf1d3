"""What the raw stamps of a stream tell: samples that were lost, when each sample happened, resets of its clock.

Stamps come in *runs*: liblsl derives the stamps within a pushed chunk at the nominal rate from that of its last sample,
so only the last stamp of a run says when something happened. Their residuals from the line through all (a Kalman
filter of the stamp and of the period between samples) are what is judged:

    stamp − line        lost: they stay up                      late pushes: they come back
        │              ·  ·  ·  ·  ·                               ·
        │                                                             ·
        │ · · · · ··                                     · · · · ·      · · · · ·
        └──────────────────────────▶ samples             └──────────────────────────▶

- *Counted* stamps come from a sample counter: residuals are far below a sample, and a step is a loss, to the sample.
- *Jittered* stamps are the moments of pushes. A step above `SUSPECT_S` and the measured jitter is held back, up to
  `HOLD_S`, until it is known whether it stays; what is smaller counts as a loss, with its uncertainty, when the
  earliest pushes of two windows in a row stay behind by more than the jitter. What is smaller still cannot be known.

A step ahead is a step of the clock, and no loss, when the samples would have come before they happened: data cannot
come earlier than the quickest before. A step back always begins a new clock segment.

Knows neither liblsl nor threads: stamps in, verdicts out. Units: s, and samples counted from the stream's first.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.protocols import Anchor, Hole, Remark
from rtspikes.sources.lsl.line import Line
from rtspikes.sources.lsl.offset import ClockOffset
from rtspikes.sources.lsl.published import PublishedTimes
from rtspikes.sources.lsl.straight import MOST_RUNS, Straight
from rtspikes.sources.lsl.window import WINDOW_RUNS, WINDOW_S, Window
from rtspikes.types import GapCause

Stamps = NDArray[np.float64]

SUSPECT_S = 2e-3
"""Steps of jittered stamps above this, and above SUSPECT_JITTERS times the jitter, are held back until it is known
whether they stay; most late pushes are known by the next one."""

SUSPECT_JITTERS = 3.0

HOLD_S, HOLD_RUNS = 0.15, 3
"""For how long, and how many runs; up to LONGEST_HOLD_S while residuals fall, as a burst of late samples comes in."""

LONGEST_HOLD_S = 1.0

CLOCK_STEP_S = 0.02
"""Steps ahead below this are losses, whatever the clocks say."""

COUNTED_S, COUNTED_SAMPLES = 8e-6, 0.15
"""Residuals below both are those of a sample counter (rounding, and a drift within large chunks)."""

LARGEST_S = 0.05
"""One stall of the producer must not make the judgement blind: it counts as this much jitter at most."""

TRUST_S = 0.2
"""Signal without jitter after which stamps are taken for counted."""

REGULAR_SAMPLES = 0.02
"""How far a step within a run may be from one sample; double precision costs 0.005 of it for stamps in UTC."""

ENVELOPE_S = 10.0
"""The measured jitter, the largest residual, is forgotten with this time constant."""

LEAST_SHIFT_S = 0.25e-3
"""A lasting shift of jittered stamps below this is no loss: the delays of a busy computer change by as much."""

SETTLE_S = 0.5
"""The line's beginning is corrected for so long; nothing has been published before the noise level is known."""

PRIOR_PPM = 500.0
"""Sampling clocks: how far from nominal at first."""

RATE_WRONG = 5e-3
"""A rate that differs by more is no drift: the nominal rate is wrong."""

UNKNOWN_S = 0.01
"""Steps of jittered stamps below this are none while the line is still unknown: the nominal rate may be wrong."""

LARGEST_STAMP_S = 1e12
"""What is larger is no time."""

FAR_S = 1e5
"""Stamps are counted anew after so long: there double precision still has 15 ps."""

REGULAR_HOLES = 4
"""So many runs, each behind a hole in the same proportion to it, at the start: a wrong nominal rate and no losses."""

LONGEST_CHUNK = 400
"""Longer runs may be of several chunks, or of one whose stamps say little of its beginning."""

MOST_DOUBT = 0.25
"""How far from whole samples a step of a sample counter may seem to be."""

MOST_LOST_S, MOST_SPEED = 60.0, 20.0
"""A step by more than this, and so many times what has passed by arrival, is no loss, whatever is known."""

EVIDENCE_S = 0.05
"""Signal after a step that must be regular before stamps that are not yet trusted are taken for counted."""


class Verdict(NamedTuple):
    """What stamps said. Rows from `held` on (None: none) are undecided: give them again, with those that follow."""

    holes: tuple[Hole, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    remarks: tuple[Remark, ...] = ()
    held: int | None = None


class Runs(NamedTuple):
    """Runs of rows: where each starts and ends, its last sample and that one's stamp and residual from the line."""

    starts: NDArray[np.intp]
    lasts: NDArray[np.intp]
    at: NDArray[np.intp]
    stamps: Stamps
    residuals: Stamps

    @property
    def lengths(self) -> NDArray[np.intp]:
        """Rows of each run."""
        return self.lasts - self.starts + 1

    def until(self, j: int) -> Runs:
        """Return the first `j` runs."""
        return Runs(self.starts[:j], self.lasts[:j], self.at[:j], self.stamps[:j], self.residuals[:j])


class Timeline:
    """Judges the stamps of one stream, in the order in which they come.

    nominal_hz: the rate at which liblsl derives the stamps within a chunk. buffer_s: the inlet's queue: a loss after
    which samples come so late has happened there.
    """

    def __init__(self, nominal_hz: float, offset: ClockOffset, buffer_s: float) -> None:
        self._nominal_hz = nominal_hz
        self._offset = offset
        self._buffer_s = buffer_s
        self._line: Line | None = None
        self._next = 0
        self._last_stamp = self._last_arrival_s = math.nan
        self._last_taken = 0  # rows taken at the last arrival: nothing comes for as long as a chunk takes to fill
        self._reconnected = False
        self._envelope_s = 0.0
        self._clean = 0  # samples since the last residual above COUNTED_S
        self._noisy = False  # whether there was one since stamps were last trusted
        self._held_since_s: float | None = None
        self._quickest_s = math.inf
        self._pulls: deque[tuple[float, float, int]] = deque(maxlen=256)  # of late: arrival, last stamp, samples
        self._published = PublishedTimes(nominal_hz)
        self._window = Window()
        self._straight = Straight()
        self.resets = 0
        self.bad_stamps = 0
        self._holes: list[Hole] = []
        self._remarks: list[Remark] = []
        self._tries = self._before = 0
        self._base_s = self._regular_s = 0.0

    # what is known

    @property
    def counted(self) -> bool:
        """Whether the stamps come from a sample counter, as far as is known."""
        quiet = self._envelope_s <= min(COUNTED_S, COUNTED_SAMPLES / self._nominal_hz)
        return quiet and self._clean >= TRUST_S * self._nominal_hz

    @property
    def jitter_s(self) -> float:
        """The largest residual of late."""
        return self._envelope_s

    def status(self) -> dict[str, Any]:
        """Return what is known of the stream's clock, for `status`."""
        if self._line is None:
            return {}
        period_s = self._line.period_s
        least = max(self._envelope_s, LEAST_SHIFT_S) * self._nominal_hz
        return {
            "stamps": "counted" if self.counted else "jittered",
            "effective_rate_hz": round(1 / period_s, 6),
            "drift_ppm": round((1 / (period_s * self._nominal_hz) - 1) * 1e6, 3),
            "drift_uncertain_ppm": round(self._line.rate_doubt_ppm, 3),
            "residual_us": round(self._line.noise_s * 1e6, 2),
            "jitter_us": round(self._envelope_s * 1e6, 1),
            "least_loss_known_samples": 1 if self.counted else math.ceil(least),
            "clock_offset_us": round(self._offset.at(self._base_s + self._last_stamp) * 1e6, 1),
            "clock_resets": self.resets,
        }

    # what comes

    def reconnect(self, offset: ClockOffset, buffer_s: float) -> None:
        """Tell that what comes next comes over another connection."""
        self._offset, self._buffer_s = offset, buffer_s
        self._reconnected = self._line is not None

    def take(self, stamps: Stamps, arrived_s: float, final: bool = False) -> Verdict:
        """Judge the next rows' stamps (n,), which came in at `arrived_s` (LSL clock of this computer).

        final: leave nothing undecided.
        """
        self._holes, self._remarks = [], []
        if not (stamps.max() < LARGEST_STAMP_S and stamps.min() > -LARGEST_STAMP_S):
            stamps = self._mended(stamps)
        if self._line is None:
            self._begin(stamps, arrived_s)
        if abs(self._last_stamp) > FAR_S:
            self._begin_count_anew()
        stamps = stamps - self._base_s
        self._before, row, held = self._next, 0, False
        self._tries = 0
        while row < len(stamps) and not held:
            judged, held = self._judge(stamps[row:], row, arrived_s, final)
            self._tries = 0 if judged > row else self._tries + 1
            row = judged
        if row:
            self._last_arrival_s, self._last_taken = arrived_s, row
            self._pulls.append((arrived_s, self._last_stamp, self._next))
            self._quickest_s = min(self._quickest_s + 1e-6, arrived_s - self._last_stamp)
            self._trust_again()
            self._publish(row)
        anchors, told = self._published.take()
        return Verdict(tuple(self._holes), anchors, (*self._remarks, *told), row if held else None)

    def _mended(self, stamps: Stamps) -> Stamps:
        """Return the stamps without those that are no number: they follow the one before."""
        good = np.abs(stamps) < LARGEST_STAMP_S
        first_good = float(stamps[good][0]) if good.any() else 0.0
        known = math.isfinite(self._last_stamp)
        last = self._base_s + self._last_stamp if known else first_good - 1 / self._nominal_hz
        mended = stamps.copy()
        for i in np.flatnonzero(~good):
            mended[i] = (mended[i - 1] if i else last) + 1 / self._nominal_hz
        bad = int((~good).sum())
        self.bad_stamps += bad
        self._remarks.append(
            Remark(0, "bad_stamps", f"{bad} stamps were no number; counted on from the one before", bad)
        )
        return mended

    def _judge(self, part: Stamps, row: int, arrived_s: float, final: bool) -> tuple[int, bool]:
        """Judge the rows from `row` on, stamped `part`, up to the next step; return where to go on, or what is held."""
        line = self._line
        assert line is not None
        if self._follows(part, line):
            self._late_shift(row + len(part))
            return row + len(part), False
        runs = self._runs(part, line)
        out = np.abs(runs.residuals) > self._limit_s(line)
        out[0] |= self._reconnected
        if self._presumed:  # the line is not known well yet, but a counter's step is whole samples in itself
            out |= self._missing(part, runs, line.period_s) > 0.5
        if not out.any():
            self._accept(runs, len(part))
            self._late_shift(row + len(part))
            return row + len(part), False
        if j := int(np.argmax(out)):
            n = int(runs.starts[j])
            self._accept(runs.until(j), n)
            return row + n, False
        return self._step(runs, part, row, arrived_s, final)

    def _follows(self, part: Stamps, line: Line) -> bool:
        """Take in `part` if it is one run that follows the line, as most are; tell whether it was."""
        n = len(part)
        if n > 1:
            steps = part[1:] - part[:-1]
            if not abs(steps - 1 / self._nominal_hz).max() < self._regular_s:
                return False
        stamp, at = float(part[-1]), self._next + n - 1
        residual_s = stamp - line.predict(at)
        if not abs(residual_s) <= self._limit_s(line) or self._reconnected:
            return False
        if self._presumed and (part[0] - self._last_stamp) * self._nominal_hz > 1.5:
            return False
        self._note_jitter(self._unexplained_s(abs(residual_s), line), n)
        line.update(stamp, at, 1)
        self._window.add_run(stamp, at, line.period_s)
        self._straight.add(at, stamp)
        self._advance(n, stamp)
        return True

    def _runs(self, part: Stamps, line: Line) -> Runs:
        """Cut stamps into runs, and compare each run's last one with the line."""
        previous = self._last_stamp if math.isfinite(self._last_stamp) else part[0] - 1 / self._nominal_hz
        steps = np.diff(part, prepend=previous)
        begins = np.flatnonzero(np.abs(steps - 1 / self._nominal_hz) > self._regular_s)
        starts = begins if len(begins) and begins[0] == 0 else np.append(0, begins)
        lasts = np.append(starts[1:] - 1, len(part) - 1)
        at = self._next + lasts
        return Runs(starts, lasts, at, part[lasts], part[lasts] - line.predict(at))

    def _missing(self, part: Stamps, runs: Runs, period_s: float) -> Stamps:
        """Return how many samples are missing before each run."""
        before = np.append(self._last_stamp, part[runs.starts[1:] - 1])
        return np.asarray((part[runs.starts] - before) / period_s - 1)

    def _begin(self, stamps: Stamps, arrived_s: float) -> None:
        """Begin the line with the first stamp that comes; all others count from it, so that digits suffice."""
        self._base_s = self._published.base_s = float(stamps[0])
        self._regular_s = REGULAR_SAMPLES / self._nominal_hz + 4 * float(np.spacing(abs(self._base_s)))
        self._line = Line(0.0, self._next, 1 / self._nominal_hz, 1e-3, PRIOR_PPM)
        self._last_arrival_s = arrived_s

    def _begin_count_anew(self) -> None:
        """Count stamps from the last one, as digits are lost far from where they are counted from."""
        line, by_s = self._line, self._last_stamp
        assert line is not None
        self._base_s = self._published.base_s = self._base_s + by_s
        line.stamp -= by_s
        self._last_stamp = 0.0
        self._quickest_s += by_s
        self._pulls.clear()
        self._window.forget()
        self._straight.forget()

    @property
    def _presumed(self) -> bool:
        """Whether no stamp so far spoke against a sample counter, though they were too few to trust in one."""
        return not self._noisy and not self.counted

    def _limit_s(self, line: Line) -> float:
        """Return the residual above which a step may be a loss: half a sample where samples are counted."""
        if self.counted or self._presumed:
            return 0.5 * line.period_s + min(3 * line.doubt_s(self._next), CLOCK_STEP_S)
        return max(SUSPECT_S if self._published.settled else UNKNOWN_S, SUSPECT_JITTERS * self._envelope_s)

    def _accept(self, runs: Runs, n: int) -> None:
        """Take in `n` rows, these runs, that follow the line."""
        assert self._line is not None
        self._note_jitter(self._unexplained_s(float(np.abs(runs.residuals).max()), self._line), n)
        self._line.update(float(runs.stamps.mean()), float(runs.at.mean()), len(runs.at))
        self._window.add(runs.stamps, runs.at, self._line.period_s)
        for at, stamp in zip(runs.at[-MOST_RUNS:].tolist(), runs.stamps[-MOST_RUNS:].tolist(), strict=True):
            self._straight.add(at, stamp)
        self._advance(n, float(runs.stamps[-1]))

    def _note_jitter(self, largest_s: float, n: int) -> None:
        """Measure the jitter by the largest residual of `n` rows."""
        forget = math.exp(-n / (ENVELOPE_S * self._nominal_hz))
        self._envelope_s = max(self._envelope_s * forget, min(largest_s, LARGEST_S))
        noisy = largest_s > min(COUNTED_S, COUNTED_SAMPLES / self._nominal_hz)
        self._clean = 0 if noisy else self._clean + n
        self._noisy = (self._noisy or noisy) and not self.counted

    def _unexplained_s(self, residual_s: float, line: Line) -> float:
        """Return what of a residual is more than the line is in doubt, as it is at the start."""
        return max(0.0, residual_s - 3 * line.doubt_s(self._next)) if self._presumed else residual_s

    def _trust_again(self) -> None:
        """Take stamps for counted again that lie on a line, if it is the one that was thought of: nothing is lost.

        At the start the line is not known well, and what it does not know of the rate looks like jitter.
        """
        line = self._line
        if line is None or self.counted or self._presumed:
            return
        within_s = min(COUNTED_S, COUNTED_SAMPLES / self._nominal_hz)
        least_s = TRUST_S if self._published.settled else 0.1 * TRUST_S
        found = self._straight.line(within_s, least_s * self._nominal_hz)
        at = self._next - 1
        if found is None or abs(self._last_stamp - line.predict(at)) > 0.5 * line.period_s:
            return
        period_s, span = found
        self._line = Line(self._last_stamp, at, period_s, within_s, 2e6 * within_s / (span * period_s))
        self._envelope_s, self._noisy = 0.5 * within_s, False
        self._clean = span

    def _advance(self, n: int, last_stamp: float) -> None:
        self._next += n
        self._last_stamp = last_stamp

    # steps

    def _step(self, runs: Runs, part: Stamps, row: int, arrived_s: float, final: bool) -> tuple[int, bool]:
        """Decide what the step before `row` is, or hold it back; return where to go on."""
        line = self._line
        assert line is not None
        step_s = float(runs.residuals[0])
        counted = self.counted
        if not self._reconnected:
            missing = self._missing(part, runs, line.period_s)
            within = np.where(runs.lengths <= LONGEST_CHUNK, runs.lengths, 0)  # stamps at the nominal rate
            doubts = np.minimum(0.05 + (np.abs(missing) + within) * self._rate_doubt(line), MOST_DOUBT)
            whole = np.abs(missing - np.round(missing)) < doubts
            if not self._tries and self._speaks_against_counting(step_s, missing, whole, runs.lengths):
                self._note_jitter(abs(step_s), 0)
                self._held_since_s = None
                return row, False
            if self._presumed:
                needed_s = EVIDENCE_S if runs.lengths.max() <= LONGEST_CHUNK else TRUST_S
                if len(part) < needed_s * self._nominal_hz and not final and self._waits(runs, arrived_s):
                    return row, True
                counted = True
            if counted:
                step_s = float(missing[0]) * line.period_s
        if not counted and not self._reconnected:
            near_s = max(1.5 * self._envelope_s, abs(step_s) / 4)
            back = np.flatnonzero(np.abs(runs.residuals) <= near_s)
            if len(back):  # late pushes, or a stall and its burst: they came back to the line
                n = int(runs.starts[back[0]])
                self._note_jitter(abs(step_s), n)
                self._advance(n, float(part[n - 1]))
                self._held_since_s = None
                return row + n, False
            if not final and self._waits(runs, arrived_s):
                return row, True
            if not self._published.settled and self._tries < 2 and self._rises(row, runs):
                self._held_since_s = None
                return row, False
            step_s = float(np.median(runs.residuals))
        came_s, self._held_since_s = self._held_since_s or arrived_s, None
        gap_s = max(0.0, came_s - self._last_arrival_s - min(int(runs.lengths[0]), self._last_taken) * line.period_s)
        lag_s = came_s - float(part[0])
        reconnected, self._reconnected = self._reconnected, False
        cause = GapCause.RECONNECT if reconnected else self._cause(step_s, gap_s, lag_s)
        self._published.correct(self._before, line, self._offset, final=True)
        if step_s < -0.5 * line.period_s or self._is_clock_step(step_s, lag_s, gap_s, reconnected):
            self._reset_clock(row, step_s, runs, gap_s, cause)
        else:
            self._lose(row, step_s, runs, cause, counted)
        first = runs.until(1)
        at = self._next + first.lasts
        n = int(first.lasts[0]) + 1
        self._accept(first._replace(at=at, residuals=first.stamps - line.predict(at)), n)
        return row + n, False

    def _speaks_against_counting(
        self, step_s: float, missing: Stamps, whole: NDArray[np.bool_], lengths: NDArray[np.intp]
    ) -> bool:
        """Tell whether no sample counter steps so: `missing` samples before runs of `lengths`, `whole` or not."""
        if self._presumed:
            parts = (missing / lengths)[:-1]  # the last run may go on
            regular = len(parts) >= REGULAR_HOLES and float(np.ptp(parts)) < 0.1 * abs(float(parts[0]))
            return regular or step_s < 0 or not whole.all()
        return self.counted and not whole[0] and step_s < CLOCK_STEP_S

    def _rate_doubt(self, line: Line) -> float:
        """Return by which part of a stretch its length in samples may be wrong."""
        return 1e-6 * (PRIOR_PPM if self._presumed else 3 * line.rate_doubt_ppm)

    def _waits(self, runs: Runs, arrived_s: float) -> bool:
        """Tell whether to wait for what follows a step."""
        if self._held_since_s is None:
            self._held_since_s = arrived_s
        held_s = arrived_s - self._held_since_s
        falling = abs(float(runs.residuals[-1])) < 0.8 * abs(float(runs.residuals[0]))
        return held_s < (LONGEST_HOLD_S if falling or len(runs.at) < HOLD_RUNS else HOLD_S)

    def _cause(self, step_s: float, gap_s: float, lag_s: float) -> GapCause:
        """Tell where samples were lost, by how long nothing came, and how late they come."""
        if lag_s - self._quickest_s >= 0.8 * self._buffer_s:
            return GapCause.BUFFER
        return GapCause.PAUSE if gap_s > max(0.5 * step_s, 0.25) else GapCause.SOURCE

    def _is_clock_step(self, step_s: float, lag_s: float, gap_s: float, reconnected: bool) -> bool:
        """Tell whether a step ahead is one of the clock: then samples seem to come before they happened."""
        if reconnected:
            return step_s > 1.0 + 1.1 * gap_s
        if step_s < CLOCK_STEP_S:
            return False
        if step_s > MOST_LOST_S + MOST_SPEED * gap_s:
            return True
        if len(self._pulls) < WINDOW_RUNS:
            return False
        (first_s, first_stamp, _), (last_s, last_stamp, _) = self._pulls[0], self._pulls[-1]
        at_real_speed = 0.7 * (last_s - first_s) < last_stamp - first_stamp < 1.4 * (last_s - first_s)
        return at_real_speed and lag_s < self._quickest_s - max(CLOCK_STEP_S, 0.2 * step_s)

    def _lose(self, row: int, step_s: float, runs: Runs, cause: GapCause, counted: bool) -> None:
        """Count the samples of a step as lost before `row`."""
        line = self._line
        assert line is not None
        exact = step_s / line.period_s
        lost = max(round(exact), 0)
        if counted:
            doubt = lost * self._rate_doubt(line)
            uncertain = min(max(round(doubt), int(abs(exact - lost) > 0.1 + doubt)), lost)
        else:
            # where more was lost while this was held back, its first run tells less than their middle
            doubt_s = max(self._envelope_s, abs(step_s - float(runs.residuals[0])))
            uncertain = max(1, math.ceil(doubt_s / line.period_s))
        if lost:
            self._holes.append(Hole(row, lost, cause, uncertain))
        self._next += lost
        if counted or cause is GapCause.RECONNECT:
            n = int(runs.lasts[0])
            line.restart(float(runs.stamps[0]), self._next + n, max(1e-6, self._envelope_s))
        self._window.forget()
        if abs(exact - lost) > 0.1:
            self._straight.forget()
        self._place(row, reset=False)

    def _reset_clock(self, row: int, step_s: float, runs: Runs, gap_s: float, cause: GapCause) -> None:
        """Begin a new clock segment before `row`; what was lost meanwhile is known by arrival only."""
        line = self._line
        assert line is not None
        usual_s = max(0.1, 2 * self._envelope_s)
        reconnected = cause is GapCause.RECONNECT
        lost = round(gap_s / line.period_s) if gap_s > 2 * usual_s or reconnected else 0
        uncertain = math.ceil(usual_s / line.period_s)
        overlap = -CLOCK_STEP_S < step_s < 0
        if overlap:
            self._note_jitter(-step_s, 0)
        if lost:
            self._holes.append(Hole(row, lost, cause if reconnected else GapCause.PAUSE, uncertain))
        elif overlap:
            self._holes.append(Hole(row, 0, GapCause.SEAM))
        self._next += lost
        self.resets += 1
        firsts = runs.stamps - runs.lasts * line.period_s
        line.restart(float(firsts.mean()), self._next, max(1e-6, self._envelope_s))
        self._window.forget()
        self._pulls.clear()
        self._quickest_s = math.inf
        said = "stamps overlap" if overlap else f"the stream's clock stepped {'back' if step_s < 0 else 'ahead'}"
        text = f"about {lost} samples (± {uncertain}) were lost meanwhile" if lost else "no sample is missing"
        facts = {"step_s": round(step_s, 6)}
        what = "overlap" if overlap else "clock_reset"
        self._remarks.append(Remark(row, what, f"{said} by {abs(step_s):.6g} s; {text}", 1, facts))
        self._place(row, reset=True)

    def _late_shift(self, row: int) -> None:
        """Count as lost, before the next row, what the earliest pushes of two windows say is missing."""
        line = self._line
        assert line is not None
        if self.counted or not self._published.settled:
            return
        least_s = max(LEAST_SHIFT_S, line.period_s)
        samples = WINDOW_S * self._nominal_hz
        found = self._window.lasting_shift_s(self._envelope_s, least_s, samples, self._next)
        if found is None:
            return
        shift_s, doubt_s = found
        line.restart(line.predict(self._next) + shift_s, self._next, self._envelope_s)
        if shift_s > 0:
            lost = round(shift_s / line.period_s)
            uncertain = max(1, math.ceil(doubt_s / line.period_s))
            self._next += lost
            line.at += lost
            self._holes.append(Hole(row, lost, GapCause.SOURCE, uncertain))
            text = (
                f"about {lost} samples (± {uncertain}) were lost within the last {3 * WINDOW_S:g} s; "
                f"jittered stamps tell it only now"
            )
            self._remarks.append(Remark(row, "late_gap", text, lost, {"uncertain": uncertain}))
        else:
            self.resets += 1
            self._remarks.append(Remark(row, "resync", f"stamps went back by {-shift_s:.6g} s; times follow them"))
        self._window.forget()
        self._straight.forget()
        self._place(row, reset=shift_s < 0)

    # the published times

    def _place(self, row: int, reset: bool) -> None:
        """Let published times begin anew at `row`, on the estimate."""
        assert self._line is not None
        self._published.place(row, self._next, self._line, self._offset, reset)

    def _publish(self, row: int) -> None:
        """Let published times follow the estimate; `row` rows were judged."""
        line = self._line
        assert line is not None
        if self._published.settled:
            jumped = self._published.follow(row, self._next, line, self._offset)
            self.resets += jumped
            return
        settled = self._next >= SETTLE_S * self._nominal_hz
        if settled:
            self._check_rate(row)
        self._published.correct(self._before, self._line or line, self._offset, settled)

    def _check_rate(self, row: int) -> None:
        """Take the rate from the pulls so far where the nominal one is wrong altogether: all quarters agree in it."""
        pulls = np.array(self._pulls)
        if len(pulls) < WINDOW_RUNS:
            return
        quarter = np.minimum(4 * (pulls[:, 1] - pulls[0, 1]) / max(np.ptp(pulls[:, 1]), 1e-9), 3).astype(int)
        if any(not (quarter == i).any() for i in range(4)):
            return
        means = np.array([pulls[quarter == i, 1:].mean(axis=0) for i in range(4)])
        steps = np.diff(means, axis=0)
        if (steps[:, 1] <= 0).any():
            return
        periods = steps[:, 0] / steps[:, 1]
        self._adopt_rate(row, float(np.median(periods)), float(np.ptp(periods)), self._last_stamp, self._next - 1)

    def _rises(self, row: int, runs: Runs) -> bool:
        """Tell whether what was held back does not stay away from the line but leaves it: the rate is another."""
        if len(runs.at) < WINDOW_RUNS:
            return False
        period_s, first = np.polyfit(runs.at - runs.at[0], runs.stamps, 1)
        off_s = np.abs(runs.stamps - first - (runs.at - runs.at[0]) * period_s)
        span = int(runs.at[-1] - runs.at[0])
        return self._adopt_rate(row, float(period_s), 4 * float(off_s.max()) / span, float(first), int(runs.at[0]))

    def _adopt_rate(self, row: int, period_s: float, doubt_s: float, stamp: float, at: int) -> bool:
        """Take another period, known to ± `doubt_s`, if it is surely not the nominal one; tell whether."""
        wrong_s = abs(period_s - 1 / self._nominal_hz)
        if not wrong_s > max(RATE_WRONG / self._nominal_hz, 2 * doubt_s) or period_s <= 0:
            return False
        self._line = Line(stamp, at, period_s, max(self._envelope_s, 1e-6), 10 * PRIOR_PPM)
        self._window.forget()
        self._published.tell_rate(row, self._line)
        return True
