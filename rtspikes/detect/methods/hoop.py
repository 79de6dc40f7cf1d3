"""Time–amplitude windows: a crossing is a spike when the signal behind it passes all hoops and grows not too large.

Every crossing begins a dead time, whether it is a spike or not, so that the rest of a refused deflection is no spike.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, uint8, void

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import Lanes, Look, emit, f2, f3, found_type, i1, lane_type, pending_type, silence
from rtspikes.detect.methods.signal import SignalMethod
from rtspikes.detect.settings import HoopSettings
from rtspikes.errors import ConfigError


@njit(nogil=True)
def _passes(rows, lane, m, spans, levels, search, largest):  # type: ignore[no-untyped-def]
    """Tell whether the signal behind a crossing at `m` passes all hoops and stays within ± `largest`."""
    depth = len(rows)
    for n in range(m, m + search + 1):
        if abs(rows[n % depth, lane]) > largest:
            return False
    for h in range(len(spans)):
        inside = False
        for n in range(m + spans[h, 0], m + spans[h, 1] + 1):
            value = rows[n % depth, lane]
            inside |= levels[h, 0] <= value <= levels[h, 1]
        if not inside:
            return False
    return True


@kernel(
    void(
        f3, uint8[:, :, ::1], lane_type[:, ::1], int64, int64, int64, int64, f2, f2, int64[:, ::1], f2, float64, int64,
        int64, int64, int64[:, ::1], pending_type[:, ::1], i1, found_type[::1], i1,
    )
)  # fmt: skip
def _scan(  # type: ignore[no-untyped-def]
    trace, held, state, segment, armed, first, stop, below, above, spans, levels, largest, search, delay, hold_off,
    refused, pending, n_pending, found, n_found,
):  # fmt: skip
    """Decide the crossings of [first − delay, stop − delay). spans: (hoops, 2) samples; levels: (hoops, 2) µV."""
    n_tiles, depth, lanes = trace.shape
    for tile in range(n_tiles):
        rows, lane_states = trace[tile], state[tile]
        for n in range(first, stop):
            m = n - delay
            row, before = rows[m % depth], rows[(m - 1) % depth]
            awake = m > segment and m >= armed
            for lane in range(lanes):
                fall, rise = below[tile, lane], above[tile, lane]
                if lane_states[lane].last_held >= n:
                    silence(lane_states, held[tile], lane, n, hold_off)
                value = row[lane]
                falls = value < fall and not before[lane] < fall
                rises = value > rise and not before[lane] > rise
                if not awake or not (falls or rises) or n < lane_states[lane].quiet_until:
                    continue
                if _passes(
                    rows, lane, m, spans, levels, min(search, delay, lane_states[lane].dead - 1), float32(largest)
                ):
                    emit(
                        lane, tile * lanes, n, m, value, fall if falls else rise, -1 if falls else 1, lane_states,
                        pending[tile], n_pending, tile, found, n_found,
                    )  # fmt: skip
                else:
                    refused[tile, lane] += 1
                    lane_states[lane].quiet_until = n + lane_states[lane].dead


class HoopMethod(SignalMethod):
    """Crossings of the filtered signal, refused where it leaves its hoops."""

    def __init__(self, rate_hz: float, settings: HoopSettings, search: int) -> None:
        """search: samples from a crossing to its extremum, at most."""
        for i, hoop in enumerate(settings.hoops):
            if not 0 <= hoop.ms[0] <= hoop.ms[1] <= 20:
                raise ConfigError(f"detect.hoop.hoops[{i}].ms must rise within 0 … 20, got {list(hoop.ms)}")
            if not hoop.uv[0] < hoop.uv[1]:
                raise ConfigError(f"detect.hoop.hoops[{i}].uv must rise, got {list(hoop.uv)}")
        if not settings.hoops and settings.largest_uv is None:
            raise ConfigError("detect.hoop needs hoops, or largest_uv, or both; got neither")
        spans = [[round(ms * 1e-3 * rate_hz) for ms in hoop.ms] for hoop in settings.hoops]
        self._spans = np.array(spans, np.int64).reshape(-1, 2)
        self._levels = np.array([hoop.uv for hoop in settings.hoops], np.float32).reshape(-1, 2)
        self._largest = np.inf if settings.largest_uv is None else settings.largest_uv
        ends = [end for _, end in spans]
        self.delay = max([*ends, 0 if settings.largest_uv is None else search])
        self._search = search
        self.history = self.kept = self.delay + 1

    def bind(self, lanes: Lanes) -> None:
        """Work on these lanes."""
        super().bind(lanes)
        self.refused = np.zeros(lanes.shape, np.int64)
        """Crossings that left a hoop."""

    def scan(self, look: Look) -> None:
        """Decide the crossings of the samples that lie `delay` back."""
        x = self._lanes
        _scan(
            x.trace, x.held, x.state, look.segment, look.armed, look.first, look.stop, x.below, x.above, self._spans,
            self._levels, self._largest, self._search, self.delay, look.hold_off, self.refused, x.pending,
            x.n_pending, x.found, x.n_found,
        )  # fmt: skip
