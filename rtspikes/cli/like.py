"""`--like SESSION`: detection as a session had it, its control changes included, so that its spikes come again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from rtspikes.blanking import BlankRule, BlankRules
from rtspikes.cli.sessions import whole
from rtspikes.clock import LslClock
from rtspikes.config import Config, noise_from_file
from rtspikes.detect.changes import Change
from rtspikes.errors import ConfigError, DataError
from rtspikes.lines import FIRST_OF_SOURCE, numbers
from rtspikes.sources import open_source
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.settings import detection_settings
from rtspikes.types import GapCause, StreamInfo
from rtspikes.version import __version__

NOISE_FILE = "detect.noise.file"
"""May be said again: it is a place, and what lies there is compared with the log."""

OF_DETECTION = ("detect", "channels", "blank")
"""Tables of settings that a session's log says."""

LAYOUT = ("label", "kind", "well", "gain_uv", "offset_uv")
"""What of a channel decides its events, or whether a selector names it."""


class Like(NamedTuple):
    """What a run needs to be like a session; `differs` says what keeps it from being so."""

    config: Config
    changes: list[tuple[int, Change]]
    differs: list[str]


def like_session(path: Path, config: Config, given: Collection[str]) -> Like:
    """Return `config` with the detection of the session at `path`, and over the same stretch of a file.

    given: the dotted keys that a person has set; what they say of detection must be what the session says. Raises
    ConfigError where it is not, and when the source is another stream than the session's.
    """
    session = read_session(path)
    with whole(path):
        return _like(session, config, given)


def _like(session: Session, config: Config, given: Collection[str]) -> Like:
    config = msgspec.structs.replace(config, **_detection(session, config, given))
    with open_source(config.source, LslClock()) as source:
        info = source.info
    _check_layout(session, info)
    if info.uri.startswith("file:"):
        config = msgspec.structs.replace(config, source=_stretch(session, config, info, given))
    _check_noise_file(session, config, info)
    changes = sorted([*session.changes, *_blanks(session, config.blank, info)], key=lambda change: change[0])
    return Like(config, changes, list(_differences(session, config, info)))


def given_keys(path: Path | None, overrides: Sequence[str], options: Mapping[str, Any]) -> set[str]:
    """Return the dotted keys in a configuration file, in `key=value` overrides, and of the table `source`."""
    tree = {} if path is None else tomllib.loads(path.read_text("utf-8-sig"))
    keys = {override.partition("=")[0].strip() for override in overrides}
    return keys | set(_leaves(tree, "")) | {f"source.{name}" for name in options}


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _detection(session: Session, config: Config, given: Collection[str]) -> dict[str, Any]:
    """Return the session's `detect`, `channels` and `blank`; raise ConfigError when `config` was told otherwise."""
    own = detection_settings(session)
    detect = own.detect
    for key in sorted(given):
        if key == NOISE_FILE and detect.noise.mode == "file":
            noise = msgspec.structs.replace(detect.noise, file=config.detect.noise.file)
            detect = msgspec.structs.replace(detect, noise=noise)
        elif key.partition(".")[0] in OF_DETECTION and (ours := _at(config, key)) != (its := _at(own, key)):
            raise ConfigError(
                f"{key} is {_shown(its)} in {session.path}, got {_shown(ours)}; "
                f"--like takes detection from the session: leave {key} out"
            )
    lines = session.info.get("marker_lines", [])
    return {"detect": detect, "channels": own.channels, "blank": tuple(_by_number(rule, lines) for rule in own.blank)}


def _by_number(rule: BlankRule, lines: Sequence[Mapping[str, Any]]) -> BlankRule:
    """Return a rule that means the session's lines, which need not all be there by name."""
    if rule.line is None:
        return rule
    return msgspec.structs.replace(rule, line=tuple(sorted(numbers(rule.line, lines))))


def _blanks(session: Session, rules: Sequence[BlankRule], info: StreamInfo) -> Iterator[tuple[int, Change]]:
    """Yield what marks blanked that came with the signal but are not in its samples, unless the source brings them.

    Marks beside the signal need nothing: their blankings are control changes.
    """
    if not rules or info.facts.get("lines"):
        return
    blanking = BlankRules(rules, (), info.channels)
    late = {
        mark
        for notice in session.notices
        if notice.get("cause") == "blank_late"
        for mark in zip(notice.get("samples", ()), notice.get("lines", ()), strict=False)
    }
    for mark, text in zip(session.marks, session.mark_texts, strict=True):
        sample, line = int(mark["sample"]), int(mark["line"])
        if line >= FIRST_OF_SOURCE and (sample, line) not in late:
            for blank in blanking.of(line, int(mark["value"]), text):
                yield sample, blank


