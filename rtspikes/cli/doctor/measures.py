"""Checks of `doctor` on the computer: its sockets, clock, cores and memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zmq
from numpy.typing import NDArray

from rtspikes.cli.doctor.checks import Figures, Finding, judged
from rtspikes.clock import Clock, LslClock
from rtspikes.config import RingSettings
from rtspikes.errors import TransportError
from rtspikes.wire.publish import Publisher
from rtspikes.wire.settings import DEFAULT_ENDPOINT, PublishSettings

UNKNOWN = "not known here"

SLOW_ROUND_TRIP_US = 2000.0
"""One way is half of it: the 1 ms in which a crossing should reach a subscriber, spent on transport alone."""

COARSE_CLOCK_S = 1e-4
"""A tenth of the shortest usual chunk (1 ms): a coarser clock would be seen in times and latencies."""

LATE_MS = 2.0
"""Length (ms) of a replay's default chunk: a later wake-up makes replayed chunks come in pairs."""

FEWEST_CORES = 2
"""One for detection, one for everything else on the computer."""

STEADY_GOVERNORS = ("performance", "schedutil")
"""Others let a core that only wakes for a chunk run at its lowest clock rate."""

ENGINE_MIB = 512
"""What engine and logger take beside the ring: kernels and libraries, and what waits for the disk."""


def check_port(endpoint: str = DEFAULT_ENDPOINT) -> Finding:
    """Bind the endpoint as an engine does."""
    publisher = Publisher(PublishSettings(endpoint=endpoint), paced=True, abort=lambda: True)
    figures: Figures = {"endpoint": endpoint}
    try:
        publisher.bind()
    except TransportError as error:
        do = "another engine runs there, or another program: stop it, or use --publish tcp://127.0.0.1:0"
        return judged("Port", str(error).partition(";")[0], figures, warn=do)
    publisher.close(at_once=True)
    return judged("Port", f"{endpoint} is free", figures)


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
    text = f"round trip on this computer p50 {p50_us:.0f}, p99 {p99_us:.0f} µs"
    do = "close other programs; virus scanners that look into local connections do this too"
    figures: Figures = {"p50_us": round(p50_us, 1), "p99_us": round(p99_us, 1)}
    return judged("ZeroMQ", text, figures, warn=do if p99_us > SLOW_ROUND_TRIP_US else "")


def clock_step_s(clock: Clock, steps: int = 20) -> float:
    """Return the smallest step (s) in which the clock was seen to move, of `steps`."""
    smallest, last = np.inf, clock.now()
    while steps:
        now = clock.now()
        if now > last:
            smallest, last, steps = min(smallest, now - last), now, steps - 1
    return float(smallest)


def lateness_ms(clock: Clock, n: int = 300, wait_s: float = 1e-3) -> NDArray[np.float64]:
    """Return how late (n,), in ms, each of n waits ended."""
    late = np.zeros(n)
    never = threading.Event()
    for i in range(n):
        deadline_s = clock.now() + wait_s
        clock.wait_until(deadline_s, never)
        late[i] = (clock.now() - deadline_s) * 1e3
    return late


def check_clock() -> Finding:
    """Measure the clock that times are taken from, and how late waiting on it ends."""
    clock = LslClock()
    step_s = clock_step_s(clock)
    late = lateness_ms(clock)
    p50, p99 = np.percentile(late, [50, 99])
    return judge_clock(step_s, float(p50), float(p99), float(late.max()))


def judge_clock(step_s: float, p50_ms: float, p99_ms: float, max_ms: float) -> Finding:
    """Warn when times are coarse, or paced replays and ticks uneven; detection itself never waits on the clock."""
    warn = ""
    if step_s > COARSE_CLOCK_S:
        warn = f"times are only good to {step_s * 1e3:.1f} ms; in a virtual machine, choose its host's clock"
    elif p99_ms > LATE_MS:
        warn = "close other programs and choose the power plan for performance (Windows may wake every 15.6 ms only)"
    text = f"steps of {step_s * 1e6:.2g} µs; waits of 1 ms end late by p50 {p50_ms:.2f}, p99 {p99_ms:.2f}, "
    figures: Figures = {"step_us": round(step_s * 1e6, 3), "late_p50_ms": round(p50_ms, 3)}
    figures |= {"late_p99_ms": round(p99_ms, 3), "late_max_ms": round(max_ms, 3)}
    return judged("Clock", f"{text}max {max_ms:.2f} ms", figures, warn=warn)


def quota_cores(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the cores that this process's control groups (Linux, version 2) allow; None: no limit is known."""
    try:
        own = next(x[3:] for x in groups.read_text().splitlines() if x.startswith("0::"))
    except (OSError, StopIteration):
        return None
    allowed = []
    folder = Path(own.strip().lstrip("/"))
    for part in (folder, *folder.parents):
        try:
            quota, period = (root / part / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            allowed.append(int(quota) / int(period))
    return min(allowed, default=None)


def check_cores() -> Finding:
    """Count the cores, and those that this process may use."""
    there = os.cpu_count() or 1
    may_use = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = quota_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return judge_cores(there, may_use if quota is None else min(quota, may_use), load)


def judge_cores(there: int, usable: float, load: float | None) -> Finding:
    """Warn when detection and the rest share a core, or when the cores were busy before rtspikes came.

    load: processes that wanted to run, mean of the last minute; None where the system does not say.
    """
    warn = ""
    if usable < FEWEST_CORES:
        warn = f"give rtspikes at least {FEWEST_CORES} cores, or nothing else may run beside it"
    elif load is not None and load > usable:
        warn = f"close other programs: more of them want to run ({load:.1f}) than there are cores"
    text = f"{usable:g} of {there} usable, load {UNKNOWN if load is None else format(load, '.2f')}"
    figures: Figures = {"cores": there, "usable": usable}
    return judged("Cores", text, figures if load is None else {**figures, "load": round(load, 2)}, warn=warn)


def check_governor(cpus: Path = Path("/sys/devices/system/cpu")) -> Finding:
    """Check who sets the cores' clock rate (Linux says so, others do not)."""
    found = {p.read_text().strip() for p in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    warn = "" if found <= set(STEADY_GOVERNORS) else "sudo cpupower frequency-set -g performance"
    text = ", ".join(sorted(found)) or UNKNOWN
    return judged("Governor", text, {"governor": text}, warn=warn)


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> Finding:
    """Check that the largest ring that the default settings allow has room in memory."""
    try:
        lines = dict(x.split(":", 1) for x in meminfo.read_text().splitlines() if ":" in x)
        available = int(lines["MemAvailable"].split()[0]) / 1024
    except (OSError, KeyError):
        return judged("Memory", UNKNOWN, {})
    return judge_memory(available, RingSettings().max_mib)


def judge_memory(available_mib: float, ring_mib: float) -> Finding:
    """Warn when a ring of the largest size would push others, or itself, out of memory."""
    spare = int(available_mib - ENGINE_MIB)
    do = f"close other programs, or run with --set ring.max_mib={spare}" if spare > 0 else "close other programs"
    text = f"{available_mib / 1024:.1f} GiB available, the ring takes {ring_mib / 1024:g} GiB at most"
    figures: Figures = {"available_mib": round(available_mib), "ring_max_mib": ring_mib}
    return judged("Memory", text, figures, warn=do if spare < ring_mib else "")
