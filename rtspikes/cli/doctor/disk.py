"""Checks of `doctor` on the disk that sessions will be logged to: its speed and its room."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtspikes.cli.doctor.checks import Figures, Finding, judged
from rtspikes.detect.settings import DetectSettings
from rtspikes.subscribers.log.layout import FILES, JOURNAL_DTYPE
from rtspikes.subscribers.log.writer import FLUSH_S
from rtspikes.types import SPIKE_DTYPE, THRESHOLD_DTYPE

SLOW_DISK_MB_PER_S = 20.0
"""Ten times the log of 1024 channels, so that it catches up after a moment in which the disk was busy."""

LITTLE_SPACE_GB = 5.0
"""About an hour's log of 1024 channels."""

LOGGED_SPIKES_PER_S = 5.0
"""Spikes per second and channel that logged hours assume: a lively culture."""

DISK_PATIENCE_S = 3.0
"""A measurement of a very slow disk ends after this time (s), with what it has until then."""


def disk_speed(folder: Path, size_mib: int = 64, appends: int = 50) -> tuple[float, NDArray[np.float64]]:
    """Return how fast (MB/s) data gets onto the disk, and how long (n,) each of some small flushed appends took (ms).

    The file has no name where the system allows that, and is removed by the system in any case. Raises OSError.
    """
    with tempfile.TemporaryFile(prefix="rtspikes-doctor-", dir=folder) as file:

        def append(data: bytes) -> float:
            begun_s = time.perf_counter()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return time.perf_counter() - begun_s

        piece = os.urandom(2**20) * 8  # nothing that a file system could compress
        took_s = [append(piece)]
        while len(took_s) < size_mib // 8 and sum(took_s) < DISK_PATIENCE_S:
            took_s.append(append(piece))
        flushes_s = [append(bytes(4096))]
        while len(flushes_s) < appends and sum(flushes_s) < DISK_PATIENCE_S:
            flushes_s.append(append(bytes(4096)))
    return len(piece) * len(took_s) / sum(took_s) / 1e6, np.array(flushes_s) * 1e3


def check_disk(folder: Path) -> Finding:
    """Measure the disk that sessions will be logged to."""
    try:
        mb_per_s, flushes_ms = disk_speed(folder)
    except OSError as error:
        do = "with --path, name a folder that you may write to and that has room"
        return judged("Disk", f"{folder}: cannot be written: {error.strerror or error}", {"path": str(folder)}, fail=do)
    return judge_disk(folder, mb_per_s, float(np.percentile(flushes_ms, 99)))


def judge_disk(folder: Path, mb_per_s: float, flush_p99_ms: float) -> Finding:
    """Warn when a log would fall behind; spikes wait in memory then, and more of them are lost in a power cut."""
    warn = ""
    if mb_per_s < SLOW_DISK_MB_PER_S or flush_p99_ms > FLUSH_S * 1e3:
        warn = "log to another disk, inside this computer, not a network drive or a memory stick"
    text = f"{folder.absolute()}: writes {mb_per_s:.0f} MB/s, flushes 4 KiB in p99 {flush_p99_ms:.1f} ms"
    figures: Figures = {
        "path": str(folder),
        "write_mb_per_s": round(mb_per_s, 1),
        "flush_p99_ms": round(flush_p99_ms, 2),
    }
    return judged("Disk", text, figures, warn=warn)


def log_bytes_per_s(n_channels: int, spikes_per_s: float = LOGGED_SPIKES_PER_S, rate_hz: float = 20_000.0) -> float:
    """Return how fast (bytes/s) a session log grows with the default settings; spikes per second and channel."""
    settings = DetectSettings()
    waveform = 4 * sum(round(ms * 1e-3 * rate_hz) for ms in settings.snippet_ms)
    spikes = n_channels * spikes_per_s * (SPIKE_DTYPE.itemsize + 1 + waveform)  # and a byte of flags
    thresholds = n_channels * THRESHOLD_DTYPE.itemsize / settings.noise.block_s
    return spikes + thresholds + len(FILES) * JOURNAL_DTYPE.itemsize / FLUSH_S


def check_space(folder: Path) -> Finding:
    """Check how long a session the disk has room for."""
    try:
        return judge_space(shutil.disk_usage(folder).free)
    except OSError as error:
        do = "with --path, name a folder that is there"
        return judged("Space", f"{folder}: {error.strerror}", {"path": str(folder)}, fail=do)


def judge_space(free: int) -> Finding:
    """Warn when there is room (bytes) for a short session only."""
    hours = {n: free / log_bytes_per_s(n) / 3600 for n in (60, 1024)}
    text = f"{free / 1e9:.1f} GB free: a log of {hours[60]:,.0f} h of 60 channels, {hours[1024]:,.1f} h of 1024"
    text += f" ({LOGGED_SPIKES_PER_S:g} spikes/s/channel)"
    figures: Figures = {"free_gb": round(free / 1e9, 2), "log_bytes_per_s_1024": round(log_bytes_per_s(1024))}
    figures |= {f"log_hours_{n}": round(h, 1) for n, h in hours.items()}
    warn = "free space on this disk, or log to another one (--path measures it)" if free < LITTLE_SPACE_GB * 1e9 else ""
    return judged("Space", text, figures, warn=warn)
