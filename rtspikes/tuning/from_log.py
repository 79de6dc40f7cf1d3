"""Tries thresholds on a session's log alone, where its signal is not at hand: only those above its own can be told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

from rtspikes.config import Config
from rtspikes.errors import ConfigError, DataError
from rtspikes.selectors import select
from rtspikes.subscribers.log.reader import Session
from rtspikes.tuning.axis import STEPS, Axis, rounded
from rtspikes.tuning.choice import STRETCH_S, choose, stretch
from rtspikes.tuning.findings import Curve, Found, Tuning, View
from rtspikes.tuning.plateau import judge
from rtspikes.tuning.tune import ABOVE, BELOW

BY_SIGNAL = ("threshold", "hoop", "window")
"""Methods that compare a spike's height in the filtered signal, which the log has."""

MOST_PIECES = 20_000
"""Waveforms whose beginning tells of the noise."""


def tune_log(
    session: Session, config: Config, selectors: Sequence[str] = (), candidates: Sequence[float] = ()
) -> Tuning:
    """Return what every threshold above the session's own would have found.

    config: the session's detection. Raises DataError where the log cannot tell, ConfigError for what does not fit.
    """
    info, method = session.info, config.detect.method
    if method not in BY_SIGNAL:
        raise DataError(
            f"{session.path}: what method {method!r} compares is not in a log; say the recording or the source instead"
        )
    if not len(session.spikes):
        raise DataError(f"{session.path} has no spikes; say the recording or the source instead")
    rate, labels = float(info["rate_hz"]), list(info["channels"]["label"])
    spikes, channels, seconds = session.spikes, session.channels, session.observed_s
    gains = {abs(float(gain)) for gain in info["channels"]["gain_uv"]}
    axis = Axis.of(config.detect, gains.pop() if len(gains) == 1 else 1.0)
    asked = select(selectors, channels) if selectors else range(len(channels))
    live = [c for c in asked if info["enabled"][c] and seconds[c] > 0]
    if not live:
        raise DataError(f"{session.path}: none of these channels was observed")
    sigma = _sigma_at(session)
    unit_uv = axis.height_uv(1.0, 1.0) if axis.unit != "σ" else np.maximum(sigma, 1e-9)
    height = np.abs(spikes["amplitude_uv"]) / unit_uv
    lowest = float(np.max(np.abs(spikes["threshold_uv"]) / unit_uv))
    usual_uv = float(np.median(sigma))
    levels = np.geomspace(lowest, max(axis.grid(usual_uv)[-1], 1.5 * lowest), STEPS)
    in_sigma = np.array([axis.height_uv(level, usual_uv) for level in levels]) / usual_uv
    floor = _gaussian_floor(session, in_sigma, rate, config.detect.dead_time_ms * 1e-3)
    floor = floor * (2 if config.detect.sign == "both" else 1)

    def curve(among: Sequence[int]) -> Curve:
        mine = np.sort(height[np.isin(spikes["channel"], among)])
        n = len(mine) - np.searchsorted(mine, levels)
        total = float(seconds[list(among)].sum())
        return judge(levels, n / total, floor, total, axis.current)

    whole = curve(live)
    least = _rounded_up(lowest)
    middle = max(rounded(whole.suggestion), least)
    low = max(least, rounded(BELOW * middle))
    three = tuple(sorted(candidates)) or (low, middle, rounded(ABOVE * middle))
    if three[0] < lowest * 0.999:
        raise ConfigError(
            f"this log tells of thresholds from {lowest:.4g} {axis.unit} on, got {three[0]:g}; say the recording"
        )

    def found(channel: int, level: float) -> Found:
        mine = (spikes["channel"] == channel) & (height >= level * 0.999)
        return Found(level, spikes["sample"][mine], spikes["amplitude_uv"][mine], session.waveforms[mine])

    counts = [np.bincount(spikes["channel"][height >= k], minlength=len(channels)) for k in three]
    shown = choose(counts, live, bool(selectors))
    is_live = np.isin(np.arange(len(channels)), live)
    last = np.full(len(channels), np.nan)
    last[session.thresholds["channel"]] = session.thresholds["sigma_uv"]
    facts = info["channels"]
    places = [facts.get(name, [None] * len(labels)) for name in ("x_um", "y_um")]
    at = int(np.argmin(np.abs(np.asarray(three) - middle)))
    return Tuning(
        source=session.path.name,
        method=method,
        unit=axis.unit,
        sign=config.detect.sign,
        rate_hz=rate,
        seconds=float((session.to_sample - info["first_sample"]) / rate),
        candidates=three,  # type: ignore[arg-type]
        current=axis.current,
        curve=whole,
        views=tuple(
            _view(session, axis, c, labels[c], why, curve([c]), tuple(found(c, k) for k in three), last)
            for c, why in shown
        ),
        labels=tuple(labels),
        rates_hz=np.where(is_live, counts[at] / np.maximum(seconds, 1e-9), np.nan),
        sigma_uv=np.where(is_live, last, np.nan),
        places_um=np.array([[np.nan if v is None else v for v in xy] for xy in zip(*places, strict=True)], float),
        wells=tuple(facts.get("well", [None] * len(labels))),
        snippet=(int(info["snippet_samples"][0]), int(info["snippet_samples"][1])),
        toml=axis.toml(middle, axis.unit == "µV" and (config.detect.threshold_uv or 0) < 0, selectors or None),
        notes=(
            f"from the log alone: thresholds from {lowest:.3g} {axis.unit} on, signal around spikes only",
            *(["the plateau may begin below that"] if whole.plateau and whole.plateau[0] < 1.02 * lowest else []),
        ),
    )


