"""`run` with keys and without: its own logger is let in, and other computers only when that was said."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rtspikes.cli.children import reachable
from rtspikes.subscribers.log.reader import read_session
from tests.system.processes import rtspikes

SOURCE = ("run", "--source", "sim:4?rate=20000&seconds=1&seed=5", "--set", "source.speed=max")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::]"])
def test_a_run_with_keys_lets_its_own_logger_in(tmp_path: Path, host: str) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this computer has no IPv6")
    assert rtspikes("keys", tmp_path / "keys").returncode == 0
    log = tmp_path / "a.rtspikes"
    done = rtspikes(*SOURCE, "--publish", f"tcp://{host}:0", "--keys", tmp_path / "keys", "--log", log)
    assert done.returncode == 0, done.stderr
    session = read_session(log)
    assert (session.ended, session.to_sample, session.missed) == ("end", 20_000, 0)
    assert session.info["security"] == "curve"


def test_a_run_for_other_computers_needs_keys_or_to_be_told(tmp_path: Path) -> None:
    refused = rtspikes(*SOURCE, "--publish", "tcp://0.0.0.0:0")
    assert refused.returncode == 2
    assert "insecure" in refused.stderr
    log = tmp_path / "a.rtspikes"
    done = rtspikes(*SOURCE, "--publish", "tcp://0.0.0.0:0", "--insecure", "--log", log)
    assert done.returncode == 0, done.stderr
    assert read_session(log).info["security"] == "insecure"


def test_a_folder_of_keys_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("absent", "empty"):
        done = rtspikes(*SOURCE, "--keys", tmp_path / folder)
        assert done.returncode == 2
        assert folder in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("tcp://0.0.0.0:5570", "tcp://127.0.0.1:5570"),
        ("tcp://[::]:5570", "tcp://[::1]:5570"),
        ("tcp://10.0.0.0:5570", "tcp://10.0.0.0:5570"),
        ("ipc:///tmp/x", "ipc:///tmp/x"),
    ],
)
def test_an_address_that_stands_for_all_is_reached_on_this_computer(bound: str, reached: str) -> None:
    assert reachable(bound) == reached
