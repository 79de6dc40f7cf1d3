"""A bound on the memory of the calling process, after which the system refuses it more."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Basic(ctypes.Structure):
        _fields_ = [
            ("per_process_user_time", ctypes.c_int64), ("per_job_user_time", ctypes.c_int64),
            ("flags", wintypes.DWORD), ("minimum_set", ctypes.c_size_t), ("maximum_set", ctypes.c_size_t),
            ("active_processes", wintypes.DWORD), ("affinity", ctypes.c_size_t),
            ("priority", wintypes.DWORD), ("scheduling", wintypes.DWORD),
        ]  # fmt: skip

    class _Extended(ctypes.Structure):
        _fields_ = [
            ("basic", _Basic), ("io", ctypes.c_uint64 * 6), ("process_memory", ctypes.c_size_t),
            ("job_memory", ctypes.c_size_t), ("peak_process", ctypes.c_size_t), ("peak_job", ctypes.c_size_t),
        ]  # fmt: skip

    PROCESS_MEMORY_FLAG, EXTENDED_LIMITS = 0x100, 9
    PYTHON_ITSELF = 128 * 2**20

    def limit_memory(more_bytes: int) -> bool:
        """Allow this process `more_bytes` beyond what it needs; tell whether the system will hold it to that.

        It is put into a job object of its own with a limit on its committed memory.
        """
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.SetInformationJobObject.argtypes = [wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD]
        kernel.AssignProcessToJobObject.argtypes = [wintypes.HANDLE, wintypes.HANDLE]
        job = kernel.CreateJobObjectW(None, None)
        limits = _Extended()
        limits.basic.flags = PROCESS_MEMORY_FLAG
        limits.process_memory = PYTHON_ITSELF + more_bytes
        size = ctypes.sizeof(limits)
        return bool(
            job
            and kernel.SetInformationJobObject(job, EXTENDED_LIMITS, ctypes.byref(limits), size)
            and kernel.AssignProcessToJobObject(job, kernel.GetCurrentProcess())
        )

else:
    import resource

    UNKNOWN_BYTES = 4 * 2**30
    """What the address space is taken to hold where /proc does not tell."""

    def limit_memory(more_bytes: int) -> bool:
        """Allow this process `more_bytes` beyond what it has mapped; tell whether the system will hold it to that.

        macOS takes the limit (RLIMIT_AS), but does not enforce it.
        """
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = _mapped_bytes() + more_bytes
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        try:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        except (OSError, ValueError):
            return False
        return sys.platform != "darwin"

    def _mapped_bytes() -> int:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
        except (OSError, ValueError):
            return UNKNOWN_BYTES
        return pages * resource.getpagesize()
