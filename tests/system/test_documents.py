"""README, PROTOCOL and CONFIG are true: their commands and snippets are run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rtspikes
from rtspikes.config import settings_document
from tests.simulated import simulate, write_recording
from tests.system.processes import DEADLINE_S, Running

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def snippet(document: str, after: str) -> str:
    """Return the first fenced block after a text."""
    match = re.search(r"```\w+\n(.*?)```", document[document.index(after) :], re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are written for sh; PowerShell's differ in their paths"
)
def test_readmes_replay_runs_as_written(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", snippet(README, "<!-- python: make -->")], cwd=tmp_path, timeout=DEADLINE_S
    )
    assert made.returncode == 0
    commands = snippet(README, "<!-- shell: replay -->").replace(
        "replay recording.raw", "replay recording.raw --speed max"
    )
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "session1.npz").exists()
    found = rtspikes.read_session(tmp_path / "session1.rtspikes").spikes
    assert 350 < len(found) <= 420


def test_readmes_subscriber_runs_as_written(tmp_path: Path) -> None:
    code = snippet(README, "or in Python:")
    subscribe_with(code, tmp_path, expected="]")


def test_protocols_subscriber_runs_with_zmq_and_msgpack_only(tmp_path: Path) -> None:
    code = snippet((ROOT / "rtspikes/wire/PROTOCOL.md").read_text("utf-8"), "## Example")
    assert "rtspikes" not in code
    subscribe_with(code, tmp_path, expected="'E1'")


def subscribe_with(code: str, folder: Path, expected: str) -> None:
    """Run `code` as a subscriber of a replay until both end; it must have printed `expected`."""
    recording = write_recording(folder / "r", simulate(n_channels=1, seconds=2.0)[0])
    with Running(
        "replay", recording, "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1"
    ) as run:
        script = code.replace("tcp://127.0.0.1:5570", run.endpoint())
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
        assert run.finish() == 0
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    from rtspikes.config import load_config

    path = tmp_path / "lab.toml"
    path.write_text(snippet(README, "per channel too:"), "utf-8")
    config = load_config(path)
    assert config.detect.threshold == 4.5
    assert config.session["culture"] == "B7"


def test_the_settings_document_is_up_to_date() -> None:
    stored = (ROOT / "rtspikes/CONFIG.md").read_text("utf-8")
    assert stored == settings_document(), "run: python -m rtspikes.config"


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "devices/README.md", ROOT / "rtspikes/wire/PROTOCOL.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links {target}"
