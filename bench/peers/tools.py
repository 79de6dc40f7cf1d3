"""The tools that are compared: one table name → how it is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Found(NamedTuple):
    """Samples and channels of events (events,), in any order."""

    sample: NDArray[np.int64]
    channel: NDArray[np.int64]


Pass = Callable[[], Found]
"""Goes through the whole signal once."""


class Tool(NamedTuple):
    """A tool; `target`: how many times faster ours is to be."""

    module: str
    packages: tuple[str, ...]
    chunk_ms: float
    target: int | None = None
    options: dict[str, Any] = {}
    pinned: bool = True

    def prepare(self, samples: NDArray[np.int16]) -> Pass:
        """Set up and warm up; raise whatever goes wrong."""
        module = importlib.import_module(f"bench.peers.{self.module}")
        prepared: Pass = module.prepare(samples, self.chunk_ms, **self.options)
        return prepared


OURS = "rtspikes"

TOOLS = {
    OURS: Tool("ours", ("rtspikes",), 20),
    "rtspikes, 2 threads": Tool("ours", ("rtspikes",), 20, options={"threads": 2}, pinned=False),
    "SciPy by hand": Tool("by_scipy", ("scipy",), 20, 20),
    "ezmsg": Tool("by_ezmsg", ("ezmsg-sigproc", "ezmsg-event"), 20, 20),
    "SpikeInterface: by_channel": Tool("by_spikeinterface", ("spikeinterface",), 1000, 20),
    "SpikeInterface: by_channel, fastest": Tool(
        "by_spikeinterface", ("spikeinterface",), 200, 20, {"filter_order": 3, "direction": "forward"}
    ),
    "SpikeInterface: locally_exclusive alone": Tool(
        "by_spikeinterface", ("spikeinterface",), 1000, None, {"method": "locally_exclusive", "filtered": True}
    ),
    "HerdingSpikes": Tool("by_herdingspikes", ("herdingspikes",), 20, 5),
}
