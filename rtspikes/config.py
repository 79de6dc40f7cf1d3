"""Configuration: one TOML file, the same keys with `--set a.b=c`, every one checked and documented."""

from __future__ import annotations

import json
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from rtspikes.blanking import BlankRule
from rtspikes.detect.settings import ChannelRule, DetectSettings
from rtspikes.errors import ConfigError, DataError, nearest, reason
from rtspikes.priority import CpuSettings
from rtspikes.rules import refusal
from rtspikes.sources.settings import MarkerSettings, SourceSettings
from rtspikes.types import StreamInfo
from rtspikes.wire.settings import HistorySettings, PublishSettings, ReplySettings


class RingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The memory between source and detection."""

    seconds: Annotated[float, Meta(gt=0, le=3600, description="length (s) of the ring")] = 4.0
    max_mib: Annotated[float, Meta(gt=0, description="size (MiB) that the ring never exceeds")] = 1024.0


REPEATED: dict[str, type[Struct]] = {"channels": ChannelRule, "markers": MarkerSettings, "blank": BlankRule}
"""Settings that are arrays of tables."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a run."""

    source: SourceSettings = SourceSettings()
    markers: Annotated[tuple[MarkerSettings, ...], Meta(description="streams of markers beside the signal")] = ()
    detect: DetectSettings = DetectSettings()
    channels: Annotated[tuple[ChannelRule, ...], Meta(description="rules for some channels; later rules win")] = ()
    blank: Annotated[tuple[BlankRule, ...], Meta(description="which marks blank which channels")] = ()
    ring: RingSettings = RingSettings()
    publish: PublishSettings = PublishSettings()
    history: HistorySettings = HistorySettings()
    reply: ReplySettings = ReplySettings()
    cpu: CpuSettings = CpuSettings()
    session: Annotated[
        dict[str, Any], Meta(description="free keys, kept in the log: culture, div, treatment, experimenter …")
    ] = {}


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    base: Config | None = None,
) -> Config:
    """Read a TOML file (None: `base`, or defaults), apply `key=value` overrides, then the tables of `options`.

    Raises ConfigError for what does not fit.
    """
    tree: dict[str, Any] = {} if base is None else msgspec.to_builtins(base)
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text("utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {reason(error)}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from None
    for override in overrides:
        _set(tree, override)
    for table, values in (options or {}).items():
        if values:
            below = tree.setdefault(table, {})
            if not isinstance(below, dict):
                raise ConfigError(f"{table} must be a table of settings, got {below!r}")
            below.update(values)
    return config_from(tree)


def config_from(tree: Mapping[str, Any]) -> Config:
    """Return the configuration in a tree of TOML tables; raise ConfigError for unknown keys and wrong values."""
    for path, known in _unknown_keys(tree, Config, ""):
        raise ConfigError(f"unknown key {path!r}; {nearest(path, known)}")
    for key, value in _numbers(tree, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key} must be a finite number, got {value:g}")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{key} must fit into 64 bits, got {value}")
    try:
        return msgspec.convert(_plain(tree), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(refusal(error, tree, Config)) from None


def resolve_settings(settings: Config | DetectSettings | Mapping[str, Any] | str | Path | None) -> Config:
    """Return a Config from what a Python caller may give: nothing, a Config, DetectSettings, TOML tables or a file."""
    if settings is None:
        return Config()
    if isinstance(settings, Config):
        return settings
    if isinstance(settings, DetectSettings):
        return Config(detect=settings)
    if isinstance(settings, str | Path):
        return load_config(Path(settings))
    return config_from(settings)


def noise_from_file(config: Config, info: StreamInfo) -> NDArray[np.float32] | None:
    """Return σ (channels,) in µV from `detect.noise.file`; None in the other modes.

    Raises ConfigError or DataError when the file is missing, no object of numbers > 0, or does not name exactly the
    stream's electrodes.
    """
    noise = config.detect.noise
    if noise.mode != "file":
        return None
    if noise.file is None:
        raise ConfigError('detect.noise.file must name a JSON file with detect.noise.mode = "file", got none')
    try:
        values = json.loads(Path(noise.file).read_bytes())
    except OSError as error:
        raise ConfigError(f"detect.noise.file: cannot read {noise.file}: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{noise.file} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise DataError(f"{noise.file} must hold an object of σ (µV) by channel label")
    labels = dict.fromkeys(c.label for c in info.channels if c.kind == "electrode")
    for label in [*(x for x in labels if x not in values), *(x for x in values if x not in labels)]:
        raise DataError(f"{noise.file} must name exactly this stream's electrodes; {label!r} is in only one of the two")
    sigma = np.zeros(info.n_channels, np.float32)
    for channel in info.channels:
        value = values.get(channel.label, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 <= value < 1e9:
            raise DataError(f"{noise.file}: σ must be a number > 0 (µV), got {value!r} for {channel.label!r}")
        sigma[channel.position] = value
    return sigma


def documented_keys(of: type = Config, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (key, default, description) of every setting, in the order of the file."""
    hints = typing.get_type_hints(of, include_extras=True)
    for field in msgspec.structs.fields(of):
        inner, description = _unwrap(hints[field.name])
        key = f"{prefix}{field.name}"
        if isinstance(inner, type) and issubclass(inner, Struct):
            yield from documented_keys(inner, key + ".")
        elif key in REPEATED:
            yield from documented_keys(REPEATED[key], f"{key}[].")
        else:
            required = field.default in (msgspec.NODEFAULT, msgspec.UNSET)
            yield key, "" if required else _toml(field.default), description


def settings_document() -> str:
    """Return CONFIG.md: every setting with its default and its unit, as a table."""
    rows = "\n".join(
        f"| `{key}` | {f'`{default}`' if default else ''} | {text} |" for key, default, text in documented_keys()
    )
    return f"""# Settings

The keys of a configuration file (TOML), and of `--set KEY=VALUE`. Generated: `python -m rtspikes.config`.
`channels[].…` are keys of `[[channels]]` tables, which need `select`; what they leave out stays as in `[detect]`.
Each `[[markers]]` table names a stream whose markers become marks; their `line` is the table's place, from 1.
Each `[[blank]]` table says which marks blank: those inside the signal (changes of channels of kind `trigger`, lines
from 1001 on; the source's own, from 10001 on) at exactly their sample, all others from an announced one on.

| key | default | meaning and unit |
|---|---|---|
{rows}
"""


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set wants KEY=VALUE, for example detect.threshold=4.5, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table = tree
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {key}: {part!r} is a value, not a table of settings")
    table[parts[-1]] = value


def _unwrap(hint: Any) -> tuple[Any, str]:
    """Return a setting's type without its annotation and union partners, and its description."""
    description = ""
    if typing.get_origin(hint) is Annotated:
        description = next((m.description or "" for m in hint.__metadata__ if isinstance(m, Meta)), "")
        hint = hint.__origin__
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        parts = [_unwrap(a) for a in typing.get_args(hint) if a not in (type(None), msgspec.UnsetType)]
        description = description or next((d for _, d in parts if d), "")
        if len(parts) == 1:
            hint = parts[0][0]
    return hint, description


def _unknown_keys(tree: Any, of: type, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (dotted key, known dotted keys beside it) of every key of `tree` that `of` does not have."""
    if not isinstance(tree, Mapping):
        return
    hints = typing.get_type_hints(of, include_extras=True)
    known = [prefix + f.name for f in msgspec.structs.fields(of)]
    for key, value in tree.items():
        if key not in hints:
            everywhere = [k for k, _, _ in documented_keys()]
            yield prefix + key, [k for k in everywhere if k.rpartition(".")[2] == key] or known
            continue
        inner, _ = _unwrap(hints[key])
        if isinstance(inner, type) and issubclass(inner, Struct):
            yield from _unknown_keys(value, inner, f"{prefix}{key}.")
        elif prefix + key in REPEATED and isinstance(value, list):
            for table in value:
                yield from _unknown_keys(table, REPEATED[key], f"{key}.")


def _plain(tree: Any) -> Any:
    """Return a tree of tables and lists with NumPy's numbers as Python's."""
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    return tree.item() if isinstance(tree, np.generic) else tree


def _numbers(tree: Any, key: str) -> Iterator[tuple[str, float]]:
    """Yield (dotted key, value) of every number in a tree of tables and lists."""
    if isinstance(tree, int | float):
        yield key, tree
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _numbers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from _numbers(value, f"{key}[{i}]")


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    Path(__file__).with_name("CONFIG.md").write_text(settings_document(), "utf-8")
