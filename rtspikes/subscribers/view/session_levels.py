"""Noise levels, thresholds and the channels' states of a session log, as they were in force at any sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.electrodes import electrodes, median_sigma_uv
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.view.levels import HEALTH_FLAGS, STORMING, levels_message, positions


class SessionLevels:
    """Reads them; counts and rates are those of the whole session."""

    def __init__(self, session: Session, counts: NDArray[np.int64]) -> None:
        """Take counts (channels,): spikes in the whole log."""
        info = session.info
        self._n = len(info["enabled"])
        self._table = session.thresholds
        self._samples = session.thresholds["sample"]
        self.electrodes = electrodes(info)
        self.counts, self.observed_s = counts, session.observed_s
        self._states = sorted(self._told(session.notices), key=lambda told: told[0])
        self._state_samples = np.array([sample for sample, *_ in self._states], np.int64)

    def _told(self, notices: Sequence[dict[str, Any]]) -> list[tuple[int, str, NDArray[np.int64]]]:
        """Return what notices say of channels: from which sample on, what, and which channels."""
        found = []
        for notice in notices:
            cause, sample = notice.get("cause"), notice.get("sample")
            name = "all" if cause in HEALTH_FLAGS else "channels" if cause in ("storm", "storm_over") else None
            if name is not None and isinstance(sample, int):
                found.append((sample, str(cause), positions(notice.get(name), self._n)))
        return found

    def version(self, sample: int) -> tuple[int, int]:
        """Return something that is another where the levels at a sample are."""
        return int(np.searchsorted(self._samples, sample, "right")), self._states_before(sample)

    def _states_before(self, sample: int) -> int:
        return int(np.searchsorted(self._state_samples, sample, "right"))

    def at(self, sample: int) -> NDArray[np.void]:
        """Return THRESHOLD_DTYPE (channels,): what was last told to be in force at a sample; σ 0, NaN: nothing."""
        found = np.zeros(self._n, self._table.dtype)
        found["channel"] = np.arange(self._n)
        found["negative_uv"] = found["positive_uv"] = np.nan
        stop = int(np.searchsorted(self._samples, sample, "right"))
        missing = np.ones(self._n, bool)
        step = 2 * self._n
        while stop > 0 and missing.any():
            rows = self._table[max(0, stop - step) : stop]
            rows = rows[(rows["sample"] <= sample) & (rows["channel"] < self._n)]
            fresh = rows[missing[rows["channel"]]]
            found[fresh["channel"]] = fresh  # of two for one channel the later one stays
            missing[fresh["channel"]] = False
            stop, step = stop - step, 2 * step
        return found

    def sigma_uv(self, sample: int) -> float:
        """Return the median noise level (µV) of the electrodes that have one; NaN: none has."""
        return median_sigma_uv(self.at(sample)["sigma_uv"], self.electrodes)

    def _flags(self, sample: int) -> NDArray[np.uint8]:
        """Return what notices say of the channels at a sample, (channels,) bits."""
        flags = np.zeros(self._n, np.uint8)
        last: dict[str, NDArray[np.int64]] = {}
        for _, cause, channels in self._states[: self._states_before(sample)]:
            if cause == "storm":
                flags[channels] |= STORMING
            elif cause == "storm_over":
                flags[channels] &= np.uint8(~STORMING & 0xFF)
            else:
                last[cause] = channels
        for cause, channels in last.items():
            flags[channels] |= HEALTH_FLAGS[cause]
        return flags

    def message(self, sample: int) -> bytes:
        """Return the `levels` message: levels and states at a sample; counts and rates of the whole session."""
        return levels_message(self.at(sample), self.counts, self.observed_s, self.electrodes, self._flags(sample))
