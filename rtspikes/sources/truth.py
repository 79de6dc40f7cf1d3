"""The truth behind a simulated stream, found by its URI alone, in any process.

Devices that know their truth add a callable `(address) -> Truth` to the entry-point group `rtspikes.truth`. It
opens nothing, for the URI comes from a message, and its size is bounded by what the device allows.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

from rtspikes.protocols import Truth

TRUTH_GROUP = "rtspikes.truth"


def find_truth(uri: str) -> Truth | None:
    """Return what is known of the spikes behind a source's URI; None where that is nothing, as with real signals."""
    scheme, _, address = uri.partition(":")
    for entry in importlib.metadata.entry_points(group=TRUTH_GROUP):
        if entry.name == scheme:
            make: Callable[[str], Truth] = entry.load()
            return make(address)
    return None
