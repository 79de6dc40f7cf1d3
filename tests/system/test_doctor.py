"""`rtspikes doctor` as a process: on a healthy path, on an impossible one, and ended by Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from rtspikes.cli.doctor.command import CHECKS
from tests.system.processes import Running
from tests.system.processes import rtspikes as run_to_end


def test_json_holds_every_check_and_what_to_do(tmp_path: Path) -> None:
    done = run_to_end("doctor", "--json", "--path", tmp_path)
    findings = json.loads(done.stdout)["findings"]
    assert [f["check"] for f in findings] == [*CHECKS]
    failed = {f["check"]: f["value"] for f in findings if f["level"] == "fail"}
    assert not {"Python", "Packages", "Kernels", "Detection", "ZeroMQ", "Disk", "Space"} & {*failed}, failed
    assert done.returncode == (1 if failed else 0)
    assert all(f["level"] in ("ok", "warn", "fail") for f in findings)
    assert all(bool(f["do"]) == (f["level"] != "ok") for f in findings)
    assert all(f["value"] and "\n" not in f["value"] + f["do"] for f in findings)
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_text_says_what_to_do_where_a_disk_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_to_end("doctor", "--path", tmp_path / "file" / "below")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    at = next(i for i, line in enumerate(lines) if line.startswith("fail Disk "))
    assert lines[at + 1].lstrip().startswith("-> with --path")
    starts = [line[5:].split()[0] for line in lines[:-1] if line.split()[0] != "->"]
    assert starts == [*CHECKS]
    assert "NOT fit" in lines[-1]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to one process is POSIX")
@pytest.mark.parametrize("check", ["Space", "Detection"])
def test_ctrl_c_ends_it_cleanly(check: str, tmp_path: Path) -> None:
    with Running("doctor", "--path", tmp_path) as doctor:
        doctor.wait_line(f" {check} ")
        doctor.process.send_signal(signal.SIGINT)
        assert doctor.finish() == 130
    assert not any("Traceback" in line for line in doctor.out + doctor.err)
    assert not list(tmp_path.iterdir())
