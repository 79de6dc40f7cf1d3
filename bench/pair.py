"""An engine and a measuring subscriber, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_to(command: list[str], log: Path | None, script: str, *arguments: str) -> str:
    """Run `rtspikes COMMAND`, with a logger where `log` is given; return what the Python `script` printed.

    The script is given the endpoint, then `arguments`.
    """
    engine = subprocess.Popen(
        [sys.executable, "-m", "rtspikes", *command, *([] if log is None else ["--log", str(log)])]
        + ["--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert engine.stderr is not None
    said = ""
    while not (line := engine.stderr.readline()).startswith("publishing on "):
        said += line
        if not line:
            raise RuntimeError(f"the run failed: {said.strip()}")
    endpoint = line.split()[-1]
    subscriber = subprocess.Popen(
        [sys.executable, "-c", script, endpoint, *arguments], stdout=subprocess.PIPE, text=True
    )
    _, problems = engine.communicate()
    if engine.returncode:
        subscriber.kill()
        raise RuntimeError(f"the run failed: {problems.strip()}")
    return subscriber.communicate()[0]


def replay_to(recording: Path, log: Path, script: str, *arguments: str, speed: str) -> str:
    """Replay with a logger; see `run_to`."""
    return run_to(["replay", str(recording), "--speed", speed], log, script, *arguments)
