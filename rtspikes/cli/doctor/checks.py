"""Checks of `doctor`: what a finding is, and whether rtspikes is installed so that it works.

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
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rtspikes.cli.failures import one_line
from rtspikes.errors import RtspikesError

Level = Literal["ok", "warn", "fail"]
Figures = dict[str, float | int | str]

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
"""The versions that pyproject.toml requires and names."""

MODULES = {"pyzmq": "zmq"}
"""What a package is imported as, where that is not its name."""

PROBE_S = 300.0
"""Longest time (s) for a fresh Python that may have to compile the kernels: half a minute on most computers."""

LSL_TOLERANCE_S = 1e-3
"""Largest difference between liblsl's clock and ours: the same clock, read one after the other, differs by µs."""

KEEP_KERNELS = "set NUMBA_CACHE_DIR to a folder that you may write to"


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


def run_check(name: str, check: Callable[[], Finding], debug: bool = False) -> Finding:
    """Return what `check` finds. Whatever it meets must not end the others, so an exception becomes its finding."""
    try:
        return check()
    except Exception as error:  # a broken computer is what doctor is for: any exception of any library can come
        if debug:
            traceback.print_exc()
        text = one_line(f"{type(error).__name__}: {error}")
        do = "do what the text says, or run again with --debug and report the traceback"
        return Finding(name, "fail", text, do, {"error": type(error).__name__})


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
    try:
        required = importlib.metadata.requires("rtspikes") or []
    except importlib.metadata.PackageNotFoundError:
        return ["rtspikes"]
    needed = (r for r in required if "extra ==" not in r)
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
    fail = f"{sys.executable} -m pip install --upgrade --force-reinstall {' '.join(broken)}" if broken else ""
    told = [f"{name} cannot be imported: {why}" for name, why in broken.items()]
    return judged(
        "Packages", "; ".join(told) or ", ".join(f"{k} {v}" for k, v in versions.items()), versions, fail=fail
    )


class ProbeError(RtspikesError):
    """A fresh Python that failed or took too long; the text is its last line."""


ERRORS_ON_ONE_LINE = """
import sys
sys.excepthook = lambda kind, error, _: print(kind.__name__, " ".join(str(error).split()), sep=": ", file=sys.stderr)
"""


def probe(code: str, timeout_s: float = PROBE_S) -> dict[str, Any]:
    """Run `code` in a fresh Python with our module path; return the JSON object that it prints last.

    A fresh process loads as a user's next start will, and keeps what native libraries print off our terminal.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", ERRORS_ON_ONE_LINE + code],
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
        lines = done.stderr.split("\n")
        raise ProbeError(one_line(lines[-2]) if len(lines) > 1 else f"exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


KERNELS = """
import json, sys, time
begun = time.perf_counter()
import llvmlite.binding, numba
import rtspikes.detect.detector
took = time.perf_counter() - begun
modules = [m for name, m in sys.modules.items() if name.startswith("rtspikes.detect.")]
kernels = {id(k): k for m in modules for k in vars(m).values() if hasattr(k, "stats")}
stats = [k.stats for k in kernels.values()]
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
        do = KEEP_KERNELS if no_cache else "unset NUMBA_* variables, or install numba and rtspikes again"
        return judged("Kernels", f"cannot be loaded: {error}", {}, fail=do)
    return judge_kernels(found, again)


def judge_kernels(found: Mapping[str, Any], again: Mapping[str, Any]) -> Finding:
    """Warn where the kernels are compiled at every start, because what was compiled could not be kept."""
    text = f"loaded in {again['load_s']:.1f} s, for {found['cpu']} ({found['vectors']}), cache {found['cache']}"
    warn = ""
    if again["compiled"]:
        text = f"compiled anew at every start ({again['load_s']:.0f} s): nothing can be kept in {again['cache']}"
        warn = KEEP_KERNELS
    elif found["compiled"]:
        text = f"compiled just now ({found['load_s']:.0f} s); {text}"
    return judged("Kernels", text, {**again, "first_load_s": found["load_s"]}, warn=warn)


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
            f"only LSL streams need it: {sys.executable} -m pip install pylsl; where that brings no library (older "
            f"Linux), conda install -c conda-forge liblsl, or the package from github.com/sccn/liblsl/releases"
        )
        return judged("liblsl", f"not usable: {str(error).partition('. ')[0]}", {}, warn=do)


def judge_lsl(found: Mapping[str, Any]) -> Finding:
    """Fail when times in our events would not be those of other LSL programs."""
    apart_s = float(found["clocks_apart_s"])
    text = f"{found['liblsl']}, pylsl {found['pylsl']}, its clock and ours {abs(apart_s) * 1e6:.1f} µs apart"
    fail = ""
    if not abs(apart_s) < LSL_TOLERANCE_S:
        text = f"its clock is {apart_s:g} s from ours, which must be < {LSL_TOLERANCE_S:g} s"
        fail = "do not mix times with other LSL programs; update pylsl, and report this"
    return judged("liblsl", text, dict(found), fail=fail)
