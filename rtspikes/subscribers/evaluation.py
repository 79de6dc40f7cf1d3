"""Compares a session's events with labelled spikes: which were found, which were missed, and what was never there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtspikes.subscribers.labelled import Labelled
from rtspikes.subscribers.log.observed import muted_stretches
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.match import TOLERANCE_S, pair_up

BAND_EDGES = (5.0, 6.0, 8.0, 12.0)
"""Between bands of the labels' SNR."""

SHIFT_REACH_S = 5e-3
"""As far (s) behind or before the spike as labels are looked for that mark another part of it."""

MOST_UNITS = 20
"""More different labels are not units."""


class TrueSpike(IntEnum):
    """What became of a labelled spike. EXCUSED: it could not be seen, and counts as neither of the others."""

    MISSED = 0
    FOUND = 1
    EXCUSED = 2


class Event(IntEnum):
    """What an event is. NEAR_EXCUSED: it belongs to a spike that need not be found, and counts as neither."""

    UNMATCHED = 0
    MATCHED = 1
    NEAR_EXCUSED = 2


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of labelled spikes, and of events; as many are matched as are found. Figures are NaN where undefined."""

    found: int
    missed: int
    excused: int
    unmatched: int
    near_excused: int

    @property
    def recall(self) -> float:
        """Part of the labelled spikes that should be found and were."""
        return _part(self.found, self.found + self.missed)

    @property
    def precision(self) -> float:
        """Part of the events that belong to a labelled spike, those near excused ones left out."""
        return _part(self.found, self.found + self.unmatched)

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision."""
        return _part(2 * self.found, 2 * self.found + self.missed + self.unmatched)


def _part(n: int, of: int) -> float:
    return n / of if of else math.nan


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A session's events and what they are, labelled spikes and what became of them.

    spikes: (labelled,) TrueSpike. events: (events,) Event, as `session.spikes`. partner: (labelled,) index of the event
    of a labelled spike, −1 where it has none. tolerance: ± samples.
    """

    session: Session
    truth: Labelled
    tolerance: int
    spikes: NDArray[np.uint8]
    events: NDArray[np.uint8]
    partner: NDArray[np.int64]

    @property
    def total(self) -> Tally:
        """The counts of all channels together."""
        return self._tally(slice(None), slice(None))

    @property
    def by_channel(self) -> dict[int, Tally]:
        """The counts of each channel that has labelled spikes or events, by its position."""
        n = len(self.session.info["enabled"])
        spikes = [np.bincount(self.truth.channel[self.spikes == state], minlength=n).tolist() for state in TrueSpike]
        events = [
            np.bincount(self.session.spikes["channel"][self.events == state], minlength=n).tolist() for state in Event
        ]
        return {
            channel: Tally(found, missed, excused, unmatched, near)
            for channel, (missed, found, excused, unmatched, _, near) in enumerate(zip(*spikes, *events, strict=True))
            if found or missed or excused or unmatched or near
        }

    @property
    def by_snr(self) -> dict[str, Tally]:
        """The counts of labelled spikes by band of their SNR, "unknown" last; empty where none is known."""
        snr = self.truth.snr
        if np.isnan(snr).all():
            return {}
        low, high = BAND_EDGES[0], BAND_EDGES[-1]
        pairs = zip(BAND_EDGES, BAND_EDGES[1:], strict=False)
        names = [f"< {low:g}", *(f"{a:g}–{b:g}" for a, b in pairs), f"≥ {high:g}", "unknown"]
        band = np.where(np.isnan(snr), len(BAND_EDGES) + 1, np.searchsorted(BAND_EDGES, snr, "right"))
        return {name: self._tally(band == i, []) for i, name in enumerate(names) if (band == i).any()}

    @property
    def by_unit(self) -> dict[str, Tally]:
        """The counts of labelled spikes by unit; empty unless 2 … MOST_UNITS are named."""
        units = sorted({*self.truth.unit})
        if not 2 <= len(units) <= MOST_UNITS:
            return {}
        numbers = {unit: i for i, unit in enumerate(units)}
        of = np.array([numbers[unit] for unit in self.truth.unit])
        return {unit: self._tally(of == i, []) for unit, i in numbers.items()}

    def _tally(self, spikes: slice | NDArray[np.bool_], events: slice | list[int]) -> Tally:
        missed, found, excused = np.bincount(self.spikes[spikes], minlength=len(TrueSpike)).tolist()
        unmatched, _, near = np.bincount(self.events[events], minlength=len(Event)).tolist()
        return Tally(found, missed, excused, unmatched, near)

    @property
    def false_per_s(self) -> float:
        """Unmatched events per second of observed time and channel; NaN where nothing was observed."""
        observed_s = float(self.session.observed_s.sum())
        return self.total.unmatched / observed_s if observed_s else math.nan

    @property
    def late_s(self) -> NDArray[np.float64]:
        """By how much (s) the event of each spike that was found lies behind its label."""
        found = self.spikes == TrueSpike.FOUND
        apart = self.session.spikes["sample"][self.partner[found]] - self.truth.sample[found]
        return np.asarray(apart / float(self.session.info["rate_hz"]), np.float64)

    def better_shift_s(self) -> tuple[float, int] | None:
        """Return by how much (s) to move the labels, and how many are found then, where that is nearly all that can be.

        None where a good part was found as it is, or no shift up to ± SHIFT_REACH_S does so.
        """
        total = self.total
        wanted = total.found + total.missed
        possible = min(wanted, len(self.session.spikes))
        if possible < 5 or total.found > 0.4 * possible:
            return None
        rate = float(self.session.info["rate_hz"])
        apart = _differences(self, round(SHIFT_REACH_S * rate))
        if not len(apart):
            return None
        inside = np.searchsorted(apart, apart + 2 * self.tolerance, "right") - np.arange(len(apart))
        best = int(inside.argmax())
        shift = int(np.median(apart[best : best + inside[best]]))
        moved = replace(self.truth, sample=self.truth.sample + shift)
        found = evaluate(self.session, moved, self.tolerance / rate).total.found
        return (shift / rate, found) if found >= 0.8 * possible else None


def evaluate(
    session: Session,
    truth: Labelled,
    tolerance_s: float = TOLERANCE_S,
    wanted: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Pair a session's events with labelled spikes, one to one within ± tolerance_s on their channel.

    A labelled spike is excused where it could not be seen: before the session's first sample and in its last
    `tolerance_s`; in what is `unseen`, blanked, stormed or muted, and within the tolerance around; on channels that are
    not enabled; and where `wanted` (labelled,) is False. On a dead electrode it counts, as its time counts as observed.
    Those that count are paired first, then what is left of the events with those that are excused.
    """
    n = len(session.info["enabled"])
    tolerance = round(tolerance_s * float(session.info["rate_hz"]))
    spikes, samples = session.spikes, np.asarray(session.spikes["sample"], np.int64)
    labelled = grouped(truth.channel, truth.sample, n)
    excused = _excused(session, truth, tolerance, labelled)
    if wanted is not None:
        excused |= ~wanted
    state = np.where(excused, TrueSpike.EXCUSED, TrueSpike.MISSED).astype(np.uint8)
    events = np.full(len(spikes), Event.UNMATCHED, np.uint8)
    partner = np.full(len(state), -1, np.int64)
    for rows, found in zip(labelled, grouped(spikes["channel"], samples, n), strict=True):
        for some, event in ((rows[~excused[rows]], Event.MATCHED), (rows[excused[rows]], Event.NEAR_EXCUSED)):
            free = found[events[found] == Event.UNMATCHED]
            mine, theirs = pair_up(truth.sample[some], samples[free], tolerance)
            partner[some[mine]] = free[theirs]
            events[free[theirs]] = event
            if event == Event.MATCHED:
                state[some[mine]] = TrueSpike.FOUND
    return Evaluation(session, truth, tolerance, state, events, partner)


