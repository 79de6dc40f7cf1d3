"""The times that are published: they follow the estimate in straight pieces, without a jump within a clock segment."""

from __future__ import annotations

import math

from rtspikes.protocols import Anchor, Remark
from rtspikes.sources.lsl.line import Line
from rtspikes.sources.lsl.offset import JUMP_S, ClockOffset

PIECE_S, SLEW_S = 1.0, 2.0
"""A piece is so long, and would reach the estimate in SLEW_S."""

RATE_TOLD_PPM = 20.0
"""A rate that is known to differ by more from the nominal one, or from what was told, is told."""


class PublishedTimes:
    """Makes anchors, and what is to be said of them, from what is known of the stream's clock."""

    def __init__(self, nominal_hz: float) -> None:
        self._nominal_hz = nominal_hz
        self._from, self._time_s, self._period_s = 0, math.nan, 1 / nominal_hz
        self._told_ppm = 0.0
        self._anchors: list[Anchor] = []
        self._remarks: list[Remark] = []
        self.base_s = 0.0
        """The stamp from which the line's count."""
        self.settled = False
        """Whether the first piece is final."""

    def take(self) -> tuple[tuple[Anchor, ...], tuple[Remark, ...]]:
        """Return the anchors and remarks since this was last asked."""
        if not self._anchors and not self._remarks:
            return (), ()
        anchors, remarks = tuple(self._anchors), tuple(self._remarks)
        self._anchors, self._remarks = [], []
        return anchors, remarks

    def correct(self, before: int, line: Line, offset: ClockOffset, final: bool) -> None:
        """Put the stream's beginning, `before` samples before row 0, where it is now thought to have been."""
        if self.settled:
            return
        self._from = 0
        self._time_s, self._period_s = self._estimate(0, line, offset)
        self._anchors.insert(0, Anchor(-before, self._time_s, 1 / self._period_s))
        self.settled = final

    def place(self, row: int, sample: int, line: Line, offset: ClockOffset, reset: bool) -> None:
        """Begin a piece at `row`, number `sample`, on the estimate; unless in a reset, not one step back."""
        time_s, period_s = self._estimate(sample, line, offset)
        if not reset and time_s < self._time(sample) - 0.5 * period_s:
            return
        self._from, self._time_s, self._period_s = sample, time_s, period_s
        self.settled = True
        self._anchors.append(Anchor(row, time_s, 1 / period_s, reset))

    def follow(self, row: int, sample: int, line: Line, offset: ClockOffset) -> bool:
        """Begin a new piece at `row` when it is time for one; tell whether times had to jump."""
        if sample - self._from < PIECE_S * self._nominal_hz:
            return False
        time_s = self._time(sample)
        target_s, target_period_s = self._estimate(sample, line, offset)
        error_s = target_s - time_s
        if abs(error_s) > JUMP_S:
            text = f"times jump by {error_s:.6g} s: the offset between this computer's clock and the stream's changed"
            self._remarks.append(Remark(row, "clock_reset", text, 1, {"step_s": round(error_s, 6)}))
            self.place(row, sample, line, offset, reset=True)
            return True
        period_s = target_period_s + error_s / (SLEW_S * self._nominal_hz)
        self._from, self._time_s, self._period_s = sample, time_s, period_s
        self._anchors.append(Anchor(row, time_s, 1 / period_s))
        self.tell_rate(row, line)
        return False

    def tell_rate(self, row: int, line: Line) -> None:
        """Say it when the rate is known to differ from what was told."""
        ppm = (1 / (line.period_s * self._nominal_hz) - 1) * 1e6
        if abs(ppm - self._told_ppm) <= max(RATE_TOLD_PPM, 5 * line.rate_doubt_ppm):
            return
        self._told_ppm = ppm
        text = (
            f"samples come at {1 / line.period_s:.6g} Hz, {ppm:+.1f} ppm from the nominal {self._nominal_hz:g} Hz; "
            f"residual {line.noise_s * 1e6:.3g} µs"
        )
        facts = {
            "effective_rate_hz": 1 / line.period_s,
            "drift_ppm": round(ppm, 3),
            "residual_us": round(line.noise_s * 1e6, 3),
        }
        self._remarks.append(Remark(row, "rate", text, 1, facts))

    def _time(self, sample: int) -> float:
        """Return the published time of a sample, by the newest piece."""
        return self._time_s + (sample - self._from) * self._period_s

    def _estimate(self, sample: int, line: Line, offset: ClockOffset) -> tuple[float, float]:
        """Return the time (LSL clock of this computer) of a sample, and the period there, as far as is known."""
        stamp = self.base_s + float(line.predict(sample))
        return stamp + offset.at(stamp), line.period_s * (1 + offset.line[2])
