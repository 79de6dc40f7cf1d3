"""Compares what was found with a simulation's truth, as it happens: hits, misses, and events that match nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import RtspikesError, WireError
from rtspikes.protocols import Truth
from rtspikes.sources.truth import find_truth
from rtspikes.subscribers.electrodes import electrodes
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.match import TOLERANCE_S
from rtspikes.types import TRUTH_DTYPE
from rtspikes.wire.batch import Batch

SCORED_KINDS = ("spikes", "gaps", "unobserved")

END = 2**62

LONGEST_S = 7200
"""A log up to this length (s) is compared with its truth: some seconds' work."""

FURTHEST_S, WIDEST_S = 1e6, 60.0
"""No simulation is longer, and no two messages are further apart: indices beyond are not an engine's."""


@dataclass(slots=True)
class Score:
    """Counts so far. `hits` are events, `found` and `missed` are true spikes that should be found."""

    hits: int = 0
    false: int = 0
    found: int = 0
    missed: int = 0

    @property
    def recall(self) -> float:
        """Part of the true spikes that should be found and were; 1 where there were none."""
        return self.found / (self.found + self.missed) if self.missed else 1.0

    @property
    def precision(self) -> float:
        """Part of the events that belong to a true spike; 1 where there were none."""
        return self.hits / (self.hits + self.false) if self.false else 1.0


@dataclass(slots=True)
class _Electrode:
    """What is not settled yet on one electrode, in order of time."""

    events: list[tuple[int, bool]]  # (sample, belongs to a true spike that should be found)
    faint: list[int]


def score_session(session: Session) -> Score | None:
    """Return the score of a session log; None for real signals, and where the truth is not known or too long."""
    try:
        truth = find_truth(session.info["source"]["uri"])
        scorer = Scorer(truth, session.info) if truth is not None else None
    except RtspikesError:  # an address of another version's simulation, or a log that does not fit its address
        return None
    if scorer is None or session.to_sample > LONGEST_S * session.info["rate_hz"]:
        return None
    for unseen in session.unseen():
        scorer.not_seen(*unseen)
    unobserved = np.sort(session.unobserved, order="sample")
    first, second = int(session.info["first_sample"]), round(session.info["rate_hz"])
    for start in range(first, session.to_sample, second):
        end = min(start + second, session.to_sample)
        begun, unobserved = np.split(unobserved, [np.searchsorted(unobserved["sample"], end)])
        scorer.not_observed(begun)
        spikes = session.spikes[slice(*np.searchsorted(session.spikes["crossing"], (start, end)))]
        scorer.add(Batch("spikes", "", start, end, spikes))
    scorer.finish(session.to_sample)
    return scorer.score


