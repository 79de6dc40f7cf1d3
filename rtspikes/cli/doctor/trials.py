"""Checks of `doctor` on the data path: whether known spikes are found, and how many channels this computer carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.cli.doctor.checks import Figures, Finding, judged
from rtspikes.clock import LslClock
from rtspikes.config import Config
from rtspikes.errors import SourceError
from rtspikes.sources.replay import FileSource
from rtspikes.sources.settings import SourceSettings
from rtspikes.wire.settings import PublishSettings

RATE_HZ = 20_000.0

NOISE_UNITS, SPIKE_UNITS, UV_PER_UNIT = 30.0, 600.0, 0.2
"""The test signal: 6 µV of white noise and spikes of 120 µV, as int16 at 0.2 µV per unit."""

MATCH_SAMPLES = 5
"""How far (0.25 ms) a found peak may lie from the true one: noise and the causal filter move it by 1 to 3 samples."""

FEWEST_CHANNELS = 60
"""Below the smallest common array (60 electrodes), the computer is not fit."""

MANY_CHANNELS = 1024
"""Below a common large array, the computer is fit for some rigs only."""

PLANNED_PART = 0.5
"""What may be planned with: the rest is for the logger, the acquisition software, bursts, and a warm day."""

TRIAL_S = 2.0
DRAIN_S = 30.0
"""Longest time (s) for what is in the ring (4 s of signal) when the trial stops."""


def spiky_noise(n_samples: int, n_channels: int, spikes_per_s: float) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Return noise with spikes, int16 (time, channels), and (spikes, 2) the sample and channel of every trough."""
    samples = np.random.default_rng(1).standard_normal((n_samples, n_channels), np.float32)
    samples *= NOISE_UNITS
    t_ms = np.arange(40) / RATE_HZ * 1e3
    shape = (-np.exp(-(((t_ms - 0.5) / 0.15) ** 2)) * SPIKE_UNITS).astype(np.float32)
    spacing = round(RATE_HZ / spikes_per_s)
    truth = [
        (start + 10, channel)
        for channel in range(n_channels)
        for start in range(20 + channel * 37 % spacing, n_samples - 100, spacing)
    ]
    for trough, channel in truth:
        samples[trough - 10 : trough + 30, channel] += shape
    return np.rint(samples, out=samples).astype(np.int16), np.array(truth)


def check_detection() -> Finding:
    """Detect known spikes with the compiled kernels: a compiler, a processor or a memory that errs shows here."""
    from rtspikes.offline import detect

    samples, truth = spiky_noise(16_000, 4, 30.0)
    settings = {"detect": {"threshold": 8.0}}  # far from noise and from spikes: nothing is left to chance
    found, _ = detect(samples, settings, rate_hz=RATE_HZ, uv_per_unit=UV_PER_UNIT)
    return judge_detection(truth, np.stack([found["sample"], found["channel"].astype(np.int64)], 1))


def judge_detection(truth: NDArray[np.int64], found: NDArray[np.int64]) -> Finding:
    """Fail unless exactly the true spikes were found; both are (spikes, 2): sample, channel."""
    near = np.abs(truth[:, None, 0] - found[None, :, 0]) <= MATCH_SAMPLES
    same = near & (truth[:, None, 1] == found[None, :, 1])
    missed = int((~same.any(1)).sum())
    false = len(found) - (len(truth) - missed)
    text = f"{len(truth) - missed} of {len(truth)} known spikes found, {false} false"
    figures: Figures = {"known": len(truth), "missed": missed, "false": false}
    do = "do not use this installation for data; install numba and rtspikes anew, and report this"
    return judged("Detection", text, figures, fail=do if missed or false else "")


def measure_capacity(n_channels: int = 1024, trial_s: float = TRIAL_S) -> Figures:
    """Run an engine on a looped second of test signal (5 spikes/s/channel), as fast as it goes, for `trial_s`.

    Returns `channels_carried`, how many channels at 20 kHz that is in real time, and `cpu_cores`, what it took.
    """
    from rtspikes.engine import Engine
    from rtspikes.offline import array_recording

    clock = LslClock()
    recording = array_recording(spiky_noise(round(RATE_HZ), n_channels, 5.0)[0], RATE_HZ, UV_PER_UNIT)
    source = FileSource(recording, SourceSettings(speed="max", loop=True), clock)
    config = Config(publish=PublishSettings(endpoint="tcp://127.0.0.1:0"))
    with Engine(config, source=source, clock=clock) as engine:
        engine.start()
        engine.release()
        engine.wait(trial_s)
        engine.stop()
        if not engine.wait(DRAIN_S):
            engine.abort()
            raise SourceError(f"the engine did not end within {DRAIN_S:g} s")
    status = engine.status
    return {
        "channels_carried": round(status["signal_s"] / status["elapsed_s"] * n_channels),
        "cpu_cores": round(status["cpu_s"] / status["elapsed_s"], 2),
        "trial_s": status["elapsed_s"],
        "trial_channels": n_channels,
    }


def check_capacity() -> Finding:
    """Measure how many channels ring, detector and publisher carry here."""
    return judge_capacity(measure_capacity())


def judge_capacity(figures: Figures) -> Finding:
    """Judge the planned part of what was carried by the arrays that are common."""
    carried = int(figures["channels_carried"])
    planned = round(carried * PLANNED_PART)
    text = (
        f"carries {carried:,} channels at 20 kHz; plan for half, {planned:,} (detection and publishing, nobody "
        f"subscribed, {figures['trial_channels']} channels for {figures['trial_s']:.1f} s, "
        f"{figures['cpu_cores']:.1f} cores busy)"
    )
    fail = warn = ""
    if planned < FEWEST_CHANNELS:
        fail = (
            f"use another computer, or close other programs: an array of {FEWEST_CHANNELS} channels would lose samples"
        )
    elif planned < MANY_CHANNELS:
        warn = f"do not connect more than {planned} channels, or use a faster computer"
    return judged("Capacity", text, {**figures, "channels_planned": planned}, fail=fail, warn=warn)
