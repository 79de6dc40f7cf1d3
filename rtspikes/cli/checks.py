"""Checks of `doctor`: is rtspikes installed so that it works, and do its sockets open?

A check measures, then judges; what judges sees figures only, so that every limit can be tested.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import zmq
from numpy.typing import NDArray

from rtspikes.errors import RtspikesError, TransportError
from rtspikes.wire.publish import Publisher
from rtspikes.wire.settings import DEFAULT_ENDPOINT, PublishSettings

Level = Literal["ok", "warn", "fail"]
Figures = dict[str, float | int | str]

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
"""What pyproject.toml requires, and the newest version that the tests have run with."""

MODULES = {"pyzmq": "zmq"}
"""What a package is imported as, where that is not its name."""

PROBE_S = 300.0
"""Longest time (s) for a fresh Python that may have to compile the kernels: half a minute on most computers."""

LSL_TOLERANCE_S = 1e-3
"""Largest difference between liblsl's clock and ours: the same clock, read one after the other, differs by µs."""

SLOW_ROUND_TRIP_US = 2000.0
"""One way is half of it: the 1 ms that a crossing may take from its samples' arrival to a subscriber, spent at once."""

NOISE_UNITS, SPIKE_UNITS, UV_PER_UNIT, RATE_HZ = 30.0, 600.0, 0.2, 20_000.0
"""The test signal: 6 µV of white noise and spikes of 120 µV, as int16 at 0.2 µV per unit."""

MATCH_SAMPLES = 5
"""How far (0.25 ms) a found peak may lie from the true one: noise and the causal filter move it by 1 to 3 samples."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: in words, and as numbers whose names end in their unit."""

    check: str
    level: Level
    value: str
    do: str = ""
    figures: Figures = field(default_factory=dict)


def judged(check: str, value: str, figures: Figures, *, fail: str = "", warn: str = "") -> Finding:
    """Return the finding; `fail` and `warn` say what to do, and are empty where there is nothing to do."""
    level: Level = "fail" if fail else "warn" if warn else "ok"
    return Finding(check, level, value, fail or warn, figures)


