"""The same few figures of an engine as its page has, for a terminal: health, and the busiest channels."""

from __future__ import annotations

import re
import shlex
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import rates_hz
from rtspikes.errors import EngineVanished, WireError
from rtspikes.subscribers.electrodes import observed_s
from rtspikes.subscribers.view.health import NOT_UNDERSTOOD, SILENT_S, Seen, health
from rtspikes.subscribers.watch import Watch
from rtspikes.wire.batch import Batch
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.subscribe import subscribe

TOP_KINDS = ("spikes", "thresholds", "status")

SPAN_S = 60.0
"""Observed time is that of about the last minute: who is busy now, not who was."""

LOOK_S = 0.1


class Busy(NamedTuple):
    """A channel: spikes per second of observed time and how many spikes, both of the last minute; levels in µV."""

    label: str
    rate_hz: float
    spikes: int
    sigma_uv: float
    thresholds_uv: tuple[float, ...]


class _Look(NamedTuple):
    """Spikes and observed time (s) of each channel, (channels,), when a status came."""

    signal_s: float
    counts: NDArray[np.int64]
    observed_s: NDArray[np.float64]


class Top:
    """What is to be seen of an engine, of one session after the other."""

    def __init__(self, endpoint: str) -> None:
        self.state, self.text = "connecting", f"waiting for an engine at {endpoint}"
        self.info: dict[str, Any] | None = None
        self._watch: Watch | None = None
        self._missed = self._malformed = 0
        self._labels: list[str] = []
        self._levels = np.zeros((2, 0), np.float32)
        self._looks: deque[_Look] = deque()
        self._unseen_s = 0.0
        """Time whose spikes did not come here."""

    def begin(self, info: dict[str, Any]) -> None:
        """Turn to another session."""
        self.info, self._watch = info, Watch(info)
        self._labels = [str(label) for label in info["channels"]["label"]]
        self._levels = np.full((2, info["n_channels"]), np.nan, np.float32)
        self._looks.clear()
        self._unseen_s = 0.0

    def tell(self, state: str, text: str = "") -> None:
        """Say how it is with the engine, as `health` has it."""
        self.state, self.text = state, text

    def add(self, batch: Batch, malformed: int) -> None:
        """Take one batch of the current session; malformed: messages so far that were not of the protocol."""
        if self._watch is None:
            return
        self._missed += sum(m.count for m in batch.missed)
        for missed in batch.missed:
            if missed.kind == "spikes" and missed.from_sample is not None and missed.to_sample is not None:
                self._unseen_s += (missed.to_sample - missed.from_sample) / self._watch.rate_hz
        self._malformed = malformed
        if batch.kind == "spikes" and not self._looks and batch.from_sample == self._watch.first:
            self._look(np.zeros(len(self._watch.counts)))  # here from the session's start
        self._watch.add(batch, 0.0)
        if batch.kind == "thresholds" and batch.thresholds is not None:
            first = int(batch.fields["first_channel"])
            for levels, name in zip(self._levels, ("negative_uv", "positive_uv"), strict=True):
                levels[first : first + len(batch.thresholds)] = batch.thresholds[name]
        elif batch.kind == "status":
            self._look(observed_s(batch.fields, self._watch.electrodes) - self._unseen_s)

    def _look(self, observed_s: NDArray[np.float64]) -> None:
        assert self._watch is not None
        now_s = self._watch.seconds
        while len(self._looks) > 1 and self._looks[1].signal_s <= now_s - SPAN_S:
            self._looks.popleft()
        if len(self._looks) > 1 and now_s - self._looks[-2].signal_s < SPAN_S / 12:
            self._looks.pop()  # few are enough to begin at: of very many channels each takes a megabyte
        self._looks.append(_Look(now_s, self._watch.counts.copy(), observed_s))

    def health(self) -> dict[str, Any]:
        """Return the `health` message."""
        watch = self._watch
        missed = self._missed + self._malformed
        if watch is None:
            return health({}, {}, Seen(self.state, self.text, missed))
        return health(watch.info, watch.status, Seen(self.state, self.text, missed, watch.median_sigma_uv))

    def busiest(self, most: int) -> list[Busy]:
        """Return the channels with the highest rates, at most so many, those without a spike left out."""
        if self._watch is None or len(self._looks) < 2:
            return []
        counts = self._looks[-1].counts - self._looks[0].counts
        rates = rates_hz(counts, self._looks[-1].observed_s - self._looks[0].observed_s)
        order = np.argsort(-np.nan_to_num(rates), kind="stable")[:most]
        return [self._busy(int(c), float(rates[c]), int(counts[c])) for c in order if rates[c] > 0]

    def _busy(self, channel: int, rate_hz: float, spikes: int) -> Busy:
        assert self._watch is not None
        levels = self._levels[:, channel]
        sigma_uv = float(self._watch.sigma_uv[channel])
        return Busy(self._labels[channel], rate_hz, spikes, sigma_uv, tuple(levels[np.isfinite(levels)].tolist()))


