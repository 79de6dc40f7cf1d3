"""How much of the processor the data path gets: its cores, and its threads' rank among those of other programs.

Everything here concerns the calling thread, or those of this process that are named. The system may refuse: then why,
and what to do, is returned as a text, and all goes on as it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

REALTIME = 10
"""Priority among real-time threads (1 … 99) on Linux: below those of the system's own that need more."""

NICE = -10
"""For `high`: from −20 (most) to 19."""

SENDING = "ZMQbg/IO/"
"""How libzmq calls the threads that write to the subscribers' sockets (Linux)."""

CHANNELS_A_THREAD = 4096
"""With fewer to each, what threads cost to start and to wait for is more than what they save."""

WINDOWS_CORES = 64
"""Of a group, and a thread is in one."""

_HIGH_CLASS, _REALTIME_CLASS = 0x80, 0x100
_HIGHEST, _TIME_CRITICAL = 2, 15
"""Windows' numbers for the classes of processes, and for the ranks of threads in them."""


class CpuSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the data path gets of the processor."""

    threads: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["auto"],
        Meta(description='threads that detect; "auto": one for each 4096 channels, as long as there are cores'),
    ] = "auto"
    pin: Annotated[
        tuple[int, ...],
        Meta(description="cores (from 0) on which samples are taken in and detected; none: wherever the system likes"),
    ] = ()
    priority: Annotated[
        Literal["normal", "high", "realtime"],
        Meta(description="rank of the data path among the computer's programs; a system that refuses it is told"),
    ] = "normal"


YIELDING, BELOW_NORMAL = 10, 0x4000
"""What `give_way` adds to the niceness; BELOW_NORMAL_PRIORITY_CLASS."""


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def detection_threads(settings: CpuSettings, n_channels: int) -> int:
    """Return how many threads detect; one core is left for what comes in and goes out."""
    if settings.threads != "auto":
        return settings.threads
    cores = len(settings.pin) or usable_cores()
    return max(1, min(cores - 1, n_channels // CHANNELS_A_THREAD))


def prefer(settings: CpuSettings, others: str = "") -> list[str]:
    """Pin and rank the calling thread, and rank those of this process whose names begin with `others`.

    Returns what the system refuses, each with what to do.
    """
    refused = []
    if settings.pin and (why := _tried(_pin, settings.pin)):
        refused.append(f"cpu.pin = {list(settings.pin)} was refused ({why}); the system chooses the cores")
    if settings.priority != "normal" and (why := _tried(_rank, settings.priority, others)):
        refused.append(f"cpu.priority = {settings.priority} was refused ({why}); {_remedy(settings.priority)}")
    return refused


def give_way() -> None:
    """Let this process, and what it starts from here on, run when others do not want the processor."""
    if sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        kernel32.SetPriorityClass.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        kernel32.SetPriorityClass(kernel32.GetCurrentProcess(), BELOW_NORMAL)
    else:
        os.nice(YIELDING)


def _tried(function: Any, *arguments: Any) -> str:
    """Return why the system refuses; nothing when it does not."""
    try:
        function(*arguments)
    except (OSError, NotImplementedError, ValueError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error).lower()
    return ""


def _remedy(priority: str) -> str:
    system = sys.platform
    if system.startswith("linux"):
        limit = f"ulimit -r {REALTIME}" if priority == "realtime" else f"ulimit -e {20 - NICE}"
        return f"allow it ({limit} by root or in /etc/security/limits.conf, or setcap cap_sys_nice+ep on Python)"
    if system == "win32":
        return "start rtspikes as administrator"
    return "leave cpu.priority out here"


def _pin(cores: Sequence[int]) -> None:
    """Let the calling thread run on `cores` only."""
    for core in cores:
        if not 0 <= core < (os.cpu_count() or 1):
            raise ValueError(f"this computer has no core {core}")
    if sys.platform.startswith("linux"):
        os.sched_setaffinity(0, cores)
    elif sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.SetThreadAffinityMask.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        kernel32.SetThreadAffinityMask.restype = ctypes.c_size_t
        if not all(0 <= core < WINDOWS_CORES for core in cores):
            raise ValueError(f"cores here are 0 … {WINDOWS_CORES - 1}")
        mask = sum(1 << core for core in set(cores))
        if not kernel32.SetThreadAffinityMask(_this_thread(kernel32), mask):
            raise ctypes.WinError(ctypes.get_last_error())
    else:
        raise NotImplementedError(f"not available on {sys.platform}")


def _rank(priority: str, others: str) -> None:
    """Give the calling thread, and those whose names begin with `others`, its rank."""
    if sys.platform.startswith("linux"):
        for thread in (threading.get_native_id(), *_named(others)):
            if priority == "realtime":
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(REALTIME))
            else:
                os.setpriority(os.PRIO_PROCESS, thread, NICE)
    elif sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        kernel32.SetPriorityClass.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        kernel32.SetThreadPriority.argtypes = (ctypes.c_void_p, ctypes.c_int)
        ranks = {"high": (_HIGH_CLASS, _HIGHEST), "realtime": (_REALTIME_CLASS, _TIME_CRITICAL)}
        of_process, of_thread = ranks[priority]
        done = kernel32.SetPriorityClass(kernel32.GetCurrentProcess(), of_process)
        if not (kernel32.SetThreadPriority(_this_thread(kernel32), of_thread) and done):
            raise ctypes.WinError(ctypes.get_last_error())
    else:
        raise NotImplementedError(f"not available on {sys.platform}")


def _this_thread(kernel32: Any) -> Any:
    kernel32.GetCurrentThread.restype = ctypes.c_void_p
    return ctypes.c_void_p(kernel32.GetCurrentThread())


def _named(begin: str, tasks: Path = Path("/proc/self/task")) -> Iterator[int]:
    """Yield the threads of this process whose names begin so; none for an empty text (Linux)."""
    for task in tasks.iterdir() if begin else ():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if (task / "comm").read_text().startswith(begin):
                yield int(task.name)
