"""The end of an event: its extremum, its waveform, and what speaks against it in the channel's own signal."""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int32, int64, njit, uint8

from rtspikes.detect.compiled import kernel
from rtspikes.detect.lanes import HELD_BLANK, done_type, f1, f2, f3, i1, lane_type, pending_type
from rtspikes.detect.rebound import explained
from rtspikes.detect.shadow import shadowed
from rtspikes.types import RejectReason

CUT, REBOUND, BLANKED = int(RejectReason.CUT), int(RejectReason.REBOUND), int(RejectReason.BLANKED)
"""As constants of the kernel."""


@njit(nogil=True)
def _take(pending, n_pending, first_channel, lanes, latency, end, drain, done):  # type: ignore[no-untyped-def]
    """Move the events that are complete to `done`, as many as there is room for; return how many.

    Their polarity is in `reason`.
    """
    n = 0
    for tile in range(len(pending)):
        queue = pending[tile]
        kept = 0
        for p in range(n_pending[tile]):
            if n < len(done) and (drain or queue[p].crossing + latency <= end):
                event = done[n]
                event.crossing, event.channel = queue[p].crossing, first_channel + tile * lanes + queue[p].lane
                event.threshold, event.reason = queue[p].threshold, queue[p].polarity
                n += 1
            else:
                queue[kept] = queue[p]
                kept += 1
        n_pending[tile] = kept
    return n


@njit(nogil=True)
def _peak(trace, lane, crossing, polarity, first, end):  # type: ignore[no-untyped-def]
    """Return the event's extremum in [first, end), the earliest of equals; polarity: see PENDING_DTYPE."""
    depth = len(trace)
    peak = crossing
    value = trace[peak % depth, lane]
    at = first % depth
    for n in range(first, end):
        v = trace[at, lane]
        at = at + 1 if at + 1 < depth else 0
        if polarity < 0:
            larger = v < value
        elif polarity > 0:
            larger = v > value
        else:
            larger = abs(v) > abs(value)
        if larger or (v == value and n < peak):
            peak, value = n, v
    return peak


@njit(nogil=True)
def _copy(trace, lane, first, stop, signal):  # type: ignore[no-untyped-def]
    """Copy the lane's samples [first, stop) to the start of `signal`."""
    depth = len(trace)
    at = first % depth
    whole = min(stop - first, depth - at)
    for k in range(whole):
        signal[k] = trace[at + k, lane]
    for k in range(whole, stop - first):
        signal[k] = trace[k - whole, lane]


@njit(nogil=True)
def _blanked(held, lane, first, end):  # type: ignore[no-untyped-def]
    """Tell whether a sample of [first, end) was blanked."""
    depth = len(held)
    for n in range(first, end):
        if held[n % depth, lane] == HELD_BLANK:
            return True
    return False


FINISH_ARGUMENTS = (
    f3, uint8[:, :, ::1], lane_type[:, ::1], pending_type[:, ::1], i1, int64, int64, boolean, int64, int64, int64,
    int64, f1, int64, i1, f3, int64, int64, int64, int64, int64, f3, int32[:, ::1], done_type[::1], f2, f2, i1,
)  # fmt: skip
"""Types of what `finish` takes."""


@kernel(boolean(*FINISH_ARGUMENTS))
def finish(  # type: ignore[no-untyped-def]
    trace, held, state, pending, n_pending, segment, end, drain, back, delay, latency,
    pre, weights, before, spans, score, late, earlier, own, near, first_channel, whole, nearest, done, waveforms,
    neighbours, n_done,
):  # fmt: skip
    """End the events whose crossing lies `latency` samples before `end`, or all (`drain`: the segment ends there).

    The extremum is searched from `back` samples before the crossing on, as far as the lane says; a drained event of
    which this was not complete is cut. Waveforms outside [segment, end) are NaN. first_channel: that of the first lane.
    nearest: (channels, K) whose signal in `whole`, the history of all channels, goes into neighbours; −1: none.
    weights, before, spans: a Rebound; late, earlier, own, near: a Shadow of `score`.
    Return False when `done` is full: call again once it was emptied.
    """
    n_tiles, depth, lanes = trace.shape
    lead, tail = pre, waveforms.shape[1] - pre
    if len(weights):
        lead = max(lead, before, spans[0], spans[2])
        tail = max(tail, len(weights) - before, spans[5])
    signal = np.empty(lead + tail, np.float32)
    n = n_done[0] = _take(pending, n_pending, first_channel, lanes, latency, end, drain, done)
    for j in range(n):
        event = done[j]
        tile, lane = (event.channel - first_channel) // lanes, (event.channel - first_channel) % lanes
        crossing = event.crossing
        reach = crossing + max(state[tile, lane].search, delay)
        stop = min(crossing + state[tile, lane].search + 1, end)
        peak = _peak(trace[tile], lane, crossing, event.reason, max(crossing - back, segment), stop)
        first, last = max(peak - lead, segment), min(peak + tail, end)
        _copy(trace[tile], lane, first, last, signal)
        event.sample, event.amplitude = peak, signal[peak - first]
        event.reason = 0
        if reach >= end:
            event.reason = CUT
        elif state[tile, lane].last_held >= crossing and _blanked(held[tile], lane, crossing, reach + 1):
            event.reason = BLANKED
        elif len(weights) and explained(signal, first, last, peak, abs(event.threshold), weights, before, spans):
            event.reason = REBOUND
        elif earlier and shadowed(
            score[tile], lane, crossing, state[tile, lane].dead, -1 if event.threshold < 0 else 1,
            event.amplitude, event.threshold, segment, end, late, earlier, own, near,
        ):  # fmt: skip
            event.reason = REBOUND
        waveform = waveforms[j]
        for k in range(len(waveform)):
            at = peak - pre + k
            waveform[k] = signal[at - first] if first <= at < last else float32(np.nan)
        for k in range(nearest.shape[1]):
            other = nearest[event.channel, k]
            value = float32(np.nan)
            if other >= 0:
                value = whole[other // lanes, peak % depth, other % lanes]
            neighbours[j, k] = value
    return n < len(done) or not n_pending.any()
