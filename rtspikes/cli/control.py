"""`control` and `mark`: what a running engine is asked to do."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtspikes.cli.debug import debug_option
from rtspikes.cli.engines import KEY, Endpoint, FileName, client_key, waiting_is_said
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import one_line
from rtspikes.cli.parameters import Number, PathTo
from rtspikes.errors import nearest
from rtspikes.wire.settings import DEFAULT_ENDPOINT

if TYPE_CHECKING:
    from rtspikes.wire.control import Control, InForce

SAVED = ".json"

WAIT = click.option(
    "--timeout",
    type=Number(),
    default=10,
    metavar="S",
    help="Give up when no engine is there within S seconds [default: 10].",
)

AT = click.option(
    "--at",
    "at_sample",
    type=Number(whole=True),
    metavar="SAMPLE",
    help="In force from this absolute sample on [default: at once].",
)


class Height(click.ParamType):  # type: ignore[type-arg]
    """A number; which of them are thresholds is for the engine to say."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail when it is none."""
        text = str(value).replace("−", "-")
        try:
            return float(text)
        except ValueError:
            self.fail(f"must be a number, got {text!r}", param, ctx)


class TakesNegatives(click.Command):
    """A command that takes -30 for a number, where click sees the option -3."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, negative numbers with the minus sign of print."""
        return super().parse_args(ctx, [re.sub(r"^-(?=\.?\d)", "−", word) for word in args])


