"""The computer's checks of `doctor`: each limit at its border, with figures and files that the tests make up."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from rtspikes.cli.doctor import measures
from rtspikes.cli.doctor.checks import Finding


def fits(finding: Finding, level: str) -> bool:
    """Tell whether a finding has this level, and says what to do unless it is ok."""
    return finding.level == level and bool(finding.do) == (level != "ok")


class SteppingClock:
    """A clock that moves by `step_s` every third time it is read, and wakes `late_s` late."""

    def __init__(self, step_s: float, late_s: float = 0.0) -> None:
        self.step_s, self.late_s = step_s, late_s
        self.reads = 0
        self.time_s = 100.0

    def now(self) -> float:
        self.reads += 1
        if self.reads % 3 == 0:
            self.time_s += self.step_s
        return self.time_s

    def wait_until(self, deadline_s: float, stop: threading.Event) -> bool:
        self.time_s = deadline_s + self.late_s
        return False


def test_a_free_port_is_ok_and_one_in_use_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        finding = measures.check_port(endpoint)
        assert fits(finding, "warn")
        assert endpoint in finding.value
        assert "--publish" in finding.do
    assert fits(measures.check_port("tcp://127.0.0.1:0"), "ok")


def test_messages_travel_on_this_computer() -> None:
    took_us = measures.round_trips_us(20)
    assert took_us.shape == (20,)
    assert (took_us > 0).all()


def test_messages_that_do_not_arrive_fail() -> None:
    def nothing() -> NDArray[np.float64]:
        raise zmq.Again

    assert fits(measures.check_round_trips(nothing), "fail")


@pytest.mark.parametrize(("p99_us", "level"), [(2000.0, "ok"), (2001.0, "warn")])
def test_round_trips(p99_us: float, level: str) -> None:
    assert fits(measures.judge_round_trips(60.0, p99_us), level)


def test_the_clocks_step_is_the_smallest_that_was_seen() -> None:
    assert measures.clock_step_s(SteppingClock(0.25)) == 0.25


def test_lateness_is_what_a_wait_takes_beyond_its_deadline() -> None:
    late_ms = measures.lateness_ms(SteppingClock(0.0, late_s=0.5), n=4)
    assert late_ms == pytest.approx([500.0] * 4)


@pytest.mark.parametrize(
    ("step_s", "p99_ms", "level"),
    [(1e-4, 2.0, "ok"), (1e-4, 2.01, "warn"), (1.1e-4, 0.1, "warn"), (1e-9, 0.1, "ok")],
)
def test_the_clock(step_s: float, p99_ms: float, level: str) -> None:
    assert fits(measures.judge_clock(step_s, 0.1, p99_ms, 5.0), level)


@pytest.mark.parametrize(
    ("usable", "load", "level"),
    [(2, 2.0, "ok"), (2, 2.1, "warn"), (1.9, 0.0, "warn"), (8, None, "ok"), (1, None, "warn")],
)
def test_cores_and_load(usable: float, load: float | None, level: str) -> None:
    finding = measures.judge_cores(8, usable, load)
    assert fits(finding, level)
    assert ("load" in finding.figures) == (load is not None)


def cgroup(tmp_path: Path, own: str, **limits: str) -> float | None:
    """Return the quota of the group `own`, where `limits` are the cpu.max of "root", "a" and "b" in "a"."""
    places = {"root": tmp_path / "fs", "a": tmp_path / "fs/a", "b": tmp_path / "fs/a/b"}
    places["b"].mkdir(parents=True)
    for name, text in limits.items():
        (places[name] / "cpu.max").write_text(text)
    (tmp_path / "groups").write_text(f"1:cpu:/old\n0::{own}\n")
    return measures.quota_cores(tmp_path / "fs", tmp_path / "groups")


def test_a_groups_quota_counts(tmp_path: Path) -> None:
    assert cgroup(tmp_path, "/a/b", b="150000 100000\n") == 1.5


def test_the_quota_of_a_group_above_counts_too(tmp_path: Path) -> None:
    assert cgroup(tmp_path, "/a/b", a="50000 100000\n", b="max 100000\n", root="400000 100000") == 0.5


@pytest.mark.parametrize("limits", [{}, {"root": "max 100000"}, {"b": "nonsense"}])
def test_no_quota_is_no_limit(limits: dict[str, str], tmp_path: Path) -> None:
    assert cgroup(tmp_path, "/a/b", **limits) is None


def test_no_control_groups_are_no_limit(tmp_path: Path) -> None:
    assert measures.quota_cores(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("governors", "level"),
    [([], "ok"), (["performance", "schedutil"], "ok"), (["performance", "powersave"], "warn"), (["ondemand"], "warn")],
)
def test_governors(governors: list[str], level: str, tmp_path: Path) -> None:
    for i, governor in enumerate(governors):
        (tmp_path / f"cpu{i}/cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{i}/cpufreq/scaling_governor").write_text(governor + "\n")
    finding = measures.check_governor(tmp_path)
    assert fits(finding, level)
    assert all(governor in finding.value for governor in governors)


@pytest.mark.parametrize(
    ("available_mib", "level", "do"),
    [(1536, "ok", ""), (1535, "warn", "ring.max_mib=1023"), (512, "warn", "close other programs")],
)
def test_memory_holds_the_ring(available_mib: float, level: str, do: str) -> None:
    finding = measures.judge_memory(available_mib, 1024.0)
    assert fits(finding, level)
    assert do in finding.do


def test_available_memory_is_read_where_the_system_tells_it(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemAvailable:    4194304 kB\n")
    assert measures.check_memory(tmp_path / "meminfo").figures["available_mib"] == 4096
    assert fits(measures.check_memory(tmp_path / "none"), "ok")
