"""Array layouts: where the electrodes are, and what they are called.

`60` is the MCS 60MEA: 8 × 8 without corners, 200 µm apart, named column then row, 15 the internal reference
(60MEA200/30iR). `64` is the same with corners and without reference. `64x64` and other `COLUMNSxROWS` are dense
arrays at 42 µm (3Brain BioCAM's pitch). `wells:24x16` is a plate of 24 wells with 16 electrodes each (Axion's names:
A1_11 is column 1, row 1 of well A1). Any other number is that many electrodes in a square, 200 µm apart.
"""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import dataclass

from rtspikes.errors import ConfigError
from rtspikes.types import ChannelInfo, ChannelKind

GAIN_UV = 0.195
"""µV per converter step, as of Intan's amplifier chips; ± 32767 steps are ± 6.39 mV."""

MOST_CHANNELS = 16384

PLATES = {6: (3, 2), 12: (4, 3), 24: (6, 4), 48: (8, 6), 96: (12, 8)}
"""Wells → columns and rows of the plate (ANSI/SLAS)."""

SPARSE_UM, DENSE_UM, WELL_UM = 200.0, 42.0, 350.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The channels of an array, each with its place; wells are cultures of their own."""

    channels: tuple[ChannelInfo, ...]
    pitch_um: float


def make_layout(name: str, pitch_um: float | None = None) -> Layout:
    """Return the layout of that name; raise ConfigError for one that is not known."""
    if name in ("60", "64"):
        pitch = pitch_um or SPARSE_UM
        return Layout(_mcs(pitch, corners=name == "64"), pitch)
    if match := re.fullmatch(r"wells:(0|[1-9][0-9]{0,2})x(0|[1-9][0-9]{0,3})", name):
        return _plate(int(match[1]), int(match[2]), pitch_um or WELL_UM)
    if match := re.fullmatch(r"(0|[1-9][0-9]{0,4})x(0|[1-9][0-9]{0,4})", name):
        return _grid(int(match[1]), int(match[2]), int(match[1]) * int(match[2]), pitch_um or DENSE_UM, "{0}-{1}")
    if re.fullmatch(r"0|[1-9][0-9]{0,11}", name):
        n = int(name)
        return _grid(math.isqrt(max(n - 1, 0)) + 1, n, n, pitch_um or SPARSE_UM, "E{2}")
    raise ConfigError(
        f"sim: the layout must be 60, 64, COLUMNSxROWS such as 64x64, wells:24x16, or a number of electrodes, "
        f"got {reprlib.repr(name)}"
    )


def _mcs(pitch_um: float, corners: bool) -> tuple[ChannelInfo, ...]:
    channels: list[ChannelInfo] = []
    for column in range(1, 9):
        for row in range(1, 9):
            label = f"{column}{row}"
            if label in ("11", "18", "81", "88") and not corners:
                continue
            kind: ChannelKind = "reference" if label == "15" and not corners else "electrode"
            place = ((column - 1) * pitch_um, (row - 1) * pitch_um)
            channels.append(_channel(label, len(channels), place, kind=kind))
    return tuple(channels)


def _grid(columns: int, rows: int, n: int, pitch_um: float, names: str) -> Layout:
    _check_count(n)
    channels: list[ChannelInfo] = []
    for i in range(n):
        column, row = i % columns, i // columns
        place = (column * pitch_um, row * pitch_um)
        channels.append(_channel(names.format(column + 1, row + 1, i + 1), i, place))
    return Layout(tuple(channels), pitch_um)


def _plate(wells: int, per_well: int, pitch_um: float) -> Layout:
    if wells not in PLATES:
        raise ConfigError(f"sim: a plate must have one of {', '.join(map(str, PLATES))} wells, got {wells}")
    _check_count(wells * per_well)
    side = math.isqrt(max(per_well - 1, 0)) + 1
    columns, between = PLATES[wells][0], "" if side < 10 else "-"
    apart_um = pitch_um * (side + 3)
    channels: list[ChannelInfo] = []
    for well in range(wells):
        name = f"{'ABCDEFGH'[well // columns]}{well % columns + 1}"
        corner = (well % columns * apart_um, well // columns * apart_um)
        for i in range(per_well):
            column, row = i % side, i // side
            place = (corner[0] + column * pitch_um, corner[1] + row * pitch_um)
            channels.append(_channel(f"{name}_{column + 1}{between}{row + 1}", len(channels), place, well=name))
    return Layout(tuple(channels), pitch_um)


def _check_count(n: int) -> None:
    if not 1 <= n <= MOST_CHANNELS:
        raise ConfigError(f"sim: a layout must have 1 … {MOST_CHANNELS} electrodes, got {n}")


def _channel(
    label: str, position: int, place_um: tuple[float, float], kind: ChannelKind = "electrode", well: str | None = None
) -> ChannelInfo:
    return ChannelInfo(label, position, kind, label, well, place_um[0], place_um[1], gain_uv=GAIN_UV)
