"""The shell completes commands, options, settings, sources and files, by click's own protocol and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtspikes.cli.completion import SHELLS
from tests.simulated import simulate, write_recording
from tests.system.processes import DEADLINE_S, command, rtspikes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings, configurations and session folders."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "only" / "deep").mkdir(parents=True)
    for name in ("one", "other", "my own", "only/deep/down"):
        write_recording(folder / name, simulate(1, 0.01)[0])
    (folder / "lab.toml").touch()
    (folder / "session1.rtspikes").mkdir()
    (folder / "lab.key_secret").touch()
    return folder


def completions(shell: str, words: list[str], cwd: Path) -> list[str]:
    """Return what is offered for the last of `words`, split as the shell has them, as its script gets it."""
    environment = {
        "_RTSPIKES_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "\n".join(["rtspikes", *words]),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
    }
    done = subprocess.run(
        command(), capture_output=True, text=True, timeout=DEADLINE_S, cwd=cwd, env={**os.environ, **environment}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["re"], ["replay "]),
        (["replay", "--sp"], ["--speed "]),
        (["replay", "--deb"], ["--debug "]),
        (["replay", "--speed", ""], ["max "]),
        (["listen", "--topic", "s"], ["spikes ", "status "]),
        (["listen", "t"], ["tcp://127.0.0.1:5570 "]),
        (["listen", "tcp", ":", "//127"], ["//127.0.0.1:5570 "]),
        (["export", "x", "--to", ""], ["npz ", "csv ", "marks-csv "]),
        (["listen", "--key", ""], ["lab.key_secret ", "only/"]),
        (["control", "tcp"], ["tcp://127.0.0.1:5570 "]),
        (["control", "tcp", ":", "//127.0.0.1", ":", "5570", "fre"], ["freeze "]),
        (["control", "ipc", ":", "///run/a", "un"], ["unmute "]),
        (["control", "ipc", ":", "///run/a", "freeze", "--"],
         ["--at ", "--key ", "--timeout ", "--debug ", "--help "]),
        (["control", "ipc", ":", "///run/a", "load", "one"], ["one.json "]),
        (["control", "ipc", ":", "///run/a", "save", "oth"], ["other.json "]),
        (["mark", "t"], ["tcp://127.0.0.1:5570 "]),
        (["completion", ""], ["bash ", "zsh ", "fish "]),
        (["run", "--set", "detect.thr"], ["detect.threshold=", "detect.threshold_uv="]),
        (["run", "--set", "detect.sig"], ["detect.sign=", "detect.sign=neg ", "detect.sign=pos ", "detect.sign=both "]),
        (["run", "--set", "detect.sign", "="], ["neg ", "pos ", "both "]),
        (["run", "--set", "detect.sign", "=", "p"], ["pos "]),
        (["run", "--set", "=", "ring.sec"], ["ring.seconds=", "ring.seconds=4.0 "]),
        (["run", "--set", "a=1", "--set", "ring.seconds", "="], ["4.0 "]),
        (["run", "--source", "f"], ["file:"]),
        (["run", "--source", "file", ":", "on"], ["one.raw ", "only/"]),
        (["run", ""], ["lab.toml ", "only/"]),
        (["replay", "o"], ["one.raw ", "only/", "other.raw "]),
        (["replay", "only"], ["only/deep/down.raw "]),
        (["replay", "my"], [r"my\\ own.raw "]),
        (["replay", r"my\ ow"], [r"my\\ own.raw "]),
        (["info", "se"], ["session1.rtspikes "]),
        (["export", ""], ["only/", "session1.rtspikes "]),
        (["replay", "nothing"], [""]),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_bash_is_offered(words: list[str], offered: list[str], folder: Path) -> None:
    expected = [text and f"plain,{text}" for text in offered]
    assert completions("bash", words, folder) == expected


def test_every_command_and_setting_is_offered(folder: Path) -> None:
    from rtspikes.cli.commands import COMMANDS
    from rtspikes.config import documented_keys

    assert completions("bash", [""], folder) == [f"plain,{name} " for name in COMMANDS]
    keys = [key for key, _, _ in documented_keys() if "[" not in key]
    assert completions("bash", ["run", "--set", ""], folder) == [f"plain,{key}=" for key in keys]


def test_zsh_and_fish_get_whole_words(folder: Path) -> None:
    offered = ["detect.sign=neg", "detect.sign=pos", "detect.sign=both"]
    zsh = completions("zsh", ["run", "--set", "detect.sign="], folder)
    assert zsh[1::3] == offered
    assert completions("fish", ["run", "--source", "file:one"], folder) == ["plain,file:one.raw"]


@pytest.mark.parametrize("words", [["re"], ["run", "--set", "detect.thr"], ["run", "--source", ""], ["info", "s"]])
def test_completing_loads_no_kernels(words: list[str], folder: Path) -> None:
    environment = {
        "_RTSPIKES_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["rtspikes", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = (
        "import sys\n"
        "from rtspikes.cli.main import main\n"
        "try: main([])\n"
        "finally: print(*{'numba', 'scipy'} & set(sys.modules), file=sys.stderr, end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env={**os.environ, **environment}
    )
    assert done.stdout.startswith("plain,")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_for_its_shell(shell: str) -> None:
    done = rtspikes("completion", shell)
    assert done.returncode == 0
    assert f"_RTSPIKES_COMPLETE={shell}_complete" in done.stdout
    assert "%(" not in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rtspikes re", ["replay "]),
        ("rtspikes run --set detect.thr", ["detect.threshold=", "detect.threshold_uv="]),
        ("rtspikes run --source file : on", ["one.raw ", "only/"]),
        ("rtspikes replay my", [r"my\ own.raw "]),
    ],
)
def test_a_real_bash_completes(words: str, offered: list[str], folder: Path) -> None:
    parts = words.split()
    script = (
        'eval "$(rtspikes completion bash)"\n'
        f"COMP_WORDS=({' '.join(parts)})\nCOMP_CWORD={len(parts) - 1}\n"
        '_rtspikes_completion rtspikes\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
        "complete -p rtspikes\n"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=folder,
        env={**os.environ, "PATH": path},
    )
    assert (done.returncode, done.stderr) == (0, "")
    *found, registered = done.stdout.splitlines()
    assert found == offered
    assert "-o nospace" in registered
