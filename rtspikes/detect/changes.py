"""Changes of detection while it runs: what can be asked, as values and as the maps of messages and logs.

A change is in force for triggers at or after its sample. Changes at one sample apply in the order in which they were
scheduled, after the noise level's own update at that sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from rtspikes.errors import ConfigError, nearest
from rtspikes.rules import refusal

MOST_SELECTORS = 1024
"""Selectors in one change; each costs a look at every channel."""

LONGEST_BLANK_MS = 60_000.0
"""A minute; longer artifacts are muted."""

Select = str | int | tuple[int | str, ...]

SMALLEST_LEVEL_UV, LARGEST_LEVEL_UV = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
"""What float32, in which signals are compared with thresholds, can hold."""


class _Change(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="change", tag=str.lower):
    """A struct whose map says under `change` which it is."""


class Threshold(_Change, frozen=True):
    """Another threshold for the selected channels: a multiple of σ or a height in µV, in their own directions."""

    select: Select
    threshold: float | None = None
    threshold_uv: float | None = None


class Levels(_Change, frozen=True):
    """Fixed thresholds in signed µV, by label, for every electrode of the stream; None: no such crossing."""

    labels: tuple[str, ...]
    negative_uv: tuple[float | None, ...]
    positive_uv: tuple[float | None, ...]


class Freeze(_Change, frozen=True):
    """σ, and with it every threshold in σ, stays as it is."""


class Follow(_Change, frozen=True):
    """σ follows the signal."""


class Recalibrate(_Change, frozen=True):
    """σ comes from the blocks that begin from here on, and from nothing before.

    A frozen σ follows for `noise.window_s`, at least until the first of these blocks counts, and is frozen again.
    """


class Mute(_Change, frozen=True):
    """The selected channels have no triggers; events that were triggered before end as usual."""

    select: Select


class Unmute(_Change, frozen=True):
    """The selected channels have triggers again."""

    select: Select


class Blank(_Change, frozen=True):
    """The selected channels are blanked for `ms` from here on: the filter is held, and no event is found meanwhile."""

    select: Select
    ms: float


Change = Threshold | Levels | Freeze | Follow | Recalibrate | Mute | Unmute | Blank

_BY_NAME: dict[str, type[Change]] = {
    kind.__name__.lower(): kind for kind in (Threshold, Levels, Freeze, Follow, Recalibrate, Mute, Unmute, Blank)
}


class TooLate(ConfigError):
    """A change for a sample that was already looked at."""


def to_map(change: Change) -> dict[str, Any]:
    """Return the change as a map of plain values; `from_map` reads it back."""
    tree: dict[str, Any] = msgspec.to_builtins(change)
    return tree


def from_map(tree: Mapping[str, Any]) -> Change:
    """Return the change that a map describes; raise ConfigError for anything else."""
    name = tree.get("change") if isinstance(tree, Mapping) else None
    kind = _BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"change must be one of {', '.join(_BY_NAME)}, got {name!r:.80}")
    fields = {field.name: field.required for field in msgspec.structs.fields(kind)}
    for key in tree:
        if key != "change" and key not in fields:
            raise ConfigError(f"unknown key {key!r:.80} of the change {name!r}; {nearest(str(key)[:80], fields)}")
    for key in (key for key, required in fields.items() if required and key not in tree):
        raise ConfigError(f"the change {name!r} must have the key {key!r}")
    try:
        change = msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(refusal(error, tree, kind)) from None
    check(change)
    return change


def check(change: Change) -> None:
    """Raise ConfigError for values that no stream could take."""
    match change:
        case Threshold(select, threshold, threshold_uv):
            _check_select(select)
            if (threshold is None) == (threshold_uv is None):
                got = "neither" if threshold is None else "both"
                raise ConfigError(f"give either threshold (multiple of σ) or threshold_uv (µV), got {got}")
            if threshold is not None and not 0 < threshold <= 1000:
                raise ConfigError(f"threshold must be > 0 and ≤ 1000 σ, got {threshold:g}")
            if threshold_uv is not None and not is_level(threshold_uv):
                raise ConfigError(f"threshold_uv must be a height (µV) other than 0, got {threshold_uv:g}")
        case Levels(labels, negative_uv, positive_uv):
            sizes = len(labels), len(negative_uv), len(positive_uv)
            if len(set(sizes)) > 1:
                raise ConfigError(
                    f"labels, negative_uv and positive_uv must be equally long, got {sizes[0]}, {sizes[1]}, {sizes[2]}"
                )
            _check_levels(labels, negative_uv, -1)
            _check_levels(labels, positive_uv, 1)
        case Mute(select) | Unmute(select):
            _check_select(select)
        case Blank(select, ms):
            _check_select(select)
            if not 0 < ms <= LONGEST_BLANK_MS:
                raise ConfigError(f"ms of a blanking must be > 0 and ≤ {LONGEST_BLANK_MS:g}, got {ms:g}")


def is_level(uv: float) -> bool:
    """Tell whether `uv` can be a threshold: a finite number other than 0."""
    return SMALLEST_LEVEL_UV <= abs(uv) <= LARGEST_LEVEL_UV


def _check_select(select: str | int | Iterable[int | str]) -> None:
    if not isinstance(select, str | int) and (n := len(tuple(select))) > MOST_SELECTORS:
        raise ConfigError(
            f"select must be a list of at most {MOST_SELECTORS} selectors, got {n}; use a glob or a range"
        )


def _check_levels(labels: Iterable[str], levels: Iterable[float | None], sign: int) -> None:
    for label, uv in zip(labels, levels, strict=True):
        if uv is not None and not (is_level(uv) and uv * sign > 0):
            key, rule = ("negative_uv", "< 0") if sign < 0 else ("positive_uv", "> 0")
            raise ConfigError(f"{key} must be a number {rule} (µV) or none, got {uv:g} for channel {label!r}")
