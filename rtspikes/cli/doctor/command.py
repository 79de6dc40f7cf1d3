"""`doctor`: whether this computer is fit to run rtspikes beside a rig, and what to do where it is not."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from rtspikes.cli.debug import debugging
from rtspikes.cli.doctor import checks, disk, measures, trials
from rtspikes.cli.doctor.checks import Figures, Finding, run_check
from rtspikes.cli.examples import examples
from rtspikes.cli.progress import said_if_slow
from rtspikes.version import __version__

Check = Callable[[Path], Finding]

CHECKS: dict[str, Check] = {
    "Python": lambda _: checks.check_python(),
    "Packages": lambda _: checks.check_packages(),
    "Cores": lambda _: measures.check_cores(),
    "Governor": lambda _: measures.check_governor(),
    "Memory": lambda _: measures.check_memory(),
    "Clock": lambda _: measures.check_clock(),
    "liblsl": lambda _: checks.check_lsl(),
    "Port": lambda _: measures.check_port(),
    "ZeroMQ": lambda _: measures.check_round_trips(),
    "Disk": disk.check_disk,
    "Space": disk.check_space,
    "Kernels": lambda _: checks.check_kernels(),
    "Detection": lambda _: trials.check_detection(),
    "Capacity": lambda _: trials.check_capacity(),
}
"""In this order: `Cores` before rtspikes makes load itself, what may compile for half a minute after quick news."""

SLOW_CHECK_S = 4.0
"""A check that takes longer is announced: none does once the kernels are compiled."""

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@examples("rtspikes doctor", "rtspikes doctor --path .. --json")
@click.command()
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    default=Path("."),
    metavar="DIR",
    help="Where sessions will be logged: the disk to measure [default: this folder].",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def doctor(path: Path, as_json: bool) -> int:
    """Measure whether this computer is fit to run beside a rig, and say what to do where it is not.

    Takes about 6 s, and half a minute more where the kernels are not compiled yet. The exit code is 1 when a check
    fails; warnings do not count.
    """
    found = []
    for finding in findings(path, debug=debugging()):
        found.append(finding)
        if not as_json:
            click.echo(line(finding))
    failed, warned = (sum(f.level == level for f in found) for level in ("fail", "warn"))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(f) for f in found], "machine": machine()}))
    else:
        counts = f"failed: {failed}, warnings: {warned}, ok: {len(found) - failed - warned}"
        click.echo(f"this computer is {'NOT ' if failed else ''}fit to run rtspikes ({counts})")
    return 1 if failed else 0


def findings(path: Path, debug: bool = False) -> Iterator[Finding]:
    """Run the checks one after the other; yield what each found."""
    for name, check in CHECKS.items():
        text = f"still at {name} (where the kernels are not compiled yet, this takes half a minute, once)"
        with said_if_slow(text, after_s=SLOW_CHECK_S):
            finding = run_check(name, partial(check, path), debug)
        yield finding


def line(finding: Finding) -> str:
    """Return a finding as a person reads it; what to do stands on a line of its own."""
    level = click.style(f"{finding.level:4}", fg=COLOURS[finding.level])
    text = f"{level} {finding.check:10} {finding.value}"
    return f"{text}\n{'':15} -> {finding.do}" if finding.do else text


def machine() -> Figures:
    """Return what the figures belong to."""
    cpu = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
        cpu = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), cpu)
    return {
        "rtspikes": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
