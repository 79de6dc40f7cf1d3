"""The processes of `bench lsl`: who pushes a stream, who hears of its crossings, who only pulls it.

Each writes what it noted to a file (.npz): times in seconds of the LSL clock, samples counted from the stream's first.
"""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import rtspikes
from rtspikes import lsl
from rtspikes.clock import LslClock
from rtspikes.types import ChannelInfo, StreamInfo

RATE_HZ = 20000
CHUNK = 20
"""Samples of a push: 1 ms."""

SPIKE_EVERY = RATE_HZ // 40
"""One spike of the whole stream in each stretch of so many samples, on a channel drawn for it."""

SPIKE_SAMPLES = 40
LOOP_BYTES = 256 * 2**20
SIGMA_UV, PEAK_UV, GAIN_UV = 6.0, 120.0, 0.195


class Stream(NamedTuple):
    """A stream to measure with."""

    name: str
    channels: int
    dtype: str

    @property
    def loop(self) -> int:
        """Samples after which the signal begins again: 4 s, or what fits into LOOP_BYTES."""
        frame = self.channels * np.dtype(self.dtype).itemsize
        return min(4 * RATE_HZ, LOOP_BYTES // frame) // SPIKE_EVERY * SPIKE_EVERY

    def planted(self, end: int) -> NDArray[np.int64]:
        """Return the samples before `end`, rising, at which spikes begin."""
        at = np.arange(0, self.loop, SPIKE_EVERY)
        at += np.random.default_rng(2).integers(0, SPIKE_EVERY - SPIKE_SAMPLES, len(at))
        loops = np.arange(-(-end // self.loop)) * self.loop
        samples = (loops[:, None] + at).ravel()
        return samples[samples < end].astype(np.int64)

    def signal(self) -> NDArray[Any]:
        """Return one loop (samples, channels): noise with the planted spikes."""
        rng = np.random.default_rng(1)
        unit = 1.0 if self.dtype == "float32" else GAIN_UV
        samples = np.empty((self.loop, self.channels), self.dtype)
        for part in np.array_split(samples, 64):
            part[:] = rng.standard_normal(part.shape, np.float32) * np.float32(SIGMA_UV / unit)
        t_ms = np.arange(SPIKE_SAMPLES) / RATE_HZ * 1e3
        shape = -PEAK_UV * np.exp(-(((t_ms - 0.5) / 0.15) ** 2)) + 28 * np.exp(-(((t_ms - 1.0) / 0.3) ** 2))
        planted = self.planted(self.loop)
        for at, channel in zip(planted, rng.integers(0, self.channels, len(planted)), strict=True):
            samples[at : at + SPIKE_SAMPLES, channel] += (shape / unit).astype(self.dtype)
        return samples

    def description(self) -> Any:
        """Return the pylsl.StreamInfo that announces it."""
        from rtspikes.lsl.metadata import outlet_info

        gain = 1.0 if self.dtype == "float32" else GAIN_UV
        channels = tuple(ChannelInfo(str(i + 1), i, gain_uv=gain) for i in range(self.channels))
        info = StreamInfo("bench", RATE_HZ, "float32" if self.dtype == "float32" else "int16", channels, live=True)
        return outlet_info(info, name=self.name, type="Ephys", source_id=self.name)


def produce(stream: Stream, seconds: float, out: Path) -> None:
    """Push from a consumer's coming until it goes, `seconds` at most; note when each push began."""
    pylsl = lsl.load()
    signal, clock = stream.signal(), LslClock()
    outlet = pylsl.StreamOutlet(stream.description(), 0, 10)
    pushed = np.zeros(round(seconds * RATE_HZ / CHUNK))
    gc.disable()
    if not outlet.wait_for_consumers(60.0):
        raise RuntimeError(f"nobody came for the stream {stream.name}")
    begun_s = clock.now()
    for k in range(len(pushed)):
        row = k * CHUNK % stream.loop
        due_s = begun_s + ((k + 1) * CHUNK - 1) / RATE_HZ
        if (early_s := due_s - clock.now()) > 0:
            time.sleep(early_s)
        pushed[k] = clock.now()
        outlet.push_chunk(signal[row : row + CHUNK], due_s)
        if k % 1024 == 1023 and not outlet.have_consumers():
            pushed = pushed[: k + 1]
            break
    np.savez(out, begun_s=begun_s, pushed_s=pushed)


def hear(endpoint: str, out: Path) -> None:
    """Subscribe to an engine; note when each crossing arrived, and when it had passed each stage."""
    clock = LslClock()
    stages: tuple[str, ...] = ("t_acquired", "t_detected", "t_sent")
    crossings: list[NDArray[np.void]] = []
    times: list[NDArray[np.float64]] = []
    status: dict[str, Any] = {}
    with rtspikes.subscribe(endpoint, kinds=("crossings", "status")) as s:
        for batch in s:
            now_s = clock.now()
            if len(batch.crossings):
                crossings.append(batch.crossings)
                stamps = [*(batch.fields[stage] for stage in stages), now_s]
                times.append(np.tile(stamps, (len(batch.crossings), 1)))
            elif batch.kind == "status":
                status = batch.fields
        missed = s.missed_total
    found = np.concatenate(crossings)
    np.savez(out, sample=found["crossing"], time_s=found["time"], stages_s=np.concatenate(times))
    print(json.dumps({"missed": missed, "status": status}))


def pull(stream: Stream, seconds: float, out: Path) -> None:
    """Do nothing but pull `seconds` of signal; note when each pull returned and up to which sample it reached."""
    pylsl = lsl.load()
    clock = LslClock()
    found = pylsl.resolve_byprop("name", stream.name, 1, 60.0)
    inlet = pylsl.StreamInlet(found[0], max_buflen=10, recover=False)
    rows = np.empty((1024, stream.channels), stream.dtype)
    returned_s, reached = [], [0]
    inlet.open_stream(60.0)
    first_stamp = 0.0
    while reached[-1] < seconds * RATE_HZ:
        _, stamps = inlet.pull_chunk(1.0, len(rows), rows, min_samples=1, as_numpy=True)
        if len(stamps):
            returned_s.append(clock.now())
            if not first_stamp:
                first_stamp, begun_s, begun_cpu_s = float(stamps[0]), clock.now(), time.process_time()
            reached.append(reached[-1] + len(stamps))
    cpu = (time.process_time() - begun_cpu_s) / (clock.now() - begun_s)
    np.savez(out, first_stamp=first_stamp, returned_s=returned_s, reached=reached[1:], cpu=cpu)
