"""rtspikes with its default settings, fed as by a live source; the signal again and again, its index going on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.peers.tools import Found, Pass
from bench.recordings import GAIN_UV, RATE_HZ
from rtspikes.crew import ThreadCrew
from rtspikes.detect.detector import Detector
from rtspikes.detect.settings import DetectSettings
from rtspikes.types import ChannelInfo, StreamInfo


def prepare(samples: NDArray[np.int16], chunk_ms: float, threads: int = 1) -> Pass:
    """Learn the noise level from the first half second."""
    n, channels = samples.shape
    infos = tuple(ChannelInfo(str(i), i, gain_uv=GAIN_UV) for i in range(channels))
    crew = ThreadCrew(threads).__enter__()
    detector = Detector(StreamInfo("bench:", RATE_HZ, "int16", infos, live=False), DetectSettings(), crew=crew)
    detector.learn([(samples[: detector.initial_samples], 0)])
    chunk = round(chunk_ms * 1e-3 * RATE_HZ)

    def run() -> Found:
        base = detector.next_sample
        brought = []
        for at in range(0, n, chunk):
            brought.append(detector.process(samples[at : at + chunk], base + at).spikes)
        spikes = np.concatenate(brought)
        return Found(spikes["sample"] - base, spikes["channel"].astype(np.int64))

    run()
    return run
