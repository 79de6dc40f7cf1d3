"""`rtspikes demo`: what a new user sees first."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rtspikes
from tests.system.processes import DEADLINE_S, Running, command, said, wait_until
from tests.system.processes import rtspikes as run_to_end


def test_the_demo_loses_nothing_finds_the_truth_and_leaves_a_log(tmp_path: Path) -> None:
    done = run_to_end("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said(done.stderr.splitlines()) == []
    seconds = [int(s) for s in re.findall(r"^ +(\d+) .* µV .* 0 +\d+%$", done.stdout, re.MULTILINE)]
    assert seconds == list(range(1, 13))
    recall, precision = (float(re.search(rf"{name} ([\d.]+)\)", done.stdout)[1]) for name in ("recall", "precision"))  # type: ignore[index]
    assert recall >= 0.95
    assert precision >= 0.95
    assert "  lost     0 samples, 0 messages\n" in done.stdout
    (folder,) = tmp_path.iterdir()
    assert f"rtspikes info {folder.name}" in done.stdout
    log = rtspikes.read_session(folder)
    assert (log.ended, log.missed, len(log.gaps)) == ("end", 0, 0)
    assert f"({len(log.spikes)} spikes)" in done.stdout
    assert len(log.spikes) > 500


def test_its_next_commands_are_those_of_this_version(tmp_path: Path) -> None:
    done = run_to_end("demo", "--seconds", 2, "--log", tmp_path / "d")
    next_steps = done.stdout.partition("\nNext:")[2]
    assert "rtspikes replay FILE.raw" in next_steps
    assert "Lab Streaming Layer" in next_steps or "LSL" in next_steps
    code = "\n".join(line[4:] for line in next_steps.splitlines() if line.startswith("    "))
    with Running(
        "run", "--source", "sim:60?seconds=2", "--publish", "tcp://127.0.0.1:0", "--wait-subscribers", 1
    ) as run:
        script = code.replace("subscribe()", f"subscribe({run.endpoint()!r})")
        seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
        assert run.finish() == 0
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout.count("]") > 10


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is needed, which this system does not have")
def test_on_a_terminal_it_draws_the_array(tmp_path: Path) -> None:
    master, slave = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(
        command("demo", "--seconds", "3", "--log", tmp_path / "d"), stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        seen = b""
        while select.select([master], [], [], DEADLINE_S)[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
        assert process.wait(DEADLINE_S) == 0, seen[-500:]
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "59 electrodes" in text
    assert all(f" {label} " in text for label in ("12", "15", "55", "87"))
    assert "spikes per 0.2 s" in text
    assert "\x1b[?25h" in seen.decode()  # the cursor is back


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c_drains_and_still_sums_up(tmp_path: Path) -> None:
    with Running("demo", "--seconds", 600, "--log", tmp_path / "d") as demo:
        demo.wait_line(" of 59 ")
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.err
        assert any("recall" in line for line in demo.out)
    assert rtspikes.read_session(tmp_path / "d.rtspikes").ended in ("end", "stopped")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process on Windows")
def test_a_second_ctrl_c_is_not_kept_waiting(tmp_path: Path) -> None:
    import psutil

    with Running("demo", "--seconds", 600, "--log", tmp_path / "d") as demo:
        demo.wait_line(" of 59 ")
        (engine,) = psutil.Process(demo.process.pid).children()
        engine.suspend()  # it cannot drain
        wait_until(lambda: engine.status() == psutil.STATUS_STOPPED, "the engine stops")
        demo.process.send_signal(signal.SIGINT)
        wait_until(lambda: _asked_to_end(engine), "the engine is asked to end")
        demo.process.send_signal(signal.SIGINT)
        engine.resume()
        assert demo.finish() == 130
        assert not any("recall" in line for line in demo.out)
    assert not engine.is_running()


def _asked_to_end(engine: Any) -> bool:
    """Tell whether SIGTERM waits for a process that is stopped (Linux); elsewhere it is taken as sent."""
    status = Path(f"/proc/{engine.pid}/status")
    if not status.exists():
        return True
    pending = next(line for line in status.read_text().splitlines() if line.startswith("ShdPnd"))
    return bool(int(pending.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL by process group is POSIX's")
def test_a_killed_engine_is_told(tmp_path: Path) -> None:
    import psutil

    with Running("demo", "--seconds", 600, "--log", tmp_path / "d") as demo:
        demo.wait_line(" of 59 ")
        (engine,) = psutil.Process(demo.process.pid).children()
        engine.kill()
        assert demo.finish() == 4
        (told,) = said(demo.err)
        assert told.endswith(f"rtspikes info {tmp_path / 'd.rtspikes'}")
        assert "the engine died" in told


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL by process group is POSIX's")
def test_a_killed_logger_is_told_at_once_and_in_the_end(tmp_path: Path) -> None:
    import psutil

    with Running("demo", "--seconds", 6, "--log", tmp_path / "d") as demo:
        demo.wait_line(" of 59 ")
        loggers = [p for p in psutil.Process(demo.process.pid).children(recursive=True) if "log" in p.cmdline()]
        loggers[-1].kill()
        assert "THE LOGGER ENDED" in demo.wait_line("THE LOGGER ENDED")
        assert demo.process.poll() is None
        assert demo.finish() == 5
    assert demo.err[-1] == "rtspikes: the log is not complete: its logger ended before the run did"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell with pipes is needed")
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    line = " ".join(command("demo", "--seconds", "4", "--log", str(tmp_path / "d")))
    shell = ["bash", "-c", f"set -o pipefail; {line} | head -1"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--scenario", "bicuculine"], 2, "'bicuculine'"),
        (["--layout", "8by8"], 2, "'8by8'"),
        (["--seconds", "0"], 2, "--seconds"),
        (["--log", "taken"], 2, "taken.rtspikes"),
    ],
)
def test_wrong_options_are_one_line(arguments: list[str], code: int, text: str, tmp_path: Path) -> None:
    (tmp_path / "taken.rtspikes").mkdir()
    (tmp_path / "taken.rtspikes" / "session.json").write_text("precious")
    done = run_to_end("demo", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("rtspikes: ")
    assert text in done.stderr


def test_files_named_like_pythons_own_modules_do_no_harm(tmp_path: Path) -> None:
    for name in ("signal", "json", "subprocess"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported from the current folder')")
    command_line = [sys.executable, "-P", "-m", "rtspikes", "demo", "--seconds", "2"]  # as the installed script does
    done = subprocess.run(command_line, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert "recall" in done.stdout