def follow(top: Top, endpoint: str, key: ClientKey | None, timeout_s: float | None) -> Generator[None]:
    """Keep `top` up to date until the engine's end, yielding several times a second.

    An engine that vanishes without an end is waited for. Raise TransportError when none is met within `timeout_s`.
    """
    while True:
        try:
            yield from _follow_run(top, endpoint, key, timeout_s)
            return
        except EngineVanished:
            top.tell("lost", f"the engine has gone without an end; waiting for the next one at {endpoint}")
            timeout_s = None
        except NOT_UNDERSTOOD as error:
            if isinstance(error, WireError):
                raise
            raise WireError(f"what the engine says is not understood: {type(error).__name__}: {error}") from error


def _follow_run(top: Top, endpoint: str, key: ClientKey | None, timeout_s: float | None) -> Generator[None]:
    session = ""
    heard_s = time.monotonic()
    with subscribe(endpoint, kinds=TOP_KINDS, key=key, connect_timeout_s=timeout_s) as subscriber:
        while not subscriber.ended:
            batch = subscriber.get(LOOK_S)
            now_s = time.monotonic()
            if batch is not None and subscriber.info is not None:
                heard_s = now_s
                if batch.session != session:
                    session = batch.session
                    top.begin(subscriber.info)
                top.tell("live")
                top.add(batch, subscriber.malformed)
            elif session and now_s - heard_s > SILENT_S:
                top.tell("silent", f"nothing has come for {now_s - heard_s:.0f} s: the engine is held up, or waits")
            yield
        end = subscriber.end or {}
    top.tell("ended", f"the run has ended: {end.get('reason')}")


def words(told: dict[str, Any], info: dict[str, Any], busiest: Sequence[Busy]) -> list[str]:
    """Return a `health` message and the busiest channels as words NAME=VALUE, quoted as a shell quotes; -: unknown."""
    latency, recording = told["latency_ms"] or {}, told["recording"] or {}
    values = {
        "state": told["state"],
        "session": info.get("session"),
        **{name: told[name] for name in ("elapsed_s", "signal_s", "spikes_per_s", "active", "electrodes", "sigma_uv")},
        **{re.sub(r"\W+", "_", loss["name"]): loss["amount"] for loss in told["losses"]},
        "latency_p50_ms": latency.get("p50"),
        "latency_p99_ms": latency.get("p99"),
        "ring_fill": told["ring_fill"],
        "subscribers": told["subscribers"],
        **{name: told[name] for name in ("frozen", "muted", "storming", "dead", "noisy", "saturated")},
        **{f"recording_{name}": recording.get(name) for name in ("path", "bytes", "bytes_per_s", "hours_left")},
        "busiest": ",".join(f"{busy.label}:{busy.rate_hz:.2f}" for busy in busiest) or None,
        "text": told["text"] or None,
    }
    return [f"{name}={shlex.quote(_word(value))}" for name, value in values.items()]


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.10g}" if isinstance(value, float | int) else str(value)
