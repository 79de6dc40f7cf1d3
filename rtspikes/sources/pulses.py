"""The `pulses:` source: a signal with large pulses at known samples, live, with exact times.

    samples    0 ········ 50 ········· 101 + 50 ········ 2 · 101 + 50 ···
    pulses                0            1                 2                k: begins at k · 101 + 50, on `channel(k)`

Between them lie noise and smaller spikes, at random, so that there is as much to find and to send as beside a rig. What
a live engine takes to find them is what it takes for any spike: `rtspikes latency` measures it.
"""

from __future__ import annotations

import urllib.parse
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rtspikes.clock import Clock
from rtspikes.errors import ConfigError, nearest
from rtspikes.protocols import Pull
from rtspikes.sources.pace import Pace, PacedSource
from rtspikes.sources.settings import SourceSettings
from rtspikes.types import ChannelInfo, Samples, StreamInfo
from rtspikes.units import MAX_RATE_HZ

SPACING = 101
"""Samples from pulse to pulse: a prime, so that they come at every place of a chunk."""

PULSES = 200
"""Pulses in the stretch that is repeated, at most."""

FIRST = SPACING // 2
"""Sample at which the first pulse begins; from there on it has PULSE_SAMPLES."""

PULSE_SAMPLES, PULSE_UV, SPIKE_UV = 12, 600.0, 120.0

NOISE_UV, UV_PER_UNIT = 5.0, 0.195

MOST_CHANNELS = 65_536

MOST_BYTES = 128 * 2**20
"""Of that stretch, at most."""

T = TypeVar("T", int, NDArray[np.int64])

DEFAULTS = {"rate": 20_000.0, "seconds": 0.0, "spikes": 1.0}


def open_pulses(address: str, settings: SourceSettings, clock: Clock) -> PulseSource:
    """Make noise with pulses at known samples, live, to measure latencies: pulses:64?rate=30000&seconds=10."""
    if settings.start_s or settings.stop_s is not None or settings.loop or settings.uv_per_unit is not None:
        raise ConfigError("pulses: source.start_s, stop_s, loop and uv_per_unit are for files")
    if settings.speed == "max":
        raise ConfigError("pulses: is a live source, source.speed must be a number, got max")
    return PulseSource(address, settings, clock)


class PulseSource(PacedSource):
    """Hands on the samples that are due, in chunks of `source.chunk_ms`; what is late is handed on all at once."""

    first_sample = 0

    def __init__(self, address: str, settings: SourceSettings, clock: Clock) -> None:
        channels, rate_hz, seconds, self._spikes_per_s = _parse(address)
        self._total = round(seconds * rate_hz) or None
        self.info = StreamInfo(
            uri=f"pulses:{address}",
            rate_hz=rate_hz,
            dtype="int16",
            channels=tuple(ChannelInfo(str(i + 1), i, gain_uv=UV_PER_UNIT) for i in range(channels)),
            live=True,
            n_samples=self._total,
            facts={"unit": f"{UV_PER_UNIT} µV"},
        )
        self._pace = Pace(rate_hz, settings, clock)
        self._position = 0

    def __enter__(self) -> Self:
        """Make the stretch that is repeated."""
        self._stretch = stretch(self.info.n_channels, self._spikes_per_s / self.info.rate_hz)
        return self

    def pull(self, destination: Samples) -> Pull:
        """Write the samples that are due into `destination`; wait up to 0.1 s for the next chunk's deadline."""
        left = len(destination) if self._total is None else self._total - self._position
        if left <= 0:
            return Pull(0, ended=True)
        row = self._position % len(self._stretch)
        n = min(left, len(destination), self._pace.due(left))
        if n <= 0:
            return Pull(0)
        done = 0
        while done < n:  # to the stretch's end, then from its beginning
            some = min(n - done, len(self._stretch) - row)
            destination[done : done + some] = self._stretch[row : row + some]
            done, row = done + some, 0
        self._position += n
        return Pull(n, anchors=self._pace.advance(n))


def stretch(channels: int, spikes: float) -> NDArray[np.int16]:
    """Return what is repeated, (samples, channels): SPACING by SPACING, one pulse in each.

    spikes: others, in each sample of a channel.
    """
    pulses = repeated(channels)
    rng = np.random.default_rng(1)
    samples = np.empty((pulses * SPACING, channels), np.int16)
    shape = np.hanning(PULSE_SAMPLES).astype(np.float32)
    for k in range(pulses):
        part = rng.standard_normal((SPACING, channels), np.float32) * np.float32(NOISE_UV)
        own = channel(k, channels)
        n = rng.poisson(spikes * channels * SPACING)
        begins = rng.integers(0, SPACING - PULSE_SAMPLES, n)
        for begin, at in zip(begins, rng.integers(0, channels, n), strict=True):
            if at != own:  # its dead time could hide the pulse
                part[begin : begin + PULSE_SAMPLES, at] -= SPIKE_UV * shape
        part[FIRST : FIRST + PULSE_SAMPLES, own] -= PULSE_UV * shape
        samples[k * SPACING : (k + 1) * SPACING] = np.rint(part / UV_PER_UNIT)
    return samples


def repeated(channels: int) -> int:
    """Return how many pulses the stretch of a stream has."""
    return max(1, min(PULSES, MOST_BYTES // (2 * channels * SPACING)))


def channel(pulse: T, channels: int) -> T:
    """Return the channel of a pulse, or of each of some pulses (n,)."""
    return pulse % repeated(channels) * 7 % channels


def pulses_of(crossings: NDArray[np.int64], channels: NDArray[np.integer[Any]], n_channels: int) -> NDArray[np.int64]:
    """Return of which pulse each crossing (n,) is, by its absolute sample and its channel; −1: of none."""
    pulse, at = np.divmod(crossings - FIRST, SPACING)
    return np.where((at < PULSE_SAMPLES) & (channels == channel(pulse, n_channels)), pulse, -1)


def _parse(address: str) -> tuple[int, float, float, float]:
    """Return channels, rate (Hz), length (s; 0: without end), spikes/s/channel of an address; raise ConfigError."""
    head, _, query = address.partition("?")
    values = dict(DEFAULTS)
    for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name not in values:
            raise ConfigError(f"pulses: unknown parameter {name[:40]!r}; {nearest(name, values)}")
        try:
            values[name] = float(text)
        except ValueError:
            raise ConfigError(f"pulses: {name} must be a number, got {text[:40]!r}") from None
    if not (head.isascii() and head.isdigit() and len(head) < 8 and 1 <= int(head) <= MOST_CHANNELS):
        raise ConfigError(f"pulses: must name 1 … {MOST_CHANNELS} channels, for example pulses:64, got {head[:40]!r}")
    if not 1000 <= values["rate"] <= MAX_RATE_HZ:
        raise ConfigError(f"pulses: rate must be 1000 … {MAX_RATE_HZ:g} (Hz), got {values['rate']:g}")
    if not 0 <= values["seconds"] <= 1e6:
        raise ConfigError(f"pulses: seconds must be 0 … 1e6 (0: without end), got {values['seconds']:g}")
    if not 0 <= values["spikes"] <= 100:
        raise ConfigError(f"pulses: spikes must be 0 … 100 (per second and channel), got {values['spikes']:g}")
    return int(head), values["rate"], values["seconds"], values["spikes"]
