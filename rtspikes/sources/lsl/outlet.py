"""An outlet that can be taken away and given back: liblsl's, with a bound to what it buffers."""

from __future__ import annotations

from typing import Any, Protocol

import rtspikes.lsl
from rtspikes.errors import TransportError
from rtspikes.lsl.metadata import outlet_info
from rtspikes.types import Samples, StreamInfo

MOST_BUFFERED_BYTES = 2**30
"""What liblsl keeps for one consumer that does not take it; then it discards the oldest, and tells nobody."""

MOST_BUFFERED_S = 360
"""The same by time: liblsl's own default."""


class Outlet(Protocol):
    """Where samples go that consumers may take."""

    def open(self) -> None:
        """Let consumers find it."""

    def close(self) -> None:
        """Cut all consumers off; what they have not received yet is gone."""

    def has_consumers(self) -> bool:
        """Tell whether somebody is there: the next push is the first that they receive."""

    def push(self, rows: Samples, stamp_s: float | None) -> None:
        """Send `rows` (n, channels), the last of which happened at `stamp_s` (LSL clock); None: now."""


class LslOutlet:
    """An outlet of a stream's layout with its metadata; not there until `open`."""

    def __init__(self, info: StreamInfo, *, name: str, type: str, source_id: str) -> None:
        self._pylsl = rtspikes.lsl.load()
        self._description = outlet_info(info, name=name, type=type, source_id=source_id)
        bytes_per_s = info.rate_hz * info.n_channels * (2 if info.dtype == "int16" else 4)
        self._buffered_s = int(min(MOST_BUFFERED_S, max(1, MOST_BUFFERED_BYTES / bytes_per_s)))
        self._outlet: Any = None

    def open(self) -> None:
        """Let consumers find it; raise TransportError when the system refuses the sockets."""
        if self._outlet is None:
            try:
                self._outlet = self._pylsl.StreamOutlet(self._description, 0, self._buffered_s)
            except RuntimeError as error:
                raise TransportError(
                    f"liblsl cannot open an outlet ({error}); close other LSL programs of this computer, which may "
                    f"have all its ports (16572 … 16604), or say -v to see liblsl's reason"
                ) from None

    def close(self) -> None:
        """Cut all consumers off."""
        self._outlet = None

    def has_consumers(self) -> bool:
        """Tell whether somebody is there."""
        return self._outlet is not None and bool(self._outlet.have_consumers())

    def wait_for_consumers(self, timeout_s: float) -> bool:
        """Wait until somebody is there; return False when nobody has come."""
        return bool(self._outlet.wait_for_consumers(timeout_s))

    def push(self, rows: Samples, stamp_s: float | None) -> None:
        """Send `rows` (n, channels), the last of which happened at `stamp_s` (LSL clock); None: now."""
        self._outlet.push_chunk(rows, 0.0 if stamp_s is None else stamp_s)
