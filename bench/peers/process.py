"""A tool in a process of its own: what it is told (a line each time) and answers (a JSON object each).

Started as `python -m bench.peers.process NAME SIGNAL.npz`; it says when it is ready, and then goes through the signal
for each line that it reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bench.peers.tools import TOOLS, Found, Pass, Tool
from bench.pinned import one_thread
from bench.recordings import RATE_HZ
from bench.scoring import Truth, score

LONGEST_S = 300.0
"""A tool that is silent for so long is ended."""


LEAST_S = 0.2
"""Passes that are shorter are repeated."""


class Peer:
    """The process of one tool, ready or with the reason why not."""

    def __init__(self, name: str, signal: Path, core: int | None) -> None:
        """core: the only one that it uses, unless it is one with threads."""
        self.name = name
        self.version = _versions(TOOLS[name])
        self.took_s: list[float] = []
        self.score: dict[str, float] = {}
        self.trouble = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.peers.process", name, str(signal)],
            env={**os.environ, **one_thread()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=None if core is None or not TOOLS[name].pinned else lambda: os.sched_setaffinity(0, {core}),
        )

    def __enter__(self) -> Self:
        """Wait until it is ready."""
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def go(self) -> None:
        """Let it go through the signal."""
        if self.trouble:
            return
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer:
            self.took_s.append(answer["took_s"])
            self.score = answer["score"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(LONGEST_S, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {"trouble": "it ended, or said nothing for minutes"}
        self.trouble = answer.pop("trouble", "")
        return answer


def _versions(tool: Tool) -> str:
    """Return the versions of a tool's packages; of one that is not installed nothing."""
    found = []
    for package in tool.packages:
        try:
            found.append(version(package))
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def passes(run: Pass) -> tuple[Found, float]:
    """Go through the signal until LEAST_S have passed; return what was found, and the median time (s) of a pass."""
    took_s: list[float] = []
    while sum(took_s) < LEAST_S:
        begun = time.perf_counter()
        found = run()
        took_s.append(time.perf_counter() - begun)
    return found, float(np.median(took_s))


def serve(name: str, signal: Path) -> None:
    """Get ready, then answer each line of stdin; what a tool itself prints goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    with np.load(signal) as file:
        samples, sample, channel = file["samples"], file["sample"], file["channel"]
    truth = Truth(sample, channel, np.full(len(sample), np.nan), np.ones(len(sample), bool))
    try:
        run = TOOLS[name].prepare(samples)
        say({})
        for _ in sys.stdin:
            found, took_s = passes(run)
            of = score(truth, found.sample, found.channel, RATE_HZ)
            say({"took_s": took_s, "score": {"recall": of.recall, "precision": of.precision, "F1": of.f1}})
    except Exception as error:
        say({"trouble": f"{type(error).__name__}: {error}".splitlines()[0]})


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