def _excused(
    session: Session, truth: Labelled, tolerance: int, labelled: Sequence[NDArray[np.int64]]
) -> NDArray[np.bool_]:
    """Tell which labelled spikes (labelled,) could not be seen."""
    at, n = truth.sample, len(labelled)
    excused = (at < int(session.info["first_sample"])) | (at >= session.to_sample - tolerance)
    excused |= ~np.array(session.info["enabled"], bool)[truth.channel]
    starts, stops = np.array(session.unseen(), np.int64).reshape(-1, 2).T
    excused |= _covered(at, starts - tolerance, stops + tolerance)
    away, muted = session.unobserved, muted_stretches(session.mutings(), n, session.to_sample)
    channels, starts, stops = (
        np.concatenate(pair) for pair in zip((away["channel"], away["sample"], away["stop"]), muted, strict=True)
    )
    for rows, own in zip(labelled, grouped(channels, starts, n), strict=True):
        excused[rows] |= _covered(at[rows], starts[own] - tolerance, stops[own] + tolerance)
    return excused


def _covered(at: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which of `at` lie in at least one of the intervals [start, stop), which come in any order."""
    if not len(starts):
        return np.zeros(len(at), bool)
    order = np.argsort(starts, kind="stable")
    reached = np.maximum.accumulate(stops[order])
    last = np.searchsorted(starts[order], at, "right") - 1
    return np.asarray((last >= 0) & (at < reached[last]))


def grouped(channels: ArrayLike, samples: ArrayLike, n: int) -> list[NDArray[np.int64]]:
    """Return for each of n channels the indices of its samples, in order of time."""
    order = np.lexsort((np.asarray(samples), np.asarray(channels)))
    return np.split(order, np.searchsorted(np.asarray(channels)[order], np.arange(1, n)))


def _differences(evaluation: Evaluation, reach: int) -> NDArray[np.int64]:
    """Return how far (samples, ascending) from each spike that counts its channel's events within ± `reach` are."""
    session, truth = evaluation.session, evaluation.truth
    n = len(session.info["enabled"])
    counted = np.flatnonzero(evaluation.spikes != TrueSpike.EXCUSED)
    samples = np.asarray(session.spikes["sample"])
    found = [np.zeros(0, np.int64)]
    for rows, events in zip(
        grouped(truth.channel[counted], truth.sample[counted], n),
        grouped(session.spikes["channel"], samples, n),
        strict=True,
    ):
        at, of = truth.sample[counted[rows]], samples[events]
        first, stop = np.searchsorted(of, at - reach), np.searchsorted(of, at + reach, "right")
        near = stop - first
        which = np.arange(near.sum()) - np.repeat(np.cumsum(near) - near, near) + np.repeat(first, near)
        found.append(of[which] - np.repeat(at, near))
    return np.sort(np.concatenate(found))