class Scorer:
    """Takes an engine's batches in order and keeps the score.

    True spikes of at least `truth.visible_uv` count as to be found. Smaller ones may be found, and so may those that
    could not be seen: in and after a gap, in messages that did not come, before the first message, while their
    electrode was blanked or stormed (as far as that was told before). What is said is independent of how the events
    were cut into batches.
    """

    def __init__(self, truth: Truth, info: dict[str, Any]) -> None:
        if truth.rate_hz != info["rate_hz"] or truth.n_channels != len(info["enabled"]):
            raise WireError(
                f"the stream has {len(info['enabled'])} channels at {info['rate_hz']:g} Hz, but its address stands for "
                f"{truth.n_channels} at {truth.rate_hz:g} Hz; it is not the simulation that it says"
            )
        self._truth = truth
        self._rate_hz = truth.rate_hz
        self._tolerance = round(TOLERANCE_S * info["rate_hz"])
        self._settling = int(info["settling_samples"])
        self._scored = electrodes(info)
        self._first = int(info["first_sample"])
        self._reached: int | None = None
        self._unseen: list[tuple[int, int]] = []
        self._unobserved: dict[int, list[tuple[int, int]]] = {}
        self._open: dict[int, _Electrode] = {}
        self.score = Score()

    def add(self, batch: Batch) -> tuple[list[tuple[int, int]], NDArray[np.void]]:
        """Take a batch of one of SCORED_KINDS (others are ignored).

        Returns the events settled by it that match no true spike, as (sample, channel), and the true spikes settled
        by it that were missed (TRUTH_DTYPE).
        """
        for gap in batch.gaps:
            self.not_seen(int(gap["sample"]), int(gap["sample"]) + int(gap["lost"]) + self._settling)
        self.not_observed(batch.unobserved)
        for missed in batch.missed:
            if missed.kind == "spikes" and missed.from_sample is not None:
                self.not_seen(missed.from_sample, missed.to_sample)
        if batch.kind != "spikes":
            return [], np.zeros(0, TRUTH_DTYPE)
        self._join(batch.from_sample, batch.to_sample)
        for sample, channel in zip(batch.spikes["sample"].tolist(), batch.spikes["channel"].tolist(), strict=True):
            self._electrode(channel).events.append((sample, False))
        return self._settle(batch.to_sample)

    def finish(self, to_sample: int) -> tuple[list[tuple[int, int]], NDArray[np.void]]:
        """Settle what is left when the engine has ended at `to_sample`."""
        return self._settle(to_sample + 3 * self._tolerance, last=to_sample - self._tolerance)

    def _join(self, first: int, end: int) -> None:
        """Begin, or go on after a long silence, at `first`: the truth of what was not heard is not asked for."""
        if end > FURTHEST_S * self._rate_hz or end - first > WIDEST_S * self._rate_hz:
            raise WireError(f"a message says samples {first} … {end}, further than any simulation goes at a time")
        if self._reached is None:
            if first > self._first:
                self.not_seen(self._first, first)
            self._reached = max(self._first, first - self._tolerance)
        elif first - self._reached > WIDEST_S * self._rate_hz:
            self._settle_events(END)
            self._reached = first - self._tolerance

    def _electrode(self, channel: int) -> _Electrode:
        return self._open.setdefault(channel, _Electrode([], []))

    def not_seen(self, first: int, end: int | None) -> None:
        """Note that spikes in [first, end) could not be seen (end = None: to the end of the stream)."""
        self._unseen.append((first - self._tolerance, END if end is None else end + self._tolerance))

    def not_observed(self, intervals: NDArray[np.void]) -> None:
        """Note intervals in which single electrodes could not report a spike (UNOBSERVED_DTYPE)."""
        for row in intervals:
            stretch = int(row["sample"]) - self._tolerance, int(row["stop"]) + self._tolerance
            self._unobserved.setdefault(int(row["channel"]), []).append(stretch)

    def _observes(self, channel: int, sample: int) -> bool:
        """Tell whether an electrode could have reported a spike at `sample`."""
        return not any(first <= sample < end for first, end in self._unobserved.get(channel, ()))

    def _settle(self, to_sample: int, last: int | None = None) -> tuple[list[tuple[int, int]], NDArray[np.void]]:
        limit = to_sample - self._tolerance
        if self._reached is None or limit <= self._reached:
            return [], np.zeros(0, TRUTH_DTYPE)
        rows = self._truth.spikes(self._reached, limit)
        rows = rows[self._scored[rows["channel"]]]
        self._reached = limit
        wanted = rows["amplitude_uv"] >= self._truth.visible_uv
        for first, end in self._unseen:
            wanted &= (rows["sample"] < first) | (rows["sample"] >= end)
        if last is not None:
            wanted &= rows["sample"] < last
        self._unseen = [u for u in self._unseen if u[1] > limit]
        missed = np.zeros(len(rows), bool)
        samples, channels = rows["sample"].tolist(), rows["channel"].tolist()
        if self._unobserved:
            wanted &= np.array([self._observes(*at) for at in zip(channels, samples, strict=True)], bool)
            kept = {c: [u for u in intervals if u[1] > limit] for c, intervals in self._unobserved.items()}
            self._unobserved = {c: intervals for c, intervals in kept.items() if intervals}
        for i in range(len(rows)):
            if not wanted[i]:
                self._electrode(channels[i]).faint.append(samples[i])
            elif channels[i] in self._open and self._match(self._open[channels[i]].events, samples[i]):
                self.score.found += 1
            else:
                self.score.missed += 1
                missed[i] = True
        return self._settle_events(limit - self._tolerance), rows[missed]

    def _match(self, events: list[tuple[int, bool]], at: int) -> bool:
        """Give the first free event near `at` to a true spike."""
        for i, (sample, taken) in enumerate(events):
            if sample > at + self._tolerance:
                break
            if not taken and sample >= at - self._tolerance:
                events[i] = (sample, True)
                return True
        return False

    def _settle_events(self, limit: int) -> list[tuple[int, int]]:
        """Settle the events before `limit`: no true spike that could still claim them is open."""
        unmatched = []
        for channel, electrode in list(self._open.items()):
            while electrode.events and electrode.events[0][0] < limit:
                sample, hit = electrode.events.pop(0)
                near = next((s for s in electrode.faint if abs(s - sample) <= self._tolerance), None)
                if not hit and near is not None:
                    electrode.faint.remove(near)
                    hit = True
                if hit:
                    self.score.hits += 1
                else:
                    self.score.false += 1
                    unmatched.append((sample, channel))
            while electrode.faint and electrode.faint[0] < limit - self._tolerance:
                electrode.faint.pop(0)
            if not electrode.events and not electrode.faint:
                del self._open[channel]
        return sorted(unmatched)
