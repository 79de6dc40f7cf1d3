"""What does a block of 64 channels × 1 ms cost between the source and ZeroMQ, part by part?

The engine's own parts, called in one thread block after block, with a subscriber in another process and about 20 spikes
a second; each figure is the processor time (µs) of this thread, the mean over the blocks but the slowest 1 %. `whole`
is measured without the timers of the parts, which each add some 0.5 µs; `kernels` are the detector's compiled functions
and calling them, `detector` is its Python around them. `without_kernels` should be 60 at most. `paced`: one block each
ms, as beside a rig, where each finds the processor's caches cold.
"""

from __future__ import annotations

import argparse
import functools
import gc
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self
from unittest import mock

import numpy as np
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from rtspikes.clock import LslClock
from rtspikes.commands import Commands
from rtspikes.config import Config, config_from
from rtspikes.detect.detector import Detector
from rtspikes.engine.intake import Intake
from rtspikes.engine.service import Service
from rtspikes.engine.session import Session
from rtspikes.engine.stream_marks import StreamMarks
from rtspikes.protocols import Anchor, Pull
from rtspikes.types import ChannelInfo, Samples, StreamInfo
from rtspikes.wire.announce import Announcer
from rtspikes.wire.history import HistoryWriter
from rtspikes.wire.publish import Publisher

RATE_HZ, BLOCK = 20_000, 20

WARM_UP = 2000
"""Blocks that do not count: half a second is held, and everything has been called."""

SPIKES_PER_S = 20

SUBSCRIBER = """
import sys, zmq
s = zmq.Context().socket(zmq.SUB)
s.connect(sys.argv[1])
s.subscribe(b"")
while not s.recv_multipart()[0].startswith(b"end/"):
    pass
"""

PARTS: dict[str, list[tuple[type, str]]] = {
    "source": [],
    "intake": [(Intake, "pull")],
    "poll": [(Publisher, "poll")],
    "commands": [(Commands, "handle")],
    "step": [(Session, "step")],
    "marks": [(StreamMarks, "look")],
    "detector": [(Detector, "process")],
    "announce": [(Announcer, "events"), (Announcer, "tick")],
    "send": [(Publisher, "send")],
    "history": [(HistoryWriter, "append")],
}
"""Part → the methods whose own time it is."""


class Noise:
    """A source that always has the next block: noise with spikes, one second of it over and over."""

    first_sample = 0

    def __init__(self, channels: int) -> None:
        self.info = StreamInfo(
            "bench", RATE_HZ, "int16", tuple(ChannelInfo(str(i), i, gain_uv=0.195) for i in range(channels)), live=True
        )
        rng = np.random.default_rng(1)
        self._signal = (rng.standard_normal((RATE_HZ, channels)) * 30).astype(np.int16)
        for i in range(SPIKES_PER_S):
            at = (2 * i + 1) * RATE_HZ // (2 * SPIKES_PER_S)
            self._signal[at : at + 12, i % channels] -= (400 * np.hanning(12)).astype(np.int16)
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        pass

    def start(self) -> None:
        """Nothing is waited for."""

    def cancel(self) -> None:
        """Nothing is waited for."""

    def pull(self, destination: Samples) -> Pull:
        """Hand on a block."""
        row = self._at % RATE_HZ
        destination[:BLOCK] = self._signal[row : row + BLOCK]
        self._at += BLOCK
        return Pull(BLOCK, anchors=(Anchor(0, 0.0, RATE_HZ),) if self._at == BLOCK else ())

    def status(self) -> dict[str, Any]:
        """Return nothing of interest."""
        return {}


