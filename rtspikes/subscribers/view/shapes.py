"""What is kept of each channel's spikes: the newest waveforms, and the intervals between spikes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.view.tally import NEVER, empty_tally

KEPT = 50
"""Waveforms of each channel."""

KEPT_BYTES = 64 * 1024 * 1024
"""Of all channels' waveforms together; of very many channels fewer each are kept."""

FEWEST = 4

HIGHEST_UV = np.float32(np.finfo(np.float16).max)


class Shapes:
    """Of a running session; spikes come in order."""

    def __init__(self, n_channels: int, snippet_samples: int, rate_hz: float) -> None:
        kept = KEPT_BYTES // max(1, 2 * n_channels * snippet_samples)
        self._kept = int(min(KEPT, max(FEWEST, kept)))
        self._waveforms = np.zeros((n_channels, self._kept, snippet_samples), np.float16)
        self._tally = empty_tally(n_channels, rate_hz, np.zeros(0, np.int64))

    @property
    def counts(self) -> NDArray[np.uint32]:
        """Spikes of each channel that were seen (channels,)."""
        return self._tally.counts

    def interrupt(self) -> None:
        """Let no interval go across a gap."""
        self._tally.last[:] = NEVER

    def add(self, spikes: NDArray[np.void], waveforms: NDArray[np.float32]) -> None:
        """Take in spikes (SPIKE_DTYPE) and their waveforms (n, samples) µV."""
        channels = spikes["channel"]
        if not len(channels):
            return
        order = np.argsort(channels, kind="stable")
        ordered = channels[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        nth = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
        place = (self.counts[ordered] + nth) % self._kept
        # Of two in one place the later one stays.
        self._waveforms[ordered, place] = np.clip(waveforms[order], -HIGHEST_UV, HIGHEST_UV)
        self._tally.add(channels, spikes["sample"])

    def waveforms(self, channel: int) -> NDArray[np.float32]:
        """Return the newest waveforms of a channel (n, samples) µV, the newest last."""
        n = int(self.counts[channel])
        at = np.arange(max(0, n - self._kept), n) % self._kept
        found: NDArray[np.float32] = self._waveforms[channel, at].astype(np.float32)
        return found

    def isi(self, channel: int) -> NDArray[np.uint32]:
        """Return how many intervals of a channel fall between ISI_EDGES_MS, (edges − 1,)."""
        found: NDArray[np.uint32] = self._tally.isi[channel]
        return found
