"""The `rtspikes` command: its subcommands, and how an error becomes one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from rtspikes.cli.run import replay, run
from rtspikes.cli.sessions import export, info
from rtspikes.cli.subscribers import listen, log
from rtspikes.errors import RtspikesError, nearest
from rtspikes.version import __version__


class Commands(click.Group):
    """A group that knows the nearest command to a mistyped one and lists its commands along the data path."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rtspikes")
@click.option("--debug", is_flag=True, help="Show Python tracebacks.")
def cli(debug: bool) -> None:
    """Real-time spikes from multi-electrode arrays.

    Signal in (a recorded file), spikes out over ZeroMQ, to as many programs as want them.
    """


for command in (run, replay, listen, log, export, info):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 usage or configuration, 3 source, 4 transport, 5 data, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console without µ and σ must not end a run
    arguments = list(sys.argv[1:] if args is None else args)
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        return int(cli.main(arguments, prog_name="rtspikes", standalone_mode=False) or 0)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        hint = f" (see {error.ctx.command_path} --help)" if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"rtspikes: {error.format_message()}{hint}", err=True)
        return 2
    except RtspikesError as error:
        if "--debug" in arguments:
            raise
        click.echo(f"rtspikes: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return 130
