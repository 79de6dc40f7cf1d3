"""An engine and a measuring subscriber, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

STOPPED = """
import sys, zmq
s = zmq.Context().socket(zmq.SUB)
s.connect(sys.argv[1])
s.subscribe(b"")
s.recv_multipart()
print("here", flush=True)
while True:
    s.recv_multipart()
"""


def run_to(
    command: list[str],
    log: Path | None,
    script: str,
    *arguments: str,
    stopped: int = 0,
    beside: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> str:
    """Run `rtspikes COMMAND`, with a logger where `log` is given; return what the Python `script` printed.

    The script is given the endpoint, then `arguments`. stopped: further subscribers, which SIGSTOP halts once they are
    there. beside: what else is done, with the endpoint, while the engine runs.
    """
    engine = subprocess.Popen(
        [sys.executable, "-m", "rtspikes", *command, *([] if log is None else ["--log", str(log)])]
        + ["--publish", "tcp://127.0.0.1:0", "--wait-subscribers", str(1 + stopped)],
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
    halted = [
        subprocess.Popen([sys.executable, "-c", STOPPED, endpoint], stdout=subprocess.PIPE, text=True)
        for _ in range(stopped)
    ]
    for each in halted:
        assert each.stdout is not None
        each.stdout.readline()
        each.send_signal(signal.SIGSTOP)
    with beside(endpoint):
        _, problems = engine.communicate()
    for each in halted:
        each.kill()
        each.communicate()
    if engine.returncode:
        subscriber.kill()
        raise RuntimeError(f"the run failed: {problems.strip()}")
    return subscriber.communicate()[0]


def replay_to(recording: Path, log: Path, script: str, *arguments: str, speed: str) -> str:
    """Replay with a logger; see `run_to`."""
    return run_to(["replay", str(recording), "--speed", speed], log, script, *arguments)
