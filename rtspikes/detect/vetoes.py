"""What speaks against an event on other channels: many electrodes at one moment, or a neighbour that sees it better.

Events come here ended and in order, and are kept until all that they are compared with have ended too: `hold` samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import boolean, float64, int32, int64, void
from numpy.typing import NDArray

from rtspikes.detect.compiled import kernel
from rtspikes.detect.events import Ended
from rtspikes.detect.lanes import DONE_DTYPE, NEVER, done_type
from rtspikes.detect.settings import ArtifactSettings, NeighbourSettings
from rtspikes.detect.tables import Found, merged, places
from rtspikes.errors import ConfigError
from rtspikes.types import RejectReason, SpikeFlag, StreamInfo

LEAST_WELL = 16
"""Electrodes from which on coincidence means something: in smaller wells real spikes would be taken for artifacts."""

_COINCIDENT_FLAG = np.uint8(SpikeFlag.COINCIDENT)
_COINCIDENCE, _NEIGHBOUR = int(RejectReason.COINCIDENCE), int(RejectReason.NEIGHBOUR)


@kernel(void(done_type[::1], int64, int64, int32[::1], int64[::1], boolean[::1]))
def _coincident(events, first, within, well, needed, found):  # type: ignore[no-untyped-def]
    """Put into `found` which events from `first` on have `needed` electrodes of their well within `within` samples.

    events: by crossing. well: (channels,); needed: (wells,), 0: never.
    """
    counts = np.zeros(len(needed), np.int64)  # electrodes with events that are near
    own = np.zeros(len(well), np.int64)
    low, high = 0, 0
    for i in range(first, len(events)):
        at = events[i].crossing
        while high < len(events) and events[high].crossing <= at + within:
            counts[well[events[high].channel]] += own[events[high].channel] == 0
            own[events[high].channel] += 1
            high += 1
        while events[low].crossing < at - within:
            own[events[low].channel] -= 1
            counts[well[events[low].channel]] -= own[events[low].channel] == 0
            low += 1
        mine = well[events[i].channel]
        found[i] = needed[mine] > 0 and counts[mine] >= needed[mine]


@kernel(void(done_type[::1], int64, int64, int64, int64[::1], int32[::1], int64[::1], boolean[::1]))
def _outshone(events, first, within, reach, starts, near, newest, found):  # type: ignore[no-untyped-def]
    """Put into `found` which events from `first` on have a neighbour with a larger |amplitude| / threshold.

    within: samples between extrema. reach: samples between crossings beyond which extrema are farther apart than that.
    near[starts[c] : starts[c + 1]]: the neighbours of channel c. newest: (channels,) scratch, all −1. Equals: the
    earlier one, then the lower channel, stands. Events that have a reason already neither lose nor win.
    """
    previous = np.empty(len(events), np.int64)  # event of the same channel
    high = 0
    for i in range(first, len(events)):
        a = events[i]
        while high < len(events) and events[high].crossing <= a.crossing + reach:
            previous[high] = newest[events[high].channel]
            newest[events[high].channel] = high
            high += 1
        found[i] = False
        if a.reason:
            continue
        mine = abs(float64(a.amplitude)) / abs(float64(a.threshold))
        for k in range(starts[a.channel], starts[a.channel + 1]):
            j = newest[near[k]]
            while j >= 0 and events[j].crossing >= a.crossing - reach and not found[i]:
                b = events[j]
                j = previous[j]
                if b.reason or abs(b.sample - a.sample) > within:
                    continue
                other = abs(float64(b.amplitude)) / abs(float64(b.threshold))
                found[i] = other > mine or (
                    other == mine and (b.sample < a.sample or (b.sample == a.sample and b.channel < a.channel))
                )
            if found[i]:
                break
    for i in range(high):
        newest[events[i].channel] = -1


class Vetoes:
    """Compares ended events with those of other channels."""

    def __init__(
        self, info: StreamInfo, artifacts: ArtifactSettings, neighbours: NeighbourSettings, snippet: int, search: int
    ) -> None:
        """snippet: samples of a waveform. search: samples between a crossing and its extremum, at most."""
        rate = info.rate_hz
        wells = {name: i for i, name in enumerate(dict.fromkeys(c.well for c in info.channels))}
        self._well = np.array([wells[c.well] for c in info.channels], np.int32)
        self._within = max(1, round(artifacts.coincidence_ms * 1e-3 * rate))
        sizes = np.zeros(len(wells), np.int64)
        for c in info.channels:
            sizes[wells[c.well]] += c.kind == "electrode"
        share = np.ceil(artifacts.coincidence_fraction * sizes).astype(np.int64)
        needed = np.maximum(share, artifacts.coincidence_electrodes)
        self._needed = np.where(sizes >= LEAST_WELL, needed, 0)
        self._coincidence = artifacts.coincidence != "off" and bool(self._needed.any())
        self._rejects = artifacts.coincidence == "reject"
        self._exclusive = neighbours.exclusive
        xy = np.array([[np.nan if v is None else v for v in (c.x_um, c.y_um)] for c in info.channels], float)
        self._apart = max(1, round(neighbours.window_ms * 1e-3 * rate))
        self._reach = self._apart + search
        for asked, key in ((self._exclusive, "exclusive"), (neighbours.amplitudes, "amplitudes")):
            if asked and np.isnan(xy).any(axis=1).all():
                raise ConfigError(f"detect.neighbours.{key} needs electrode positions, and the stream has none")
        radius = neighbours.radius_um
        around = self._around(xy, radius) if self._exclusive or neighbours.amplitudes else []
        near = [others[((xy[others] - xy[c]) ** 2).sum(axis=1) <= radius * radius] for c, others in enumerate(around)]
        self._starts = np.cumsum([0, *map(len, near)]).astype(np.int64)
        self._near = np.array([c for group in near for c in group], np.int32)
        self._newest = np.full(info.n_channels, -1, np.int64)
        self.nearest = self._nearest(info, xy, around, neighbours.amplitudes, radius)
        """(channels, K): positions of the nearest electrodes of each channel's well within the radius; −1: fewer."""
        self._hold = (self._within if self._coincidence else 0) + (self._reach if self._exclusive else 0)
        self._kept = Found(
            np.zeros(0, DONE_DTYPE),
            np.zeros((0, snippet), np.float32),
            np.zeros((0, neighbours.amplitudes), np.float32),
        )
        self._judged = 0  # of them, that are only there to be compared with
        self.nothing = Ended(self._kept.done, self._kept.waveforms, np.zeros(0, np.uint8), self._kept.near)
        """No event."""

    @property
    def idle(self) -> bool:
        """Whether no event is kept."""
        return not len(self._kept.done)

    @property
    def hold(self) -> int:
        """Samples that an ended event waits for."""
        return self._hold

    def _around(self, xy: NDArray[np.float64], radius: float) -> list[NDArray[np.int64]]:
        """Return which other channels of its well lie within `radius` (µm), or a trifle more, of each channel.

        By position. xy: (channels, 2) µm; NaN: nobody knows where.
        """
        from scipy.spatial import cKDTree

        around = [np.zeros(0, np.int64)] * len(xy)
        for well in np.unique(self._well):
            members = np.flatnonzero((self._well == well) & np.isfinite(xy).all(axis=1))
            if not len(members):
                continue
            places = xy[members]
            for c, near in zip(members, cKDTree(places).query_ball_point(places, radius * (1 + 1e-9)), strict=True):
                others = members[np.sort(near)]
                around[c] = others[others != c]
        return around

    def _nearest(
        self, info: StreamInfo, xy: NDArray[np.float64], around: list[NDArray[np.int64]], k: int, radius: float
    ) -> NDArray[np.int32]:
        out = np.full((info.n_channels, k), -1, np.int32)
        electrode = np.array([c.kind == "electrode" for c in info.channels])
        for c in np.flatnonzero(electrode) if k else ():
            near = around[c][electrode[around[c]]]
            far = np.hypot(*(xy[near] - xy[c]).T)
            near, far = near[far <= radius], far[far <= radius]
            near = near[np.argsort(far, kind="stable")][:k]
            out[c, : len(near)] = near
        return out

    def judge(self, parts: Sequence[Found], stop: int) -> Ended:
        """Take ended events, and return those with a crossing < `stop`, by (crossing, channel), with their verdicts.

        Every event with a crossing < stop + hold must have been given: what comes later cannot change a verdict.
        """
        if parts:
            self._kept = merged(self._kept, parts)
        n = len(self._kept.done)
        if not n:
            return self.nothing
        first = self._judged
        last, keep = places(self._kept.done, n, stop, stop if stop == NEVER else stop - 2 * self._hold)
        ended = self._verdicts(first, last) if last > first else self.nothing
        kept = self._kept
        self._kept = Found(kept.done[keep:], kept.waveforms[keep:], kept.near[keep:])
        self._judged = last - keep
        return ended

    def _verdicts(self, first: int, last: int) -> Ended:
        """Return the events [first, last) of the queue with their verdicts."""
        events = self._kept.done
        out = events[first:last].copy()
        flags = np.zeros(len(out), np.uint8)
        verdict = np.zeros(len(events), bool)
        if self._coincidence:
            _coincident(events, 0, self._within, self._well, self._needed, verdict)
            hit = verdict[first:last]
            flags[hit] |= _COINCIDENT_FLAG
            if self._rejects:
                out["reason"] = np.where(hit & (out["reason"] == 0), _COINCIDENCE, out["reason"])
        if self._exclusive:
            compared = events
            if self._coincidence and self._rejects:
                compared = compared.copy()
                compared["reason"] = np.where(verdict & (compared["reason"] == 0), _COINCIDENCE, compared["reason"])
            _outshone(compared, first, self._apart, self._reach, self._starts, self._near, self._newest, verdict)
            out["reason"] = np.where(verdict[first:last] & (out["reason"] == 0), _NEIGHBOUR, out["reason"])
        return Ended(out, self._kept.waveforms[first:last], flags, self._kept.near[first:last])