def run_check(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what `check` finds. It must not end the others, whatever it meets, so that becomes its finding."""
    try:
        return check()
    except Exception as error:  # a broken computer is what doctor is for: any exception of any library can come
        text = " ".join(str(error).split())
        kind = "" if isinstance(error, RtspikesError) else f"{type(error).__name__}: "
        do = "do what the text says; where it says nothing, report it as a fault of rtspikes"
        return Finding(name, "fail", f"{kind}{text}", do, {"error": type(error).__name__})


def check_python() -> Finding:
    """Check the interpreter."""
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return judge_python(sys.version_info[:3], struct.calcsize("P") * 8, free_threaded)


def judge_python(version: tuple[int, int, int], bits: int, free_threaded: bool) -> Finding:
    """Fail where rtspikes cannot run (too old, or 32 bits: numba has none), warn where it has not been tried."""
    number = ".".join(map(str, version))
    tried = "3.11 to 3.13"
    fail = warn = ""
    if version[:2] < OLDEST_PYTHON or bits != 64:
        fail = f"install a 64-bit Python {tried}"
    elif version[:2] > NEWEST_PYTHON or free_threaded:
        warn = f"rtspikes is untried with this Python; prefer {tried}, not free-threaded"
    text = f"{number}, {bits} bit" + (", free-threaded" if free_threaded else "")
    return judged("Python", text, {"version": number, "bits": bits}, fail=fail, warn=warn)


def required_packages() -> list[str]:
    """Return the names of the packages that the installed rtspikes needs; liblsl's has a check of its own."""
    needed = (r for r in importlib.metadata.requires("rtspikes") or () if "extra ==" not in r)
    names = [re.split(r"[^\w.-]", r, maxsplit=1)[0] for r in needed]
    return [name for name in names if name != "pylsl"]


def check_packages(names: Iterable[str] | None = None) -> Finding:
    """Check that every needed package is there and can be imported."""
    versions: Figures = {}
    broken: dict[str, str] = {}
    for name in required_packages() if names is None else names:
        try:
            versions[name] = importlib.metadata.version(name)
            importlib.import_module(MODULES.get(name, name))
        except (ImportError, OSError) as error:  # OSError: a shared library that does not load
            broken[name] = str(error).partition("\n")[0]
    fail = f"python -m pip install --upgrade --force-reinstall {' '.join(broken)}" if broken else ""
    told = [f"{name} cannot be imported: {why}" for name, why in broken.items()]
    return judged("Packages", "; ".join(told) or ", ".join(f"{k} {v}" for k, v in versions.items()), versions, fail=fail)


class ProbeError(RtspikesError):
    """A fresh Python that failed or took too long; the text is its last line."""


def probe(code: str, timeout_s: float = PROBE_S) -> dict[str, Any]:
    """Run `code` in a fresh Python with our module path; return the JSON object that it prints last.

    A fresh process loads as a user's next start will, and keeps what native libraries print off our terminal.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise ProbeError(f"not done after {timeout_s:g} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ProbeError(lines[-1].strip() if lines else f"exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


KERNELS = """
import json, time
begun = time.perf_counter()
import llvmlite.binding, numba
from rtspikes.detect import kernels, noise_kernels
took = time.perf_counter() - begun
stats = [k.stats for m in (kernels, noise_kernels) for k in vars(m).values() if hasattr(k, "stats")]
cached = [s for s in stats if s.cache_path]
if not cached:
    raise SystemExit("numba does not compile them (is NUMBA_DISABLE_JIT set?)")
features = llvmlite.binding.get_host_cpu_features()
print(json.dumps({
    "load_s": round(took, 2),
    "compiled": sum(sum(s.cache_misses.values()) for s in cached),
    "cache": cached[0].cache_path,
    "cpu": numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
    "vectors": next((f for f in ("avx512f", "avx2", "avx", "neon") if features.get(f)), "none wider than 128 bits"),
}))
"""


def check_kernels(run: Callable[[str], dict[str, Any]] = probe) -> Finding:
    """Load the kernels as the next start will; if that has compiled them, once more, to see whether they were kept."""
    try:
        found = run(KERNELS)
        again = run(KERNELS) if found["compiled"] else found
    except ProbeError as error:
        no_cache = "cannot cache" in str(error)
        do = "set NUMBA_CACHE_DIR to a folder that you may write to" if no_cache else "reinstall numba and rtspikes"
        return judged("Kernels", f"cannot be loaded: {error}", {}, fail=do)
    return judge_kernels(found, again)


def judge_kernels(found: Mapping[str, Any], again: Mapping[str, Any]) -> Finding:
    """Warn where the kernels are compiled at every start, because what was compiled could not be kept."""
    text = f"loaded in {again['load_s']:.1f} s, for {found['cpu']} ({found['vectors']}), cache {found['cache']}"
    warn = ""
    if again["compiled"]:
        text = f"compiled anew at every start ({again['load_s']:.0f} s): nothing can be kept in {again['cache']}"
        warn = "set NUMBA_CACHE_DIR to a folder that you may write to"
    elif found["compiled"]:
        text = f"compiled just now ({found['load_s']:.0f} s); {text}"
    return judged("Kernels", text, {**again, "first_load_s": found["load_s"]}, warn=warn)


def signal(n_samples: int, n_channels: int, spikes_per_s: float) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Return noise with spikes, int16 (time, channels), and (spikes, 2) the sample and channel of every trough."""
    samples = np.random.default_rng(1).standard_normal((n_samples, n_channels), np.float32)
    samples *= NOISE_UNITS
    t_ms = np.arange(40) / RATE_HZ * 1e3
    shape = (-np.exp(-(((t_ms - 0.5) / 0.15) ** 2)) * SPIKE_UNITS).astype(np.float32)
    spacing = round(RATE_HZ / spikes_per_s)
    truth = [
        (start + 10, channel)
        for channel in range(n_channels)
        for start in range(20 + channel * 37 % spacing, n_samples - 100, spacing)
    ]
    for trough, channel in truth:
        samples[trough - 10 : trough + 30, channel] += shape
    return np.rint(samples, out=samples).astype(np.int16), np.array(truth)


def check_detection() -> Finding:
    """Detect known spikes with the compiled kernels: a compiler, a CPU or a memory that errs shows here."""
    from rtspikes.offline import detect

    samples, truth = signal(16_000, 4, 30.0)
    settings = {"detect": {"threshold": 8.0}}  # far from noise (5 σ) and from spikes (20 σ): nothing is left to chance
    found, _ = detect(samples, settings, rate_hz=RATE_HZ, uv_per_unit=UV_PER_UNIT)
    return judge_detection(truth, np.stack([found["sample"], found["channel"].astype(np.int64)], 1))


def judge_detection(truth: NDArray[np.int64], found: NDArray[np.int64]) -> Finding:
    """Fail unless exactly the true spikes were found; both are (spikes, 2): sample, channel."""
    near = np.abs(truth[:, None, 0] - found[None, :, 0]) <= MATCH_SAMPLES
    same = near & (truth[:, None, 1] == found[None, :, 1])
    missed, false = int((~same.any(1)).sum()), int((~same.any(0)).sum())
    wrong = missed or false or len(found) != len(truth)
    text = f"{len(truth) - missed} of {len(truth)} known spikes found, {false} false"
    figures: Figures = {"known": len(truth), "found": len(found), "missed": missed, "false": false}
    do = "do not use this installation for data; install numba and rtspikes anew and report this" if wrong else ""
    return judged("Detection", text, figures, fail=do)


LSL = """
import json
import pylsl
from rtspikes.clock import LslClock
clock = LslClock()
apart = min((pylsl.local_clock() - clock.now() for _ in range(100)), key=abs)
version = pylsl.library_version()
print(json.dumps({"liblsl": f"{version // 100}.{version % 100}", "pylsl": pylsl.__version__, "clocks_apart_s": apart}))
"""


def check_lsl(run: Callable[[str], dict[str, Any]] = probe) -> Finding:
    """Check that liblsl loads, and that its clock is the one that we read without it."""
    try:
        return judge_lsl(run(LSL))
    except ProbeError as error:
        do = (
            "only needed for LSL streams: python -m pip install pylsl; where that brings no library (older Linux), "
            "conda install -c conda-forge liblsl, or the package from github.com/sccn/liblsl/releases"
        )
        return judged("liblsl", f"not usable: {error}", {}, warn=do)


def judge_lsl(found: Mapping[str, Any]) -> Finding:
    """Fail when times in our events would not be those of other LSL programs."""
    apart_s = float(found["clocks_apart_s"])
    text = f"{found['liblsl']}, pylsl {found['pylsl']}, clocks agree within {max(1, round(abs(apart_s) * 1e6))} µs"
    fail = ""
    if not abs(apart_s) < LSL_TOLERANCE_S:
        text = f"its clock is {apart_s:g} s from ours, which must be < {LSL_TOLERANCE_S:g} s"
        fail = "do not mix times with other LSL programs; update pylsl, and report this"
    return judged("liblsl", text, dict(found), fail=fail)


def check_port(endpoint: str = DEFAULT_ENDPOINT) -> Finding:
    """Bind the endpoint as an engine does."""
    publisher = Publisher(PublishSettings(endpoint=endpoint), paced=True, abort=lambda: True)
    try:
        publisher.bind()
    except TransportError as error:
        do = "another engine runs there, or another program; use --publish tcp://127.0.0.1:0"
        return judged("Port", str(error).partition(";")[0], {"endpoint": endpoint}, warn=do)
    publisher.close(at_once=True)
    return judged("Port", f"{endpoint} is free", {"endpoint": endpoint})


def round_trips_us(n: int = 1000, timeout_s: float = 1.0) -> NDArray[np.float64]:
    """Return how long (n,) each of n round trips of 64 bytes took between two sockets on this computer, in µs."""
    context = zmq.Context()
    try:
        here, there = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        for socket in (here, there):
            socket.set(zmq.RCVTIMEO, round(timeout_s * 1e3))
            socket.set(zmq.SNDTIMEO, round(timeout_s * 1e3))
        here.connect(f"tcp://127.0.0.1:{there.bind_to_random_port('tcp://127.0.0.1')}")
        took = np.zeros(n)
        for i in range(-10, n):  # the first ones connect
            begun_s = time.perf_counter()
            here.send(bytes(64))
            there.send(there.recv())
            here.recv()
            took[i] = (time.perf_counter() - begun_s) * 1e6
        return took
    finally:
        context.destroy(linger=0)


def check_round_trips(measure: Callable[[], NDArray[np.float64]] = round_trips_us) -> Finding:
    """Check that messages travel between two sockets on this computer, and how fast."""
    try:
        p50, p99 = (float(p) for p in np.percentile(measure(), [50, 99]))
    except zmq.Again:
        do = "let Python connect to 127.0.0.1 in the firewall or the virus scanner"
        return judged("ZeroMQ", "no message arrives on 127.0.0.1", {}, fail=do)
    return judge_round_trips(p50, p99)


def judge_round_trips(p50_us: float, p99_us: float) -> Finding:
    """Warn when transport alone takes the time that the whole path should."""
    warn = "close other programs; a virus scanner that looks into local connections does this too"
    text = f"round trip on this computer p50 {p50_us:.0f}, p99 {p99_us:.0f} µs"
    figures: Figures = {"p50_us": round(p50_us, 1), "p99_us": round(p99_us, 1)}
    return judged("ZeroMQ", text, figures, warn=warn if p99_us > SLOW_ROUND_TRIP_US else "")
