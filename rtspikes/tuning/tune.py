"""Tries thresholds on a signal: many for the curves, three to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtspikes.config import Config
from rtspikes.detect.levels import ThresholdTable
from rtspikes.detect.settings import ArtifactSettings, ChannelRule, NeighbourSettings, NoiseSettings, ReferenceSettings
from rtspikes.errors import ConfigError, DataError
from rtspikes.offline import excerpts
from rtspikes.selectors import select
from rtspikes.tuning.axis import Axis, rounded
from rtspikes.tuning.choice import STRETCH_S, choose, stretch
from rtspikes.tuning.findings import Curve, Found, Tuning, View
from rtspikes.tuning.material import Material
from rtspikes.tuning.plateau import judge, noise_floor
from rtspikes.tuning.scan import Counts, Pass, count, detect_at
from rtspikes.tuning.surrogate import surrogate
from rtspikes.types import StreamInfo

BELOW, ABOVE = 0.8, 1.25
"""Candidates beside the suggestion, in parts of it: neighbours that the eye tells apart."""

NOISE_CHANNELS = 12
"""Channels whose noise is imitated, beside those that are shown."""

NOISE_S, LEAST_NOISE_S = 40.0, 5.0
"""Of imitated noise: NOISE_S shared among its channels, at least LEAST_NOISE_S each."""

NOISE_TO = 1.75
"""Noise is counted up to this multiple of the lowest threshold (5.3 σ); beyond there is next to none."""

Progress = Callable[[str], None]


def tune(
    material: Material,
    config: Config,
    selectors: Sequence[str] = (),
    candidates: Sequence[float] = (),
    progress: Progress = lambda text: None,
) -> Tuning:
    """Return what every threshold would find.

    selectors: the channels that count and are shown; none: all electrodes, and of these the most telling. candidates:
    three thresholds, or none. progress: called with a few words whenever something was done. Raises ConfigError and
    DataError for settings that do not fit, and where no electrode is left.
    """
    if candidates and len({*candidates}) != 3:
        raise ConfigError(f"three different thresholds can be compared, got {', '.join(f'{k:g}' for k in candidates)}")
    recording, info = material.recording, material.info
    gains = {abs(c.gain_uv) for c in info.channels}
    axis = Axis.of(config.detect, gains.pop() if len(gains) == 1 else 1.0)
    if axis.unit == "units" and gains:
        raise ConfigError(
            "detect.window.cutoff_units cannot be scanned where channels have different scales; say threshold"
        )
    first = detect_at(recording, config, axis, axis.current, [])
    live = [c for c in _chosen(config, info, selectors) if first.sigma_uv[c] > 0]
    if not live:
        raise DataError(f"{material.source}: no electrode to tune on is alive; rtspikes info tells which there are")
    progress("noise level")
    usual_uv = float(np.median(first.sigma_uv[live]))
    levels = axis.grid(usual_uv, max(candidates, default=0.0))
    counts = count(recording, config, axis, levels, progress=lambda: progress("scan"))

    def curve(channels: Sequence[int], noise: Counts) -> Curve:
        floor = noise_floor(levels, noise.events.sum(axis=1), noise.seconds.sum(axis=1))
        seconds = float(counts.seconds[-1, channels].sum())
        return judge(levels, counts.rate_hz(channels), floor, seconds, axis.current)

    imitated = live[:: max(1, len(live) // NOISE_CHANNELS)]
    whole = curve(live, _noise(material, config, axis, imitated, first, levels))
    progress("noise")
    middle = rounded(whole.suggestion)
    three = tuple(sorted(candidates)) or (rounded(BELOW * middle), middle, rounded(ABOVE * middle))
    nearest = [int(np.abs(np.log(levels / level)).argmin()) for level in three]
    shown = choose([counts.events[i] for i in nearest], live, bool(selectors))
    positions = [position for position, _ in shown]
    passes = [detect_at(recording, config, axis, level, positions) for level in three]
    best = passes[1] if three[1] == middle else detect_at(recording, config, axis, middle, [])
    progress("candidates")
    own = _noise(material, config, axis, positions, first, levels)
    curves = [curve([position], own.of([i])) for i, position in enumerate(positions)]
    negative = config.detect.threshold_uv is not None and config.detect.threshold_uv < 0
    is_live = np.isin(np.arange(info.n_channels), live)
    return Tuning(
        source=material.source,
        method=axis.method,
        unit=axis.unit,
        sign=config.detect.sign,
        rate_hz=info.rate_hz,
        seconds=material.seconds,
        candidates=three,  # type: ignore[arg-type]
        current=axis.current if axis.said else None,
        curve=whole,
        views=_views(material, config, axis, shown, passes, curves),
        labels=tuple(info.labels),
        rates_hz=np.where(is_live, best.counts / np.maximum(best.seconds, 1e-9), np.nan),
        sigma_uv=np.where(is_live, best.sigma_uv, np.nan),
        places_um=np.array([[np.nan if v is None else v for v in (c.x_um, c.y_um)] for c in info.channels], float),
        wells=tuple(c.well for c in info.channels),
        snippet=best.snippet,
        toml=axis.toml(middle, negative, selectors or None),
        notes=material.notes,
    )


def _chosen(config: Config, info: StreamInfo, selectors: Sequence[str]) -> list[int]:
    """Return the positions of the electrodes that count."""
    enabled = ThresholdTable(info, config.detect, config.channels).enabled
    asked = range(info.n_channels) if not selectors else select(selectors, info.channels)
    return [c for c in asked if enabled[c]]


def _noise(
    material: Material, config: Config, axis: Axis, channels: list[int], first: Pass, levels: NDArray[np.float64]
) -> Counts:
    """Return what each threshold finds in Gaussian noise that imitates some channels; (K, those channels)."""
    info = material.info
    detect = msgspec.structs.replace(
        config.detect, reference=ReferenceSettings(), neighbours=NeighbourSettings(), artifacts=ArtifactSettings(),
        noise=NoiseSettings(),
    )  # fmt: skip
    table = ThresholdTable(info, config.detect, config.channels)
    rules = tuple(
        ChannelRule(select=(i,), sign=table.signs[c], dead_time_ms=float(table.dead_samples[c] / info.rate_hz * 1e3))
        for i, c in enumerate(channels)
    )
    if first.own_level:  # σ is not that of the signal
        by_signal = msgspec.structs.replace(config, detect=msgspec.structs.replace(config.detect, method="threshold"))
        first = detect_at(material.recording, by_signal, Axis.of(by_signal.detect, 1.0), axis.current, [])
    sigma_uv = first.sigma_uv[channels].astype(np.float64)
    seconds = max(LEAST_NOISE_S, NOISE_S / len(channels))
    made = surrogate(info, material.samples, channels, sigma_uv, seconds, detect)
    plain = msgspec.structs.replace(config, detect=detect, channels=rules, blank=(), markers=())
    few = levels[levels <= NOISE_TO * levels[0]]
    counts = count(made, plain, axis, few * axis.uv_per_unit)  # a unit of what is made is 1 µV
    beyond = ((0, len(levels) - len(few)), (0, 0))
    moves = made.samples.any(axis=0)
    return Counts(levels, np.pad(counts.events, beyond) * moves, np.pad(counts.seconds, beyond, mode="edge") * moves)


def _views(
    material: Material, config: Config, axis: Axis, shown: Sequence[tuple[int, str]], passes: Sequence[Pass],
    curves: Sequence[Curve],
) -> tuple[View, ...]:  # fmt: skip
    """Return what is shown of each channel."""
    recording, info = material.recording, material.info
    length = round(STRETCH_S * info.rate_hz)
    starts = [stretch([p.found[c].sample for p in passes], info.n_samples or 0, length) for c, _ in shown]
    places = [(start, c) for start, (c, _) in zip(starts, shown, strict=True)]
    tuned = axis.at(config, passes[1].level)
    signal = excerpts(recording, tuned, places, 0, length)
    compared = None if passes[1].compares_signal else excerpts(recording, tuned, places, 0, length, compared=True)
    return tuple(
        View(
            position=c,
            label=info.labels[c],
            why=why,
            curve=curves[i],
            found=tuple(_from(p.found[c], material.first) for p in passes),
            first=starts[i] + material.first,
            signal_uv=signal[i],
            compared_uv=None if compared is None else compared[i],
            sigma_uv=float(passes[1].sigma_uv[c]),
            lines_uv=tuple(p.lines_uv(c, starts[i]) for p in passes),
        )
        for i, (c, why) in enumerate(shown)
    )


def _from(found: Found, first: int) -> Found:
    """Return events whose samples count from `first`."""
    return Found(found.level, found.sample + first, found.amplitude_uv, found.waveforms_uv)
