"""Compares events with true spikes: one to one within 1 ms, electrode by electrode."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.match import TOLERANCE_S, pair_up

LEARNING_S = 0.5
"""The beginning of a recording that counts for nobody: ours learns its noise level there."""

BANDS = ((0.0, 5.0), (5.0, 6.0), (6.0, 8.0), (8.0, 12.0), (12.0, np.inf))
"""A spike's height in multiples of its electrode's noise level: from, up to but without."""

CLEAR = 3
"""The band of 8 to 12 times the noise: spikes that nobody should miss."""

ANYWHERE = -1
"""The channel of a true spike of which the electrode is not told."""


class Truth(NamedTuple):
    """True spikes. `snr`: height over noise, NaN where not known. Not `wanted`: neither missed nor false."""

    sample: NDArray[np.int64]
    channel: NDArray[np.int64]
    snr: NDArray[np.float64]
    wanted: NDArray[np.bool_]

    def only(self, rows: NDArray[np.bool_]) -> Truth:
        """Return some of them."""
        return Truth(*(column[rows] for column in self))


class Score(NamedTuple):
    """Counts: spikes that were wanted, those of them found, false events; wanted and found by band of `BANDS`."""

    wanted: int
    found: int
    false: int
    band_wanted: tuple[int, ...]
    band_found: tuple[int, ...]

    @property
    def recall(self) -> float:
        """Part of the wanted spikes that were found; NaN if none was wanted."""
        return self.found / self.wanted if self.wanted else float("nan")

    @property
    def precision(self) -> float:
        """Part of the events that are a wanted spike, of those that are one or are false; 0 without any."""
        return self.found / max(1, self.found + self.false)

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision."""
        return 2 * self.found / max(1, self.wanted + self.found + self.false)

    def band_recall(self, band: int) -> float:
        """Return the recall of one of `BANDS`; NaN if none was wanted there."""
        return self.band_found[band] / self.band_wanted[band] if self.band_wanted[band] else float("nan")

    def band_missed(self, band: int) -> int:
        """Return how many wanted spikes of one of `BANDS` were not found."""
        return self.band_wanted[band] - self.band_found[band]


def score(truth: Truth, sample: NDArray[np.int64], channel: NDArray[np.int64], rate_hz: float) -> Score:
    """Compare events with the truth.

    An event pairs with a wanted spike where it can; what is left may pair with one that is not wanted, and then does
    not count; all others are false. Spikes that happen ANYWHERE are compared with the events of all electrodes, of
    which those within 1 ms of each other are one.
    """
    tolerance, begin = round(TOLERANCE_S * rate_hz), LEARNING_S * rate_hz
    truth = truth.only(truth.sample > begin)
    counted = sample > begin
    sample, channel = sample[counted].astype(np.int64), channel[counted].astype(np.int64)
    if len(truth.channel) and (truth.channel == ANYWHERE).all():
        sample = _once(np.sort(sample), tolerance)
        channel = np.full(len(sample), ANYWHERE)
    apart = 4 * tolerance + int(max(np.max(truth.sample, initial=0), np.max(sample, initial=0)))
    events = np.sort((channel + 1) * apart + sample)
    order = np.lexsort((truth.sample, truth.channel))
    truth = truth.only(order)
    at = (truth.channel + 1) * apart + truth.sample

    is_hit, is_event_free = np.zeros(len(at), bool), np.ones(len(events), bool)
    for wanted in (True, False):
        mine, theirs = np.flatnonzero(truth.wanted == wanted), np.flatnonzero(is_event_free)
        hits, taken = pair_up(at[mine], events[theirs], tolerance)
        is_hit[mine[hits]] = True
        is_event_free[theirs[taken]] = False
    inside = [truth.wanted & (truth.snr >= low) & (truth.snr < high) for low, high in BANDS]
    return Score(
        int(truth.wanted.sum()),
        int((is_hit & truth.wanted).sum()),
        int(is_event_free.sum()),
        tuple(int(rows.sum()) for rows in inside),
        tuple(int((is_hit & rows).sum()) for rows in inside),
    )


def _once(samples: NDArray[np.int64], apart: int) -> NDArray[np.int64]:
    """Return the samples without those that follow the last one returned by less than `apart`."""
    kept: list[int] = []
    for sample in samples.tolist():
        if not kept or sample - kept[-1] >= apart:
            kept.append(sample)
    return np.array(kept, np.int64)
