"""SciPy's `sosfilt` and NumPy's comparison, chunk by chunk, as one writes it by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from bench.peers.tools import Found, Pass
from bench.recordings import RATE_HZ

ORDER = 3
BAND_HZ = (300, 3000)
K = 5.0
DEAD_MS = 2.0
"""With 1 ms the filter's own swing counts as a second spike: F1 0.89 instead of 0.999."""


def sections() -> NDArray[np.float32]:
    """Return the band-pass."""
    found: NDArray[np.float32] = butter(ORDER, BAND_HZ, "bandpass", fs=RATE_HZ, output="sos").astype(np.float32)
    return found


def threshold(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the threshold (channels,) by the noise level of the first half second."""
    filtered = sosfilt(sections(), samples[: RATE_HZ // 2].astype(np.float32), axis=0)
    level: NDArray[np.float32] = np.median(np.abs(filtered), axis=0) / 0.67448975
    return -K * level


def prepare(samples: NDArray[np.int16], chunk_ms: float) -> Pass:
    """Learn the noise level. Each chunk is turned first: a channel's samples side by side ran up to 1.2 × faster."""
    n, channels = samples.shape
    sos, below, chunk = sections(), threshold(samples)[:, None], round(chunk_ms * 1e-3 * RATE_HZ)
    dead = round(DEAD_MS * 1e-3 * RATE_HZ)

    def run() -> Found:
        state = np.zeros((len(sos), channels, 2), np.float32)
        before = np.zeros(channels, bool)
        last = [-dead] * channels
        found: list[tuple[int, int]] = []
        for at in range(0, n, chunk):
            y, state = sosfilt(sos, samples[at : at + chunk].T.astype(np.float32), axis=1, zi=state)
            beyond = y < below
            crosses = beyond.copy()
            crosses[:, 1:] &= ~beyond[:, :-1]
            crosses[:, 0] &= ~before
            before = beyond[:, -1]
            for channel, row in np.argwhere(crosses).tolist():
                if at + row - last[channel] >= dead:
                    last[channel] = at + row
                    found.append((at + row, channel))
        events = np.array(found, np.int64).reshape(-1, 2)
        return Found(events[:, 0], events[:, 1])

    run()
    return run
