"""The viewer as a process: beside a run, alone, and when either of them dies."""

from __future__ import annotations

import http.client
import signal
import socket
from pathlib import Path

import psutil
import pytest

from rtspikes.subscribers.log.reader import read_session
from tests.simulated import simulate, write_recording
from tests.system.browser import page_address
from tests.system.processes import Running, rtspikes, wait_until

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
VIEWED = ("run", "--source", "sim:60", *ANY_PORT, "--view", "--no-browser")


def serves(address: str) -> bool:
    """Tell whether the page is there."""
    host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_the_page_of_a_run_ends_with_it(tmp_path: Path) -> None:
    with Running(*VIEWED, "--log", tmp_path / "session1") as run:
        address = page_address(run)
        assert serves(address)
        wait_until((tmp_path / "session1.rtspikes" / "session.json").exists, "logging")
        run.process.send_signal(signal.SIGINT)
        assert run.finish() == 0
    assert not serves(address)
    assert read_session(tmp_path / "session1.rtspikes").ended == "end"


def test_the_page_of_a_demo_stays_until_ctrl_c(tmp_path: Path) -> None:
    with Running("demo", "--seconds", 2, "--view", "--no-browser", cwd=tmp_path) as demo:
        address = page_address(demo)
        demo.wait_line("The page stays")
        assert serves(address)
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0
    assert not serves(address)


def test_nobody_is_left_behind_when_a_run_is_killed() -> None:
    with Running(*VIEWED) as run:
        address = page_address(run)
        run.process.kill()
        wait_until(lambda: not serves(address), "the viewer's end")


def test_a_viewer_that_dies_costs_no_run_and_is_told() -> None:
    with Running(*VIEWED) as run:
        page_address(run)
        (viewer,) = (p for p in psutil.Process(run.process.pid).children() if "view" in p.cmdline())
        viewer.kill()
        run.wait_line("the page's server has ended")
        run.process.send_signal(signal.SIGINT)
        assert run.finish() == 0


def test_what_a_key_opens_asks_for_a_token(tmp_path: Path) -> None:
    assert rtspikes("keys", tmp_path / "keys").returncode == 0
    with Running(*VIEWED, "--keys", tmp_path / "keys") as run:
        assert "#token=" in page_address(run)
        run.process.send_signal(signal.SIGINT)
        assert run.finish() == 0


def test_a_page_that_cannot_be_served_costs_no_run(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "recording", simulate(2, 2.0)[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        alone = rtspikes("view", "tcp://127.0.0.1:5", "--port", taken.getsockname()[1], "--no-browser")
    assert alone.returncode == 4
    assert "address already in use; choose another port with --port" in alone.stderr
    done = rtspikes("replay", recording, *ANY_PORT, "--view", "--no-browser", "--log", tmp_path / "session1")
    assert done.returncode == 0, done.stderr
    assert "view on http://127.0.0.1:" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere.rtspikes",), 5, "no such file or folder"),
        (("tcp://127.0.0.1:5570", "--port", "70000"), 2, "--port must be 0 … 65535, got 70000"),
        (("tcp://127.0.0.1:5570", "--token", "short"), 2, "--token must have 8 … 200"),
        (("http://127.0.0.1:5570",), 2, "must be tcp://HOST:PORT"),
    ],
)
def test_what_cannot_be_viewed_is_said(words: tuple[str, ...], code: int, told: str) -> None:
    done = rtspikes("view", *words, "--no-browser")
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_others_are_only_served_with_a_token() -> None:
    with Running("view", "tcp://127.0.0.1:5", "--port", "0", "--no-browser", "--host", "0.0.0.0") as viewer:
        assert "#token=" in page_address(viewer)
        viewer.process.send_signal(signal.SIGINT)
        assert viewer.finish() == 0
