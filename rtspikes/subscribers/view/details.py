"""The messages about selected channels, alike for a running and a finished session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.subscribers.view.pack import pack
from rtspikes.subscribers.view.tally import ISI_EDGES_MS


def detail(
    spikes: NDArray[np.void],
    waveforms: NDArray[np.float32],
    runs: Sequence[Mapping[str, Any]] = (),
    envelopes: Mapping[str, NDArray[np.float32]] | None = None,
) -> bytes:
    """Return the `detail` message: new spikes with their waveforms (n, samples) µV, and envelopes of the signal."""
    none = np.zeros(0, np.float32)
    arrays = {
        **(envelopes or {"low": none, "high": none}),
        "spike_channel": spikes["channel"],
        "spike_sample": spikes["sample"].astype(np.float64),
        "spike_amplitude": spikes["amplitude_uv"],
        "spike_waveform": waveforms,
    }
    return pack({"t": "detail", "runs": list(runs)}, arrays)


def shapes(
    channels: Sequence[int],
    waveforms: Sequence[NDArray[np.float32]],
    isi: Sequence[NDArray[np.uint32]],
    counts: Sequence[int],
    snippet_samples: int,
) -> bytes:
    """Return the `shapes` message: of each channel its newest waveforms (n, samples) µV, intervals, spikes."""
    mean = np.full((len(channels), snippet_samples), np.nan, np.float32)
    for i, each in enumerate(waveforms):
        known = np.isfinite(each)
        n = known.sum(axis=0)
        np.divide(np.where(known, each, 0).sum(axis=0), n, out=mean[i], where=n > 0)
    arrays = {
        "of": np.repeat(np.array(channels, np.uint32), [len(each) for each in waveforms]),
        "waveforms": np.concatenate([np.zeros((0, snippet_samples), np.float32), *waveforms]),
        "mean": mean,
        "isi": np.array(isi, np.uint32).reshape(len(channels), len(ISI_EDGES_MS) - 1),
        "spikes": np.array(counts, np.uint32),
    }
    return pack({"t": "shapes", "channels": list(channels), "isi_edges_ms": ISI_EDGES_MS.tolist()}, arrays)
