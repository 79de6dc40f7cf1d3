"""How fast is the detector alone, on one core, beside a copy of the same bytes?

int16 noise with 5 spikes/s/channel of 8 to 12 times its level, in memory, through the whole detector: band-pass, σ,
threshold, peak, snippet. `default` are the settings that users run; `order 1` is `detect.filter.order=1`, the two
first-order corners of published figures. `ratio` is the detector's samples per second over those of a pre-faulted 1 GiB
`numpy.copyto`, both int16, taken turn by turn on the same core; told is the turn with the median ratio. It is given for
calls of 20,000 samples (channels × time) and more; shorter ones are told by `us_per_call`.

Second table: the price of options at 1024 channels in calls of 20 ms; `ratio_to_plain` is the speed over that of the
default settings, taken turn by turn. Third: several threads, not kept on one core. Spikes found are counted all along:
a figure without about as many as were planted is not printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.pinned import one_core
from bench.recordings import GAIN_UV, RATE_HZ, planted
from rtspikes.config import config_from
from rtspikes.crew import ThreadCrew
from rtspikes.detect.detector import Detector
from rtspikes.protocols import Crew
from rtspikes.types import ChannelInfo, Samples, StreamInfo

Row = dict[str, Any]

COPY_BYTES = 1 << 30

TURNS = 5

PASS_SAMPLES = 20_000_000
"""Samples that go through the detector in a turn, at least; and a second of signal at least."""

RATIO_FROM = 20_000
"""Samples of a call from which on the ratio to a copy is given."""

DEFAULT: dict[str, Any] = {}
ORDER_1 = {"filter": {"order": 1}}

PITCH_UM = 17.5
"""Between electrodes of a dense array."""

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": DEFAULT,
    "reference: average": {"reference": {"kind": "average"}},
    "reference: median": {"reference": {"kind": "median"}},
    "method: energy": {"method": "energy"},
    "method: window": {"method": "window"},
    "method: matched": {"method": "matched"},
    "sign: both": {"sign": "both"},
    "blanking: saturation, slew": {"artifacts": {"saturation": True, "slew_uv": 300.0}},
    "neighbours: exclusive": {"neighbours": {"exclusive": True}},
    "neighbours: 4 amplitudes": {"neighbours": {"amplitudes": 4}},
    "float32 input": DEFAULT,
}

FOUND = (0.85, 1.15)
"""Spikes found, in parts of those planted: chance neighbours may count as one."""

FALSE_PER_S = 0.1
"""Events per second and channel that noise may add."""


class Copy:
    """A copy of 1 GiB that was touched before."""

    def __init__(self) -> None:
        self._source, self._target = (np.ones(COPY_BYTES // 2, np.int16) for _ in range(2))
        self.msamples_per_s()

    def msamples_per_s(self) -> float:
        """Copy; return the speed in Msamples/s of int16."""
        begun = time.perf_counter()
        np.copyto(self._target, self._source)
        return COPY_BYTES / 2 / (time.perf_counter() - begun) / 1e6


class Runner:
    """A detector, and a signal that goes through it again and again, its index going on."""

    def __init__(
        self,
        samples: Samples,
        spikes: int,
        chunk_ms: float,
        settings: Mapping[str, Any] = DEFAULT,
        crew: Crew | None = None,
    ) -> None:
        """spikes: planted in `samples` (time, channels); crew: threads to share the work with."""
        self._samples = samples
        self._spikes = spikes
        self.chunk = max(1, round(chunk_ms * 1e-3 * RATE_HZ))
        n, channels = samples.shape
        config = config_from({"source": {"uri": "bench:"}, "detect": dict(settings)})
        side = int(np.ceil(np.sqrt(channels)))
        infos = tuple(
            ChannelInfo(str(i), i, x_um=PITCH_UM * (i % side), y_um=PITCH_UM * (i // side), gain_uv=GAIN_UV)
            for i in range(channels)
        )
        dtype = "int16" if samples.dtype == np.int16 else "float32"
        self.detector = Detector(StreamInfo("bench:", RATE_HZ, dtype, infos, live=False), config.detect, crew=crew)
        self.detector.learn([(samples[: self.detector.initial_samples], 0)])
        self._passes = max(1, PASS_SAMPLES // samples.size)
        self._go()
        self._go()

    @property
    def samples_per_call(self) -> int:
        """Samples, of all channels, in a call."""
        return self.chunk * self._samples.shape[1]

    def msamples_per_s(self) -> float:
        """Go through the signal; return the speed. Raise RuntimeError where not about all spikes were found."""
        n_samples, took_s, found = self._go()
        least, most = (part * self._spikes for part in FOUND)
        if not least <= found <= most + FALSE_PER_S * self._samples.size / RATE_HZ:
            raise RuntimeError(f"found {found:.0f} spikes of {self._spikes}: no figure")
        return n_samples / took_s / 1e6

    def _go(self) -> tuple[int, float, float]:
        """Return samples, seconds, and spikes found in a pass."""
        detector, samples, chunk = self.detector, self._samples, self.chunk
        calls = len(samples) // chunk * self._passes
        before, at = int(detector.counts.sum()), 0
        begun = time.perf_counter()
        for _ in range(calls):
            detector.process(samples[at : at + chunk], detector.next_sample)
            at = at + chunk if at + 2 * chunk <= len(samples) else 0
        took_s = time.perf_counter() - begun
        return calls * chunk * samples.shape[1], took_s, (int(detector.counts.sum()) - before) / self._passes


def middle(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    """Return two speeds, taken turn by turn: those of the turn with the median ratio, as the computer's own vary."""
    turns = sorted(((one(), other()) for _ in range(TURNS)), key=lambda turn: turn[0] / turn[1])
    return turns[TURNS // 2]


class Signals:
    """Signals by channel count: the last one is kept."""

    def __init__(self) -> None:
        self._channels = 0

    def get(self, channels: int, dead: int = 0) -> tuple[NDArray[np.int16], int]:
        """Return a second of signal and the spikes in it; dead: one channel in so many is 0."""
        if channels != self._channels:
            self._signal = planted(channels, 1.0)
            self._channels = channels
        if not dead:
            return self._signal.samples, len(self._signal.sample)
        samples = self._signal.samples.copy()
        samples[:, ::dead] = 0
        return samples, int((self._signal.channel % dead > 0).sum())


def alone(counts: Sequence[int], chunks_ms: Sequence[float], signals: Signals, copy: Copy) -> list[Row]:
    """Return a row per set-up: the detector beside a copy."""
    rows = []
    for channels in counts:
        for name, settings, dead in (("default", DEFAULT, 0), ("default", DEFAULT, 16), ("order 1", ORDER_1, 0)):
            for chunk_ms in chunks_ms:
                runner = Runner(*signals.get(channels, dead), chunk_ms, settings)
                speed, copied = middle(runner.msamples_per_s, copy.msamples_per_s)
                row = {
                    "settings": name,
                    "channels": channels,
                    "chunk_ms": chunk_ms,
                    "dead": f"1 in {dead}" if dead else "none",
                    "msamples_per_s": round(speed),
                    "copy_msamples_per_s": round(copied),
                    "ratio": round(speed / copied, 3) if runner.samples_per_call >= RATIO_FROM else "",
                    "channels_at_20khz": round(speed * 1e6 / RATE_HZ),
                    "us_per_call": round(runner.samples_per_call / speed, 1),
                }
                rows.append(row)
    return rows


def options(channels: int, chunk_ms: float, signals: Signals) -> list[Row]:
    """Return a row per option: its price."""
    samples, spikes = signals.get(channels)
    plain = Runner(samples, spikes, chunk_ms)
    rows = []
    for name, settings in OPTIONS.items():
        given = samples.astype(np.float32) if name.startswith("float32") else samples
        runner = Runner(given, spikes, chunk_ms, settings)
        speed, of_plain = middle(runner.msamples_per_s, plain.msamples_per_s)
        rows.append(
            {
                "option": name,
                "channels": channels,
                "chunk_ms": chunk_ms,
                "msamples_per_s": round(speed),
                "ratio_to_plain": round(speed / of_plain, 2),
            }
        )
    return rows


def threads(counts: Sequence[int], chunk_ms: float, signals: Signals) -> list[Row]:
    """Return a row per channel count: one thread and two, turn by turn."""
    rows = []
    for channels in counts:
        with ThreadCrew(2) as crew:
            runners = [Runner(*signals.get(channels), chunk_ms, crew=each) for each in (None, crew)]
            one, two = middle(*(runner.msamples_per_s for runner in runners))
        row = {
            "threads": 2,
            "channels": channels,
            "chunk_ms": chunk_ms,
            "msamples_per_s": round(two),
            "one_thread": round(one),
            "speed_up": round(two / one, 2),
            "target": 1.8 if channels == 4096 else "",
        }
        rows.append(row)
    return rows


def as_object(rows: list[Row]) -> Row:
    """Return what `--json` prints: the first row with its ratio, whatever its call; `rows` are all of them."""
    first = rows[0]
    return first | {"ratio": round(first["msamples_per_s"] / first["copy_msamples_per_s"], 3), "rows": rows}


def run(arguments: list[str]) -> list[Row]:
    """Return the rows of the first table, and, unless a set-up is asked for, those of the others."""
    parser = argparse.ArgumentParser(prog="python -m bench detector")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--chunk-ms", type=float)
    args = parser.parse_args(arguments)
    counts = [args.channels] if args.channels else [64, 256, 1024, 4096]
    chunks_ms = [args.chunk_ms] if args.chunk_ms else [1, 5, 20, 1000]
    signals = Signals()
    with one_core():
        rows = alone(counts, chunks_ms, signals, Copy())
        if args.channels or args.chunk_ms:
            return rows
        rows += options(1024, 20, signals)
    return rows + threads([1024, 4096], 20, signals)
