"""`rtspikes keys` in real processes: what it makes, what it says, what it refuses, and that its keys open the door."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rtspikes.wire.keys import ClientKey, Right, ServerKeys
from tests.system.processes import DEADLINE_S, rtspikes
from tests.system.test_completion import completions


def test_keys_are_made_and_what_to_do_with_them_is_said(tmp_path: Path) -> None:
    done = rtspikes("keys", "my keys", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    folder = Path("my keys")
    assert done.stdout.splitlines() == [
        f"made {folder / 'server.key_secret'}",
        f"made {folder / 'server.key'}",
        f"made {folder / 'clients' / 'lab.key_secret'}",
        f"made {folder / 'controllers' / 'lab.key'}",
        "engine: rtspikes run --source URI --publish tcp://0.0.0.0:5570 --keys 'my keys'",
        f"lab may read and control: carry {folder / 'clients' / 'lab.key_secret'} to it, where nobody can listen in",
    ]
    keys = ServerKeys.load(tmp_path / folder)
    key = ClientKey.load(tmp_path / folder / "clients" / "lab.key_secret")
    assert (keys.right_of(key.public), key.server) == (("lab", Right.CONTROL), keys.public)


def test_clients_are_added_to_old_keys(tmp_path: Path) -> None:
    for words in (["--reader", "plots"], ["--reader", "top", "--reader", "log", "--controller", "stimulator"]):
        done = rtspikes("keys", "keys", *words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines() if " may read" in line] == words[1::2]
    keys = ServerKeys.load(tmp_path / "keys")
    clients = sorted((tmp_path / "keys" / "clients").iterdir())
    assert [keys.right_of(ClientKey.load(path).public) for path in clients] == [
        ("log", Right.READ), ("plots", Right.READ), ("stimulator", Right.CONTROL), ("top", Right.READ),
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="modes mean nothing on this system")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_keys_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    code = f"import os; os.umask({umask}); from rtspikes.cli.main import main; main(['keys', 'keys'])"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=DEADLINE_S, check=True, capture_output=True)
    made = [tmp_path / "keys", *(tmp_path / "keys").rglob("*")]
    assert len(made) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


HELP = "(see rtspikes keys --help)"

REFUSALS = {
    "": f"missing argument DIR {HELP}",
    "keys": "keys has its keys; to add a client say --reader NAME or --controller NAME",
    "keys --reader lab": f"{Path('keys/controllers/lab.key')} exists, and keys are never overwritten; choose another "
                         f"name, or remove it first",
    "keys --reader new --controller new": "every client must have one name and one right, got 'new' twice",
    "keys --controller a.b": f"--controller must be 1 … 64 letters (A-Z, a-z), digits, _ or -, got 'a.b' {HELP}",
    "keys --writer a": f"unknown option '--writer'; did you mean '--reader'? {HELP}",
    "a-file": f"DIR must be a folder, old or new, got 'a-file' {HELP}",
    "none/keys": f"keys cannot be made in {Path('none/keys')}: no such file or directory; choose another folder",
    "damaged --reader a": f"{Path('damaged/server.key_secret')} lacks a sound public-key; restore it, or make keys in "
                          f"a new folder: rtspikes keys DIR",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refusals")
    for name in ("keys", "damaged"):
        assert rtspikes("keys", name, cwd=folder).returncode == 0
    (folder / "damaged" / "server.key_secret").write_text("")
    (folder / "a-file").touch()
    return folder


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("line", REFUSALS)
def test_a_refusal_is_one_line_and_changes_nothing(line: str, folder: Path) -> None:
    before = snapshot(folder)
    done = rtspikes("keys", *line.split(), cwd=folder)
    assert done.stderr.splitlines() == [f"rtspikes: {REFUSALS[line]}"]
    assert (done.returncode, done.stdout) == (2, "")
    assert snapshot(folder) == before
    assert len(done.stderr) < 200


def test_the_folder_and_the_options_are_completed(folder: Path) -> None:
    assert completions("bash", ["ke"], folder) == ["plain,keys "]
    assert completions("bash", ["keys", "da"], folder)[0].startswith("plain,damaged/")
    assert completions("bash", ["keys", "a-"], folder) == [""]
    assert completions("bash", ["keys", "keys", "--re"], folder) == ["plain,--reader "]
