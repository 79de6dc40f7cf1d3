"""`tune`: a picture to choose a threshold by, and the line of settings that sets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.interrupts import interrupts
from rtspikes.cli.parameters import Number, PathOrUri, PathTo, configurations, recordings_and_sessions, set_option
from rtspikes.cli.progress import Steps
from rtspikes.cli.sessions import whole
from rtspikes.config import Config, load_config
from rtspikes.errors import ConfigError

if TYPE_CHECKING:
    from rtspikes.subscribers.log.reader import Session
    from rtspikes.tuning.findings import Tuning

FILE_S, SOURCE_S = 60.0, 20.0
"""Seconds of signal that are looked at if nothing is said: of a file, and of what streams."""


@examples(
    "rtspikes tune recording.raw -o thresholds.png",
    "rtspikes tune session1.rtspikes -o thresholds.svg --set detect.method=energy --channels '#0'",
    'rtspikes tune "sim:16" --seconds 10 -o thresholds.png',
)
@click.command()
@click.argument("what", type=PathOrUri(recordings_and_sessions), metavar="FILE|SESSION|URI")
@click.option("-o", "output", type=click.Path(path_type=Path), required=True, metavar="PICTURE", help="A .png or .svg.")
@click.option(
    "--channels",
    "selectors",
    multiple=True,
    metavar="SELECT",
    help="Channels that count, by label, pattern (E1*), position (#0-3) or well (well:B2); repeatable.",
)
@click.option(
    "--at",
    "candidates",
    nargs=3,
    type=Number(positive=True),
    metavar="K K K",
    help="Thresholds to compare, in the unit of the settings [default: the suggestion, and 20 % around it].",
)
@click.option("--start", type=Number(), metavar="S", help="Begin at S seconds of a file.")
@click.option(
    "--seconds",
    type=Number(positive=True),
    metavar="S",
    help=f"How much signal to look at [default: {FILE_S:g} of a file, {SOURCE_S:g} of a source].",
)
@click.option("--config", "config_path", type=PathTo(configurations, ConfigError), help="Settings (TOML).")
@set_option("Any setting, for example detect.method=energy (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="All figures, as one JSON object.")  # fmt: skip
def tune(
    what: Path | str,
    output: Path,
    selectors: tuple[str, ...],
    candidates: tuple[float, ...] | None,
    start: float | None,
    seconds: float | None,
    config_path: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw what three thresholds find, what every other would, and what noise alone gives; suggest one.

    The picture has the most telling channels, each with a stretch of its signal, events against threshold with the
    plateau, amplitudes and waveforms; and the whole array. The line that is printed goes into a configuration, or
    behind --set. A session is looked at with its own settings, in the recording that it replayed if it is still there.
    """
    from rtspikes.pictures.style import check_picture

    check_picture(output)
    options: dict[str, Any] = {"selectors": selectors, "candidates": candidates or ()}
    if isinstance(what, Path) and what.is_dir():
        if config_path is not None:
            raise ConfigError("a session is looked at with its own settings; change single ones with --set")
        from rtspikes.subscribers.log.reader import read_session

        with whole(what):
            tuning = _of_session(read_session(what), overrides, start, seconds, options)
    elif isinstance(what, Path):
        tuning = _of_file(what, load_config(config_path, overrides), start, seconds, options)
    else:
        tuning = _of_source(what, load_config(config_path, overrides), start, seconds, options)
    from rtspikes.pictures.style import save
    from rtspikes.pictures.tuning import draw_tuning

    save(draw_tuning(tuning), output)
    _say(tuning, output, as_json)


