"""The newest envelopes of the channels that somebody looks at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.wire.traces import Trace

KEPT_S = 6.0
"""How far back (s) a page that begins to look, or lags, is told."""

MOST_MESSAGES = 512
"""Of a channel; an engine sends some thirty a second."""

Key = tuple[int, str]
"""Channel, and what of it."""


class TraceStore:
    """Keeps what comes of the channels that are wanted, numbered, so that each page gets what it has not had."""

    def __init__(self, rate_hz: float) -> None:
        self._kept_samples = round(KEPT_S * rate_hz)
        self._traces: dict[Key, deque[tuple[int, Trace]]] = {}
        self.count = 0

    def want(self, keys: Iterable[Key]) -> None:
        """Keep only what comes of these channels."""
        self._traces = {key: self._traces.get(key, deque()) for key in keys}

    def add(self, trace: Trace) -> None:
        """Take in an envelope; one that nobody wants any more is left out."""
        kept = self._traces.get((trace.channel, trace.of))
        if kept is None:
            return
        if kept and trace.sample < kept[-1][1].sample:
            kept.clear()  # time does not go back: it is another engine's
        kept.append((self.count, trace))
        self.count += 1
        while kept[0][1].sample < trace.sample - self._kept_samples or len(kept) > MOST_MESSAGES:
            kept.popleft()

    def runs(self, keys: Iterable[Key], since: int) -> tuple[list[dict[str, Any]], dict[str, NDArray[np.float32]]]:
        """Return what came of these channels from number `since` on, as the `runs` and arrays of a `detail` message."""
        runs: list[dict[str, Any]] = []
        low: list[NDArray[np.float32]] = []
        high: list[NDArray[np.float32]] = []
        at = 0
        for key in keys:
            newest_first = takewhile(lambda each: each[0] >= since, reversed(self._traces.get(key, deque())))
            for _, trace in reversed([*newest_first]):
                n, end = len(trace.low), trace.sample
                if runs and runs[-1]["channel"] == trace.channel and runs[-1]["stop"] == end:
                    runs[-1]["n"] += n
                    runs[-1]["stop"] += n * trace.bin_samples
                else:
                    place = {"channel": trace.channel, "of": trace.of, "sample": end, "bin": trace.bin_samples}
                    runs.append({**place, "at": at, "n": n, "stop": end + n * trace.bin_samples})
                at += n
                low.append(trace.low)
                high.append(trace.high)
        none = [np.zeros(0, np.float32)]
        return runs, {"low": np.concatenate(low or none), "high": np.concatenate(high or none)}
