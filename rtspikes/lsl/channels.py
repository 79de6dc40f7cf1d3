"""A stream's channels: from the entries of its description, and back."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from rtspikes.errors import SourceError
from rtspikes.lsl.description import Entry
from rtspikes.lsl.kinds import kind_of
from rtspikes.lsl.sizes import OFFSET, OTHER_UNITS, TRIGGER_UNITS, Size, size
from rtspikes.lsl.text import quoted, shown, some
from rtspikes.types import ChannelInfo, ChannelKind
from rtspikes.units import number

MOST_LABEL = 64
"""Characters of a label, an electrode's or a well's name."""

MOST_UM = 1e7
"""No electrode is 10 m from the origin."""

LENGTHS = {
    **dict.fromkeys(
        ("um", "µm", "μm", "micrometer", "micrometers", "micrometre", "micrometres", "micron", "microns"), 0
    ),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 4),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 6),
}
"""Unit of a `location` → power of ten that makes µm of it."""

MOST_REMARKS = 8
"""Lines of warnings about the entries of channels."""

VOLTAGES: frozenset[ChannelKind] = frozenset(("electrode", "reference", "ground"))

PLAIN_UNITS = {1.0: "microvolts", 1e3: "millivolts", 1e6: "volts", 1e-3: "nanovolts"}
"""Gains (µV) that a unit alone expresses."""


class _Reading:
    """Makes channels of their entries, and gathers what a person should know of them."""

    def __init__(self, whole: bool, uv_per_unit: float | None) -> None:
        self._whole, self._uv_per_unit = whole, uv_per_unit
        self.units: Counter[str] = Counter()
        self.lengths: Counter[str] = Counter()
        self._remarks: Counter[str] = Counter()
        self._demoted: list[str] = []
        self._unknown_types: Counter[str] = Counter()
        self.unsized: list[tuple[str, Size]] = []

    def channel(self, entry: Entry, position: int) -> ChannelInfo:
        """Return the channel that `entry` describes."""
        said = entry.get("label") or entry.get("name") or ""
        label = shown(said, MOST_LABEL)
        if label != said:
            self._remarks[f"labels are shown in one line of {MOST_LABEL} characters at most"] += 1
        label = label or str(position + 1)
        kind = self._kind(entry, label)
        unit = size(entry, self._whole)
        gain = unit.gain_uv if self._uv_per_unit is None else self._uv_per_unit
        if kind == "electrode":
            self.units[shown(entry.get("unit", ""), 40)] += 1
            if gain is None:
                self.unsized.append((label, unit))
            elif unit.remark and self._uv_per_unit is None:
                self._remarks[unit.remark] += 1
        x_um, y_um = self._place(entry)
        electrode, well = (shown(entry.get(name, ""), MOST_LABEL) or None for name in ("electrode", "well"))
        gain = 1.0 if gain is None else gain
        return ChannelInfo(label, position, kind, electrode, well, x_um, y_um, gain, unit.offset_uv)

    def warnings(self) -> Iterator[str]:
        """Yield what a person should know, a line for each kind of thing."""
        if self._unknown_types:
            yield f"channels of unknown type ({some(self._unknown_types)}) are taken for electrodes"
        if self._demoted:
            yield f"channels whose unit is no voltage ({some(self._demoted)}) are not taken for electrodes"
        for remark, count in self._remarks.most_common(MOST_REMARKS):
            yield f"{remark} ({count} channel{'s' if count > 1 else ''})"

    def _kind(self, entry: Entry, label: str) -> ChannelKind:
        word = entry.get("type", "")
        kind = kind_of(word)
        if kind is None:
            self._unknown_types[word[:MOST_LABEL]] += 1
            kind = "electrode"
        unit = entry.get("unit", "").lower()
        if kind == "electrode" and (unit in TRIGGER_UNITS or unit in OTHER_UNITS):
            self._demoted.append(label)
            return "trigger" if unit in TRIGGER_UNITS else "aux"
        return kind

    def _place(self, entry: Entry) -> tuple[float | None, float | None]:
        said = [entry.get(f"location/{axis}") or entry.get(f"location/{axis.lower()}") for axis in "XY"]
        if not any(said):
            return None, None
        unit = entry.get("location/unit", "").strip().lower()
        power = LENGTHS.get(unit) if unit else LENGTHS["mm"]
        if power is None:
            self._remarks[f"positions in the unknown unit {quoted(unit)} are left out"] += 1
            return None, None
        x_um, y_um = (_um(text, power) if text else None for text in said)
        if (said[0] and x_um is None) or (said[1] and y_um is None):
            self._remarks["positions that are no number of at most 10 m are left out"] += 1
        else:
            self.lengths[unit or "mm, assumed"] += 1
        return x_um, y_um


class Channels(NamedTuple):
    """The channels of a stream, the units of their values and positions in words, and what is odd about them."""

    channels: tuple[ChannelInfo, ...]
    unit: str
    positions: str | None
    warnings: tuple[str, ...]


def read_channels(described: Iterable[Entry], n: int, whole: bool, uv_per_unit: float | None) -> Channels:
    """Return `n` channels with labels that differ; `whole`: their values come as whole numbers.

    Where the entries are more or fewer than `n`, nobody knows whose each is: channels are numbered from 1, and their
    unit is that of all entries if these agree. Raises SourceError, without the stream's name, for an unknown unit.
    """
    reading = _Reading(whole, uv_per_unit)
    channels = [reading.channel(entry, i) for i, entry in enumerate(itertools.islice(described, n + 1))]
    if len(channels) != n:
        return _undescribed(channels, reading, n, uv_per_unit)
    if reading.unsized:
        raise _unknown_unit(reading.unsized)
    channels, renamed = _unique(channels)
    warnings = list(reading.warnings())
    if not any(c.kind == "electrode" for c in channels):
        warnings.append("no channel is an electrode")
    if renamed:
        warnings.append(f"labels that several channels have are numbered: {some(renamed)}")
    positions = _words(reading.lengths) if reading.lengths else None
    return Channels(tuple(channels), _words(reading.units), positions, tuple(warnings))


def _undescribed(described: list[ChannelInfo], reading: _Reading, n: int, uv_per_unit: float | None) -> Channels:
    """Return `n` electrodes that are numbered from 1, in the one unit that is known."""
    if described:
        count = f"more than {n}" if len(described) > n else f"{len(described)}"
        warning = f"{count} channels are described but {n} come: descriptions are left out, labels are 1 … {n}"
    else:
        warning = f"no channel is described: labels are 1 … {n}, all are taken for electrodes"
    sizes = {(c.gain_uv, c.offset_uv) for c in described if c.kind == "electrode"}
    if uv_per_unit is not None:
        gain, offset = uv_per_unit, 0.0
    elif reading.unsized:
        raise _unknown_unit(reading.unsized)
    elif len(sizes) == 1:
        gain, offset = sizes.pop()
    else:
        raise SourceError(f"{warning}; the units of its channels {'differ' if sizes else 'are not given'}")
    channels = tuple(ChannelInfo(str(i + 1), i, gain_uv=gain, offset_uv=offset) for i in range(n))
    return Channels(channels, _words(reading.units), None, (warning,))


def _unknown_unit(unsized: Sequence[tuple[str, Size]]) -> SourceError:
    label, unknown = unsized[0]
    others = f" (and {len(unsized) - 1} more)" if len(unsized) > 1 else ""
    return SourceError(f"channel {quoted(label)}{others}: {unknown.problem}")


def write_channel(parent: Any, channel: ChannelInfo, electrode: str) -> None:
    """Append the entry of `channel` to `parent`, a pylsl XMLElement; `electrode` is the type that electrodes get."""
    entry = parent.append_child("channel")
    plain = channel.offset_uv == 0 and PLAIN_UNITS.get(channel.gain_uv)
    said = {
        "label": channel.label,
        "type": electrode if channel.kind == "electrode" else channel.kind,
        "electrode": channel.electrode,
        "well": channel.well,
    }
    if channel.kind in VOLTAGES or not (plain and channel.gain_uv == 1):
        said["unit"] = plain or "microvolts"
    if not plain:
        said |= {"scaling_factor": repr(channel.gain_uv), "gain_to_uv": repr(channel.gain_uv)}
    if channel.offset_uv:
        said[OFFSET] = repr(channel.offset_uv)
    for name, text in said.items():
        if text:
            entry.append_child_value(name, shown(text, MOST_LABEL))
    places = [(axis, um) for axis, um in (("X", channel.x_um), ("Y", channel.y_um)) if um is not None]
    if places:
        location = entry.append_child("location")
        for axis, um in places:
            location.append_child_value(axis, str(Decimal(repr(um)).scaleb(-LENGTHS["mm"])))
        location.append_child_value("unit", "mm")


@functools.lru_cache(4096)  # the electrodes of an array share their rows and columns
def _um(text: str, power: int) -> float | None:
    if number(text) is None:
        return None
    um = float(Decimal(text.strip().replace(",", ".")).scaleb(power))  # exact, so that what was written comes back
    return um if abs(um) <= MOST_UM else None


def _words(counted: Counter[str]) -> str:
    """Return the commonest of `counted`, and how many others there are."""
    if not counted:
        return ""
    most, _ = counted.most_common(1)[0]
    return most if len(counted) == 1 else f"{most} and {len(counted) - 1} other(s)"


def _unique(channels: list[ChannelInfo]) -> tuple[list[ChannelInfo], list[str]]:
    """Return the channels with labels that differ, and the labels that were made so: A, A → A, A_2."""
    taken = {c.label for c in channels}
    if len(taken) == len(channels):
        return channels, []
    seen: set[str] = set()
    count: Counter[str] = Counter()
    unique, renamed = [], []
    for channel in channels:
        label = channel.label
        if label in seen:
            count[label] += 1
            while (numbered := f"{label}_{count[label] + 1}") in taken:
                count[label] += 1
            taken.add(numbered)
            renamed.append(numbered)
            unique.append(replace(channel, label=numbered))
        else:
            seen.add(label)
            unique.append(channel)
    return unique, renamed
