"""Spikes as LSL streams: numbers for every spike, and a marker each where they are few."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rtspikes import lsl
from rtspikes.clock import Clock
from rtspikes.errors import TransportError
from rtspikes.lsl.text import shown
from rtspikes.subscribers.lsl_description import CHANNELS, default_name, describe_markers, describe_spikes
from rtspikes.wire.batch import Batch

MOST_MARKERS_PER_S = 200.0
"""Markers a second, and so many at once after a pause: strings are for people, and for low rates."""

HUNDREDS_BUFFERED = 3600
"""What liblsl keeps for a consumer that does not take it, in hundreds; then it drops the oldest: `id` has a hole."""

LINGER_S, LOOK_S = 1.0, 0.02
"""How long the streams stay behind their last spike for who still receives: liblsl does not say when all is sent."""

LONGEST_LABEL = 200
"""Characters of the marker of a spike."""

TELL_S = 1.0
"""How often, at most, markers that were left out are told."""


class SpikeOutlet:
    """The LSL streams of one layout of channels, that of `info`; there until `close`.

    `warn` gets what was left out, as a line.
    """

    def __init__(
        self,
        info: Mapping[str, Any],
        endpoint: str,
        clock: Clock,
        warn: Callable[[str], None],
        *,
        name: str | None = None,
        markers: bool = False,
    ) -> None:
        """Open the streams; raise SourceError without LSL, TransportError when liblsl cannot open them."""
        self.name = default_name(info) if name is None else name
        self.spikes = self.unmarked = self.unstamped = 0
        self._clock = clock
        self._warn = warn
        self._gap_causes = info.get("gap_causes")
        self._labels = [shown(label, LONGEST_LABEL) for label in info["channels"]["label"]]
        self._spikes_out = _open(describe_spikes(info, endpoint, self.name))
        self._markers_out = _open(describe_markers(info, endpoint, f"{self.name}-markers")) if markers else None
        self._of_spikes, self._of_others = (_Budget(MOST_MARKERS_PER_S, clock.now()) for _ in range(2))
        self._unmarked_told, self._told_s = 0, clock.now()

    @property
    def _outs(self) -> list[Any]:
        return [out for out in (self._spikes_out, self._markers_out) if out is not None]

    @property
    def has_consumers(self) -> bool:
        """Whether each stream is taken by somebody, who gets what is sent from now on."""
        return all(out.have_consumers() for out in self._outs)

    def add(self, batch: Batch) -> None:
        """Send what a batch says."""
        for missed in batch.missed:
            self.mark(f"missed {missed.count} {missed.kind} messages")
        if len(batch.spikes):
            self._push_spikes(batch)
        for gap in batch.gaps:
            doubt = f" ± {gap['uncertain']}" if gap["uncertain"] else ""
            text = f"gap of {gap['lost']}{doubt} samples ({self._cause(int(gap['cause']))})"
            self.mark(text, float(gap["time"]))
        for mark, text in zip(batch.marks, batch.texts, strict=True):
            self.mark(f"mark {text or mark['value']}", float(mark["time"]))
        self._tell_unmarked(self._clock.now() - self._told_s >= TELL_S)

    def _cause(self, cause: int) -> str:
        return str(self._gap_causes.get(str(cause), cause)) if isinstance(self._gap_causes, Mapping) else str(cause)

    def _push_spikes(self, batch: Batch) -> None:
        spikes = batch.spikes
        stamped = np.isfinite(spikes["time"]) & (spikes["time"] > 0)  # liblsl would take its own clock for others
        self.unstamped += len(spikes) - int(stamped.sum())
        spikes = spikes[stamped]
        if not len(spikes):
            return
        stamps = spikes["time"].tolist()
        self._spikes_out.push_chunk(np.column_stack([spikes[name].astype(np.float64) for name in CHANNELS]), stamps)
        self.spikes += len(spikes)
        if self._markers_out is not None:
            most = self._of_spikes.take(len(spikes), self._clock.now())
            self._push_markers([self._labels[channel] for channel in spikes["channel"][:most]], stamps[:most])
            self.unmarked += len(spikes) - most

    def mark(self, text: str, time_s: float | None = None) -> None:
        """Send a marker of something else than a spike, where there are markers; without a time it happened now."""
        now = self._clock.now()
        if self._markers_out is None:
            return
        if self._of_others.take(1, now):
            known = time_s is not None and np.isfinite(time_s) and time_s > 0
            self._push_markers([f"rtspikes: {text}"], [time_s if known and time_s is not None else now])
        else:
            self.unmarked += 1

    def _push_markers(self, texts: Sequence[str], stamps: Sequence[float]) -> None:
        if self._markers_out is not None and texts:
            self._markers_out.push_chunk(list(texts), list(stamps))

    def _tell_unmarked(self, due: bool) -> None:
        """Say how many markers were left out since this was last said."""
        more = self.unmarked - self._unmarked_told
        if more and due:
            self._unmarked_told, self._told_s = self.unmarked, self._clock.now()
            text = f"{more} markers left out; at most {MOST_MARKERS_PER_S:g} a second are sent"
            self._push_markers([f"rtspikes: {text}"], [self._clock.now()])
            self._warn(text)

    def close(self) -> None:
        """Take the streams away, once whoever receives them has had time to get the last of it."""
        self._tell_unmarked(True)
        deadline_s, never = self._clock.now() + LINGER_S, threading.Event()
        while any(out.have_consumers() for out in self._outs) and self._clock.now() < deadline_s:
            self._clock.wait_until(self._clock.now() + LOOK_S, never)
        self._spikes_out = self._markers_out = None


class _Budget:
    """Grants `per_s` a second, and as many at once after a second without."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = self._left = per_s
        self._at_s = now_s

    def take(self, n: int, now_s: float) -> int:
        """Return how many of `n` are granted."""
        self._left = min(self._per_s, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        granted = min(n, int(self._left))
        self._left -= granted
        return granted


def _open(described: Any) -> Any:
    try:
        return lsl.load().StreamOutlet(described, 0, HUNDREDS_BUFFERED)
    except RuntimeError as error:
        raise TransportError(
            f"liblsl cannot open an outlet ({error}); close other LSL programs of this computer, which may have all "
            f"its ports, or say -v to see liblsl's reason"
        ) from None
