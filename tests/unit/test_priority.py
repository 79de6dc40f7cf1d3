"""What the data path gets of the processor: taken where the system gives it, told where it does not."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from rtspikes import priority
from rtspikes.config import config_from
from rtspikes.errors import ConfigError
from rtspikes.priority import NICE, REALTIME, SENDING, CpuSettings, detection_threads, prefer
from tests.patience import Patience

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks what Linux has done")


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Return what `function` returns in a thread of its own, whose cores and rank end with it."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_by_default_nothing_is_asked_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sched_setaffinity", "sched_setscheduler", "setpriority"):
        monkeypatch.delattr(os, name, raising=False)
    assert prefer(CpuSettings(), SENDING) == []


@linux
def test_a_thread_is_pinned_and_no_other() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)

    def pinned() -> tuple[list[str], set[int]]:
        return prefer(CpuSettings(pin=(core,))), os.sched_getaffinity(0)

    assert in_a_thread(pinned) == ([], {core})
    assert os.sched_getaffinity(0) == before


@linux
@pytest.mark.parametrize("cores", [(4095,), (-1,), (2**70,)])
def test_cores_that_are_not_there_are_refused(cores: tuple[int, ...]) -> None:
    (text,) = in_a_thread(lambda: prefer(CpuSettings(pin=cores)))
    assert text.startswith(f"cpu.pin = {list(cores)} was refused (")
    assert text.endswith("; the system chooses the cores")


@linux
@pytest.mark.parametrize(("rank", "limit"), [("realtime", f"ulimit -r {REALTIME}"), ("high", "ulimit -e 30")])
def test_a_rank_that_is_refused_says_what_to_do(rank: Any, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    (text,) = prefer(CpuSettings(priority=rank))
    assert text.startswith(f"cpu.priority = {rank} was refused (operation not permitted); allow it ({limit} by root")


@linux
def test_threads_that_send_get_the_same_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda which, thread, nice: ranked.append((thread, nice)))
    names = Path("/proc/self/task").glob
    with zmq.Context() as context, context.socket(zmq.PUB):
        patience = Patience(10)
        while patience and not any(comm.read_text().startswith(SENDING) for comm in names("*/comm")):
            pass  # a thread has its name when it runs
        assert prefer(CpuSettings(priority="high"), SENDING) == []
    assert ranked[0] == (threading.get_native_id(), NICE)
    assert len(ranked) > 1
    assert {nice for _, nice in ranked} == {NICE}


def test_a_system_that_has_nothing_of_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    pinned, ranked = prefer(CpuSettings(pin=(0,), priority="realtime"))
    assert pinned == "cpu.pin = [0] was refused (not available on darwin); the system chooses the cores"
    assert ranked.startswith("cpu.priority = realtime was refused (not available on darwin); ")


def test_threads_follow_channels_as_far_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "usable_cores", lambda: 4)
    auto = CpuSettings()
    assert [detection_threads(auto, n) for n in (1, 4096, 8192, 26_400)] == [1, 1, 2, 3]
    assert detection_threads(CpuSettings(pin=(0, 1)), 26_400) == 1
    assert detection_threads(CpuSettings(threads=7), 1) == 7


def test_wrong_settings_say_what_is_right() -> None:
    for cpu, text in (
        ({"threads": 0}, "cpu.threads must be a whole number 1 … 256 or auto, got 0"),
        ({"priority": "fast"}, "cpu.priority must be one of normal, high, realtime, got 'fast'"),
    ):
        with pytest.raises(ConfigError, match=text):
            config_from({"cpu": cpu})
