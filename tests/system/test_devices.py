"""`rtspikes devices`: the schemes, and the LSL streams that are on the network now."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtspikes.lsl import load
from tests.patience import Patience
from tests.system.processes import DEADLINE_S, command, rtspikes

TAG = uuid.uuid4().hex
MISSING = "raise RuntimeError('LSL binary library file was not found. Please make sure…')\n"


@pytest.fixture(scope="module")
def outlets() -> Iterator[None]:
    """Keep three streams on this computer: a signal, one whose name is hostile, and texts without a source_id."""
    pylsl = load()
    kept = [
        pylsl.StreamOutlet(pylsl.StreamInfo(*said))
        for said in (
            (f"MEA {TAG}", "Ephys", 60, 20000.0, "int16", f"rig-{TAG}"),
            (f"\x1b[2J{TAG}", "EEG", 2, 100.0, "float32", f"bad-{TAG}"),
            (f"marks {TAG}", "Markers", 1, 0.0, "string", ""),
        )
    ]
    yield
    kept.clear()


def listed() -> dict[str, Any]:
    """Return what is listed once all three have answered; a busy computer may be late."""
    patience = Patience(DEADLINE_S)
    while True:
        done = rtspikes("devices", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        everything: dict[str, Any] = json.loads(done.stdout)
        mine = {row["type"]: row for row in everything["streams"] if TAG in row["name"]}
        if len(mine) == 3:
            return everything | {"mine": mine}
        assert patience, everything


@pytest.mark.usefixtures("outlets")
def test_streams_are_listed_as_json() -> None:
    everything = listed()
    assert everything["streams_error"] is None
    assert {"file", "sim"} <= {row["scheme"] for row in everything["schemes"]}
    signal, hostile, marks = (everything["mine"][name] for name in ("Ephys", "EEG", "Markers"))
    assert signal["address"] == f"lsl:name=MEA%20{TAG}"
    assert (signal["n_channels"], signal["rate_hz"], signal["format"]) == (60, 20000.0, "int16")
    assert (signal["source_id"], signal["warnings"]) == (f"rig-{TAG}", [])
    assert hostile["name"] == f"\\x1b[2J{TAG}"
    assert hostile["address"] == f"lsl:source_id=bad-{TAG}"
    assert marks["warnings"] == ["no source_id: after a restart it is found by its address alone"]


@pytest.mark.usefixtures("outlets")
def test_streams_are_listed_for_people() -> None:
    patience = Patience(DEADLINE_S)
    while (done := rtspikes("devices")).stdout.count(TAG) < 5:  # in names and source_ids
        assert patience, done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    schemes, title, streams = done.stdout.partition("\nLSL streams on the network:\n")
    assert title
    assert schemes.split()[:2] == ["file", "file:recording.raw"]
    lines = {line.split()[1]: line for line in streams.splitlines() if TAG in line}
    assert lines["Ephys"].startswith(f"lsl:name=MEA%20{TAG} ")
    assert "60 × 20000 Hz int16" in lines["Ephys"]
    assert lines["Ephys"].endswith(f"rig-{TAG}")
    assert "1 × irregular string" in lines["Markers"]
    assert lines["Markers"].endswith("no source_id: after a restart it is found by its address alone")


def test_nothing_is_looked_for_with_wait_0() -> None:
    done = rtspikes("devices", "--wait", 0, "--json")
    assert json.loads(done.stdout)["streams"] == []
    assert "LSL" not in rtspikes("devices", "--wait", 0).stdout


def test_a_wait_must_be_a_number() -> None:
    done = rtspikes("devices", "--wait", "long")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rtspikes: --wait must be a number ≥ 0, got 'long' (see rtspikes devices --help)\n"


def without_liblsl(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    (folder / "pylsl.py").write_text(MISSING, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        command("devices", *arguments), capture_output=True, text=True, timeout=DEADLINE_S, env=environment
    )


def test_without_liblsl_the_rest_is_listed(tmp_path: Path) -> None:
    done = without_liblsl(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("file  ")
    assert done.stdout.splitlines()[-1].startswith(
        "no LSL streams: LSL needs the library liblsl, which cannot be loaded (LSL binary library file was not found."
    )
    everything = json.loads(without_liblsl(tmp_path, "--json").stdout)
    assert everything["streams"] == []
    assert everything["streams_error"].startswith("LSL needs the library liblsl")