def _at(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _shown(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _check_layout(session: Session, info: StreamInfo) -> None:
    """Raise ConfigError unless the stream is laid out as the session's, as far as events depend on it."""
    its = session.info
    for what, ours, wanted in (
        ("channels", info.n_channels, its["n_channels"]),
        ("a sampling rate (Hz) of", info.rate_hz, its["rate_hz"]),
        ("samples of", info.dtype, its["source"]["dtype"]),
    ):
        if ours != wanted:
            raise ConfigError(f"--like {session.path}: {info.uri} must have {what} {wanted}, got {ours}")
    for name in LAYOUT:
        for channel, wanted in zip(info.channels, its["channels"][name], strict=True):
            if (ours := getattr(channel, name)) != wanted:
                unit = f"; if it is, say --set source.uv_per_unit={wanted}" if name == "gain_uv" else ""
                raise ConfigError(
                    f"--like {session.path}: in {info.uri} {name} of channel {channel.position} must be {wanted!r} "
                    f"as in the session, got {ours!r}{unit}"
                )


def _stretch(session: Session, config: Config, info: StreamInfo, given: Collection[str]) -> Any:
    """Return the source's settings from the session's first sample to its last, where nothing else was said."""
    source, rate = config.source, info.rate_hz
    if "source.start_s" not in given:
        source = msgspec.structs.replace(source, start_s=int(session.info["first_sample"]) / rate)
    end = _end(session)
    if "source.stop_s" not in given and not source.loop and end is not None and end < (info.n_samples or 0):
        source = msgspec.structs.replace(source, stop_s=end / rate)
    return source


def _end(session: Session) -> int | None:
    """Return the sample at which the session's engine ended, if its logger heard it."""
    engine = (session.facts.get("ended") or {}).get("engine") or {}
    return engine.get("to_sample")


def _check_noise_file(session: Session, config: Config, info: StreamInfo) -> None:
    """Raise DataError when the file of the noise level no longer says what it said to the session."""
    sigma = noise_from_file(config, info)
    if sigma is None:
        return
    rows = session.thresholds[session.thresholds["sample"] == session.info["first_sample"]]
    for row in rows[rows["sigma_uv"] != sigma[rows["channel"]]]:
        channel = info.channels[row["channel"]]
        if channel.kind == "electrode":
            raise DataError(
                f"{config.detect.noise.file} says σ = {sigma[row['channel']]:g} µV for channel {channel.label!r}, but "
                f"said {row['sigma_uv']:g} to {session.path}; name the file of then: --set {NOISE_FILE}=FILE"
            )


def _differences(session: Session, config: Config, info: StreamInfo) -> Iterator[str]:
    """Yield what cannot come again, as parts of a sentence."""
    first = round(config.source.start_s * info.rate_hz)
    its, rate = session.info, info.rate_hz
    if (version := its["software"]["version"]) != __version__:
        yield f"it was made by rtspikes {version}, this is {__version__}"
    if its["source"]["live"] and info.uri != its["source"]["uri"]:
        yield "its source was live, whose sample 0 need not be this one's"
    if first != its["first_sample"]:
        yield f"it began at {its['first_sample'] / rate:g} s, this does at {first / rate:g} s"
    again = {GapCause.SOURCE} if info.uri == its["source"]["uri"] and not info.uri.startswith("lsl:") else set()
    if config.source.loop:
        again.add(GapCause.SEAM)
    gaps = session.gaps[~np.isin(session.gaps["cause"], [int(cause) for cause in again])]
    if len(gaps):
        yield f"it had {len(gaps)} gaps, the first at {gaps['sample'][0] / rate:g} s, that do not come again"
    if its.get("next_seq", {}).get("notices"):
        yield "its logger came after the first notices, and control changes may be among them"
    if missed := _missed(session, "notices"):
        yield f"{missed} notices did not reach it, and control changes may be among them"
    if config.blank and (missed := _missed(session, "marks")):
        yield f"{missed} messages with marks did not reach it, and marks that blank may be among them"


def _missed(session: Session, kind: str) -> int:
    return sum(int(n["count"]) for n in session.notices if n.get("cause") == "missed" and n.get("kind") == kind)
