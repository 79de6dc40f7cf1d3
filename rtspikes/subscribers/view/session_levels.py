"""Noise levels, thresholds and the channels' states of a session log, as they were in force at any sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import rates_hz
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.view.course import HEALTH_FLAGS, MUTED, STORMING
from rtspikes.subscribers.view.pack import pack


class SessionLevels:
    """Reads them; counts and rates are those of the whole session."""

    def __init__(self, session: Session, counts: NDArray[np.int64]) -> None:
        """Take counts (channels,): spikes in the whole log."""
        info = session.info
        self._n = len(info["enabled"])
        self._table = session.thresholds
        self._samples = session.thresholds["sample"]
        self.electrodes = np.array(info["enabled"], bool) & np.array(
            [k == "electrode" for k in info["channels"]["kind"]]
        )
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
                listed = notice.get(name)
                listed = listed if isinstance(listed, list) else []
                known = np.array([c for c in listed if type(c) is int and 0 <= c < self._n], np.int64)
                found.append((sample, str(cause), known))
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
        sigma = self.at(sample)["sigma_uv"]
        known = sigma[self.electrodes & (sigma > 0)]
        return float(np.median(known)) if len(known) else float("nan")

    def flags(self, sample: int, levels: NDArray[np.void]) -> NDArray[np.uint8]:
        """Return the channels' states at a sample, (channels,) bits."""
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
        none = np.isnan(levels["negative_uv"]) & np.isnan(levels["positive_uv"])
        flags[self.electrodes & (levels["sigma_uv"] > 0) & none] |= MUTED
        return flags

    def message(self, sample: int) -> bytes:
        """Return the `levels` message: levels and states at a sample; counts and rates of the whole session."""
        levels = self.at(sample)
        arrays = {
            "sigma": levels["sigma_uv"],
            "negative": levels["negative_uv"],
            "positive": levels["positive_uv"],
            "rate": rates_hz(self.counts, self.observed_s).astype(np.float32),
            "observed_s": self.observed_s.astype(np.float32),
            "count": self.counts.astype(np.uint32),
            "flags": self.flags(sample, levels),
        }
        return pack({"t": "levels"}, arrays)
