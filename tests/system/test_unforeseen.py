"""What nobody foresaw is one line, too: bugs, broken packages, dying threads; `--debug` shows the traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rtspikes.cli.children import LogChild
from rtspikes.cli.failures import LONGEST, describe, one_line
from rtspikes.errors import DataError
from tests.simulated import simulate, write_recording
from tests.system.processes import DEADLINE_S, Running, command, said, wait_until

FAULTY = '''
"""Devices that fail in every way."""
import threading

def bug(address, settings, clock):
    raise ZeroDivisionError("a text\\nof two lines")

def refused(address, settings, clock):
    raise PermissionError(13, "Permission denied", "/dev/rig")

def hungry(address, settings, clock):
    raise MemoryError

def absent(address, settings, clock):
    import vendor_sdk

def thread(address, settings, clock):
    """Fail in a thread."""
    dying = threading.Thread(target=lambda: 1 / 0, name="reader")
    dying.start()
    dying.join()
    raise PermissionError(13, "Permission denied", "/dev/rig")
'''

REPORT = "; run again with --debug for the traceback, and report it"
DENIED = f"/dev/rig: {os.strerror(13).lower()}; check who may read and write there"

ANSWERS = {
    "bug": (1, [f"internal error: ZeroDivisionError: a text of two lines{REPORT}"]),
    "refused": (5, [DENIED]),
    "hungry": (1, ["not enough memory; close other programs, take fewer channels, or lower ring.seconds"]),
    "absent": (
        1,
        [
            "the Python package 'vendor_sdk' cannot be loaded (No module named 'vendor_sdk'); install it again: "
            f"{sys.executable} -m pip install --force-reinstall vendor_sdk"
        ],
    ),
    "thread": (
        5,
        [f"internal error in thread 'reader': ZeroDivisionError: division by zero{REPORT}", DENIED],
    ),
}
"""Device → exit code and the lines of its answer."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packages: one of devices that fail, and one that cannot be loaded."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "faulty.py").write_text(FAULTY)
    (folder / "faulty-1.dist-info").mkdir()
    (folder / "faulty-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    names = "".join(f"{name} = faulty:{name}\n" for name in ANSWERS) + "lost = nowhere_to_be_found:open\n"
    (folder / "faulty-1.dist-info" / "entry_points.txt").write_text(f"[rtspikes.devices]\n{names}")
    (folder / "broken").mkdir()
    (folder / "broken" / "zmq.py").write_text("raise ImportError('libzmq.so: cannot open shared object file')\n")
    return folder


def run_with(path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `rtspikes ARGUMENTS` with the packages in `path` before all others."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(path)},
    )


def answers(done: subprocess.CompletedProcess[str]) -> list[str]:
    return said(done.stderr.splitlines())


@pytest.mark.parametrize("device", ANSWERS)
def test_whatever_a_device_does_is_answered_without_a_traceback(device: str, site: Path) -> None:
    done = run_with(site, "run", "--source", f"{device}:1")
    code, lines = ANSWERS[device]
    assert answers(done) == [f"rtspikes: {line}" for line in lines]
    assert (done.returncode, done.stdout) == (code, "")


@pytest.mark.parametrize("device", ["bug", "refused", "thread"])
def test_debug_shows_the_traceback_above_the_line(device: str, site: Path) -> None:
    done = run_with(site, "run", "--source", f"{device}:1", "--debug")
    code, lines = ANSWERS[device]
    assert [line for line in answers(done) if line.startswith("rtspikes: ")] == [f"rtspikes: {line}" for line in lines]
    assert done.stderr.count("Traceback (most recent call last)") >= len(lines)
    assert "faulty.py" in done.stderr
    assert done.returncode == code


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_may_stand_before_and_after_the_command(where: str, tmp_path: Path) -> None:
    arguments = ["info", tmp_path / "none.raw"]
    done = run_with(tmp_path, *(["--debug", *arguments] if where == "before" else [*arguments, "--debug"]))
    assert done.returncode == DataError.exit_code
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert done.stderr.splitlines()[-1] == f"rtspikes: {tmp_path / 'none.raw'}: no such file or folder"


def test_a_dependency_that_cannot_be_loaded_is_named(site: Path) -> None:
    done = run_with(site / "broken", "listen")
    again = f"{sys.executable} -m pip install --force-reinstall pyzmq"
    reason = "libzmq.so: cannot open shared object file"
    assert answers(done) == [
        f"rtspikes: the Python package 'zmq' cannot be loaded ({reason}); install it again: {again}"
    ]
    assert done.returncode == 1


def test_a_device_that_cannot_be_loaded_is_listed_with_the_reason(site: Path) -> None:
    done = run_with(site, "devices", "--wait", 0)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"file", "sim", "lost", *ANSWERS} <= set(rows)
    reason = "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert rows["lost"].endswith(f"cannot be loaded: {reason}")
    assert rows["thread"].endswith("  Fail in a thread.")
    everything = json.loads(run_with(site, "devices", "--wait", 0, "--json").stdout)
    listed = {row["scheme"]: row for row in everything["schemes"]}
    assert {name for name, row in listed.items() if row["error"]} == {"lost"}
    assert listed["lost"]["error"] == reason
    assert listed["sim"]["example"].startswith("sim:60")


def test_why_the_logger_ended_is_told_by_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken.rtspikes"
    taken.mkdir()
    child = LogChild("tcp://127.0.0.1:1", taken)
    try:
        wait_until(lambda: child._process.poll() is not None, "the logger's end")  # noqa: SLF001
        with pytest.raises(DataError) as caught:
            child.check_alive()
    finally:
        child.kill()
    told = f"the log {taken} exists, and a session is never overwritten; choose another path"
    assert str(caught.value) == f"the logger ended before the run began: {told}"
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="files of another process are limited on Linux only")
def test_a_run_whose_disk_is_full_goes_on_and_says_why_it_is_not_logged(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "rec", simulate(2, 4.0)[0])
    with Running("replay", recording, "--publish", "tcp://127.0.0.1:0", "--log", tmp_path / "s") as run:
        run.wait_line("spikes/s")
        (logger,) = (c for c in psutil.Process(run.process.pid).children() if "log" in c.cmdline())
        logger.rlimit(psutil.RLIMIT_FSIZE, (1, 1))
        told = run.wait_line("THE LOGGER ENDED")
        assert run.finish() == DataError.exit_code
        assert [line for line in run.err if "rtspikes:" in line] == [told]
    assert told.startswith(f"rtspikes: THE LOGGER ENDED: cannot write the log {tmp_path / 's.rtspikes'}: ")
    assert told.endswith("; the run goes on, but is no longer logged")


def test_a_line_has_neither_breaks_nor_control_characters_and_an_end() -> None:
    assert one_line("a\n b\x1b[31m\tc\udcff") == "a b\\x1b[31m c\\udcff"
    assert len(one_line("x" * 10_000)) <= LONGEST


def test_a_full_disk_says_where_and_what_to_do() -> None:
    assert describe(OSError(28, "No space left on device", "s/x.bin")) == (
        "s/x.bin: no space left on device; free space there",
        DataError.exit_code,
    )
