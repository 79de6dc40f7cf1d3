"""Facts of σ and the thresholds: as they were asked for, per group of electrodes, and as they were in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import ConfigError, DataError
from rtspikes.selectors import select
from rtspikes.subscribers.account.origin import Electrodes
from rtspikes.subscribers.account.told import Told
from rtspikes.subscribers.log.reader import Session
from rtspikes.types import UNOBSERVED_DTYPE, ChannelInfo

QUIET_PIECES = "level of the quiet ones among median(|x - median x|) / 0.67448975 of 60 ms pieces"
MAD = "median(|x - median x|) / 0.67448975"
"""What `info.noise_estimator` begins with, in this and in older versions."""


class Level(NamedTuple):
    """A channel's threshold as asked for: `height` in σ, µV, or the stream's own units; None: not told."""

    unit: str
    height: float | None
    sign: str | None


def level_facts(session: Session, info: Told, electrodes: Electrodes) -> dict[str, Any]:
    """Return σ's estimation, thresholds and dead times as asked for, and both levels in force at start and end."""
    rules = _by_channel(session, info.objects("channel_rules"))
    levels = _levels(info, rules, len(electrodes.labels))
    of_sigma = any(level.unit == "sigma" for level, on in zip(levels, electrodes.enabled, strict=True) if on)
    return {
        **_noise(info),
        "thresholds_follow_sigma": of_sigma,
        "thresholds": _grouped(levels, electrodes, ("unit", "height", "sign")),
        "dead_times": _grouped(_dead_times(info, rules, len(electrodes.labels)), electrodes, ("ms", "samples")),
        **_in_force(session, electrodes),
    }


def _noise(info: Told) -> dict[str, Any]:
    estimator = info.text("noise_estimator")
    noise = {name: info.number(f"detect.noise.{name}") for name in ("initial_s", "block_s", "window_s")}
    mode = info.text("detect.noise.mode")
    told = estimator or ""
    facts: dict[str, Any] = {
        "noise_mode": mode,
        "noise_estimator": estimator,
        "noise_is_mad": told.startswith((QUIET_PIECES, MAD)),
        "noise_is_of_quiet_pieces": told.startswith(QUIET_PIECES),
    }
    if mode == "file":
        return facts | {"noise_file": (info.text("detect.noise.file") or "").replace("\\", "/").rpartition("/")[2]}
    facts |= {f"noise_{name}": value for name, value in noise.items()}
    if mode == "freeze":
        facts["noise_freeze_after_s"] = info.number("detect.noise.freeze_after_s")
    return facts


def _by_channel(session: Session, rules: list[Told]) -> list[tuple[Told, set[int]]]:
    """Return each rule of `[[channels]]` with the positions that it names; later ones win."""
    told = session.info["channels"]
    known = [name for name in ("label", "kind", "electrode", "well") if name in told]
    channels = [ChannelInfo(position=i, **{name: told[name][i] for name in known}) for i in range(len(told["label"]))]
    try:
        return [(rule, set(select(rule.any("select"), channels))) for rule in rules]
    except (ConfigError, TypeError) as error:
        raise DataError(f"{session.path / 'session.json'} is damaged: info.channel_rules: {error}") from None


def _levels(info: Told, rules: list[tuple[Told, set[int]]], n: int) -> list[Level]:
    multiple = info.number("detect.threshold")
    multiple = info.number("default_threshold") if multiple is None else multiple
    fixed, units = info.number("detect.threshold_uv"), info.number("detect.window.cutoff_units")
    first = Level("sigma", multiple, info.text("detect.sign"))
    if fixed is not None:
        first = first._replace(unit="uv", height=abs(fixed))
    if units is not None and info.text("detect.method") == "window":
        first = first._replace(unit="units", height=units)
    levels = [first] * n
    for rule, positions in rules:
        sigma, uv, sign = rule.number("threshold"), rule.number("threshold_uv"), rule.text("sign")
        for p in positions:
            if sigma is not None:
                levels[p] = levels[p]._replace(unit="sigma", height=sigma)
            if uv is not None:
                levels[p] = levels[p]._replace(unit="uv", height=abs(uv))
            if sign is not None:
                levels[p] = levels[p]._replace(sign=sign)
    return levels


