"""What does rtspikes add to LSL: from a producer's push to a crossing at a subscriber, beside a bare pull of the same?

A producer of its own pushes chunks of 1 ms at 20 kHz, stamped by its sample counter, with 40 planted spikes a second;
`rtspikes run` without a logger takes them, and a subscriber notes when each crossing arrives. `ms` counts from the
beginning of the push of the chunk that holds the crossing's sample, without the first second. `bare`: in a run of its
own on the same data, a loop of pylsl's `pull_chunk` into an array that is there, until the chunk that holds the same
sample has been returned. `lsl`, `detect`, `wire`: parts of the median, to the engine's thread that pulls, to the end of
detection, to the subscriber. `lost`: samples by the engine's count; `missed`: messages, and planted spikes without a
crossing. `late` pushes, in both runs, began more than 1 ms after their last sample was due. `cpu` is of one core; with
the engine it contains liblsl's receiving, as with the bare loop. Nothing is pinned to a core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.lsl_parts import CHUNK, RATE_HZ, SPIKE_SAMPLES, Stream
from bench.pair import run_to

STREAMS = ((64, "float32", 120.0), (1024, "int16", 120.0), (4096, "int16", 60.0))

AFTER = RATE_HZ
"""First sample that counts: the held start comes late by design."""

LATE_S = 1e-3

PRODUCER = "import sys; from bench.lsl_parts import *; produce(Stream({!r}, {}, {!r}), {}, sys.argv[1])"
BARE = "import sys; from bench.lsl_parts import *; pull(Stream({!r}, {}, {!r}), {}, sys.argv[1])"
SUBSCRIBER = "import sys; from bench.lsl_parts import *; hear(*sys.argv[1:])"


@contextmanager
def produced(stream: Stream, seconds: float, out: Path) -> Iterator[None]:
    """Let a process push the stream to who comes within, and end with it."""
    script = PRODUCER.format(*stream, seconds)
    with subprocess.Popen([sys.executable, "-c", script, str(out)]) as producer:
        try:
            yield
        except BaseException:
            producer.kill()
            raise
    if producer.returncode:
        raise RuntimeError(f"the producer of {stream.name} failed, exit code {producer.returncode}")


class Pushes:
    """When a producer pushed each sample."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.begun_s, self._pushed_s = float(file["begun_s"]), file["pushed_s"]

    def of(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return when the pushes of the chunks that hold `samples` began."""
        return np.asarray(self._pushed_s[samples // CHUNK])

    @property
    def late(self) -> int:
        """Pushes that began LATE_S after they were due."""
        due_s = self.begun_s + (np.arange(1, len(self._pushed_s) + 1) * CHUNK - 1) / RATE_HZ
        return int((self._pushed_s - due_s > LATE_S).sum())

    def check(self, samples: NDArray[np.int64], times_s: NDArray[np.float64]) -> None:
        """Raise when sample numbers and times (s) do not belong together: the run did not begin with the first push."""
        off = np.median(times_s - self.begun_s - samples / RATE_HZ) * RATE_HZ
        if abs(off) > 0.5:
            raise RuntimeError(f"samples must be counted from the producer's first, got them {off:.1f} samples off")


def engine_run(stream: Stream, seconds: float, folder: Path) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Measure the engine; return its columns, and the samples of the crossings."""
    heard, pushed = folder / "heard.npz", folder / "pushed.npz"
    command = ["run", "--source", f"lsl:{stream.name}", "--duration", f"{seconds + 1:g}"]
    command += ["--set", "source.wait_s=60", "--set", "detect.threshold=8"]
    with produced(stream, seconds + 60, pushed):
        found = json.loads(run_to(command, None, SUBSCRIBER, str(heard)))
    pushes, status = Pushes(pushed), found["status"]
    with np.load(heard) as file:
        live = (file["sample"] >= AFTER) & (file["sample"] < seconds * RATE_HZ)
        samples, stages_s = file["sample"][live], file["stages_s"][live]
        pushes.check(samples, file["time_s"][live])
    begun_s = pushes.of(samples)[:, None]
    steps_ms = np.diff(stages_s[:, [0, 1, 3]], axis=1, prepend=begun_s) * 1e3
    planted = stream.planted(round(seconds * RATE_HZ) - SPIKE_SAMPLES)
    planted = planted[planted >= AFTER]
    after = np.searchsorted(samples, planted)
    alone = np.append(samples, 2 * samples[-1])[after] - planted >= SPIKE_SAMPLES
    counts = status["counts"]
    return {
        "crossings": len(samples),
        "lost": counts["lost_source"] + counts["lost_overrun"],
        "missed": found["missed"] + int(alone.sum()),
        "stamps": status["source"]["stamps"],
        "cpu": f"{status['cpu_s'] / status['elapsed_s']:.0%}",
        **percentiles("", stages_s[:, 3] - begun_s[:, 0]),
        **{
            f"{part}_ms": round(float(np.median(steps_ms[:, i])), 3) for i, part in enumerate(("lsl", "detect", "wire"))
        },
        "late": pushes.late,
    }, samples


def bare_run(stream: Stream, seconds: float, folder: Path, samples: NDArray[np.int64]) -> dict[str, Any]:
    """Measure the bare loop at `samples`; return its columns."""
    pulled, pushed = folder / "pulled.npz", folder / "pushed.npz"
    with produced(stream, seconds + 60, pushed):
        script = BARE.format(*stream, seconds + 1)
        subprocess.run([sys.executable, "-c", script, str(pulled)], check=True)
    pushes = Pushes(pushed)
    with np.load(pulled) as file:
        pushes.check(np.zeros(1, np.int64), file["first_stamp"][None])
        returned_s = file["returned_s"][np.searchsorted(file["reached"], samples, side="right")]
        cpu = f"{float(file['cpu']):.0%}"
    return {**percentiles("bare_", returned_s - pushes.of(samples)), "bare_cpu": cpu, "bare_late": pushes.late}


def percentiles(of: str, late_s: NDArray[np.float64]) -> dict[str, float]:
    """Return three percentiles (ms) of latencies (s)."""
    names = ("p50", "p99", "p999")
    return {
        f"{of}{name}_ms": round(float(x) * 1e3, 3)
        for name, x in zip(names, np.percentile(late_s, (50, 99, 99.9)), strict=True)
    }


def measure(channels: int, dtype: str, seconds: float) -> dict[str, Any]:
    """Run the engine, then the bare loop; return the row."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"bench-{uuid.uuid4().hex}" for _ in range(2)]
        own, samples = engine_run(Stream(names[0], channels, dtype), seconds, Path(folder))
        bare = bare_run(Stream(names[1], channels, dtype), seconds, Path(folder), samples)
    late = f"{own.pop('late')}, {bare.pop('bare_late')}"
    more = round(own["p50_ms"] - bare["bare_p50_ms"], 3)
    return {"channels": channels, "dtype": dtype, "seconds": seconds, **own, **bare, "p50_more_ms": more, "late": late}


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per stream."""
    parser = argparse.ArgumentParser(prog="python -m bench lsl")
    parser.add_argument("--channels", type=int)
    parser.add_argument("--seconds", type=float)
    args = parser.parse_args(arguments)
    streams = [s for s in STREAMS if args.channels in (None, s[0])] or [(args.channels, "int16", 120.0)]
    os.environ["LSLAPICFG"] = str(Path(__file__).parents[1] / "tests" / "lsl.cfg")  # loopback only, in all children
    return [measure(channels, dtype, args.seconds or seconds) for channels, dtype, seconds in streams]
