"""What an LSL stream says of itself ↔ the layout of a signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from rtspikes.errors import ConfigError, SourceError
from rtspikes.lsl import load
from rtspikes.lsl.channels import read_channels, write_channel
from rtspikes.lsl.description import channel_entries, text_at
from rtspikes.lsl.kinds import kind_of
from rtspikes.lsl.text import quoted, shown
from rtspikes.types import StreamInfo
from rtspikes.units import MAX_RATE_HZ, is_gain, number

MOST_CHANNELS = 65_536
MOST_BYTES_PER_S = 4_000_000_000
"""Rate × channels × size of a value: several times what a network or this program carries."""

MOST_NAMES_BYTES = 8 * 1024 * 1024
"""Labels, electrodes and wells of all channels, in UTF-8: they travel in the message `info`."""

MOST_LAG_S = 10.0


class Format(NamedTuple):
    """A sample format of LSL: its name, its bytes, and as what it is stored in the ring."""

    name: str
    n_bytes: int
    stored: Literal["int16", "float32"]


FORMATS = {
    1: Format("float32", 4, "float32"),
    2: Format("double64", 8, "float32"),
    4: Format("int32", 4, "float32"),
    5: Format("int16", 2, "int16"),
    6: Format("int8", 1, "int16"),
    7: Format("int64", 8, "float32"),
}
"""`channel_format` of LSL (lsl/common.h) → format; 3 is text, 0 is undefined."""

TEXT_FORMAT = 3


class LayoutOverrides(Protocol):
    """The settings that win over what a stream says of itself."""

    @property
    def uv_per_unit(self) -> float | None:
        """µV per unit of the values."""

    @property
    def rate_hz(self) -> float | None:
        """Sampling rate."""


class Described(NamedTuple):
    """A stream's layout, and what a person should know of how it was read, a line each."""

    info: StreamInfo
    warnings: tuple[str, ...]


def describe(lsl_info: Any, uri: str, settings: LayoutOverrides) -> Described:
    """Return the layout that a whole pylsl.StreamInfo (of an inlet or outlet) describes.

    `facts["format"]` is the format in which its values come, `info.dtype` the one in which they are to be stored.
    Raises SourceError where the description is unusable and no setting says it, ConfigError where a setting is.
    """
    if settings.uv_per_unit is not None and not is_gain(settings.uv_per_unit):
        raise ConfigError(f"source.uv_per_unit must be finite and not 0, got {settings.uv_per_unit:g}")
    n = lsl_info.channel_count()
    if not 1 <= n <= MOST_CHANNELS:
        raise SourceError(f"{uri}: its channel_count must be 1 … {MOST_CHANNELS}, got {n}")
    form = _format(lsl_info, uri)
    warnings: list[str] = []
    rate_hz = _rate(lsl_info, uri, settings.rate_hz, warnings)
    if rate_hz * n * form.n_bytes > MOST_BYTES_PER_S:
        raise SourceError(
            f"{uri}: {n} channels of {form.name} at {rate_hz:g} Hz make {rate_hz * n * form.n_bytes / 1e9:.3g} GB/s; "
            f"{MOST_BYTES_PER_S / 1e9:g} GB/s at most can be taken"
        )
    source_id = lsl_info.source_id()
    if not source_id:
        warnings.append("it has no source_id: after a restart it is found again by the address alone")
    try:
        described = channel_entries(lsl_info, n + 1)
        read = read_channels(described, n, form.name.startswith("int"), settings.uv_per_unit)
    except SourceError as error:
        raise SourceError(f"{uri}: {error}; say source.uv_per_unit (1: the values are µV)") from None
    names = sum(len((c.label + (c.electrode or "") + (c.well or "")).encode()) for c in read.channels)
    if names > MOST_NAMES_BYTES:
        raise SourceError(f"{uri}: the names of its channels must have {MOST_NAMES_BYTES} bytes at most, got {names}")
    facts: dict[str, Any] = {
        "name": shown(lsl_info.name()),
        "type": shown(lsl_info.type()),
        "source_id": shown(source_id),
        "hostname": shown(lsl_info.hostname()),
        "uid": shown(lsl_info.uid()),
        "session_id": shown(lsl_info.session_id()),
        "created_at": _finite(lsl_info.created_at()),
        "format": form.name,
        "nominal_rate_hz": _finite(lsl_info.nominal_srate()),
        "unit": read.unit,
    }
    if form.stored != form.name:
        facts["conversion"] = f"{form.name} to {form.stored}"
    if read.positions is not None:
        facts["positions"] = read.positions
    facts |= _acquisition(lsl_info, warnings)
    info = StreamInfo(uri, rate_hz, form.stored, read.channels, live=True, facts=facts)
    return Described(info, (*warnings, *read.warnings))


