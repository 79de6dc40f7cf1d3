"""The commands of `rtspikes`, in the order of the data path; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

import rtspikes.cli.completion  # noqa: F401  (teaches click how bash splits words)
from rtspikes.cli.debug import debug_option
from rtspikes.cli.examples import examples
from rtspikes.cli.failures import discard_output
from rtspikes.errors import nearest
from rtspikes.version import __version__

COMMANDS = {
    "demo": "rtspikes.cli.demo",
    "run": "rtspikes.cli.run",
    "replay": "rtspikes.cli.run",
    "listen": "rtspikes.cli.subscribers",
    "log": "rtspikes.cli.subscribers",
    "top": "rtspikes.cli.top",
    "view": "rtspikes.cli.view",
    "outlet": "rtspikes.cli.outlet",
    "control": "rtspikes.cli.control",
    "mark": "rtspikes.cli.control",
    "export": "rtspikes.cli.sessions",
    "info": "rtspikes.cli.sessions",
    "methods": "rtspikes.cli.methods",
    "evaluate": "rtspikes.cli.evaluate",
    "tune": "rtspikes.cli.tune",
    "doctor": "rtspikes.cli.doctor.command",
    "latency": "rtspikes.cli.latency",
    "devices": "rtspikes.cli.devices",
    "stream": "rtspikes.cli.stream",
    "keys": "rtspikes.cli.keys",
    "completion": "rtspikes.cli.completion",
}
"""Command → the module that holds it under the same name."""


class Commands(click.Group):
    """A group that loads its commands when needed, gives each `--debug`, and knows the nearest to a mistyped one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands along the data path."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module at its first use; None when there is none of that name."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
            command.params.append(debug_option())
            command.short_help = " ".join((command.help or "").split("\n\n")[0].split())  # whole; click would cut it
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when the reader of its output goes away, as `| head` does, that is its end and no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would exit with 1
            discard_output()
            return 0

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"unknown command {args[0]!r}; {nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@examples("rtspikes demo", "rtspikes replay recording.raw --log session1")
@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    params=[debug_option()],
    epilog="Exit codes: 0 done, 2 usage or configuration, 3 source, 4 transport, 5 data, 1 anything else, 130 Ctrl-C.",
)
@click.version_option(__version__, prog_name="rtspikes")
@click.pass_context
def cli(context: click.Context, /, **_: Any) -> None:
    """Real-time spikes from multi-electrode arrays.

    Signal in, spikes out over ZeroMQ, to as many programs as want them.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
