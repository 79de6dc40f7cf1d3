"""A matched filter: the mean of the largest spikes, slid over the signal, whitened by the noise between them or not.

The template is everybody's or each electrode's own; the score is compared with k times its own noise level by MAD,
and the event is the trough near by.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, signal

from bench.by_hand.trace import DEAD_MS, Found, Peaks, Trace, noise_level, once, peaks, to_troughs

MULTIPLES = (4, 4.25, 4.5, 4.75, 5, 5.5, 6, 7, 8)
FIRST_K = 6.0
"""Spikes so high (σ) make the template: the highest `MOST` of an electrode, or of all."""
MOST, MOST_SHARED = 500, 5000
FEWEST = 20
"""An electrode with fewer spikes takes everybody's template."""
PRE_MS, POST_MS = 0.5, 1.0
NEAR_MS = 0.3
"""The trough is so near to where the score is highest."""
RIDGE = 0.02
"""Part of the noise's variance that is added to the diagonal of its covariance."""


def found(trace: Trace) -> Iterator[tuple[str, Found]]:
    """Return what each kind of template and each multiple of the noise level finds; nothing without large spikes."""
    pre, post = trace.samples(PRE_MS), trace.samples(POST_MS)
    first = peaks(-trace.y, trace.sigma, FIRST_K, trace.samples(DEAD_MS))
    first = first.only((first.sample >= pre) & (first.sample < trace.y.shape[1] - post))
    if not len(first.sample):
        return
    shared, own = _templates(trace, first, pre, post)
    noise = [_autocovariance(y, first.sample[first.channel == c], pre, post) for c, y in enumerate(trace.y)]
    for name, templates in (("shared", [shared] * len(trace.y)), ("own", own)):
        for whitened in (False, True):
            taps = [linalg.solve_toeplitz(r, t) if whitened else t for r, t in zip(noise, templates, strict=True)]
            score = np.array([_slide(y, t, post) for y, t in zip(trace.y, taps, strict=True)])
            every = peaks(score, noise_level(score), MULTIPLES[0], trace.samples(DEAD_MS))
            every = to_troughs(trace.y, every, trace.samples(NEAR_MS))
            for k in MULTIPLES:
                text = f"{name}{' whitened' if whitened else ''} template, {k:g} σ"
                yield text, once(every.only(every.height >= k))


def _slide(y: NDArray[np.float32], taps: NDArray[np.float64], post: int) -> NDArray[np.float32]:
    """Return the signal's correlation with the taps at each sample, of which the last `post` taps come behind it."""
    return signal.oaconvolve(y, taps[::-1].astype(np.float32))[post : post + len(y)]


def _templates(
    trace: Trace, first: Peaks, pre: int, post: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return everybody's mean spike, each scaled to a trough of −1, and each electrode's own."""
    cuts = trace.y[first.channel[:, None], first.sample[:, None] + np.arange(-pre, post + 1)].astype(float)
    highest = np.argsort(-first.height, kind="stable")
    shared = (cuts / -cuts[:, pre : pre + 1])[highest[:MOST_SHARED]].mean(axis=0)
    own = []
    for c in range(len(trace.y)):
        mine = highest[first.channel[highest] == c][:MOST]
        own.append(cuts[mine].mean(axis=0) if len(mine) >= FEWEST else shared)
    return shared, own


def _autocovariance(y: NDArray[np.float32], spikes: NDArray[np.int64], pre: int, post: int) -> NDArray[np.float64]:
    """Return the covariance (lags 0 … pre + post) of a signal without its spikes, made easy to invert."""
    quiet = y.astype(float)
    for sample in spikes.tolist():
        quiet[max(0, sample - pre) : sample + 2 * post] = 0
    n = len(quiet)
    covariance = np.array([quiet[lag:] @ quiet[: n - lag] for lag in range(pre + post + 1)])
    covariance /= max(1, np.count_nonzero(quiet))
    covariance[0] += RIDGE * covariance[0] + 1e-12
    return covariance