def outlet_info(
    info: StreamInfo, *, name: str, type: str, source_id: str, extra: Mapping[str, str] = MappingProxyType({})
) -> Any:
    """Return a pylsl.StreamInfo that says all of `info`; `describe` reads it back.

    `extra` adds texts to its description, by path: {"acquisition/manufacturer": "…"}. Values of a channel times its
    `scaling_factor`, if it has one, are in its `unit`; positions are in mm, as in the XDF convention for EEG.
    """
    pylsl = load()
    name, type, source_id = (shown(text, 1000) for text in (name, type, source_id))
    if not name:
        raise ConfigError("an LSL stream's name must not be empty")
    if not 1 <= info.n_channels <= MOST_CHANNELS:
        raise ConfigError(f"an LSL stream must have 1 … {MOST_CHANNELS} channels here, got {info.n_channels}")
    made = pylsl.StreamInfo(name, type, info.n_channels, info.rate_hz, info.dtype, source_id)
    desc = made.desc()
    for path, text in extra.items():
        *folders, last = path.split("/")
        node = desc
        for folder in folders:
            found = node.child(folder)
            node = node.append_child(folder) if found.empty() else found
        node.append_child_value(last, shown(text, 1000))
    channels = desc.append_child("channels")
    electrode = type if type and kind_of(type) == "electrode" else "electrode"
    for channel in info.channels:
        write_channel(channels, channel, electrode)
    return made


def _format(lsl_info: Any, uri: str) -> Format:
    code = lsl_info.channel_format()
    if code == TEXT_FORMAT:
        raise SourceError(
            f"{uri}: {quoted(lsl_info.name(), 80)} carries texts, no signal; markers are read with [[markers]]"
        )
    if code not in FORMATS:
        known = ", ".join(form.name for form in FORMATS.values())
        raise SourceError(f"{uri}: its channel_format must be one of {known}, got number {code}")
    return FORMATS[code]


def _rate(lsl_info: Any, uri: str, stated_hz: float | None, warnings: list[str]) -> float:
    """Return the rate: the one that the settings state, else the stream's own."""
    nominal = lsl_info.nominal_srate()
    good = 0 < nominal <= MAX_RATE_HZ
    if stated_hz is not None:
        if not 0 < stated_hz <= MAX_RATE_HZ:
            raise ConfigError(f"source.rate_hz must be a number > 0 and ≤ {MAX_RATE_HZ:g}, got {stated_hz:g}")
        if good and not math.isclose(nominal, stated_hz, rel_tol=1e-3):
            warnings.append(f"it says a rate of {nominal:g} Hz; {stated_hz:g} Hz is taken, as source.rate_hz says")
        return stated_hz
    if nominal == 0:
        raise SourceError(
            f"{uri}: it says no sampling rate (0: irregular); if its samples come at a steady rate, say source.rate_hz"
        )
    if not good:
        raise SourceError(
            f"{uri}: its sampling rate must be > 0 and ≤ {MAX_RATE_HZ:g} Hz, got {nominal:g}; say source.rate_hz"
        )
    return float(nominal)


def _acquisition(lsl_info: Any, warnings: list[str]) -> dict[str, Any]:
    """Return who made the device, and the lags, as in the XDF meta-data convention.

    `compensated_lag_s` is already contained in the stamps; `offset_mean_s` is to be subtracted from them.
    """
    facts: dict[str, Any] = {}
    for name in ("manufacturer", "model", "serial_number"):
        if text := shown(text_at(lsl_info, "acquisition", name) or text_at(lsl_info, name)):
            facts[name] = text
    for folder, name in (("acquisition", "compensated_lag"), ("synchronization", "offset_mean")):
        if text := text_at(lsl_info, folder, name):
            value = number(text)
            if value is None or not abs(value) < MOST_LAG_S:
                must = f"must be seconds within ±{MOST_LAG_S:g}"
                warnings.append(f"its {folder}/{name} {must}, got {quoted(text)}: ignored")
            else:
                facts[f"{name}_s"] = value
    return facts


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