class Timers:
    """Own time of each part: what passes in it and not in a part that it calls."""

    def __init__(self) -> None:
        self._inside: list[list[Any]] = []
        self._of_block: Counter[str] = Counter()
        self.blocks: list[Counter[str]] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, timed."""

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            now = time.thread_time_ns()
            if self._inside:
                self._of_block[self._inside[-1][0]] += now - self._inside[-1][1]
            self._inside.append([part, now])
            try:
                return function(*args, **options)
            finally:
                now = time.thread_time_ns()
                of, begun = self._inside.pop()
                self._of_block[of] += now - begun
                if self._inside:
                    self._inside[-1][1] = now

        return call

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Time all parts, and the kernels that modules call by their names."""
        with ExitStack() as patches:
            for part, methods in PARTS.items():
                for owner, name in methods:
                    wrapped = self.timed(part, getattr(owner, name))
                    patches.enter_context(mock.patch.object(owner, name, wrapped))
            patches.enter_context(mock.patch.object(Noise, "pull", self.timed("source", Noise.pull)))
            for module in [m for n, m in sys.modules.items() if n.startswith("rtspikes.detect")]:
                for name, value in list(vars(module).items()):
                    if isinstance(value, Dispatcher):
                        patches.enter_context(mock.patch.object(module, name, self.timed("kernels", value)))
            yield

    def inside(self) -> None:
        """Time the kernels that the objects of detection hold."""
        for each in gc.get_objects():
            if str(type(each).__module__).startswith("rtspikes.detect"):
                for name, value in list(getattr(each, "__dict__", {}).items()):
                    if isinstance(value, Dispatcher):
                        setattr(each, name, self.timed("kernels", value))

    def next_block(self) -> None:
        """Begin the next block."""
        self.blocks.append(self._of_block)
        self._of_block = Counter()

    def means_us(self) -> dict[str, float]:
        """Return the mean of each part."""
        return {part: usual([b[part] for b in self.blocks]) / 1e3 for part in (*PARTS, "kernels")}


def usual(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the mean without the largest 1 %: those when the system did something else, or once a second."""
    return float(np.mean(np.sort(values)[: len(values) * 99 // 100]))


def settings() -> Config:
    """Return the settings of a usual run."""
    return config_from({"source": {"uri": "bench:"}, "publish": {"endpoint": "tcp://127.0.0.1:0"}})


def blocks(channels: int, n: int, paced: bool, timers: Timers | None = None) -> float:
    """Lead n blocks through all parts; return the mean time (µs) of one."""
    config, clock, source = settings(), LslClock(), Noise(channels)
    moved = threading.Condition()
    service = Service(config, paced=False, abort=lambda: False, failed=lambda error: None)
    took = np.zeros(n)
    listener = subprocess.Popen([sys.executable, "-c", SUBSCRIBER, service.endpoint])
    try:
        session = Session(service.publisher.session, 1, config, source, clock, service, moved, lambda: None)
        if timers is not None:
            timers.inside()
        service.tell_info(session.facts)
        while not service.publisher.poll():
            time.sleep(0.01)
        session.announcer.begin()
        begun_s = time.perf_counter()
        for i in range(-WARM_UP, n):
            while paced and time.perf_counter() < begun_s + (i + WARM_UP) * BLOCK / RATE_HZ:
                time.sleep(1e-4)
            before = time.thread_time_ns()
            session.intake.pull(source)
            with moved:
                moved.notify_all()
            service.publisher.poll()
            session.commands.handle()
            session.step()
            session.announcer.tick(lambda: session.state() | service.state())
            service.look(session.announcer)
            if i >= 0:
                took[i] = time.thread_time_ns() - before
            if timers is not None:
                timers.next_block()
        session.acquired.set()
        session.finish()
        session.announcer.end("end", session.next_sample, session.state())
        service.close(at_once=False)
        listener.wait(60)
    finally:
        listener.kill()
        listener.wait()
    if timers is not None:
        del timers.blocks[:WARM_UP]
    return usual(took) / 1e3


def measure(channels: int, n: int, paced: bool) -> dict[str, Any]:
    """Return a row."""
    whole = blocks(channels, n, paced)
    timers = Timers()
    with timers.everywhere():
        blocks(channels, n, paced, timers)
    parts = timers.means_us()
    return {
        "channels": channels,
        "pace": "paced" if paced else "as fast as it goes",
        "whole": round(whole, 1),
        "without_kernels": round(whole - parts["kernels"], 1),
        **{part: round(us, 1) for part, us in parts.items()},
    }


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row for blocks that follow each other at once, and one for those of a rig."""
    parser = argparse.ArgumentParser(prog="python -m bench overhead")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=10_000)
    args = parser.parse_args(arguments)
    return [measure(args.channels, args.blocks, paced) for paced in (False, True)]
