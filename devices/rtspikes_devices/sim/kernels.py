"""The simulation's hot loops: spike draws, waveforms into the signal, and the sum of everything as int16.

All arithmetic is on integers, or float32 without fastmath in a fixed order, so that the samples are the same on every
computer and in any chunk. Measured on one core with AVX-512: a whole signal is made at 0.25 to 0.3 Gsamples/s from 1024
channels on.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int16, int64, njit, uint32, uint64
from numba import from_dtype as record

from rtspikes_devices.sim.draws import QUANTILES, mix

FIRING_DTYPE = np.dtype([("sample", "<i8"), ("neuron", "<i8"), ("scale", "<f4")])
"""A spike of a neuron: the sample of its trough, and its size relative to the neuron's usual one."""

REFRACTORY_BINS = 3
RAILS = 32767

_firing = record(FIRING_DTYPE)
_f1, _f2, _d1, _d2 = float32[::1], float32[:, ::1], float64[::1], float64[:, ::1]
_i1, _i2, _u1 = int64[::1], int64[:, ::1], uint32[::1]
_MASK = uint32(QUANTILES - 1)


@njit(
    int64(
        _firing[::1], int64, int64, int64, int64, uint64, uint64, _i1, _d1, _d1, _i1, _i2, _i1, _d2, _d2, _d1
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def draw_firings(  # type: ignore[no-untyped-def]
    found, first_ms, end_ms, bin_samples, onset_ms, firing_key, recruit_key, well, background, vigour, delay_ms,
    bursts, bursts_of, figures, envelopes, wash,
):  # fmt: skip
    """Draw the spikes of all neurons in bins [first, end) into `found`, by neuron; return how many.

    bursts: rows (onset_ms, stretch, scenario, number); those of well w are rows bursts_of[w] to bursts_of[w + 1].
    figures: per scenario (background, burst rate per bin, recruited).
    """
    n = 0
    for neuron in range(len(well)):
        mine = mix(firing_key, uint64(neuron))
        first_burst, end_burst = bursts_of[well[neuron]], bursts_of[well[neuron] + 1]
        earlier = -REFRACTORY_BINS - 1
        for bin in range(max(0, first_ms - REFRACTORY_BINS), end_ms):
            scenario = int64(bin >= onset_ms)
            rate = background[neuron] * figures[scenario, 0]
            for b in range(first_burst, end_burst):
                after = (bin - bursts[b, 0] - delay_ms[neuron]) * 16 // bursts[b, 1]
                if 0 <= after < envelopes.shape[1]:
                    kind = bursts[b, 2]
                    part = mix(mix(recruit_key, uint64(bursts[b, 3])), uint64(neuron)) >> uint64(11)
                    if float64(part) < figures[kind, 2] * 9007199254740992.0:
                        rate += figures[kind, 1] * vigour[neuron] * envelopes[kind, after]
            if scenario == 1 and len(wash):
                since = bin - onset_ms
                rate *= wash[since] if since < len(wash) else 0.0
            chance = mix(mine, uint64(bin))
            if float64(chance >> uint64(11)) >= rate * 9007199254740992.0:
                continue
            rested = bin - earlier > REFRACTORY_BINS
            earlier = bin
            if bin >= first_ms and rested and n < len(found):
                more = mix(mine ^ uint64(0x5DEECE66D), uint64(bin))
                found[n].sample = bin * bin_samples + int64(more % uint64(bin_samples))
                found[n].neuron = neuron
                found[n].scale = float32(float64((more >> uint64(32)) % uint64(25)) * 0.01 + 0.88)
                n += 1
    return n


@njit(
    (_f2, int64, _firing[::1], int64, _f2, _i1, _i1, _i1, _f1),
    nogil=True,
    cache=True,
)  # fmt: skip
def add_spikes(  # type: ignore[no-untyped-def]
    acc, first, firings, trough, shapes, shape_of, offsets, channels, steps
):
    """Add the waveforms of `firings` to `acc` (n, channels) whose row 0 is absolute sample `first`.

    shapes: (neuron shapes, samples) of unit trough at column `trough`. steps: amplitude per (neuron, electrode) pair.
    """
    rows, length = acc.shape[0], shapes.shape[1]
    for f in range(len(firings)):
        neuron = firings[f].neuron
        start = firings[f].sample - trough - first
        shape = shapes[shape_of[neuron]]
        low, high = max(0, -start), min(length, rows - start)
        for p in range(offsets[neuron], offsets[neuron + 1]):
            height = steps[p] * firings[f].scale
            for k in range(low, high):
                acc[start + k, channels[p]] += height * shape[k]


@njit((_f2, _f2, _i1, _f1), nogil=True, cache=True)
def add_courses(acc, courses, well, part):  # type: ignore[no-untyped-def]
    """Add to `acc` (n, channels) the course (n, wells) of each channel's well, times its `part` (channels,)."""
    for i in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            acc[i, c] += courses[i, well[c]] * part[c]


@njit(
    (int16[:, ::1], _f2, _u1, _u1, _u1, _f1, _f1, _f1, _f1, float32, _f2, _f2, int64, int64, _f2, _i1, _f1, _f1),
    nogil=True,
    cache=True,
)
def synthesize(  # type: ignore[no-untyped-def]
    out, acc, state, weyl, stride, slow, table, white, low, keep, shared, shared_gain, first, per_ms, fields, well,
    field_gain, stormy,
):  # fmt: skip
    """Sum spikes (`acc`), noise and what channels share into `out` (n, channels), clipped to the rails.

    shared: (n, 4) courses of hum, common mode, artifact and storm; shared_gain: (4, channels). Row 0 is absolute
    sample `first`; fields: (ms, wells) at the milliseconds from that sample's on, of `per_ms` samples each.
    Noise: a xorshift generator per channel (Marsaglia 2003) plus a Weyl sequence of its own stride, so that no two
    channels walk through the same numbers; two normal values a, b per sample, whose sum is the white noise and whose
    difference, independent of it, drives a first-order low-pass: the slow part of the noise.
    """
    for i in range(out.shape[0]):
        hum, common, artifact, storm = shared[i, 0], shared[i, 1], shared[i, 2], shared[i, 3]
        ms = (first + i) // per_ms - first // per_ms
        part = float32((first + i) % per_ms) / float32(per_ms)
        for c in range(out.shape[1]):
            s = state[c]
            s = uint32(s ^ uint32(s << uint32(13)))
            s = uint32(s ^ uint32(s >> uint32(17)))
            s = uint32(s ^ uint32(s << uint32(5)))
            state[c] = s
            w = uint32(weyl[c] + stride[c])
            weyl[c] = w
            bits = uint32(s + w)
            bits = uint32(uint32(bits ^ uint32(bits >> uint32(15))) * uint32(0x2C1B3C6D))
            a = table[uint32(bits >> uint32(21)) & _MASK]
            b = table[uint32(bits >> uint32(10)) & _MASK]
            slow[c] = slow[c] * keep + (a - b) * low[c]
            x = acc[i, c] + (a + b) * (white[c] + storm * stormy[c]) + slow[c]
            x += hum * shared_gain[0, c]
            x += common * shared_gain[1, c]
            x += artifact * shared_gain[2, c]
            x += (fields[ms, well[c]] * (float32(1) - part) + fields[ms + 1, well[c]] * part) * field_gain[c]
            x = min(max(x, float32(-RAILS)), float32(RAILS))
            out[i, c] = int16(np.floor(x + float32(0.5)))