class Requests(click.Group):
    """A group that lists its requests as they stand in this file, and knows the nearest to a mistyped one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the requests."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the request, or say which one may have been meant."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            if args[0].startswith("-"):
                ctx.fail(
                    f"{args[0]} must stand behind the command, as in: control {DEFAULT_ENDPOINT} freeze {args[0]} …"
                )
            ctx.fail(f"unknown command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a request's command, with its summary whole."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.short_help = " ".join((command.help or "").split("\n\n")[0].split())
        return command


def asks(ask: Callable[..., None]) -> Callable[..., None]:
    """Let `ask` be called with a connected engine, whose address and key the command line says."""

    @KEY
    @WAIT
    @click.pass_context
    @functools.wraps(ask)
    def run(context: click.Context, /, key_file: Path | None, timeout: float, **options: Any) -> None:
        endpoint = options.pop("endpoint", None) or context.parent.params["endpoint"]  # type: ignore[union-attr]
        with _connected(endpoint, key_file, timeout) as engine:
            ask(engine, **options)

    return run


@contextmanager
def _connected(endpoint: str, key_file: Path | None, timeout: float) -> Iterator[Control]:
    from rtspikes.wire.control import control

    with ExitStack() as stack:
        with waiting_is_said(endpoint):
            engine = stack.enter_context(control(endpoint, key=client_key(key_file), connect_timeout_s=timeout))
        yield engine


def _tell(engine: Control, what: str, from_: InForce) -> None:
    """Say what is in force, and from when."""
    click.echo(f"{one_line(what)}: in force from sample {_at(engine, from_)}")


def _at(engine: Control, where: InForce) -> str:
    return f"{where.sample} ({where.sample / engine.info['rate_hz']:.2f} s)"


@examples(
    f"rtspikes control {DEFAULT_ENDPOINT} status",
    f"rtspikes control {DEFAULT_ENDPOINT} freeze",
    f"rtspikes control {DEFAULT_ENDPOINT} threshold '4*' 4.5",
)
@click.group(cls=Requests, no_args_is_help=False)
@click.argument("endpoint", type=Endpoint())
def control(endpoint: str) -> None:
    """Change the detection of a running engine, or ask how it goes.

    Each change is in force from a sample that is announced, is published, and stands in the log: a replay with
    `--like` repeats it. SELECTOR names channels as in the configuration: a label (12), a glob ('4*'),
    positions ('#0-15'), well:B2, kind:aux.
    """


@examples(
    f"rtspikes control {DEFAULT_ENDPOINT} threshold '*' 4.5",
    f"rtspikes control {DEFAULT_ENDPOINT} threshold 12 30 --uv",
)
@control.command(cls=TakesNegatives)
@click.argument("selector")
@click.argument("value", type=Height())
@click.option("--uv", is_flag=True, help="VALUE is a height in µV instead of a multiple of σ.")
@AT
@asks
def threshold(engine: Control, selector: str, value: float, uv: bool, at_sample: int | None) -> None:
    """Set the threshold of some channels, in their own directions."""
    height = {"uv": value} if uv else {"sigma": value}
    changed = engine.threshold(selector, **height, at_sample=at_sample)
    _tell(engine, f"threshold {value:g} {'µV' if uv else 'σ'} for {selector}", changed)


@examples(f"rtspikes control {DEFAULT_ENDPOINT} freeze")
@control.command()
@AT
@asks
def freeze(engine: Control, at_sample: int | None) -> None:
    """Keep the noise level, and every threshold, as it is.

    What comes before and after a drug then stays comparable.
    """
    _tell(engine, "thresholds frozen", engine.freeze(at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} follow")
@control.command()
@AT
@asks
def follow(engine: Control, at_sample: int | None) -> None:
    """Let the noise level follow the signal again."""
    _tell(engine, "thresholds follow the noise", engine.follow(at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} recalibrate")
@control.command()
@AT
@asks
def recalibrate(engine: Control, at_sample: int | None) -> None:
    """Learn the noise level anew, from what comes.

    One that is frozen follows for detect.noise.window_s, and is frozen again.
    """
    _tell(engine, "noise level learnt anew", engine.recalibrate(at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} mute 12 47", f"rtspikes control {DEFAULT_ENDPOINT} mute '#0-3'")
@control.command()
@click.argument("selectors", nargs=-1, required=True, metavar="SELECTOR...")
@AT
@asks
def mute(engine: Control, selectors: Sequence[str], at_sample: int | None) -> None:
    """Report no more events of some channels."""
    _tell(engine, f"mute {', '.join(selectors)}", engine.mute(selectors, at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} unmute '*'")
@control.command()
@click.argument("selectors", nargs=-1, required=True, metavar="SELECTOR...")
@AT
@asks
def unmute(engine: Control, selectors: Sequence[str], at_sample: int | None) -> None:
    """Report the events of muted channels again."""
    _tell(engine, f"unmute {', '.join(selectors)}", engine.unmute(selectors, at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} blank '*' 50")
@control.command()
@click.argument("selector")
@click.argument("ms", type=Number(positive=True))
@AT
@asks
def blank(engine: Control, selector: str, ms: float, at_sample: int | None) -> None:
    """Blank some channels for MS milliseconds, over an artifact.

    It is kept out of the filter and the noise level, no event is found in it, and it is no observed time.
    """
    _tell(engine, f"{selector} blanked for {ms:g} ms", engine.blank(selector, ms, at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} save thresholds{SAVED}")
@control.command()
@click.argument("file", type=FileName(SAVED))
@asks
def save(engine: Control, file: Path) -> None:
    """Write the thresholds, in µV by label, to a new file.

    Channels that are disabled, muted or dead have none, and have none once the file is loaded.
    """
    having = engine.save_thresholds(file)
    electrodes = engine.info["channels"]["kind"].count("electrode")
    click.echo(f"thresholds of {having} of {electrodes} electrodes saved: {file}")


@examples(f"rtspikes control {DEFAULT_ENDPOINT} load thresholds{SAVED}")
@control.command()
@click.argument("file", type=PathTo(lambda: (SAVED,)))
@AT
@asks
def load(engine: Control, file: Path, at_sample: int | None) -> None:
    """Put saved thresholds in force, whatever the noise does.

    Refused when sampling rate, filter or electrodes are not those that they were saved with.
    """
    _tell(engine, f"thresholds of {file}", engine.load_thresholds(file, at_sample=at_sample))


@examples(f"rtspikes control {DEFAULT_ENDPOINT} status", f"rtspikes control {DEFAULT_ENDPOINT} status --json")
@control.command()
@click.option("--json", "as_json", is_flag=True, help="Every figure, as one JSON object.")
@asks
def status(engine: Control, as_json: bool) -> None:
    """Tell how the run goes."""
    from rtspikes.cli.state import table
    from rtspikes.subscribers.plain import plain, with_lists

    figures = engine.status()
    if as_json:
        click.echo(json.dumps(plain(with_lists(figures)), ensure_ascii=False, indent=1))
        return
    for line in table(engine.info, figures):
        click.echo(line)


@examples(f"rtspikes control {DEFAULT_ENDPOINT} shutdown")
@control.command()
@asks
def shutdown(engine: Control) -> None:
    """End the run as Ctrl-C does.

    What was received is still detected, published and logged.
    """
    click.echo(f"the run ends at sample {_at(engine, engine.shutdown())}")


for _request in control.commands.values():
    _request.params.append(debug_option())


@examples(f"rtspikes mark {DEFAULT_ENDPOINT} '10 µM bicuculline'")
@click.command()
@click.argument("endpoint", type=Endpoint())
@click.argument("text")
@asks
def mark(engine: Control, text: str) -> None:
    """Mark the present with a text, for every subscriber and the log."""
    click.echo(f"mark {one_line(text)!r} at sample {_at(engine, engine.mark(text))}")