def _of_session(
    session: Session, overrides: tuple[str, ...], start: float | None, seconds: float | None, options: dict[str, Any]
) -> Tuning:
    """Tune on the signal behind a session, or on its log where that is gone."""
    from rtspikes.subscribers.log.settings import detection_settings, recording_of

    config = load_config(None, overrides, base=detection_settings(session))
    uri, rate = str(session.info["source"]["uri"]), float(session.info["rate_hz"])
    if session.changes:
        click.echo("what was changed by control while the session ran is not applied here", err=True)
    if uri.startswith("sim:"):
        return _of_source(uri, config, start, seconds, options)
    if (recording := recording_of(session)) is None:
        from rtspikes.tuning.from_log import tune_log

        if overrides or start is not None or seconds is not None:
            raise ConfigError(
                "the session's recording is not at hand; of its log alone, leave --set, --start and --seconds out"
            )
        click.echo("the session's recording is not at hand: its log alone is looked at", err=True)
        return tune_log(session, config, **options)
    from rtspikes.tuning.material import from_recording

    first = int(session.info["first_sample"]) / rate
    begin = first if start is None else start
    most = min(FILE_S, session.to_sample / rate - begin) if start is None else FILE_S
    return _tuned(from_recording(recording, session.path.name, begin, seconds or most), config, options)


def _of_file(path: Path, config: Config, start: float | None, seconds: float | None, options: dict[str, Any]) -> Tuning:
    """Tune on a recording."""
    from rtspikes.sources.formats import open_recording
    from rtspikes.tuning.material import from_recording

    recording = open_recording(path, config.source.uv_per_unit)
    return _tuned(from_recording(recording, path.name, start or 0.0, seconds or FILE_S), config, options)


def _of_source(uri: str, config: Config, start: float | None, seconds: float | None, options: dict[str, Any]) -> Tuning:
    """Tune on what a source brings; Ctrl-C is content with what is there."""
    from rtspikes.tuning.material import from_source, source_config

    if start:
        raise ConfigError(f"--start is for files, got {start:g} s with {uri}")
    asked: list[bool] = []
    total = seconds or SOURCE_S
    with Steps(round(total)) as steps, interrupts(lambda: asked.append(True)):
        had = 0.0

        def came(now_s: float) -> None:
            nonlocal had
            if now_s > had:
                steps.done(f"receiving {total:g} s of {one_line(uri)}", now_s - had)
                had = now_s

        material = from_source(source_config(config, uri), total, came, lambda: bool(asked))
    return _tuned(material, config, options)


def _tuned(material: Any, config: Config, options: dict[str, Any]) -> Tuning:
    """Try the thresholds, and show how far that is."""
    from rtspikes.tuning.axis import STEPS
    from rtspikes.tuning.tune import tune as try_thresholds

    with Steps(STEPS + 3) as steps:
        return try_thresholds(material, config, progress=steps.done, **options)


def _say(tuning: Tuning, output: Path, as_json: bool) -> None:
    """Say what came of it: results on stdout."""
    if as_json:
        click.echo(json.dumps(tuning.summary() | {"picture": str(output)}, ensure_ascii=False))
        return
    curve, unit = tuning.curve, tuning.unit
    if not curve.noise_known:
        click.echo(
            f"what noise alone gives is not known here: {curve.suggestion:.3g} {unit} is what the settings say",
            err=True,
        )
    elif curve.plateau is None:
        click.echo(
            f"no plateau: hardly any event stands out of the noise, which passes {curve.suggestion:.3g} {unit} "
            f"once a minute and channel",
            err=True,
        )
    else:
        low, high = curve.plateau
        click.echo(f"plateau {low:.3g} to {high:.3g} {unit}; compared: {_listed(tuning)}", err=True)
    for view in tuning.views:
        counts = ", ".join(str(len(found.sample)) for found in view.found)
        own = f"its own plateau's middle {view.curve.suggestion:.3g} {unit}" if view.curve.plateau else "no plateau"
        click.echo(f"  {one_line(view.label)}: {counts} events; {own} ({view.why})", err=True)
    click.echo(f"picture: {output}", err=True)
    for line in tuning.toml:
        click.echo(line)


def _listed(tuning: Tuning) -> str:
    return ", ".join(f"{level:g}" for level in tuning.candidates) + f" {tuning.unit}"
