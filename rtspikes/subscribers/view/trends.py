"""The course of a day: activity, noise and losses, step by step."""

from __future__ import annotations

import numpy as np

from rtspikes.subscribers.view.pack import pack

STEP_S = 2.0
KEPT = 43_200
"""Points: 24 h."""

MOST_SENT = 720
"""Points that a page is sent; of more, several become one."""


class Trends:
    """Takes what was counted so far, and keeps how it grew in each step of the run's time."""

    def __init__(self, step_s: float = STEP_S, kept: int = KEPT) -> None:
        self._step_s, self._kept = step_s, kept
        self._points = np.full((kept, 3), np.nan, np.float32)
        self._first = self._stop = 0
        self._begun: tuple[float, float, float] | None = None
        self._packed: tuple[int, bytes] = -1, b""
        self.version = 0

    def add(self, run_s: float, signal_s: float, spikes: float, sigma_uv: float, lost: float) -> None:
        """Take the state at `run_s`: signal (s) seen, spikes and losses counted so far, median σ now (µV).

        Counts that become less have begun anew: nothing is known of that step.
        """
        step = int(run_s // self._step_s)
        if self._begun is None or step < self._stop - 1:
            self._first = self._stop = step
            self._begun = (signal_s, spikes, lost)
            return
        if step <= self._stop:
            return
        signal_s0, spikes0, lost0 = self._begun
        self._begun = (signal_s, spikes, lost)
        new = np.arange(max(self._stop, step - self._kept), step) % self._kept
        self._points[new] = np.nan
        if signal_s > signal_s0 and spikes >= spikes0:
            self._points[new] = (spikes - spikes0) / (signal_s - signal_s0), sigma_uv, 0
            self._points[new[-1], 2] = max(0.0, lost - lost0)
        self._stop = step
        self._first = max(self._first, step - self._kept)
        self.version += 1

    def message(self) -> bytes:
        """Return the `trends` message: in MOST_SENT points at most, means of rate and σ, sums of losses."""
        if self._packed[0] != self.version:
            self._packed = self.version, self._pack()
        return self._packed[1]

    def _pack(self) -> bytes:
        points = self._points[np.arange(self._first, self._stop) % self._kept]
        together = max(1, -(-len(points) // MOST_SENT))
        padded = np.full((-(-len(points) // together) * together, 3), np.nan, np.float32)
        padded[: len(points)] = points
        groups = padded.reshape(-1, together, 3)
        known = np.isfinite(groups)
        n = known.sum(axis=1)
        sums = np.where(n > 0, np.where(known, groups, 0).sum(axis=1), np.nan)
        means = sums / np.maximum(n, 1)
        columns = {"rate": means[:, 0], "sigma": means[:, 1], "lost": sums[:, 2]}
        head = {"t": "trends", "from_s": self._first * self._step_s, "step_s": self._step_s * together}
        return pack(head, {name: column.astype(np.float32) for name, column in columns.items()})
