"""The options of `stream` that ask for faults: one per field of FaultSettings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from rtspikes.cli.parameters import Number
from rtspikes.cli.quantities import deviation, part, time
from rtspikes.errors import ConfigError
from rtspikes.sources.faults import FaultSettings

NEEDS = {
    "pause_for_s": "pause_every_s",
    "disconnect_for_s": "disconnect_every_s",
    "stall_for_s": "stall_every_s",
    "clock_step_at_s": "clock_step_s",
}
"""Option → the one without which it says nothing, by their fields."""


def fault_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of FaultSettings to a command, under the names of its fields."""
    for option in reversed(
        [
            click.option("--drop", type=part("0.1%"), metavar="0.1%",
                         help="Leave out this part of the signal, in stretches of a chunk to 50 ms."),
            click.option("--jitter", "jitter_s", type=time("5ms"), metavar="5ms",
                         help="Stamp as without a sample counter: with the moment of a push that is 0 to 5 ms late."),
            click.option("--drift", type=deviation("50ppm"), metavar="50ppm",
                         help="Let the device's clock be so much too fast (< 0: slow)."),
            click.option("--pause-every", "pause_every_s", type=time("30s"), metavar="30s",
                         help="Send nothing, again and again; what is not sent is lost."),
            click.option("--pause-for", "pause_for_s", type=time("5s"), metavar="5s",
                         help="Length of a pause [default: 5s]."),
            click.option("--disconnect-every", "disconnect_every_s", type=time("60s"), metavar="60s",
                         help="Take the outlet away and give it back with the same source_id."),
            click.option("--disconnect-for", "disconnect_for_s", type=time("2s"), metavar="2s",
                         help="For how long [default: 2s]; with --wait until a consumer has come back."),
            click.option("--stall-every", "stall_every_s", type=time("20s"), metavar="20s",
                         help="Send nothing, and then all of it at once: late, not lost."),
            click.option("--stall-for", "stall_for_s", type=time("1s"), metavar="1s",
                         help="Length of a stall [default: 1s]."),
            click.option("--clock-step", "clock_step_s", type=time("10s", signed=True), metavar="10s",
                         help="Let the stamps be so much later (< 0: earlier) from some sample on."),
            click.option("--clock-step-at", "clock_step_at_s", type=time("10s"), metavar="10s",
                         help="From which on [default: 10s]."),
            click.option("--default-stamps", is_flag=True,
                         help="Push without stamps, as simple producers do."),
            click.option("--seed", type=Number(whole=True), metavar="N",
                         help="Other random faults [default: 1]."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def fault_settings(asked: Mapping[str, Any]) -> FaultSettings:
    """Return the settings in what the options gave; raise ConfigError for one without the one that it belongs to."""
    given = {field: value for field, value in asked.items() if value is not None}
    for field, needed in NEEDS.items():
        if field in given and needed not in given:
            raise ConfigError(f"{_option(field)} says nothing without {_option(needed)}; say both")
    return FaultSettings(**given)


def _option(field: str) -> str:
    return f"--{field.removesuffix('_s').replace('_', '-')}"