def _dead_times(info: Told, rules: list[tuple[Told, set[int]]], n: int) -> list[tuple[float | None, int | None]]:
    ms = [info.number("detect.dead_time_ms")] * n
    for rule, positions in rules:
        own = rule.number("dead_time_ms")
        for p in positions if own is not None else ():
            ms[p] = own
    samples = info.numbers("dead_time_samples", n)
    return list(zip(ms, [None] * n if samples is None else [int(s) for s in samples], strict=True))


def _grouped(values: Iterable[tuple[Any, ...]], electrodes: Electrodes, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what enabled electrodes have, the most frequent first, each with its electrodes."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for p, value in enumerate(values):
        if electrodes.enabled[p]:
            groups.setdefault(tuple(value), []).append(p)
    ranked = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [
        dict(zip(names, value, strict=True)) | {"electrodes": len(own), "labels": electrodes.names(own)}
        for value, own in ranked
    ]


def _in_force(session: Session, electrodes: Electrodes) -> dict[str, Any]:
    """Return σ and thresholds of enabled electrodes as first and as last told, and how often they were told anew."""
    table = _table(session, electrodes)
    if not len(table):
        return {}
    found = table[np.array(electrodes.enabled, bool)[table["channel"]]]
    has_one = np.unique(found["channel"][~_has_none(found)])
    facts: dict[str, Any] = {
        "threshold_updates": len(np.unique(table["sample"])) - 1,
        "sigma_updates": _sigma_updates(found),
        "electrodes_ever_with_sigma": len(np.unique(found["channel"][found["sigma_uv"] > 0])),
        "electrodes_ever_with_threshold": len(has_one),
        "electrodes_never_with_threshold": electrodes.names(np.setdiff1d(found["channel"], has_one)),
    }
    ends = np.append(found["channel"][1:] != found["channel"][:-1], True)[: len(found)]
    for when, rows in (("start", found[np.unique(found["channel"], return_index=True)[1]]), ("end", found[ends])):
        has_none = _has_none(rows)
        facts |= {
            f"sigma_{when}_uv": figures(rows["sigma_uv"][rows["sigma_uv"] > 0]),
            f"threshold_falling_{when}_uv": figures(rows["negative_uv"]),
            f"threshold_rising_{when}_uv": figures(rows["positive_uv"]),
            f"electrodes_without_threshold_{when}": electrodes.names(rows["channel"][has_none]),
        }
    return facts


def without_threshold(session: Session, electrodes: Electrodes) -> NDArray[np.void]:
    """Return the stretches in which channels had no threshold, muted ones too; UNOBSERVED_DTYPE, its reason unused."""
    table = _table(session, electrodes)
    stretches = np.zeros(len(table), UNOBSERVED_DTYPE)
    stretches["channel"], stretches["sample"] = table["channel"], table["sample"]
    stretches["stop"] = session.to_sample
    same = table["channel"][1:] == table["channel"][:-1]
    stretches["stop"][:-1][same] = table["sample"][1:][same]
    return np.asarray(stretches[_has_none(table)])


def _table(session: Session, electrodes: Electrodes) -> NDArray[np.void]:
    """Return σ and thresholds up to the log's end, channel after channel, each in the order of its samples."""
    table = session.thresholds[session.thresholds["sample"] <= session.to_sample]
    if len(table) and int(table["channel"].max()) >= len(electrodes.labels):
        raise DataError(f"{session.path / 'thresholds.bin'} is of channels that session.json does not know")
    return np.asarray(table[np.lexsort((table["sample"], table["channel"]))])


def _has_none(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(rows["negative_uv"]) & np.isnan(rows["positive_uv"]))


def _sigma_updates(table: NDArray[np.void]) -> int:
    """Return at how many samples the σ of a channel changed; a muting, say, changes thresholds alone."""
    same = table["channel"][1:] == table["channel"][:-1]
    moved = same & (table["sigma_uv"][1:] != table["sigma_uv"][:-1])
    return len(np.unique(table["sample"][1:][moved]))


def figures(values: NDArray[Any]) -> dict[str, float] | None:
    """Return median, least and most of what is not NaN, and how many that are; None where nothing is."""
    known = values[np.isfinite(values)].astype(float)
    if not len(known):
        return None
    found = {"median": np.median(known), "min": known.min(), "max": known.max()}
    return {name: round(float(value), 6) for name, value in found.items()} | {"n": len(known)}