def _rounded_up(level: float) -> float:
    """Return a threshold to three digits, no lower."""
    step = 10.0 ** (np.floor(np.log10(level)) - 2)
    return float(f"{np.ceil(level / step - 1e-3) * step:.6g}")


def _sigma_at(session: Session) -> NDArray[np.float64]:
    """Return σ (µV) in force at each spike's crossing, (spikes,)."""
    spikes, table = session.spikes, session.thresholds
    found = np.full(len(spikes), np.nan)
    for c in np.unique(spikes["channel"]):
        mine = np.flatnonzero(spikes["channel"] == c)
        rows = table[table["channel"] == c]
        if len(rows):
            at = np.searchsorted(rows["sample"], spikes["crossing"][mine], "right") - 1
            found[mine] = rows["sigma_uv"][np.maximum(at, 0)]
    if not (found > 0).all():
        raise DataError(f"{session.path} does not tell σ of all of its spikes; say the recording or the source instead")
    return found


def _gaussian_floor(
    session: Session, levels: NDArray[np.float64], rate_hz: float, dead_s: float
) -> NDArray[np.float64]:
    """Return how often (Hz) Gaussian noise falls below −level σ, (K,), with the noise's own correlation.

    P(x[n−1] > −k, x[n] ≤ −k) of two neighbouring samples, whose correlation is that of the first halves of what the
    waveforms have before their events; then a dead time.
    """
    before = int(session.info["snippet_samples"][0]) // 2
    noise = session.waveforms[:: max(1, len(session.waveforms) // MOST_PIECES), :before].astype(np.float64)
    noise = noise[np.isfinite(noise).all(axis=1)]
    if before < 4 or not len(noise) or not (noise**2).any():
        return np.full(len(levels), np.nan)
    loud = np.abs(noise).max(axis=1)
    noise = noise[loud <= np.median(loud)]
    correlation = float(np.clip((noise[:, 1:] * noise[:, :-1]).mean() / (noise**2).mean(), -0.99, 0.999))
    pair = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    passes = [max(0.0, float(norm.cdf(-k) - pair.cdf([-k, -k]))) for k in levels]
    hz = rate_hz * np.array(passes)
    return np.asarray(hz / (1 + hz * dead_s))


def _view(
    session: Session, axis: Axis, channel: int, label: str, why: str, curve: Curve, found: tuple[Found, ...],
    sigma: NDArray[np.float64],
) -> View:  # fmt: skip
    """Return a channel's view, its signal known around its spikes only."""
    rate, first = float(session.info["rate_hz"]), int(session.info["first_sample"])
    length = round(STRETCH_S * rate)
    begin = first + stretch([f.sample - first for f in found], session.to_sample - first, length)
    signal = np.full(length, np.nan, np.float32)
    before = int(session.info["snippet_samples"][0])
    for sample, waveform in zip(found[0].sample, found[0].waveforms_uv, strict=True):
        at = int(sample) - before - begin
        low, high = max(0, at), min(length, at + len(waveform))
        if low < high:
            signal[low:high] = waveform[low - at : high - at]
    own = float(sigma[channel]) if np.isfinite(sigma[channel]) else 0.0
    side = -1.0 if not len(found[0].amplitude_uv) else float(np.sign(np.median(found[0].amplitude_uv)) or -1)
    lines = tuple((side * axis.height_uv(f.level, own),) for f in found)
    return View(channel, label, why, curve, found, begin, signal, None, own, lines)
