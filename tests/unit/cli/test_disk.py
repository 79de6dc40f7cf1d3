"""The disk's checks of `doctor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rtspikes.cli.doctor import disk
from rtspikes.cli.doctor.checks import Finding


def test_a_disk_is_measured_and_nothing_stays_on_it(tmp_path: Path) -> None:
    mb_per_s, flushes_ms = disk.disk_speed(tmp_path, size_mib=8, appends=3)
    assert mb_per_s > 0
    assert 1 <= len(flushes_ms) <= 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("check", [disk.check_disk, disk.check_space])
def test_a_path_that_is_no_folder_fails(check: Callable[[Path], Finding], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = check(tmp_path / "file" / "below")
    assert finding.level == "fail"
    assert "below" in finding.value
    assert "--path" in finding.do


@pytest.mark.parametrize(
    ("mb_per_s", "flush_p99_ms", "level"), [(20.0, 500.0, "ok"), (19.9, 1.0, "warn"), (500.0, 501.0, "warn")]
)
def test_the_disks_speed(mb_per_s: float, flush_p99_ms: float, level: str) -> None:
    finding = disk.judge_disk(Path("x"), mb_per_s, flush_p99_ms)
    assert finding.level == level
    assert bool(finding.do) == (level != "ok")


@pytest.mark.parametrize(("free", "level"), [(5_000_000_000, "ok"), (4_999_999_999, "warn")])
def test_the_disks_room(free: int, level: str) -> None:
    finding = disk.judge_space(free)
    assert finding.level == level
    assert bool(finding.do) == (level != "ok")


def test_a_log_grows_by_spikes_waveforms_thresholds_and_the_journal() -> None:
    journal = 2 * 11 * 44  # bytes/s: two flushes, eleven files, 44 bytes each
    assert disk.log_bytes_per_s(0) == journal
    assert disk.log_bytes_per_s(10, spikes_per_s=0) == journal + 10 * 24 * 2
    assert disk.log_bytes_per_s(10, spikes_per_s=5) == journal + 10 * 24 * 2 + 50 * (48 + 1 + 60 * 4)
